"""What a display says in words, and which pictures it has: a MIME bundle as an assistant reads it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelexec.model.charts import describe_chart, vega_in_html
from kernelexec.model.html_text import html_to_text
from kernelexec.model.text import one_line, plain

# PNG and JPEG are what models see; the others are made into PNG for the reply.
IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", "image/tiff")
_INTERACTIVE = {
    "application/vnd.jupyter.widget-view+json": "an interactive widget",
    "application/vnd.bokehjs_exec.v0+json": "an interactive Bokeh plot",
    "application/vnd.holoviews_exec.v0+json": "an interactive HoloViews plot",
    "application/javascript": "JavaScript",
}
_UNDER_A_PICTURE = re.compile(r"<(?:Figure|PIL|IPython\.core\.display\.Image)\b[^<>\n]*>\Z")
# What Python says of an object that has no better words: beside HTML the HTML says more.
_NO_WORDS = re.compile(r"<[\w.]+ object(?: at 0x[0-9a-f]+)?>\Z|<[^<>\n]+ at 0x[0-9a-f]+>\Z")
_VERBATIM = r"\begin{Verbatim}"  # how IPython writes source code in LaTeX; it has it in plain text, too
_LONGEST_TYPE = 80  # characters of a MIME type
_LONG_JSON = 120  # characters, above which each member gets its line


@dataclass(frozen=True)
class Picture:
    mime: str
    encoded: str = ""  # base64, without white space
    file: str | None = None  # where it is instead, relative to the storage directory


@dataclass(frozen=True)
class Shown:
    """A display in words; the picture, if it has one, is to be shown with it."""

    text: str
    picture: Picture | None = None
    text_file: str | None = None  # that has all of the text, relative to the storage directory


def in_words(data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> Shown:
    """The best of a display's representations that an assistant can read, never raw HTML.

    What is too large for a notebook is in files that the metadata names (see recording/large.py).
    """
    files = _files(metadata)
    if files:
        picture = next((Picture(mime, file=file) for mime, file in files if mime in IMAGE_TYPES), None)
        text_file = next((file for mime, file in files if mime == "text/plain"), None)
        return Shown(plain(_joined(data.get("text/plain", ""))), picture, text_file)
    image = next((mime for mime in IMAGE_TYPES if mime in data), None)
    picture = Picture(image, "".join(_joined(data[image]).split())) if image else None
    text = _chart(data, picture is not None) or _text(data) or ""
    if picture is not None and _UNDER_A_PICTURE.match(text):
        text = ""
    if not text and picture is None and not any(mime.startswith("text/") for mime in data):
        types = ", ".join(one_line(mime)[:_LONGEST_TYPE] for mime in data) or "an empty display"
        text = f"[{types}: not text; it is in the notebook]"
    return Shown(text, picture)


def _files(metadata: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """MIME types and files of what is not in the display itself."""
    first = (metadata or {}).get("kernelexec")
    if not isinstance(first, Mapping):
        return []
    others = first.get("others")
    named = [first, *(others if isinstance(others, list) else [])]
    return [
        (str(each.get("mime")), str(each["file"]))
        for each in named
        if isinstance(each, Mapping) and each.get("file")
    ]


def _chart(data: Mapping[str, Any], has_picture: bool) -> str | None:
    for mime, value in data.items():
        chart = vega_in_html(_joined(value)) if mime == "text/html" else describe_chart(mime, value)
        if chart is not None:
            advice = "" if has_picture else f" It can be seen in the notebook{chart.how_to_see_it}."
            return plain(f"[{chart.text}.{advice}]")
    return None


def _text(data: Mapping[str, Any]) -> str | None:
    for mime in ("text/markdown", "text/latex"):
        if mime in data and not _joined(data[mime]).startswith(_VERBATIM):
            return plain(_joined(data[mime]))
    for mime in ("application/json", "application/geo+json"):
        if mime in data:
            return plain(_json(data[mime]))
    words = plain(_joined(data["text/plain"])) if "text/plain" in data else None
    interactive = next((said for mime, said in _INTERACTIVE.items() if mime in data), None)
    if interactive is not None:
        words = None if words is None or _NO_WORDS.match(words) else words
        return f"{words or ''}\n[{interactive}: it works in the notebook only]".strip()
    if words is not None and not _NO_WORDS.match(words):
        return words
    return _other_text(data) or words


def _other_text(data: Mapping[str, Any]) -> str | None:
    if "text/html" in data:
        html = _joined(data["text/html"])
        return plain(html_to_text(html)) or f"[HTML without text, {len(html):,} characters: see the notebook]"
    if "image/svg+xml" in data:
        svg = _joined(data["image/svg+xml"])
        words = plain(html_to_text(svg))
        return f"[SVG image, {len(svg):,} characters: see the notebook]\n{words}".strip()
    other = next((mime for mime in data if mime.startswith("text/") and mime != "text/plain"), None)
    return plain(_joined(data[other])) if other else None


def _json(value: object) -> str:
    if isinstance(value, str):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONG_JSON else json.dumps(value, ensure_ascii=False, indent=1)


def _joined(value: object) -> str:
    """Text, which nbformat lets be a list of lines."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)
