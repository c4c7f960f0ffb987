"""Opens files that are nothing but files, and reads no more of them than it may.

What has a file's name can be anything: a pipe, where opening waits for its other end; a device, which has no
end; a link, which leads somewhere else; a folder; a gigabyte. On the hub's event loop any of these would stop
everybody's sessions. So whatever is opened by a name that was not made new is opened here.

Imported by the bridge: `os` and `stat` only.
"""

from __future__ import annotations

import errno
import os
import stat

SMALL = (
    4_000_000  # bytes: settings, marks, entries, which are a few kilobytes where they are what they should be
)
_BLOCK = 1 << 20
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotPlain(OSError):
    """There is something else than a file; `strerror` says what."""


class TooLarge(OSError):
    """It is larger than what may be read of it; `strerror` says both."""


def open_plain(
    path: str | os.PathLike[str],
    flags: int,
    mode: int = 0o600,
    *,
    dir_fd: int | None = None,
    follow: bool = False,
) -> int:
    """A descriptor of a regular file. Never waits, whatever is there. `follow`: a link to one will do.

    Raises:
        NotPlain: it is none.
        OSError: as os.open.
    """
    truncate = flags & os.O_TRUNC  # only of what has been looked at
    flags = (flags & ~os.O_TRUNC) | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    if not follow:
        flags |= os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, mode, dir_fd=dir_fd)
    except OSError as error:
        # What a link, a folder, a socket or a pipe that nobody reads from answers.
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV):
            raise _not_plain(path, _kind(path, dir_fd), error.errno) from error
        raise
    try:
        found = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(found):
            raise _not_plain(path, stat.S_IFMT(found), errno.EINVAL)
        if truncate:
            os.ftruncate(descriptor, 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read_plain(
    path: str | os.PathLike[str],
    limit: int = SMALL,
    *,
    dir_fd: int | None = None,
    follow: bool = False,
) -> bytes:
    """All of a regular file that has at most so many bytes.

    Raises:
        NotPlain, TooLarge
        OSError: as os.open and os.read.
    """
    descriptor = open_plain(path, os.O_RDONLY, dir_fd=dir_fd, follow=follow)
    try:
        return read_descriptor(descriptor, path, limit)
    finally:
        os.close(descriptor)


def read_descriptor(descriptor: int, path: str | os.PathLike[str], limit: int) -> bytes:
    """The rest of an open file, as read_plain; `path` is for the error."""
    size = os.fstat(descriptor).st_size
    parts, room = [], limit
    while size <= limit and (block := os.read(descriptor, min(_BLOCK, room + 1))):
        parts.append(block)
        room -= len(block)
        if room < 0:  # it grows
            size = limit + 1
    if size > limit:
        what = f"it has {size:,} bytes, more than the {limit:,} that are read"
        raise TooLarge(errno.EFBIG, what, os.fspath(path))
    return b"".join(parts)


def read_text(path: str | os.PathLike[str], limit: int = SMALL, errors: str = "strict") -> str:
    """What the person or another program has written, in UTF-8; a link to it will do.

    Raises:
        NotPlain, TooLarge, OSError
        UnicodeDecodeError: for "strict", it is no UTF-8.
    """
    return read_plain(path, limit, follow=True).decode("utf-8", errors)


def _kind(path: str | os.PathLike[str], dir_fd: int | None) -> int:
    try:
        return stat.S_IFMT(os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_mode)
    except OSError:
        return 0


def _not_plain(path: str | os.PathLike[str], kind: int, number: int) -> NotPlain:
    what = _KINDS.get(kind, "something else")
    return NotPlain(number, f"it is {what}, not a plain file", os.fspath(path))
