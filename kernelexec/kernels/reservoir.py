"""What a kernel that is not ours has published and the hub has not looked at yet: most of it in a file.

Such a kernel throws away what nobody fetches, above the thousand messages of its own queue; and zmq's queue
on this side counts messages, too: a thousand displays of 5 MB would be 5 GB of the hub's memory. So they are
fetched at once and looked at later. (Not by a thread: beside a busy loop it waits for the interpreter's lock
at each frame, so that the kernel drops more than without it.)
"""

from __future__ import annotations

import logging
import os
import struct
import tempfile
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_log = logging.getLogger(__name__)

Frames = list[bytes | memoryview]  # of one message

IN_MEMORY = 8_000_000  # bytes: what is looked at soon is not worth a file
_MOST = 2_000_000_000  # bytes of the file; twice what a run may keep
_OF_A_MESSAGE = 1_000  # bytes of memory, beside what its frames have
_SIZE = struct.Struct("=Q")


class Reservoir:
    """A queue of messages."""

    def __init__(self, folder: Path | None) -> None:
        """`folder`: of the file, which has no name there; None: the system's own for such files."""
        self._folder = folder
        self._messages: deque[Frames | None] = deque()  # None: the next one in the file
        self._in_memory = 0  # bytes
        self._in_file = 0  # messages
        self._file: int | None = None
        self._written = self._read = 0  # bytes of the file
        self._has_failed = False

    def __bool__(self) -> bool:
        return bool(self._messages)

    @property
    def is_full(self) -> bool:
        """What is added all the same is kept in memory."""
        return self._in_memory > IN_MEMORY and (self._has_failed or self._written > _MOST)

    def add(self, frames: Frames) -> None:
        size = _size(frames)
        if self._in_memory + size > IN_MEMORY and self._write(frames):
            self._messages.append(None)
            self._in_file += 1
        else:
            self._messages.append(frames)
            self._in_memory += size

    def take(self) -> Frames | None:
        """The message that came first, None if there is none."""
        while self._messages:
            frames = self._messages.popleft()
            if frames is None:
                frames = self._from_file()
            else:
                self._in_memory -= _size(frames)
            if frames is not None:
                return frames
        return None

    def close(self) -> None:
        self._messages.clear()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, frames: Frames) -> bool:
        """Whether it is in the file."""
        if self._has_failed or self._written > _MOST:
            return False
        sizes = (_SIZE.pack(number) for number in (len(frames), *map(len, frames)))
        try:
            if self._file is None:
                self._file = _without_a_name(self._folder)
            self._written += _write_all(self._file, [b"".join(sizes), *frames], self._written)
        except OSError as error:  # no room; what was written of it is written over
            _log.warning("what a kernel publishes cannot be put aside: %s", error)
            self._has_failed = True
        return not self._has_failed

    def _from_file(self) -> Frames | None:
        """None: it cannot be read any more, so that it is missed in the count of messages."""
        self._in_file -= 1
        try:
            [count] = _SIZE.unpack(self._next(_SIZE.size))
            sizes = struct.unpack(f"={count}Q", self._next(_SIZE.size * count))
            return [self._next(size) for size in sizes]
        except (OSError, struct.error):
            _log.exception("what a kernel has published was in a file that cannot be read any more")
            self._messages = deque(message for message in self._messages if message is not None)
            self._in_file = 0
            return None
        finally:
            if not self._in_file:
                self._empty()

    def _next(self, size: int) -> bytes:
        assert self._file is not None
        parts = []
        while size:  # a read has an upper limit of its own
            part = os.pread(self._file, size, self._read)
            if not part:
                raise OSError("it is shorter than it was")
            parts.append(part)
            size -= len(part)
            self._read += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _empty(self) -> None:
        """The file, for what comes next."""
        self._written = self._read = 0
        self._has_failed = False
        if self._file is not None:
            with suppress(OSError):
                os.ftruncate(self._file, 0)


def _write_all(file: int, parts: Sequence[bytes | memoryview], at: int) -> int:
    """How many bytes: all."""
    size = sum(map(len, parts))
    written = os.pwritev(file, parts, at)
    if written < size:
        rest = memoryview(b"".join(parts))[written:]
        while rest:
            rest = rest[os.pwrite(file, rest, at + size - len(rest)) :]
    return size


def _size(frames: Frames) -> int:
    return sum(map(len, frames)) + _OF_A_MESSAGE


def _without_a_name(folder: Path | None) -> int:
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.dup(file.fileno())
