"""SVG and PDF, drawn for models by the real program."""

from __future__ import annotations

import asyncio
import base64
import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from kernelexec.mcp_server.render import drawings
from kernelexec.mcp_server.render.drawings import NotDrawn, drawn

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="60pt" height="30pt"><rect width="9" height="9"/></svg>'


def pdf() -> bytes:
    page = io.BytesIO()
    Image.new("RGB", (60, 30), "navy").save(page, "PDF")
    return page.getvalue()


def picture(mime: str, data: bytes) -> Image.Image:
    drawing = asyncio.run(drawn(mime, data))
    assert drawing.mime == "image/png"
    return Image.open(io.BytesIO(base64.b64decode(drawing.encoded)))


@pytest.mark.parametrize(
    ("mime", "data", "size"),
    [
        ("image/svg+xml", SVG.encode(), (320, 160)),
        ("image/svg+xml", SVG.replace("60pt", "6000pt").encode(), (1200, 6)),
        ("image/svg+xml", SVG.replace("60pt", "900000000").encode(), None),
        ("application/pdf", pdf(), (240, 120)),
    ],
)
def test_a_drawing_becomes_a_picture_in_which_labels_can_be_read(
    mime: str, data: bytes, size: tuple[int, int] | None
) -> None:
    image = picture(mime, data)
    assert max(image.size) <= 1_200
    assert size is None or image.size == size


def test_a_drawing_is_on_white_paper() -> None:
    assert picture("image/svg+xml", SVG.encode()).convert("RGB").getpixel((319, 159)) == (255, 255, 255)


@pytest.mark.parametrize("mime", ["image/svg+xml", "application/pdf"])
def test_what_is_broken_is_told_as_that(mime: str) -> None:
    with pytest.raises(NotDrawn, match="that cannot be drawn"):
        asyncio.run(drawn(mime, b"<svg"))


def test_where_the_library_is_missing_its_name_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "without.py"
    path = Path(drawings.__file__).with_name("drawing_program.py")
    program.write_text(
        "import sys\nsys.modules['resvg_py'] = sys.modules['pypdfium2'] = None\n"
        f"exec(compile(open({str(path)!r}).read(), 'program', 'exec'))\n"
    )
    monkeypatch.setattr(drawings, "_PROGRAM", program)
    with pytest.raises(NotDrawn, match="it is SVG; kernelexec is installed without resvg-py"):
        asyncio.run(drawn("image/svg+xml", SVG.encode()))
    with pytest.raises(NotDrawn, match=r"it is PDF; installed as 'kernelexec\[pdf\]'"):
        asyncio.run(drawn("application/pdf", pdf()))


def test_what_never_ends_costs_the_picture_and_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "stalls.py"
    program.write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(drawings, "_PROGRAM", program)
    monkeypatch.setattr(drawings, "_SECONDS", 0.2)
    with pytest.raises(NotDrawn, match="takes too long"):
        asyncio.run(drawn("image/svg+xml", SVG.encode()))


def test_the_hub_itself_does_not_load_what_draws() -> None:
    assert "resvg_py" not in sys.modules
    assert "pypdfium2" not in sys.modules
