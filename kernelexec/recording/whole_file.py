"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count
from pathlib import Path


def write_whole(path: Path, data: bytes, *, replace: bool = False, mode: int = 0o666) -> None:
    """Write a file; a reader sees nothing, or what was there before, or all of it. `mode`: before the umask.

    Raises:
        FileExistsError: something is there, and it is not to be replaced.
        OSError: it cannot be written; what was there before is as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(temporary, flags, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(temporary, path)
        else:
            _place_new(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def free_path(path: Path) -> Path:
    """This path, or the first of NAME-2, NAME-3 and so on where nothing is."""
    others = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    return path if not os.path.lexists(path) else next(one for one in others if not os.path.lexists(one))


def _place_new(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)  # which, unlike a rename, never replaces
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise FileExistsError(17, os.strerror(17), str(path)) from None
        os.replace(temporary, path)
