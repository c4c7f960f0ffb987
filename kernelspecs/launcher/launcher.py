"""Start an IPython kernel under the eyes of a keeper.

    PYTHON launcher.py [--process-file PATH] [--exit-file PATH] [--ipykernel DIR] -f CONNECTION_FILE [ARGUMENT ...]
    PYTHON launcher.py [--process-file PATH] [--exit-file PATH] --exec PROGRAM [ARGUMENT ...]

The process forks before it imports anything. The parent is the keeper, a bare interpreter which waits. The child is
the kernel: ipykernel, given `-f CONNECTION_FILE [ARGUMENT ...]`, or any other kernel's PROGRAM. Both stay in the
starter's session and process group.

What the keeper promises:
- process file, directly after the fork: `{"format": 1, "keeper": pid, "kernel": pid}`
- exit file, when the kernel has ended: `{"format": 1, "kernel": pid, "exit_code": int or null, "signal": int or null,
  "oom_kills": int or null, "time": Unix seconds}`, where oom_kills counts the whole system's while the kernel lived
- only then does it kill what the kernel left behind, and end the way the kernel did: same exit code, or same signal
- SIGTERM is passed on and becomes SIGKILL after 3 s; SIGINT and SIGHUP mean the kernel, not the keeper
- with JPY_PARENT_PID the kernel ends with its starter, without it the kernel outlives everybody, even its keeper

Started by a Jupyter frontend for a notebook whose session has a live kernel, the process forks nothing: it joins the
frontend to that kernel (live_kernel.py finds it, relay.py joins them). Where there is none, the new kernel works in the
directory that the notebook names.

The kernel is told about in kernel_app.py and replying_kernel.py. For Python 3.8 and newer.
"""

from __future__ import annotations

# Nothing but modules every interpreter has loaded anyway: the keeper stays as long as the kernel does, and pays for
# each import. Hence the C module in place of `signal`, and the imports inside functions below.
import _signal
import os
import sys

OPTIONS = ("--process-file", "--exit-file", "--ipykernel", "--kept-bytes")
EXEC = "--exec"
RECORDS = ".kernelexec"  # what a session's storage directory holds
NO_KEEPER = "--no-keeper"  # internal: this process is to be the kernel
GRACE_SECONDS = 3.0  # between SIGTERM and SIGKILL
OOM_SCORE = 300  # as if it had 30 % of the memory more than it has; browsers give their pages as much
STARTER_CHECK_SECONDS = 1.0  # as often as ipykernel's own parent poller
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36  # linux/prctl.h


def main() -> None:
    if sys.argv[1:2] == [NO_KEEPER]:
        del sys.argv[1]
        run_kernel(take_options(sys.argv))
        return
    join_live_kernel()
    # Until each of the two knows what to do with these signals, they wait.
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGINT, _signal.SIGHUP, _signal.SIGTERM))
    # Ignored by the starter, it would hide the kernel's exit status.
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    kernel = os.fork()
    if kernel:
        Keeper(kernel, take_options(sys.argv)).keep(mask)
        return
    if tied_to_starter():
        # ipykernel's poller compares it with its parent: the keeper.
        os.environ["JPY_PARENT_PID"] = str(os.getppid())
    bound_memory()
    words = list(sys.argv)
    take_options(words)
    if words[1:2] == [EXEC]:
        become(words[2:], mask)
    # As ipykernel does itself, but only when it has been imported.
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    if sys.platform == "darwin":
        restart_without_keeper()
    run_kernel(take_options(sys.argv))


def become(program: list[str], mask: set[int]) -> None:
    """Be another kernel from here on, with the signals of a process that a shell started."""
    # The interpreter's own ways with them would be inherited.
    for number in (_signal.SIGINT, _signal.SIGPIPE):
        _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    try:
        os.execv(program[0], program)
    except OSError as error:
        os.write(2, f"{program[0]} cannot be started: {error.strerror}\n".encode())
        os._exit(127)


def bound_memory() -> None:
    """See to it that the kernel, and what it starts, is what ends where memory does: with a MemoryError, where the person
    has set a limit, and else as the first choice of the system's OOM killer, before the hub and the person's programs."""
    if not sys.platform.startswith("linux"):  # macOS knows neither
        return
    try:
        with open("/proc/self/oom_score_adj", "r+") as adjustment:
            if int(adjustment.read()) < OOM_SCORE:
                adjustment.seek(0)
                adjustment.write(str(OOM_SCORE))
    except (OSError, ValueError):
        pass  # a container may forbid it
    # What the client wants, and what the person lets the environment take: the narrower of them.
    said = [
        os.environ.get("KERNELEXEC_MEMORY_MB", ""),
        os.environ.get("KERNELEXEC_ENVIRONMENT_MEMORY_MB", ""),
    ]
    limits = [int(megabytes) for megabytes in said if megabytes.strip().isdigit()]
    if not limits:
        return
    import resource

    # Not RLIMIT_AS: files that are mapped and addresses that are merely reserved (CUDA, Go, arrow) count there.
    limit, hard = min(limits) * 1000000, resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))


def take_options(argv: list[str]) -> dict[str, str]:
    """Remove the launcher's own options, which come first, from argv and return them."""
    options = {}
    while len(argv) > 2 and argv[1] in OPTIONS:
        options[argv[1]] = argv[2]
        del argv[1:3]
    return options


def join_live_kernel() -> None:
    """Be a relay, and never return, where there is a live kernel to join; else be where the last one was."""
    options, notebook = take_options(list(sys.argv)), notebook_of_frontend()
    if notebook is None or "--process-file" in options or "-f" not in sys.argv:
        return
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)  # until the relay knows what to do with it
    path = list(sys.path)
    sys.path[:1] = [program_folder("relay"), *path[:1]]
    if "--ipykernel" in options:
        sys.path.insert(1, options["--ipykernel"])
    import live_kernel

    notebook = live_kernel.as_opened(notebook)
    kernel = live_kernel.find(notebook, sys.prefix, os.environ)
    if kernel is not None:
        import relay

        if relay.serve(sys.argv[sys.argv.index("-f") + 1], kernel):
            os._exit(0)
    directory = live_kernel.directory_named_in(notebook)
    if directory is not None:
        os.chdir(directory)
    sys.path[:] = path
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)


def program_folder(name: str) -> str:
    """The folder of another of the three programs, beside the launcher's own."""
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), name)


def notebook_of_frontend() -> str | None:
    """The notebook a Jupyter server starts this process for; None if it is surely no session's."""
    folder, _, name = os.environ.get("JPY_SESSION_NAME", "").rpartition("/")
    if not name.endswith(".ipynb"):
        return None
    if name.startswith("RTC:"):  # the drive of jupyter-collaboration
        name = name[4:]
    if not os.path.isabs(folder):
        # It is relative to the server's root then, but a kernel starts beside its notebook.
        folder = os.getcwd()
    folder = os.path.realpath(folder)
    return os.path.join(folder, name) if os.path.isdir(os.path.join(folder, RECORDS)) else None


def tied_to_starter() -> bool:
    return os.environ.get("JPY_PARENT_PID", "") not in ("", "0")


def restart_without_keeper() -> None:
    """Become a fresh interpreter: Apple's frameworks refuse to work in a process which forked and did not exec."""
    # orig_argv: Python 3.10, keeps -X and -W.
    words = list(getattr(sys, "orig_argv", [sys.executable, *sys.argv]))
    words.insert(len(words) - len(sys.argv) + 1, NO_KEEPER)
    os.execv(sys.executable, words)


# ---------------------------------------------------------------------------------------------------------- the keeper


class Keeper:
    """The kernel's parent: waits, reports, cleans up."""

    def __init__(self, kernel: int, options: dict[str, str]) -> None:
        self.kernel = kernel  # 0 once waited for, when the number may become a stranger's
        self.options = options
        self.starter = os.getppid()
        self.ending = False

    def keep(self, mask: set[int]) -> None:
        """Return never."""
        kernel, oom_kills_before = self.kernel, oom_kills()
        self.write("--process-file", format=1, keeper=os.getpid(), kernel=kernel)
        for number in (_signal.SIGINT, _signal.SIGHUP):
            _signal.signal(number, _signal.SIG_IGN)
        _signal.signal(_signal.SIGTERM, self.end_kernel)
        _signal.signal(_signal.SIGALRM, self.check)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
        if tied_to_starter():
            _signal.setitimer(_signal.ITIMER_REAL, STARTER_CHECK_SECONDS, STARTER_CHECK_SECONDS)
        reaper = prctl(PR_SET_CHILD_SUBREAPER, 1)
        status = self.wait()
        self.report(kernel, status, oom_kills_before)
        end_leftovers(reaper)
        end_like(status)

    def wait(self) -> int:
        """Wait for the kernel, reaping on the way what its orphans leave; return its wait status."""
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == self.kernel:
                self.kernel = 0
                _signal.setitimer(_signal.ITIMER_REAL, 0)
                _signal.signal(_signal.SIGTERM, _signal.SIG_IGN)
                return status

    def end_kernel(self, *_: object) -> None:
        self.signal_kernel(_signal.SIGTERM)
        if not self.ending:
            self.ending = True
            _signal.setitimer(_signal.ITIMER_REAL, GRACE_SECONDS)

    def check(self, *_: object) -> None:
        if self.ending:
            self.signal_kernel(_signal.SIGKILL)
        elif os.getppid() != self.starter:
            self.end_kernel()

    def signal_kernel(self, number: int) -> None:
        if self.kernel:
            kill(self.kernel, number)

    def report(self, kernel: int, status: int, oom_kills_before: int | None) -> None:
        import time

        signalled, now = os.WIFSIGNALED(status), oom_kills()
        self.write(
            "--exit-file",
            format=1,
            kernel=kernel,
            exit_code=None if signalled else os.WEXITSTATUS(status),
            signal=os.WTERMSIG(status) if signalled else None,
            oom_kills=None if now is None or oom_kills_before is None else now - oom_kills_before,
            time=time.time(),
        )

    def write(self, option: str, **numbers: float | None) -> None:
        """Write the file which the option names, whole or not at all. A full disk must not end the keeper."""
        path = self.options.get(option)
        if path is None:
            return
        members = ", ".join(
            f'"{name}": {"null" if value is None else value}' for name, value in numbers.items()
        )
        temporary = f"{path}.{os.getpid()}.tmp"
        try:
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.write(file, f"{{{members}}}\n".encode())
            finally:
                os.close(file)
            os.replace(temporary, path)
        except OSError as error:
            os.write(2, f"kernel launcher: {option}: {error}\n".encode())


def kill(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except OSError:  # gone, or (sudo) not ours to signal
        return False
    return True


def prctl(option: int, value: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        import ctypes

        return ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0) == 0
    except (ImportError, OSError, AttributeError):
        return False


def oom_kills() -> int | None:
    """How many processes the kernel of this system has killed for want of memory; None where it does not tell."""
    try:
        with open("/proc/vmstat") as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)
    except OSError:
        return None


def end_leftovers(reaper: bool) -> None:
    """Kill what the kernel left behind.

    To a subreaper the children of each process it kills come next, so going on until there are no more children
    reaches all descendants, in whatever session or group. Elsewhere only those in our group can be found, and only
    with a signal we survive ourselves.
    """
    if not reaper and os.getpgrp() == os.getpid():
        os.killpg(0, _signal.SIGTERM)  # ignored here since the kernel ended
    while True:
        killed = [pid for pid in children() if kill(pid, _signal.SIGKILL)]
        try:
            pid, _ = os.waitpid(-1, 0 if killed else os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return  # what is left belongs to another user


def children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as pids:
            return [int(pid) for pid in pids.read().split()]
    except OSError:  # the file depends on how Linux was built
        return scan_for_children()


def scan_for_children() -> list[int]:
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    return [pid for pid in pids if parent_of(pid) == os.getpid()]


def parent_of(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as stat:
            return int(stat.read().rpartition(")")[2].split()[1])  # the name before may contain anything
    except (OSError, IndexError):
        return None


def end_like(status: int) -> None:
    """End with the wait status the kernel had, so that whoever started the launcher sees what happened to it."""
    if not os.WIFSIGNALED(status):
        os._exit(os.WEXITSTATUS(status))
    import resource

    number = os.WTERMSIG(status)
    # The kernel's core is worth keeping, the keeper's is not.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl(PR_SET_DUMPABLE, 0)  # because a core_pattern which is a pipe does not look at the limit
    if number != _signal.SIGKILL:
        _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (number,))
    os.kill(os.getpid(), number)
    os._exit(128 + number)


# ---------------------------------------------------------------------------------------------------------- the kernel


def run_kernel(options: dict[str, str]) -> None:
    if sys.path[:1] == [os.path.dirname(os.path.abspath(__file__))]:  # not with -P or PYTHONSAFEPATH
        del sys.path[0]
    folder = program_folder("kernel")
    sys.path.insert(0, folder)
    side_directory = options.get("--ipykernel")
    if side_directory is not None:
        sys.path.insert(0, side_directory)
    import gc

    collects_garbage = gc.isenabled()
    gc.disable()  # there is none among what is imported, and to look for it takes a tenth of the time
    import postponed_debugger

    postponed_debugger.install()  # before ipykernel is imported
    import fewer_imports

    fewer_imports.import_when_asked()
    import kernel_app

    sys.path.remove(folder)
    # A module of the user's may have the name of one of ours, "bindings" say, and must not be taken for it.
    for name, module in list(sys.modules.items()):
        if os.path.dirname(getattr(module, "__file__", None) or "") == folder:
            del sys.modules[name]
    sys.argv[0] = "ipykernel_launcher"
    kernel_app.launch(
        side_directory,
        started_by_hub="--process-file" in options,
        kept_bytes=int(options.get("--kept-bytes", 0)),
        collects_garbage=collects_garbage,
    )


if __name__ == "__main__":
    main()
