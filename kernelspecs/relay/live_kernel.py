"""Find the live kernel that a notebook belongs to: the one which an assistant works with.

A notebook belongs to a session when it lies in the session's storage directory and is called like the session's
notebooks (`SESSION-GENERATION.ipynb`) or names the session in its metadata. Any generation of it will do: a session has
one kernel, and after a restart the notebook that is open is the earlier kernel's.

The registry of running kernels (kernelexec/kernels/registry.py) says what runs. An entry counts only when it is this
user's, of this boot, and its process is the one it names. Standard library only; for Python 3.8 and newer.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from typing import NamedTuple

FORMAT = 1  # of a registry entry, and of the hello line to the hub
PROTOCOL = 1
START_SECONDS = 30.0  # for a kernel which is just being started
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
LARGEST_NOTEBOOK = 64_000_000  # bytes; a larger one which was renamed as well is not looked into


class LiveKernel(NamedTuple):
    """A kernel which runs, and the session it belongs to."""

    directory: str  # its connection file and its sockets
    pid: int
    identity: str
    session: str
    storage_dir: str
    generation: int

    @property
    def connection(self) -> dict:
        with open(os.path.join(self.directory, "connection.json")) as file:
            return json.load(file)

    @property
    def hub(self) -> str:
        """The path of the hub's socket: kernels are in RUNTIME_DIR/k."""
        return os.path.join(os.path.dirname(os.path.dirname(self.directory)), "hub.sock")


def as_opened(notebook: str) -> str:
    """The notebook that somebody has open, where a Jupyter server was told another name.

    VS Code, connected to a server, makes each session's name its own: `NAME-UUID.ipynb`, or by the session's path
    `NAME-jvsc-UUIDUUID.ipynb`.
    """
    if os.path.lexists(notebook):
        return notebook
    return re.sub(rf"-(?:jvsc-{UUID})?{UUID}\.ipynb$", ".ipynb", notebook)


def find(notebook: str, prefix: str, environ) -> LiveKernel | None:
    """The live kernel of the session that the notebook belongs to, if it runs in the environment at `prefix`.

    Waits for a kernel which is being started, and while the hub replaces one.
    """
    deadline = time.monotonic() + START_SECONDS
    asked = False
    while True:
        fields = find_entry(notebook, prefix, environ)
        if fields is None:
            return None
        kernel = LiveKernel(
            fields["directory"],
            fields["kernel_pid"],
            fields["kernel_identity"],
            session_of(fields),
            fields["storage_dir"],
            fields["generation"],
        )
        if kernel.pid is not None and asked:
            return kernel
        if kernel.pid is not None:
            # It may be the one which is about to end. Who has no hub replaces no kernels.
            asked = True
            ask_hub(kernel, "attach", START_SECONDS)
        elif time.monotonic() > deadline:
            return None
        else:
            time.sleep(0.02)


def find_entry(notebook: str, prefix: str, environ) -> dict | None:
    folder = os.path.join(state_dir(environ), "kernels")
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    except OSError:
        return None
    for name in names:
        fields = read_entry(os.path.join(folder, name))
        if fields is not None and belongs(notebook, fields) and is_environment(prefix, fields):
            return fields
    return None


def read_entry(path: str) -> dict | None:
    """The fields of an entry of this user's whose kernel, or its keeper while that starts it, is alive."""
    try:
        if os.stat(path).st_uid != os.getuid():
            return None
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            fields = json.load(file)
        if fields["format"] != FORMAT or fields["boot"] != boot_id():
            return None
        if os.stat(fields["directory"]).st_uid != os.getuid():
            return None
        who = "kernel" if fields["kernel_pid"] is not None else "keeper"
        alive = identity(fields[f"{who}_pid"]) == fields[f"{who}_identity"]
        return fields if alive and session_of(fields) and fields["storage_dir"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def session_of(fields: dict) -> str:
    return f"{fields['session_name']}@{fields['environment']['label']}"


def is_environment(prefix: str, fields: dict) -> bool:
    """Whether it runs where the person's choice of a kernelspec wants it to run."""
    theirs = fields["environment"].get("prefix")
    return bool(theirs) and os.path.realpath(theirs) == os.path.realpath(prefix)


def belongs(notebook: str, fields: dict) -> bool:
    opened = fields.get("notebook")  # the person's, which the session works in instead of its own
    if opened and os.path.realpath(notebook) == opened:
        return True
    folder, name = os.path.split(notebook)
    if os.path.realpath(fields["storage_dir"]) != folder:
        return False
    session = session_of(fields)
    if re.fullmatch(re.escape(session) + r"-\d+\.ipynb", name):
        return True
    return session_named_in(notebook) == session


def session_named_in(notebook: str) -> str | None:
    return said_in(notebook).get("session")


def directory_named_in(notebook: str) -> str | None:
    """Where the notebook's kernel worked, which relative paths in its cells mean; None if that is not there."""
    directory = said_in(notebook).get("directory")
    is_one = isinstance(directory, str) and os.path.isabs(directory) and os.path.isdir(directory)
    return directory if is_one else None


def said_in(notebook: str) -> dict:
    """What kernelexec has written into the notebook's metadata."""
    try:
        if os.path.getsize(notebook) > LARGEST_NOTEBOOK:
            return {}
        with open(notebook, encoding="utf-8") as file:
            said = json.load(file)["metadata"]["kernelexec"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


# What follows says the same as kernelexec/paths.py, kernels/process.py and rendezvous.py, which are not here.


def state_dir(environ) -> str:
    home = environ.get("HOME") or os.path.expanduser("~")
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Application Support", "kernelexec", "state")
    chosen = environ.get("XDG_STATE_HOME", "")
    return os.path.join(chosen if os.path.isabs(chosen) else os.path.join(home, ".local/state"), "kernelexec")


def boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        import psutil  # of ipykernel's requirements

        return str(int(psutil.boot_time()))


def identity(pid: int) -> str | None:
    """What tells this process from a later one with the same pid; None if there is none."""
    if sys.platform.startswith("linux"):
        try:
            with open(f"/proc/{pid}/stat", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.Error:
        return None


def connect_to_hub(kernel: LiveKernel, command: str, **arguments: object) -> socket.socket | None:
    """A connection on which the hub was asked something; two lines come back. None if there is no hub."""
    hello = {
        "kernelexec": FORMAT,
        "protocol": PROTOCOL,
        "role": "admin",
        "version": "relay",
        "pid": os.getpid(),
        "cwd": "/",
        "environ": {},
    }
    asked = {
        "command": command,
        "session": kernel.session,
        "storage_dir": kernel.storage_dir,
        "generation": kernel.generation,
        **arguments,
    }
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(kernel.hub)
        connection.sendall(f"{json.dumps(hello)}\n{json.dumps(asked)}\n".encode())
    except OSError:
        connection.close()
        return None
    return connection


def read_answer(said: bytes) -> dict | None:
    """What the hub answered, from all that came: its word on our hello, and a line of JSON."""
    greeting, _, answer = said.partition(b"\n")
    try:
        if greeting.split()[2:3] != [b"ok"]:
            return None
        answer = json.loads(answer)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and "error" not in answer else None


def ask_hub(kernel: LiveKernel, command: str, seconds: float) -> dict | None:
    """The hub's answer; None if there is no hub, it refuses, or says nothing within this time."""
    connection = connect_to_hub(kernel, command)
    if connection is None:
        return None
    with connection:
        connection.settimeout(seconds)
        said = b""
        try:
            while said.count(b"\n") < 2:
                part = connection.recv(65536)
                if not part:
                    break
                said += part
        except OSError:
            return None
    return read_answer(said)
