"""A file that is replaced whole: the new one is on the disk before it gets the name."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

# Bytes per read where the operating system does not copy.
_BLOCK = 1 << 20

# What tells one version of a file from another: inode, size, time of change in nanoseconds.
Version: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True)
class Source:
    """The notebook file, open for reading, and what it was when it was opened."""

    file: int
    stat: os.stat_result

    @property
    def version(self) -> Version:
        return version_of(self.stat)

    def has_changed(self) -> bool:
        return version_of(os.fstat(self.file)) != self.version

    def read(self, start: int = 0) -> bytes:
        with open(self.file, "rb", closefd=False) as reader:
            reader.seek(start)
            return reader.read()


@dataclass(frozen=True)
class Content:
    """A file to write: so many bytes of the old one, then these."""

    kept: int
    added: bytes


def version_of(found: os.stat_result) -> Version:
    return found.st_ino, found.st_size, found.st_mtime_ns


def write_file(path: Path, content: Content, source: Source | None) -> Version:
    """Write the content to a new file that is on the disk then.

    The file gets the owner and the permissions of the source, or those of any new file.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(path, flags, 0o666 if source is None else 0o600)
    try:
        if source is not None:
            _make_like(file, source.stat)
            _copy(source.file, file, content.kept)
        _write_all(file, content.added)
        os.fsync(file)
        return version_of(os.fstat(file))
    finally:
        os.close(file)


def _make_like(file: int, old: os.stat_result) -> None:
    """The same owner if we may (a hub that runs as root), and the same permissions."""
    new = os.fstat(file)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with suppress(PermissionError):
            os.fchown(file, old.st_uid, old.st_gid)
    os.fchmod(file, stat.S_IMODE(old.st_mode))


def _copy(source: int, target: int, size: int) -> None:
    """Copy the first `size` bytes, or what there is: a source that has become shorter is found out later."""
    done = _copy_in_kernel(source, target, size)
    while done < size:
        block = os.pread(source, min(_BLOCK, size - done), done)
        if not block:
            return
        _write_all(target, block)
        done += len(block)


def _copy_in_kernel(source: int, target: int, size: int) -> int:
    """Copy without the bytes passing through this process; how many it were, fewer if that does not work."""
    done = 0
    while done < size and hasattr(os, "copy_file_range"):  # Linux
        try:
            copied = os.copy_file_range(source, target, size - done, done)
        except OSError:  # not on this file system; if it is something else, copying by hand meets it again
            break
        if not copied:
            break
        done += copied
    return done


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
