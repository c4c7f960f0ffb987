"""Reads the text file of an output that is too large for a notebook, however large it is.

Positions are characters. The files are UTF-8, so a position is found by counting, at about 2 GB a second
for ASCII; nothing is held but the part that is wanted. Standard library only: search.py runs on it alone.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import BinaryIO

from kernelexec.recording.inside import open_inside

_BLOCK = 1 << 20
_CONTINUATION = bytes(range(0x80, 0xC0))  # the bytes of UTF-8 with which no character begins


def read_text(storage_dir: Path, file: str, start: int, count: int) -> str:
    """So many characters of a file in the storage directory, from this position on; fewer at its end.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    parts: list[str] = []
    for block in text_blocks(storage_dir, file, start):
        parts.append(block[:count])
        count -= len(parts[-1])
        if count <= 0:
            break
    return "".join(parts)


def text_blocks(storage_dir: Path, file: str, start: int) -> Iterator[str]:
    """The text from this position on, in parts; raises as read_text does."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with open(open_inside(storage_dir, PurePath(file), os.O_RDONLY), "rb") as reader:
        ahead = _skip(reader, start)
        while data := reader.read(_BLOCK):
            text = decoder.decode(data)
            yield text[ahead:] if ahead else text
            ahead = max(0, ahead - len(text))
        yield decoder.decode(b"", final=True)


def _skip(file: BinaryIO, characters: int) -> int:
    """Move on by whole blocks; returns how many characters are still to be passed over."""
    while characters > _BLOCK:
        data = file.read(_BLOCK)
        if not data:
            return 0
        begun = len(data) if data.isascii() else len(data.translate(None, _CONTINUATION))
        characters -= begun
    # A character that was cut has been counted; what is left of it counts as none and must be passed over.
    while (byte := file.read(1)) and 0x80 <= byte[0] < 0xC0:
        pass
    file.seek(-len(byte), os.SEEK_CUR)
    return characters
