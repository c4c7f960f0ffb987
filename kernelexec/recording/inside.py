"""Opens files inside a folder, whatever their path says and whatever happens to the folders meanwhile."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from kernelexec.plain_file import open_plain

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def open_inside(root: Path, relative: PurePath, flags: int) -> int:
    """A descriptor of the file at this path below `root`, opened with these flags.

    Each part of the path is opened inside the folder before it and never through a symbolic link; `root`
    itself may be one, which the person made.

    Raises:
        OSError: it is not there, or is no plain file, or a part of the path is a link.
        ValueError: the path leads out, or has a NUL.
    """
    parts = relative.parts
    if not parts or relative.is_absolute() or ".." in parts:
        raise ValueError(f"not a path inside a folder: {str(relative)!r}")
    folder = os.open(root, _DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        return open_plain(parts[-1], flags, dir_fd=folder)
    finally:
        os.close(folder)
