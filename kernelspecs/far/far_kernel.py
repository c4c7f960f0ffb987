"""The far end of a kernel whose hub is on another machine: looks at an environment, starts a kernel, joins it.

Run by the interpreter of that environment at the end of a command (`ssh -T gpu`), whose stdin and stdout are the way to the hub.
kernelexec/kernels/far_command.py says how it comes here, and `Talk` is that program's. What is wanted is one JSON object:

- {"want": "look"}: what this environment is, with an ipykernel lent to it where it has none
- {"want": "start", "id", "key", "options", "environ", "directories", "lent"}: a kernel under a keeper (../launcher), both of
  which outlive this program, which then passes messages on (far_relay.py)
- {"want": "serve", ...}: the same in a job of a cluster, which ends when its processes do: this program stays, and others join
- {"want": "join", "id"}: the same for a kernel that was started before
- {"want": "end", "id"}: end that

A kernel's folder is /tmp/kernelexec-far-UID/ID, which only its user can enter. Not that of kernelexec's hub on this machine, if there is one:
it would take the kernel for one of its own. For Python 3.8 and newer.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
STARTED_FILE, CONNECTION_FILE = "started.json", "connection.json"
DIRECTORY_FILE, KEPT_FILE = "directory.json", "kept"
PROCESS_FILE, EXIT_FILE, STDERR_FILE = "process.json", "exit.json", "stderr.log"
KEPT_SECONDS = 7 * 86400.0  # of what a kernel has left that nobody asked for
END_SECONDS = 10.0
UNKEPT_SECONDS = 600.0  # in a job, until the hub that has submitted it must have come
TOLD_SECONDS = 10.0  # for the news of its end to leave a job
NOT_THE_KERNELS = ("KERNELEXEC_", "JPY_")


class Refused(Exception):
    """What is wanted cannot be; in words, with what to do about it."""

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(what)
        self.next_step = next_step


def main(talk, said: dict, programs: str) -> int:
    """The exit code. `programs`: the folder in which the launcher's is."""
    sys.path[:0] = [said["lent"]] if said.get("lent") else []
    try:
        return WANTED[said["want"]](talk, said, programs)
    except Refused as refused:
        talk.say(refused=str(refused), next_step=refused.next_step)
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        talk.say(
            refused="%s on %s: %s." % (error.filename or root(), socket.gethostname(), error.strerror),
            next_step="Make room there." if is_full else "",
        )
    return 1


def look(talk, said: dict, programs: str) -> int:
    import far_environment

    lent = far_environment.lent_ipykernel(talk, programs)
    talk.say(
        executable=sys.executable,
        prefix=sys.prefix,
        version=list(sys.version_info[:3]),
        lent=lent,
        **machine(),
    )
    return 0


def start(talk, said: dict, programs: str) -> int:
    folder, directory, keeper = started(said, programs)
    talk.say(directory=directory, **machine())
    return relay(talk, folder, keeper)


def serve(talk, said: dict, programs: str) -> int:
    folder, directory, keeper = started(said, programs)
    write(os.path.join(folder, DIRECTORY_FILE), {"directory": directory})
    try:
        keeper.wait(UNKEPT_SECONDS)
    except subprocess.TimeoutExpired:
        if not os.path.exists(os.path.join(folder, KEPT_FILE)):
            send_signal(processes(folder)[1] or keeper.pid, signal.SIGKILL)  # its hub has never come
        keeper.wait()
    until = time.monotonic() + TOLD_SECONDS
    while os.path.exists(folder) and time.monotonic() < until:
        time.sleep(0.1)  # the one that is joined tells how it ended, and removes it
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def started(said: dict, programs: str):
    """A kernel's folder, where it works, and its keeper."""
    folder, keeper = make_folder(said["id"]), None
    try:
        connection = dict(said["connection"], transport="ipc", ip=os.path.join(folder, "s"))
        connection.update({name + "_port": number for number, name in enumerate(CHANNELS, 1)})
        write(os.path.join(folder, CONNECTION_FILE), connection)
        directory = working_directory(said)
        keeper = spawn(folder, directory, said, programs)
        write(os.path.join(folder, STARTED_FILE), {"keeper": keeper.pid, "identity": identity(keeper.pid)})
    except BaseException:
        if keeper is not None:  # nobody would know of it
            with contextlib.suppress(OSError):
                os.killpg(keeper.pid, signal.SIGKILL)  # its kernel, too
            keeper.wait()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder, directory, keeper


def join(talk, said: dict, programs: str) -> int:
    folder = folder_of(said["id"])
    if not os.path.exists(os.path.join(folder, STARTED_FILE)):
        talk.say(missing=True, **machine())
        return 0
    directory = read(os.path.join(folder, DIRECTORY_FILE)).get("directory", "")
    talk.say(missing=False, directory=directory, **machine())
    return relay(talk, folder, None)


def relay(talk, folder: str, keeper) -> int:
    import far_relay

    return far_relay.Relay(talk, folder, keeper).run()


def end(talk, said: dict, programs: str) -> int:
    """End it, wherever it is, and remove what it leaves."""
    folder = folder_of(said["id"])
    keeper, kernel = processes(folder)
    for number, seconds in ((signal.SIGTERM, END_SECONDS), (signal.SIGKILL, END_SECONDS)):
        for pid in (kernel, keeper):
            if pid is not None:
                send_signal(pid, number)
                break
        until = time.monotonic() + seconds
        while processes(folder) != (None, None) and time.monotonic() < until:
            time.sleep(0.05)
    is_ended = processes(folder) == (None, None)
    if is_ended:
        shutil.rmtree(folder, ignore_errors=True)
    talk.say(ended=is_ended, **machine())
    return 0


WANTED = {"look": look, "start": start, "serve": serve, "join": join, "end": end}


# --- where things are ------------------------------------------------------------------------


def machine() -> dict:
    return {"host": socket.gethostname(), "boot": boot_id()}


def boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def root() -> str:
    return "/tmp/kernelexec-far-%d" % os.getuid()


def folder_of(kernel_id: str) -> str:
    """Of a kernel that may be there. What somebody else has laid there is not read: it may name any process."""
    refuse_another_users()
    return os.path.join(root(), os.path.basename(kernel_id))


def refuse_another_users() -> None:
    try:
        found = os.lstat(root())
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise Refused(
            "%s on %s is not its user's folder." % (root(), socket.gethostname()), "Have it removed."
        )


def make_folder(kernel_id: str) -> str:
    with contextlib.suppress(FileExistsError):
        os.mkdir(root(), 0o700)
    refuse_another_users()
    os.chmod(root(), 0o700)
    sweep()
    folder = folder_of(kernel_id)
    os.mkdir(folder, 0o700)
    return folder


def sweep() -> None:
    """Remove what kernels have left that ended long ago."""
    for name in os.listdir(root()):
        folder = os.path.join(root(), name)
        try:
            is_old = time.time() - os.stat(folder).st_mtime > KEPT_SECONDS
        except OSError:
            continue
        if is_old and processes(folder) == (None, None):
            shutil.rmtree(folder, ignore_errors=True)


def working_directory(said: dict) -> str:
    """The first of the wanted directories that is here; the one that somebody has configured must be."""
    chosen = said.get("directory")
    home = os.path.expanduser("~")
    if chosen:
        path = os.path.normpath(os.path.join(home, os.path.expanduser(chosen)))
        if not os.path.isdir(path):
            raise Refused(
                "Code is to run in %s, which is no folder on %s." % (path, socket.gethostname()),
                "Make it there, or correct KERNELEXEC_CWD in the MCP configuration.",
            )
        return path
    project, their_home = said.get("project") or "", said.get("home") or ""
    if project:
        if os.path.isdir(project) and os.access(project, os.X_OK):
            return project
        if their_home and project.startswith(their_home.rstrip("/") + "/"):
            path = os.path.join(home, os.path.relpath(project, their_home))
            if os.path.isdir(path):
                return path
    return home if os.path.isdir(home) else "/"


def write(path: str, said: dict) -> None:
    temporary = path + ".tmp"
    descriptor = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with open(descriptor, "w") as file:
        json.dump(said, file)
    os.replace(temporary, path)


# --- processes -------------------------------------------------------------------------------


def spawn(folder: str, directory: str, said: dict, programs: str):
    import far_environment

    environ = {name: value for name, value in os.environ.items() if not name.startswith(NOT_THE_KERNELS)}
    environ.update(said.get("environ") or {})
    command = [
        sys.executable,
        os.path.join(programs, "launcher", "launcher.py"),
        *("--process-file", os.path.join(folder, PROCESS_FILE)),
        *("--exit-file", os.path.join(folder, EXIT_FILE)),
        *("--kept-bytes", str(said["kept_bytes"])),
        *(("--ipykernel", said["lent"]) if said.get("lent") else ()),
        *("-f", os.path.join(folder, CONNECTION_FILE)),
    ]
    with open(os.path.join(folder, STDERR_FILE), "ab") as stderr:
        return subprocess.Popen(
            far_environment.activated(command, environ),
            cwd=directory,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )


def processes(folder: str):
    """The pids of keeper and kernel, as far as they live."""
    started = read(os.path.join(folder, STARTED_FILE))
    keeper = started.get("keeper")
    if keeper is None:
        return None, None
    kernel = read(os.path.join(folder, PROCESS_FILE)).get("kernel")
    lives = identity(keeper) is not None and identity(keeper) == started.get("identity")
    return keeper if lives else None, kernel if kernel is not None and is_in_session(kernel, keeper) else None


def is_in_session(pid: int, session: int) -> bool:
    """A keeper leads a session, which its kernel is in also when the keeper was killed."""
    try:
        return identity(pid) is not None and os.getsid(pid) == session
    except OSError:
        return False


def read(path: str) -> dict:
    try:
        with open(path, encoding="utf-8") as file:
            said = json.load(file)
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def identity(pid: int):
    """What tells this process from a later one with the same pid; None if there is none."""
    if sys.platform.startswith("linux"):
        try:
            with open("/proc/%d/stat" % pid, errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    import psutil  # of ipykernel's requirements

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.Error:
        return None


def send_signal(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, number)
