"""Draws one SVG or PDF as PNG: `python drawing_program.py MIME`, from stdin to stdout.

It imports nothing of the project and holds itself within limits: what it draws can be anything. It exits with
NO_LIBRARY where what draws this type is not installed, and with 1 where the picture is broken.
"""

from __future__ import annotations

import io
import resource
import struct
import sys

NO_LIBRARY = 3
_SIDE = 1_200  # pixels that the longer side is to have: a model reads the labels then
_MOST_ZOOM = 4.0
_SECONDS = 10  # of the processor
_MEMORY = 2_000_000_000  # bytes
_PAPER = "#ffffff"  # plots are drawn for white paper
_DPI = 96.0  # as browsers take lengths in points and inches


def draw_svg(data: bytes) -> bytes:
    import resvg_py  # here: only one of the two is needed, and may not be there

    text = data.decode("utf-8", "replace")
    try:
        picture: bytes = resvg_py.svg_to_bytes(svg_string=text, background=_PAPER, dpi=_DPI)
    except ValueError:  # it is enormous, or broken
        return resvg_py.svg_to_bytes(svg_string=text, background=_PAPER, dpi=_DPI, width=_SIDE)
    zoom = _zoom(*struct.unpack(">II", picture[16:24]))  # where a PNG has its size
    return resvg_py.svg_to_bytes(svg_string=text, background=_PAPER, dpi=_DPI, zoom=zoom)


def draw_pdf(data: bytes) -> bytes:
    """The first page."""
    import pypdfium2  # the same

    page = pypdfium2.PdfDocument(data)[0]
    picture = io.BytesIO()
    page.render(scale=_zoom(*page.get_size())).to_pil().save(picture, "PNG")
    return picture.getvalue()


def _zoom(width: float, height: float) -> float:
    return min(_MOST_ZOOM, _SIDE / max(width, height, 1))


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    if sys.platform == "linux":  # elsewhere it is not held, or counts what is only mapped
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    draw = {"image/svg+xml": draw_svg, "application/pdf": draw_pdf}[sys.argv[1]]
    try:
        picture = draw(sys.stdin.buffer.read())
    except ImportError:
        sys.exit(NO_LIBRARY)
    sys.stdout.buffer.write(picture)


if __name__ == "__main__":
    main()
