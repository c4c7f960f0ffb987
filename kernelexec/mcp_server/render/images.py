"""The pictures of a reply, within what clients take."""

from __future__ import annotations

import base64
import binascii

import mcp_types as types

_IMAGES = 4
_IMAGE_BYTES = 600_000  # together: clients refuse results over 1 MB, and base64 adds a third
IMAGE_TYPES = ("image/png", "image/jpeg")


def take_image(mime: str, encoded: str, images: list[types.ImageContent]) -> str:
    encoded = "".join(encoded.split())  # IPython breaks base64 into lines
    try:
        size = len(base64.b64decode(encoded, validate=True))
    except binascii.Error:
        return f"[{mime}: not valid base64; it is in the notebook]"
    used = sum(len(image.data) * 3 // 4 for image in images)
    if len(images) >= _IMAGES or used + size > _IMAGE_BYTES:
        return f"[{mime}, {size // 1000} kB: left out of this reply; it is in the notebook]"
    images.append(types.ImageContent(data=encoded, mime_type=mime))
    return f"[{mime} {len(images)} follows]"
