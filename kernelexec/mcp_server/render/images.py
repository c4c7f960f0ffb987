"""The pictures of a reply, within what clients and models take.

What fits goes as it is, which costs nothing. What does not is made smaller with Pillow, which is imported
then, in a thread: most hubs never need it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import os
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import mcp_types as types

if TYPE_CHECKING:  # at run time only where it is needed
    from PIL import Image

from kernelexec.mcp_server.render.body import how_to_read
from kernelexec.mcp_server.render.drawings import NotDrawn, drawn, is_drawing
from kernelexec.model.pictures import Picture
from kernelexec.model.transcript import Image as Numbered
from kernelexec.model.transcript import Piece
from kernelexec.recording.inside import open_inside

IMAGES = 4
IMAGE_BYTES = 600_000  # together: clients refuse results over 1 MB, and base64 adds a third
_LONGEST_SIDE = 2_000  # pixels; models refuse more where there are several images
_MOST_PIXELS = 50_000_000  # what is unpacked takes four bytes for each
_LARGEST = 60_000_000  # bytes of a picture that is looked at
_QUALITIES = ((1.0, 85), (0.75, 80), (0.5, 75), (0.35, 60), (0.2, 50))  # scale, JPEG quality
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


@dataclass(frozen=True)
class Pictures:
    """What follows a reply's text, and what the text says of it."""

    content: list[types.ImageContent]
    notes: list[str]


async def pictures_of(pieces: Sequence[Piece], execution_id: str, storage_dir: Path) -> Pictures:
    """The pictures of these pieces of an execution, as many as a reply may have."""
    found = [(image, piece) for piece in pieces for image in piece.images]
    if not found:
        return Pictures([], [])
    seen, notes = await _as_models_see_them([image for image, _ in found[:IMAGES]], storage_dir)
    fitting = _as_they_are(seen)
    if fitting is None:
        fitting = await asyncio.to_thread(_made_to_fit, seen, storage_dir)
    fitting.notes[:0] = notes
    if len(found) > IMAGES:
        first, last = found[IMAGES][0], found[-1][0]
        which = f"image {first.number} is" if first is last else f"images {first.number} to {last.number} are"
        note = f"{which} left out, a reply has {IMAGES} at most"
        last_shown = found[IMAGES - 1][1]
        later = next((piece for _, piece in found[IMAGES:] if piece is not last_shown), None)
        next_one = f"; next: {how_to_read(execution_id, later.position)}" if later else ""
        fitting.notes.append(note + next_one)
    return fitting


async def _as_models_see_them(
    images: Sequence[Numbered], storage_dir: Path
) -> tuple[list[Numbered], list[str]]:
    """The pictures with drawings (SVG, PDF) made into PNG, and what is to be said of those that cannot be."""
    seen: list[Numbered] = []
    notes: list[str] = []
    for image in images:
        if not is_drawing(image.picture):
            seen.append(image)
            continue
        try:
            data = await asyncio.to_thread(_data_of, image.picture, storage_dir)
            seen.append(Numbered(image.number, await drawn(image.picture.mime, data)))
        except (NotDrawn, _Unfit) as error:
            notes.append(_not_shown(image, error))
    return seen, notes


def _as_they_are(images: Sequence[Numbered]) -> Pictures | None:
    """The pictures unchanged; None if any of them has to be looked at more closely."""
    content = []
    for image in images:
        mime, encoded = image.picture.mime, image.picture.encoded
        if image.picture.file is not None:
            return None
        if len(encoded) > IMAGE_BYTES * 4 // 3:
            return None
        try:
            data = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            return None
        if not _is_sound(mime, data):
            return None
        content.append(types.ImageContent(data=encoded, mime_type=mime))
    size = sum(len(image.data) * 3 // 4 for image in content)
    return Pictures(content, []) if size <= IMAGE_BYTES else None


def _is_sound(mime: str, data: bytes) -> bool:
    """Whether a model will take it: a broken or huge image makes some refuse the whole conversation."""
    if mime == "image/png" and data.startswith(_PNG) and data[12:16] == b"IHDR" and b"IEND" in data[-16:]:
        width, height = struct.unpack(">II", data[16:24])
        return bool(0 < width <= _LONGEST_SIDE and 0 < height <= _LONGEST_SIDE)
    return False  # the size of a JPEG is further inside: Pillow looks


def _made_to_fit(found: Sequence[Numbered], storage_dir: Path) -> Pictures:
    content: list[types.ImageContent] = []
    notes: list[str] = []
    room = IMAGE_BYTES
    # The small ones first: what they do not need is left to the large.
    order = sorted(range(len(found)), key=lambda index: _size(found[index]))
    made: dict[int, types.ImageContent] = {}
    for count, index in enumerate(order):
        numbered = found[index]
        try:
            image, note = _fitted(numbered.picture, room // (len(order) - count), storage_dir)
        except Exception as error:  # noqa: BLE001 - Pillow raises many kinds for a broken file
            notes.append(_not_shown(numbered, error))
            continue
        made[index] = image
        room -= len(image.data) * 3 // 4
        if note:
            notes.append(f"image {numbered.number} {note}; the notebook has the original")
    content = [made[index] for index in sorted(made)]
    return Pictures(content, sorted(notes))


def _size(image: Numbered) -> int:
    return len(image.picture.encoded)


def _not_shown(image: Numbered, error: Exception) -> str:
    why = str(error) if isinstance(error, _Unfit | NotDrawn) else "it is broken"
    where = "" if isinstance(error, _Gone) else "; it is in the notebook"
    return f"image {image.number} cannot be shown ({why}){where}"


class _Unfit(Exception):
    """Not a picture that can be shown, and why."""


class _Gone(_Unfit):
    """Its file is no longer there."""


def _fitted(picture: Picture, room: int, storage_dir: Path) -> tuple[types.ImageContent, str]:
    """The picture in at most so many bytes, and what was done to it."""
    data = _data_of(picture, storage_dir)
    from PIL import Image  # here and in the thread: most hubs never need it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large images: the limit here is lower than Pillow's
        try:
            image = Image.open(io.BytesIO(data))
        except Image.DecompressionBombError:
            raise _Unfit("it has too many pixels") from None
    width, height = image.size
    if width * height > _MOST_PIXELS:
        raise _Unfit(f"{width:,} x {height:,} pixels are too many")
    image.load()
    fits = max(width, height) <= _LONGEST_SIDE and len(data) <= room
    if fits and image.format in ("PNG", "JPEG"):
        mime = f"image/{image.format.lower()}"
        return types.ImageContent(data=base64.b64encode(data).decode(), mime_type=mime), ""
    smaller, mime, size = _smaller(image, room)
    note = f"was made smaller, {width} x {height} pixels to {size[0]} x {size[1]}"
    if size == (width, height):
        note = f"({picture.mime.removeprefix('image/')}) was made {mime.removeprefix('image/').upper()}"
    return types.ImageContent(data=base64.b64encode(smaller).decode(), mime_type=mime), note


def _data_of(picture: Picture, storage_dir: Path) -> bytes:
    try:
        if picture.file is None:
            if len(picture.encoded) > _LARGEST * 4 // 3:
                raise _Unfit(f"{len(picture.encoded) * 3 // 4 // 1_000_000:,} MB are too many")
            return base64.b64decode(picture.encoded, validate=True)
        with open(open_inside(storage_dir, PurePath(picture.file), os.O_RDONLY), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > _LARGEST:
                raise _Unfit(f"{size // 1_000_000:,} MB are too many")
            return file.read()
    except binascii.Error:
        raise _Unfit("it is not valid base64") from None
    except OSError as error:
        raise _Gone(f"{picture.file} cannot be read") from error


def _smaller(image: Image.Image, room: int) -> tuple[bytes, str, tuple[int, int]]:
    """Encoded as PNG or JPEG, as large as there is room for; with its type and its size in pixels."""
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    shrink = min(1.0, _LONGEST_SIDE / max(image.size))
    for scale, quality in _QUALITIES:
        size = _times(image.size, shrink * scale)
        scaled = image if size == image.size else image.resize(size)
        for data, kind in (
            (_encoded(scaled, "PNG"), "png"),
            (_encoded(_flat(scaled), "JPEG", quality), "jpeg"),
        ):
            if len(data) <= room:
                return data, f"image/{kind}", size
    raise _Unfit("it does not fit")


def _times(size: tuple[int, int], factor: float) -> tuple[int, int]:
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _encoded(image: Image.Image, kind: str, quality: int = 0) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=quality)
    return buffer.getvalue()


def _flat(image: Image.Image) -> Image.Image:
    """On white where it is transparent: JPEG has no transparency, and plots are drawn for white paper."""
    if image.mode != "RGBA":
        return image
    from PIL import Image

    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white
