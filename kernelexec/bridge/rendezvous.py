"""How a process finds the hub: one socket at one place, one hub behind it.

`hub.lock` is held by the hub for its whole life. Who finds no hub tries to lock it; who gets the
lock starts the hub and hands the lock over (the hub inherits the locked file descriptor), so of
any number of bridges that race, one starts a hub and the others wait for its socket.

A connection begins with one line each way: the hello, in JSON (see `hello`), and the hub's answer,
four words (see `answer`). A hub that gets a hello with a newer protocol than its own answers
`retire` and ends, leaving its kernels to the hub that the newer bridge then starts.

Standard library only, and as little of it as possible, because the bridge's start is a user's wait:
of 23 ms, `socket` and `json` took 10, most of it for `re` and `enum`, which neither needs here. `typing` and
`collections.abc` bring as much, so what only annotations need is imported by type checkers alone; they know
TYPE_CHECKING by its name.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from _socket import AF_UNIX, socket  # what `socket` wraps

from kernelexec import __version__
from kernelexec.errors import HubUnavailable, NoHub
from kernelexec.paths import import_root, log_file, look_at_private_dir, make_private_dir, runtime_dir
from kernelexec.plain_file import open_plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

try:
    from _json import encode_basestring_ascii as _quote  # what `json` uses
except ImportError:  # not CPython
    from json import dumps as _quote

FORMAT = 1  # of the hello line and its answer
PROTOCOL = 2  # what hub and bridge say to each other; 2: a bridge joins the next hub with what is open
START_SECONDS = 30.0  # a cold disk and a slow machine; usually 0.2
LONGEST_SOCKET_PATH = 103  # bytes; macOS has the smaller limit
_RETRY_SECONDS = 0.005
_TRIES = 3  # somebody may have ended a hub while it was starting

# What the hub keeps of the environment of the client that happened to start it. Kernels and
# installers get their own caller's environment, never the hub's.
_KEPT = ("HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_KEPT_PREFIXES = ("LC_", "XDG_", "KERNELEXEC_HUB_", "KERNELEXEC_RUNTIME_DIR")
CALLER = os.urandom(8).hex()


def socket_path(environ: Mapping[str, str]) -> str:
    path = os.path.join(runtime_dir(environ), "hub.sock")
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise HubUnavailable(
            f"The socket's path {path} is longer than {LONGEST_SOCKET_PATH} bytes, the system's limit.",
            "Set KERNELEXEC_RUNTIME_DIR to a shorter path.",
        )
    return path


def lock_path(environ: Mapping[str, str]) -> str:
    return os.path.join(runtime_dir(environ), "hub.lock")


def hello(
    role: str,
    environ: Mapping[str, str],
    begun: str = "[]",
    caller: str = CALLER,
    cwd: str | None = None,
    near: str = "null",
) -> bytes:
    """The first line of a connection: who asks, from where, with which environment variables.

    `caller` is the same in each connection of this process: by it a later hub knows who this is. `begun`:
    the requests that an earlier hub did not answer (see `open_requests`), a JSON array of [id, seconds].
    `cwd`: the client's directory, where that is not this process's. `near`: the client's own host, where that
    is another (see `far_end`), a JSON object.
    """
    variables = ",".join(f"{_quote(name)}:{_quote(value)}" for name, value in environ.items())
    return (
        f'{{"kernelexec":{FORMAT},"protocol":{PROTOCOL},"role":{_quote(role)},'
        f'"version":{_quote(__version__)},"root":{_quote(import_root())},"pid":{os.getpid()},"caller":{_quote(caller)},"begun":{begun},"near":{near},'
        f'"cwd":{_quote(cwd or working_directory(environ))},"environ":{{{variables}}}}}\n'
    ).encode()


def answer(verdict: str, detail: str) -> bytes:
    """What the hub says to a hello: `ok`, `retire` or `error`, and its version or what is wrong."""
    return f"kernelexec {FORMAT} {verdict} {' '.join(detail.split())}\n".encode()


def join_hub(
    role: str,
    environ: Mapping[str, str],
    *,
    start: bool = True,
    begun: str = "[]",
    caller: str = CALLER,
    cwd: str | None = None,
) -> socket:
    """A connection to the hub, past hello and answer; starts a hub if none runs.

    `begun`, `caller` and `cwd` are for the hello.

    Raises:
        HubUnavailable: none runs and `start` is false, or it did not start.
    """
    return join_saying(hello(role, environ, begun, caller, cwd), environ, start=start)


def join_saying(greeting: bytes, environ: Mapping[str, str], *, start: bool = True) -> socket:
    """The same with this hello."""
    path = socket_path(environ)
    if start:
        make_private_dir(runtime_dir(environ))
    starting: int | None = None
    failures = 0
    deadline = time.monotonic() + START_SECONDS
    while True:
        connection = _connect(path)
        if connection is not None and _introduce(connection, greeting, environ):
            return connection
        if not start:
            raise NoHub("No hub is running.", "It starts by itself with the next client.")
        if starting is None:
            starting = _start_hub_if_alone(environ)
        elif _has_ended(starting):
            starting, failures = None, failures + 1
            if failures == _TRIES:
                raise HubUnavailable(
                    "The hub ended while it was starting.", f"Its log says why: {log_file(environ)}"
                )
        if time.monotonic() > deadline:
            raise HubUnavailable(
                f"The hub did not answer within {START_SECONDS:.0f} s.",
                f"Its log may say why: {log_file(environ)}",
            )
        time.sleep(_RETRY_SECONDS)


def read_line(connection: socket) -> bytes:
    """One line, byte for byte up to its end and not beyond (what follows is not ours to read)."""
    line = b""
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            break
        line += byte
    return line


def take_lock(environ: Mapping[str, str], *, wait: bool = False) -> int | None:
    """The locked descriptor of hub.lock, or None where a hub holds it. `wait`: once it holds it no more."""
    try:
        lock = open_plain(lock_path(environ), os.O_CREAT | os.O_RDWR)
    except OSError as error:
        raise HubUnavailable(
            f"The hub's lock {lock_path(environ)} cannot be used: {error.strerror}.",
            "Move it away if it is something else, or set KERNELEXEC_RUNTIME_DIR to another directory.",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def of_hub(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a hub has of the client that happens to start it."""
    return {k: v for k, v in environ.items() if k in _KEPT or k.startswith(_KEPT_PREFIXES)}


def working_directory(environ: Mapping[str, str]) -> str:
    """The client's directory, also where it was deleted."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return environ.get("PWD", "/")


def _connect(path: str) -> socket | None:
    connection = socket(AF_UNIX)
    try:
        look_at_private_dir(os.path.dirname(path))  # a hub is told our variables: never somebody else's
        connection.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        if os.path.isdir(path):
            raise HubUnavailable(
                f"{path}, where the hub's socket belongs, is a folder.", "Move it away."
            ) from None
        return None
    except OSError as error:
        connection.close()
        raise HubUnavailable(f"The hub's socket {path} cannot be used: {error.strerror}.") from error
    except HubUnavailable:
        connection.close()
        raise
    return connection


def _introduce(connection: socket, greeting: bytes, environ: Mapping[str, str]) -> bool:
    """Exchange hello and answer. False: this hub is ending, look again."""
    connection.settimeout(START_SECONDS)
    try:
        connection.sendall(greeting)
        line = read_line(connection)
    except (BrokenPipeError, ConnectionResetError):
        line = b""
    except TimeoutError as error:
        connection.close()
        raise HubUnavailable(
            f"The hub did not answer within {START_SECONDS:.0f} s.", f"Its log: {log_file(environ)}"
        ) from error
    connection.settimeout(None)
    said = line.decode("utf-8", "replace").split(maxsplit=3) if line.endswith(b"\n") else []
    if said[2:3] == ["ok"]:
        return True
    connection.close()
    if said and said[2:3] != ["retire"]:
        raise HubUnavailable(f"The hub refused this client: {' '.join(said)}")
    return False


def _start_hub_if_alone(environ: Mapping[str, str]) -> int | None:
    make_private_dir(runtime_dir(environ))  # it may be deleted while a hub starts
    lock = take_lock(environ)
    if lock is None:
        return None
    try:
        return _spawn_hub(environ, lock)
    finally:
        os.close(lock)


def _spawn_hub(environ: Mapping[str, str], lock: int) -> int:
    # Not `-m`: that needs the package on the path of a cleaned environment and puts the client's
    # working directory, with any json.py in it, before the standard library.
    # Without garbage collection, which finds nothing in imports and takes a tenth of their time.
    program = (
        f"import gc, sys; gc.disable(); sys.path[0] = {import_root()!r}; "
        "from kernelexec.daemon.process import main; sys.exit(main())"
    )
    log_descriptor = open_log(log_file(environ))
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.set_inheritable(lock, True)
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", program, "--lock", str(lock)],
            of_hub(environ),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, null, 0),
                (os.POSIX_SPAWN_DUP2, log_descriptor, 1),
                (os.POSIX_SPAWN_DUP2, log_descriptor, 2),
            ],
            setsid=True,
        )
    except OSError as error:
        raise HubUnavailable(f"The hub cannot be started with {sys.executable}: {error.strerror}.") from error
    finally:
        os.close(log_descriptor)
        os.close(null)


def open_log(path: str) -> int:
    """A descriptor of the hub's log, to append to.

    Raises:
        HubUnavailable: it cannot be written.
    """
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        return open_plain(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, follow=True)
    except OSError as error:
        raise HubUnavailable(
            f"The hub's log {path} cannot be written: {error.strerror}.",
            "Move it away if it is no file; else set XDG_STATE_HOME, or HOME, to a directory that can be "
            "written.",
        ) from error


def _has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
