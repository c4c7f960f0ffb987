"""SVG and PDF made into PNG, for models, which see neither.

In a process of its own: what draws is C++ and Rust, and what it draws was made by anybody. A picture that is
never finished, or ends its process, costs the reply that picture.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from kernelexec.mcp_server.render.drawing_program import NO_LIBRARY
from kernelexec.model.pictures import Picture

_PROGRAM = Path(__file__).with_name("drawing_program.py")
_SECONDS = 10.0  # for one picture; a figure takes 0.1 to 0.3
# What draws a type, and how it is installed where it is not there.
_LIBRARIES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "image/svg+xml": ("SVG", "kernelexec is installed without resvg-py, which draws it"),
        "application/pdf": ("PDF", "installed as 'kernelexec[pdf]', kernelexec would draw it"),
    }
)


class NotDrawn(Exception):
    """There is no picture, and why."""


def is_drawing(picture: Picture) -> bool:
    return picture.mime in _LIBRARIES


async def drawn(mime: str, data: bytes) -> Picture:
    """The drawing as PNG.

    Raises:
        NotDrawn: there is nothing that can draw it, or it is broken.
    """
    name, remedy = _LIBRARIES[mime]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(_PROGRAM), mime, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
    )
    try:
        picture, _ = await asyncio.wait_for(process.communicate(data), _SECONDS)
    except (asyncio.TimeoutError, TimeoutError):
        raise NotDrawn(f"it is {name} that takes too long to draw") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == NO_LIBRARY:
        raise NotDrawn(f"it is {name}; {remedy}")
    if process.returncode or not picture:
        raise NotDrawn(f"it is {name} that cannot be drawn")
    return Picture("image/png", base64.b64encode(picture).decode("ascii"))
