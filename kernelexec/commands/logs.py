"""`kernelexec logs`: what the hub has logged, or what a session's kernel has written to its own stderr."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kernelexec import paths
from kernelexec.commands.hub_client import ask_running
from kernelexec.commands.session_choice import is_meant
from kernelexec.errors import BadRequest
from kernelexec.kernels.local_life import stderr_file
from kernelexec.model.text import plain
from kernelexec.plain_file import open_plain

if TYPE_CHECKING:
    from kernelexec.commands import Commands

_LINES = 50
_TICK_SECONDS = 0.2  # a file's growth wakes nobody in the standard library
_BLOCK = 1 << 20  # bytes; the hub's log has two of them


def add(commands: Commands) -> None:
    """Add `logs` to the parser."""
    logs = commands.add_parser(
        "logs", help="the hub's log; of a SESSION what its kernel has written to its own stderr"
    )
    logs.add_argument("session", nargs="?", metavar="SESSION", help="as `ps` names it; default: the hub")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what comes, until Control-C")
    logs.add_argument(
        "-n", "--lines", type=int, default=_LINES, metavar="N", help=f"the last N lines; default {_LINES}"
    )
    logs.set_defaults(run=_logs)


def _logs(options: argparse.Namespace) -> int:
    path = Path(paths.log_file(os.environ)) if options.session is None else _of_kernel(options.session)
    for text in _written(path, max(options.lines, 0), follow=options.follow):
        # What a program wrote is not for the person's terminal to obey.
        sys.stdout.write(plain(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()
    return 0


def _of_kernel(wanted: str) -> Path:
    status = ask_running({"command": "ps"})
    running = [session for session in (status or {}).get("sessions", ()) if session.get("kernel")]
    found = [session for session in running if is_meant(session["session"], wanted)]
    if len(found) != 1:
        known = ", ".join(session["session"] for session in running) or "none"
        what = f"{wanted} may be several sessions" if found else f"{wanted} has no running kernel"
        raise BadRequest(f"{what}.", f"Sessions with one: {known}. `kernelexec logs` shows the hub's log.")
    return stderr_file(Path(paths.runtime_dir(os.environ)), found[0]["kernel"])


def _written(path: Path, lines: int, *, follow: bool) -> Iterator[str]:
    """The file's last lines, then what comes; also of the file that takes its place."""
    descriptor = _opened(path)
    try:
        yield _last(descriptor, lines)
        while follow:
            time.sleep(_TICK_SECONDS)
            while data := os.read(descriptor, _BLOCK):
                yield data.decode("utf-8", "replace")
            if _is_replaced(descriptor, path):
                os.close(descriptor)
                descriptor = _opened(path)
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        return open_plain(path, os.O_RDONLY, follow=True)
    except FileNotFoundError:
        raise BadRequest(f"Nothing was logged yet: {path} is not there.") from None
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror}.") from error


def _last(descriptor: int, lines: int) -> str:
    """The last lines of the last block; the descriptor is at the end then."""
    size = os.fstat(descriptor).st_size
    os.lseek(descriptor, max(size - _BLOCK, 0), os.SEEK_SET)
    data = os.read(descriptor, _BLOCK)
    kept = data.splitlines(keepends=True)[-lines:] if lines else []
    return b"".join(kept).decode("utf-8", "replace")


def _is_replaced(descriptor: int, path: Path) -> bool:
    try:
        return not os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:  # it is being replaced, or the kernel has ended
        return False
