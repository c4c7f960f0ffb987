"""Pictures for a person at a terminal: shown where it can show them, else saved and named."""

from __future__ import annotations

import base64
import io
import mimetypes
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from kernelexec import paths
from kernelexec.commands.tool_client import Picture

_KITTY_CHUNK = 4096  # characters of base64 in one escape sequence, the protocol's limit
_SIXEL_COLOURS = 64
_WIDEST = 800  # pixels of a sixel picture


def show(picture: Picture, name: str) -> str:
    """The text that shows a picture on this terminal, with a line that names its file."""
    path = save(picture, name)
    drawn = _drawn(picture, os.environ) if sys.stdout.isatty() else ""
    return f"{drawn}\n{path}" if drawn else str(path)


def save(picture: Picture, name: str) -> Path:
    """Where the picture is now. In the runtime directory, which is the user's alone and is swept."""
    folder = Path(paths.runtime_dir(os.environ), "pictures")
    paths.make_private_dir(paths.runtime_dir(os.environ))
    folder.mkdir(mode=0o700, exist_ok=True)
    suffix = mimetypes.guess_extension(picture.mime) or ".bin"
    path = folder / f"{re.sub(r'[^A-Za-z0-9_.@-]+', '-', name)}{suffix}"
    path.write_bytes(picture.data)
    return path


def _drawn(picture: Picture, environ: Mapping[str, str]) -> str:
    terminal, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    if "KITTY_WINDOW_ID" in environ or terminal in ("xterm-kitty", "xterm-ghostty"):
        return _kitty(_png(picture))
    if program in ("iTerm.app", "WezTerm") or environ.get("LC_TERMINAL") == "iTerm2":
        data = base64.b64encode(picture.data).decode()
        return f"\x1b]1337;File=inline=1;size={len(picture.data)}:{data}\x07"
    if "sixel" in terminal or terminal.startswith(("foot", "mlterm", "yaft")):
        return _sixel(picture)
    return ""


def _png(picture: Picture) -> bytes:
    if picture.mime == "image/png":
        return picture.data
    from PIL import Image  # here, where there is something else to show

    out = io.BytesIO()
    Image.open(io.BytesIO(picture.data)).save(out, "PNG")
    return out.getvalue()


def _kitty(png: bytes) -> str:
    """https://sw.kovidgoyal.net/kitty/graphics-protocol/"""
    data = base64.b64encode(png).decode()
    chunks = [data[at : at + _KITTY_CHUNK] for at in range(0, len(data), _KITTY_CHUNK)]
    parts = []
    for number, chunk in enumerate(chunks):
        keys = "a=T,f=100," if number == 0 else ""
        parts.append(f"\x1b_G{keys}m={int(number < len(chunks) - 1)};{chunk}\x1b\\")
    return "".join(parts)


def _sixel(picture: Picture) -> str:
    """https://vt100.net/docs/vt3xx-gp/chapter14.html: bands of six rows, each colour over the one before."""
    from PIL import Image

    image = Image.open(io.BytesIO(picture.data)).convert("RGB")
    image.thumbnail((_WIDEST, _WIDEST))
    few = image.quantize(_SIXEL_COLOURS)
    width, height = few.size
    pixels, palette = few.tobytes(), few.getpalette() or []
    colours = sorted(set(pixels))
    parts = ["\x1bPq", f'"1;1;{width};{height}']
    for colour in colours:
        red, green, blue = (round(each / 2.55) for each in palette[3 * colour : 3 * colour + 3])
        parts.append(f"#{colour};2;{red};{green};{blue}")
    for top in range(0, height, 6):
        rows = [pixels[y * width : (y + 1) * width] for y in range(top, min(top + 6, height))]
        for colour in sorted(set(b"".join(rows))):
            bits = (sum((row[x] == colour) << y for y, row in enumerate(rows)) for x in range(width))
            parts.append(f"#{colour}{''.join(chr(63 + bit) for bit in bits)}$")
        parts.append("-")
    return "".join([*parts, "\x1b\\"])
