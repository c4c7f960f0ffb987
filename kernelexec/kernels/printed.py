"""What a kernel had printed when it died and could not send any more (kernelspecs/kernel/last_prints.py)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

_STREAMS = ("stdout", "stderr")
_HEAD = struct.Struct("<Q")
_KEPT = 65_536  # bytes of each


@dataclass(frozen=True)
class Printed:
    """By the last run that began, to one stream."""

    total: int  # bytes
    end: bytes  # of them

    def after(self, received: int) -> str:
        """What follows the bytes that were received; of more than is kept, its end."""
        missing = self.total - received
        if missing <= 0:
            return ""
        text = self.end[-missing:].decode("utf-8", "ignore")  # its first character may be cut
        cut = missing - len(self.end)
        return f"\n[{cut:,} bytes that were printed here went with the kernel]\n{text}" if cut > 0 else text


def read_printed(data: bytes) -> Mapping[str, Printed]:
    """By stream; of a file that is none, nothing."""
    area = _HEAD.size + _KEPT
    if len(data) != area * len(_STREAMS):
        return {}
    return {name: _of(data[place * area : (place + 1) * area]) for place, name in enumerate(_STREAMS)}


def _of(area: bytes) -> Printed:
    (total,), ring = _HEAD.unpack_from(area), area[_HEAD.size :]
    at = total % _KEPT
    return Printed(total, ring[at:] + ring[:at] if total > _KEPT else ring[:total])
