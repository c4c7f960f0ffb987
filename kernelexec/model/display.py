"""What a display says in words, and which pictures it has: a MIME bundle as an assistant reads it. Pure.

The tables below are the whole choice: WAYS for the words, PICTURE_TYPES (pictures.py) for the picture.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kernelexec.model.charts import Chart, describe_chart
from kernelexec.model.html_text import html_to_text
from kernelexec.model.pages import describe_page, gets_ready
from kernelexec.model.pictures import (
    MOST,
    PICTURE_TYPES,
    Picture,
    encoded,
    mark,
    marks_in,
    those_in,
    unmarked,
    without_data,
)
from kernelexec.model.text import one_line, plain

_FIGURE = re.compile(r"<(?:Figure|PIL|IPython\.core\.display\.Image)\b[^<>\n]*>\Z")
# What a language says of an object that has no better words: beside HTML the HTML says more.
_NO_WORDS = re.compile(
    r"<[^\n]*\b0x[0-9a-fA-F]+[^\n]*>\Z|<[\w.]+ object>\Z|<class '[\w.]+'>\Z|[\w.$]+@[0-9a-f]{5,}\Z"
)
# LaTeX that is a formula; other LaTeX is a table or a text, set for paper.
_FORMULA = re.compile(
    r"\s*(?:\$|\\\(|\\\[|\\begin\{(?:equation|align|gather|eqnarray|math|displaymath)\*?\})"
)
_SOURCE = re.compile(r"\s*```+ *html\b")  # Markdown that shows the HTML beside it as it is written
_MARKUP = re.compile(r"\s*<(?P<tag>[a-z][a-z0-9]*)\b[^>]*>.*</(?P=tag)>\s*\Z", re.DOTALL)
_WRAPPED = re.compile(r"  \\$", re.MULTILINE)  # a table of pandas whose rows go on further below
_MARKDOWN_PICTURE = re.compile(r"!\[(?P<alt>[^\]\n]*)\]\((?P<mark>[^)\s]+)[^)\n]*\)")
_NEEDS_A_BROWSER = ("<script", "<canvas", "<object", "<embed", "<form", "<input", "<svg")
_TRUST = "Make this Notebook Trusted to load map: File -> Trust Notebook"  # folium's, where HTML is shown
_LONGEST_ADDRESS = 300  # characters of an object's
_DUMP = 1_500  # characters of text, above which a table in HTML may say the same in fewer
_LABELS = 300  # characters of a page around what a program draws, and of the text in a drawing
_LONGEST_TYPE = 80  # characters of a MIME type
_HOLOVIEWS = "application/vnd.holoviews_exec.v0+json"
_LONG_JSON = 120  # characters, above which each member gets its line


@dataclass(frozen=True)
class Shown:
    """A display in words. Each picture, to be shown with them, has its mark in the text, in their order."""

    text: str
    pictures: tuple[Picture, ...] = ()
    text_file: str | None = None  # that has all of the text, relative to the storage directory


def in_words(data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> Shown:
    """The best of a display's representations that an assistant can read, never raw HTML.

    What is too large for a notebook is in files that the metadata names (see recording/large.py).
    """
    files = _files(metadata)
    if files:
        return _of_files(data, files)
    if _shows_nothing(data):
        return Shown("")
    bundle = _Bundle(data)
    words = bundle.words()
    if words is None:
        words = bundle.text if bundle.text and not bundle.picture else bundle.why_none()
    if bundle.picture is not None:
        words = "" if _FIGURE.match(words) else unmarked(words).strip()
        return Shown(f"{words}\n{mark(0)}".strip(), (bundle.picture,))
    if bundle.pictures and not marks_in(words):
        words = "\n".join([words, *marks_in(bundle.html)]).strip()
    return Shown(*those_in(words, bundle.pictures))


def _shows_nothing(data: Mapping[str, Any]) -> bool:
    """Nothing at all, or what a library sends ahead of its plots."""
    if not data.keys() <= {"text/plain", "text/html", _HOLOVIEWS}:
        return False
    if "text/html" not in data:
        return not data
    return not _Bundle(data).text_has_words and gets_ready(_joined(data["text/html"]))


def _of_files(data: Mapping[str, Any], files: Sequence[tuple[str, str]]) -> Shown:
    picture = next((Picture(mime, file=file) for mime, file in files if mime in PICTURE_TYPES), None)
    text_file = next((file for mime, file in files if mime == "text/plain"), None)
    words = plain(_joined(data.get("text/plain", "")))
    if picture is None:
        return Shown(words, (), text_file)
    return Shown(f"{words}\n{mark(0)}".strip(), (picture,), text_file)


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


class _Bundle:
    """A display's data, and what each representation of it says."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        self.pictures: list[Picture] = []  # that stand inside HTML or Markdown

    def words(self) -> str | None:
        """What the first way says that says something, with what it cannot say beside it; None: nothing."""
        chart = self.chart
        if chart is not None and chart.is_whole:
            return chart.said
        said = next((words for way in WAYS if (words := way.of(self)) is not None), None)
        beside = chart.said if chart is not None else self._what_works_in_a_notebook_only()
        if beside is None:
            return said
        return f"{said or ''}\n{beside}".strip()

    @cached_property
    def chart(self) -> _Sentence | None:
        """A chart or another program, in a sentence."""
        for mime, value in self.data.items():
            chart = describe_chart(mime, value)
            if chart is not None:
                return _Sentence.of(chart, is_whole=True, has_picture=self.picture is not None)
        for mime in ("text/html", "application/javascript"):
            chart = describe_page(self.source(mime)) if mime in self.data else None
            if chart is not None:
                is_whole = chart.how_to_see_it != ""  # as exact as the specification
                return _Sentence.of(chart, is_whole=is_whole, has_picture=self.picture is not None)
        return None

    @cached_property
    def picture(self) -> Picture | None:
        """The one that is a representation of its own."""
        for mime in PICTURE_TYPES:
            if mime in self.data:
                value = _joined(self.data[mime])
                return Picture(mime, encoded(value) if mime == "image/svg+xml" else "".join(value.split()))
        return None

    @cached_property
    def text(self) -> str:
        return plain(_joined(self.data.get("text/plain", "")))

    @cached_property
    def html(self) -> str:
        """The text of the HTML."""
        source = self.source("text/html")
        text = plain(html_to_text(source)).replace(_TRUST, "").strip("\n")
        if self.chart is not None and len(text) <= _LABELS:
            return ""  # its buttons
        drawing = self._drawing(source)
        if drawing is not None:
            self.pictures.append(drawing)
            return f"{text[:_LABELS]}\n{mark(len(self.pictures) - 1)}".strip()
        if text or not any(sign in source for sign in _NEEDS_A_BROWSER):
            return text
        return f"[HTML that only a browser can show, {len(source):,} characters: see the notebook]"

    def _drawing(self, source: str) -> Picture | None:
        """The SVG that HTML consists of."""
        start, end = source.find("<svg"), source.rfind("</svg>")
        if not 0 <= start < end or self.text_has_words or self.pictures:
            return None
        end += len("</svg>")
        around = html_to_text(source[:start] + source[end:])
        return None if around else Picture("image/svg+xml", encoded(source[start:end]))

    @cached_property
    def text_has_words(self) -> bool:
        is_address = len(self.text) <= _LONGEST_ADDRESS and _NO_WORDS.match(self.text)
        return bool(self.text) and not is_address

    def source(self, mime: str) -> str:
        """HTML or Markdown with marks in the place of its pictures."""
        if mime not in self._sources:
            text, pictures = without_data(_joined(self.data.get(mime, "")))
            if self.pictures:  # two representations of the same: the first has them
                text, pictures = unmarked(text), []
            self.pictures += pictures
            self._sources[mime] = text
        return self._sources[mime]

    @cached_property
    def _sources(self) -> dict[str, str]:
        return {}

    def _what_works_in_a_notebook_only(self) -> str | None:
        said = next((said for mime, said in _INTERACTIVE.items() if mime in self.data), None)
        return f"[{said}: it works in the notebook only]" if said else said

    def why_none(self) -> str:
        """Of a display that says nothing in words."""
        if self.picture is not None or any(mime.startswith("text/") for mime in self.data):
            return ""
        types = ", ".join(one_line(mime)[:_LONGEST_TYPE] for mime in self.data)
        return f"[{types}: not text; it is in the notebook]"


@dataclass(frozen=True)
class _Sentence:
    said: str
    is_whole: bool  # whether nothing else need be said

    @classmethod
    def of(cls, chart: Chart, *, is_whole: bool, has_picture: bool) -> _Sentence:
        advice = "" if has_picture else f" It can be seen in the notebook{chart.how_to_see_it}."
        return cls(f"{plain(f'[{chart.text}.{advice}]')}\n{chart.picture}".strip(), is_whole)


# --- the ways ------------------------------------------------------------------------------------------


def _formula(bundle: _Bundle) -> str | None:
    latex = _joined(bundle.data["text/latex"])
    return plain(latex) if _FORMULA.match(latex) else None


def _written_markdown(bundle: _Bundle) -> str | None:
    if "text/html" in bundle.data and _SOURCE.match(_joined(bundle.data["text/markdown"])):
        return None
    return None if "text/latex" in bundle.data and bundle.text_has_words else _markdown(bundle)


def _text(bundle: _Bundle) -> str | None:
    if not bundle.text_has_words:
        return None
    if "text/html" not in bundle.data or not bundle.html:
        return bundle.text
    is_shorter = len(bundle.text) > _DUMP and len(bundle.html) < len(bundle.text) / 2
    is_wrapped = _WRAPPED.search(bundle.text) and len(bundle.html) < len(bundle.text) * 1.5
    return None if is_shorter or is_wrapped or _MARKUP.match(bundle.text) else bundle.text


def _html(bundle: _Bundle) -> str | None:
    return bundle.html  # empty of a style or a place for what a script draws


def _markdown(bundle: _Bundle) -> str | None:
    text = plain(bundle.source("text/markdown"))
    return _MARKDOWN_PICTURE.sub(_marked, text) or None


def _marked(found: re.Match[str]) -> str:
    if not those_in(found["mark"], [Picture("")] * MOST)[1]:
        return found[0]
    return f"{found['mark']} ({found['alt']})" if found["alt"] else found["mark"]


def _json(bundle: _Bundle) -> str | None:
    value = next(bundle.data[mime] for mime in _JSON_TYPES if mime in bundle.data)
    if isinstance(value, str):
        return plain(value)
    text = json.dumps(value, ensure_ascii=False)
    return plain(text if len(text) <= _LONG_JSON else json.dumps(value, ensure_ascii=False, indent=1))


def _labels(bundle: _Bundle) -> str | None:
    return plain(html_to_text(_joined(bundle.data["image/svg+xml"])))[:_LABELS] or None


def _whatever(mime: str) -> Callable[[_Bundle], str | None]:
    return lambda bundle: plain(_joined(bundle.data[mime])) or None


def _other_text(bundle: _Bundle) -> str | None:
    known = ("text/plain", "text/html", "text/markdown", "text/latex")
    other = next((mime for mime in bundle.data if mime.startswith("text/") and mime not in known), None)
    return plain(_joined(bundle.data[other])) if other else None


@dataclass(frozen=True)
class Way:
    """A representation that may say what a display shows."""

    mimes: tuple[str, ...]  # none: whatever the display has
    said: Callable[[_Bundle], str | None]  # its words; None where it does not say it well
    why: str  # it stands where it stands

    def of(self, bundle: _Bundle) -> str | None:
        if self.mimes and not any(mime in bundle.data for mime in self.mimes):
            return None
        return self.said(bundle)


_JSON_TYPES = ("application/json", "application/geo+json")
WAYS = (
    Way(("text/latex",), _formula, "a formula: as text it is drawn in several lines, or is the code for it"),
    Way(
        ("text/markdown",),
        _written_markdown,
        "written for a reader; not where a kernel (R) makes every format",
    ),
    Way(
        ("text/plain",),
        _text,
        "what a terminal shows; not an address, markup, a torn table, a dump that HTML says in half",
    ),
    Way(("text/html",), _html, "its tables in columns, its pictures, what it embeds"),
    Way(("text/markdown",), _markdown, "made by a kernel, where there is no text"),
    Way(("text/latex",), _whatever("text/latex"), "a table or a text: better than nothing"),
    Way(_JSON_TYPES, _json, "data to unfold and maps, whose text is an address"),
    Way(("image/svg+xml",), _labels, "what is written in a drawing, for clients that drop pictures"),
    Way((), _other_text, "such as text/csv"),
)
# What is said beside that of what only a browser can show. "" for scripts that a library loads for its plots.
_INTERACTIVE = {
    "application/vnd.jupyter.widget-view+json": "an interactive widget",
    "application/vnd.bokehjs_load.v0+json": "",
    "application/vnd.holoviews_load.v0+json": "",
    "application/vnd.bokehjs_exec.v0+json": "an interactive Bokeh plot",
    _HOLOVIEWS: "an interactive HoloViews plot",
    "application/javascript": "JavaScript",
}


def _joined(value: object) -> str:
    """Text, which nbformat lets be a list of lines."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)
