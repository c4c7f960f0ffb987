"""Frames between a hub and the relay beside a far kernel (kernelspecs/far/far_relay.py tells of them)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kernelexec.kernels.large_messages import LARGE

CHANNELS = ("shell", "iopub", "stdin", "control")
BEAT, KEPT, KILL, GONE, NOTHING = range(250, 255)
_HEAD = struct.Struct("!IB")
LONGEST = (1 << 32) - 1 - 64  # bytes of a frame
_KINDS = frozenset((BEAT, KEPT, KILL, GONE, NOTHING))
_LONGEST_WORD = 1 << 24  # bytes of a frame that is no message
_Bytes = TypeVar("_Bytes", bytes, memoryview)


def pack(kind: int, data: bytes = b"") -> bytes:
    return _HEAD.pack(1 + len(data), kind) + data


def pack_message(channel: str, parts: Sequence[bytes]) -> bytes:
    """A message's frames on a channel, as one."""
    sizes = struct.pack(f"!H{len(parts)}I", len(parts), *map(len, parts))
    return pack(CHANNELS.index(channel), b"".join((sizes, *parts)))


def unpack_message(data: _Bytes) -> list[_Bytes]:
    """The parts of a message.

    Raises:
        struct.error: it is none.
    """
    (number,) = struct.unpack_from("!H", data)
    sizes = struct.unpack_from(f"!{number}I", data, 2)
    at, parts = 2 + 4 * number, []
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    return parts


@dataclass
class _Large:
    """The content of a frame that is coming: it is put where it stays, once."""

    kind: int
    content: memoryview
    filled: int = 0

    def fill(self, data: memoryview) -> memoryview:
        """What of this is behind it."""
        end = min(self.filled + len(data), len(self.content))
        taken = end - self.filled
        self.content[self.filled : end] = data[:taken]
        self.filled = end
        return data[taken:]

    @property
    def is_whole(self) -> bool:
        return self.filled == len(self.content)


class Frames:
    """Takes bytes as they come, gives frames."""

    def __init__(self) -> None:
        self._came = bytearray()
        self._large: _Large | None = None

    @property
    def is_within_one(self) -> bool:
        """Whether a frame has begun to come, and has not come whole."""
        return bool(self._came) or self._large is not None

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes | memoryview]]:
        """Kind and content of each frame that is whole with this; a large one is not copied any more.

        Raises:
            ValueError: bytes are missing or have come in between; of what follows nothing can be made.
        """
        rest = memoryview(data)
        if self._large is not None:
            rest = self._large.fill(rest)
            if not self._large.is_whole:
                return
            large, self._large = self._large, None
            yield large.kind, large.content
            del large
        self._came += rest
        at = 0
        try:
            while len(self._came) - at >= _HEAD.size:
                size, kind = _HEAD.unpack_from(self._came, at)
                if not self._can_be_one(at, size, kind):
                    raise ValueError(f"no frame begins with {bytes(self._came[at : at + 32])!r}")
                end = at + 4 + size
                if len(self._came) < end:
                    if size > LARGE and self._heads_are_here(at):
                        at = self._begin_large(at, size, kind)
                    break
                with memoryview(self._came) as view:
                    content = bytes(view[at + _HEAD.size : end])
                at = end
                yield kind, content
        finally:
            del self._came[:at]

    def _begin_large(self, at: int, size: int, kind: int) -> int:
        """The end of what has come, all of which is its."""
        self._large = _Large(kind, memoryview(bytearray(size - 1)))
        with memoryview(self._came) as view:
            self._large.fill(view[at + _HEAD.size :])
        return len(self._came)

    def _heads_are_here(self, at: int) -> bool:
        """Whether its length is known to be that of its parts."""
        content = at + _HEAD.size
        if len(self._came) < content + 2:
            return False
        number: int = struct.unpack_from("!H", self._came, content)[0]
        return len(self._came) >= content + 2 + 4 * number

    def _can_be_one(self, at: int, size: int, kind: int) -> bool:
        """As far as it has come: who believed a length that is none would wait for gigabytes."""
        if kind >= len(CHANNELS):
            return kind in _KINDS and 0 < size <= _LONGEST_WORD
        content = at + _HEAD.size
        if len(self._came) < content + 2:
            return size > 2
        number: int = struct.unpack_from("!H", self._came, content)[0]
        heads = 2 + 4 * number
        have = min(number, (len(self._came) - content - 2) // 4)
        parts: tuple[int, ...] = struct.unpack_from(f"!{have}I", self._came, content + 2)
        rest = size - 1 - heads - sum(parts)
        return rest == 0 if have == number else rest >= 0
