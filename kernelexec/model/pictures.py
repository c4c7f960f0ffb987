"""Pictures: which MIME types are some, and those that stand as base64 inside HTML and Markdown. Pure.

In words a picture is a mark, one character of a private area, until it is known which number it has.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

# The first that a display has is shown. PNG and JPEG are what models see; the others are made into PNG.
PICTURE_TYPES = (
    "image/png",
    "image/jpeg",
    "image/webp",
    "image/gif",
    "image/bmp",
    "image/tiff",
    "image/svg+xml",  # drawn, as are PDFs: see mcp_server/render/drawings.py
    "application/pdf",
)
MOST = 20  # in one display
_FIRST_MARK = 0xF0000
_MARKS = re.compile(f"[{chr(_FIRST_MARK)}-{chr(_FIRST_MARK + MOST - 1)}]")
_DATA_URI = re.compile(
    r"data:(?P<mime>[\w.+-]+/[\w.+-]+)(?:;[\w-]+=[\w.\"'-]*){0,4};base64,(?P<data>[A-Za-z0-9+/=_%\\\r\n-]*)"
)
_LONGEST = 20_000_000  # characters of HTML or Markdown in which pictures are looked for
_ICON = 64  # pixels; what is no larger is a logo or a button
_PNG_HEAD = 44  # characters of base64 that have a PNG's width and height


@dataclass(frozen=True)
class Picture:
    mime: str
    encoded: str = ""  # base64, without white space
    file: str | None = None  # where it is instead, relative to the storage directory


def encoded(text: str) -> str:
    """A picture that is text (SVG), as all others are kept."""
    return base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")


def mark(index: int) -> str:
    """What stands in words for the picture with this index."""
    return chr(_FIRST_MARK + index)


def is_mark(text: str) -> bool:
    return _MARKS.fullmatch(text) is not None


def without_data(text: str) -> tuple[str, list[Picture]]:
    """HTML or Markdown with marks in the place of pictures in base64, and in short words of other data."""
    pictures: list[Picture] = []

    def short(found: re.Match[str]) -> str:
        mime, data = found["mime"], re.sub(r"[\\\r\n]|%0A", "", found["data"])
        if mime not in PICTURE_TYPES or len(pictures) == MOST:
            return f"{mime}, {len(data) * 3 // 4:,} bytes"
        if _is_icon(mime, data):
            return ""
        pictures.append(Picture(mime, data))
        return mark(len(pictures) - 1)

    if len(text) > _LONGEST or "base64," not in text:
        return _MARKS.sub("", text), []
    return _DATA_URI.sub(short, _MARKS.sub("", text)), pictures


def those_in(text: str, pictures: Sequence[Picture]) -> tuple[str, tuple[Picture, ...]]:
    """The text, and the pictures whose marks stand in it, in that order."""
    if not pictures:
        return text, ()
    shown: list[Picture] = []

    def again(found: re.Match[str]) -> str:
        index = ord(found[0]) - _FIRST_MARK
        if index >= len(pictures):
            return ""
        shown.append(pictures[index])
        return mark(len(shown) - 1)

    return _MARKS.sub(again, text), tuple(shown)


def marks_in(text: str) -> list[str]:
    return _MARKS.findall(text)


def unmarked(text: str) -> str:
    return _MARKS.sub("", text)


def numbered(text: str, pictures: Sequence[Picture], first: int) -> str:
    """The text with what a reply calls its pictures; the first one has this number."""
    for index, picture in enumerate(pictures):
        text = text.replace(mark(index), f"[image {first + index}: {picture.mime}]", 1)
    return text


def _is_icon(mime: str, data: str) -> bool:
    if mime != "image/png":
        return False
    try:
        head = base64.b64decode(data[:_PNG_HEAD])
    except binascii.Error:
        return False
    if len(head) < 24 or head[12:16] != b"IHDR":
        return False
    return bool(max(struct.unpack(">II", head[16:24])) <= _ICON)
