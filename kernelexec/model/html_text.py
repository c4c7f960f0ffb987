"""HTML as text that can be read: tables with aligned columns, no tags, no scripts. Pure.

By hand: html2text (GPL) does not align columns, inscriptis needs lxml and requests, and both take twice as
long; none of them bounds what a hostile or a huge page costs, or says what it left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

from kernelexec.model.pictures import is_mark

HTML_LIMIT = (
    100_000  # characters that are looked at: Python reads about 2 million a second, broken HTML slower
)
_CELL_LIMIT = 60  # characters of a table's cell
_ROWS_EACH_END = 30  # of a long table
_LONGEST_ADDRESS = 200  # characters of a picture's, a video's, a page's
_LARGEST_SPAN = 50  # columns or rows; HTML itself allows 1,000 and 65,534

# `metadata` is SVG's: who made it, and when.
_SKIPPED = frozenset({"script", "style", "head", "template", "noscript", "title", "select", "metadata"})
# Inside of these is what is shown without them.
_EMBEDDED = frozenset({"video", "audio", "iframe", "canvas", "object"})
_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "dd", "details", "div", "dl", "dt", "fieldset"}
    | {"figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr"}
    | {"li", "main", "nav", "ol", "p", "pre", "section", "summary", "table", "ul"}
)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)  # html.parser takes the square of their number
_NUMBER = re.compile(r"[-+]?[$€£]?[\d.,_]+(?:e[-+]?\d+)?\s?%?\Z", re.IGNORECASE)


def html_to_text(html: str) -> str:
    """The text of HTML; empty if it has none (only scripts, a frame, a canvas)."""
    text = _text_of(html, with_frames=True)
    if text and len(html) > HTML_LIMIT:
        text += f"\n[... {len(html) - HTML_LIMIT:,} characters of HTML more ...]"
    return text


def _text_of(html: str, *, with_frames: bool) -> str:
    reader = _Reader(with_frames)
    reader.feed(_COMMENT.sub("", html[:HTML_LIMIT]))
    reader.close()
    return reader.text()


@dataclass
class _Cell:
    columns: int = 1
    rows: int = 1
    text: str = ""


@dataclass
class _Table:
    rows: list[list[_Cell]] = field(default_factory=list)
    cell: _Cell | None = None  # that is being read

    def begin_row(self) -> None:
        self.rows.append([])

    def begin_cell(self, columns: int, rows: int) -> None:
        if not self.rows:
            self.begin_row()
        self.cell = _Cell(columns, rows)
        self.rows[-1].append(self.cell)


class _Reader(HTMLParser):
    """Collects text in lines, and the cells of a table apart."""

    def __init__(self, with_frames: bool) -> None:
        super().__init__(convert_charrefs=True)
        self._with_frames = with_frames  # whether pages inside this one are read, too
        self._lines: list[str] = [""]
        self._skipping: list[str] = []
        self._pre = 0
        self._tables: list[_Table] = []
        self._media: str | None = None  # the address of the video, the sound or the page that is being read

    def text(self) -> str:
        if self._skipping:  # what was not closed
            self._add_media(self._skipping[0])
        while self._tables:
            self._end_table()
        text = "\n".join(line.rstrip() for line in self._lines)
        return re.sub(r"\n{3,}", "\n\n", text).strip("\n")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "source" and self._skipping[-1:] in (["audio"], ["video"]):
            self._media = self._media or given.get("src") or ""
        if tag in ("video", "audio", "iframe") and not self._skipping:
            self._media = given.get("src") or ""
            if given.get("srcdoc"):
                self._add_page(given["srcdoc"] or "")
                self._media = None
        if tag in _SKIPPED or tag in _EMBEDDED:
            self._skipping.append(tag)
        if self._skipping:
            return
        if tag == "table":
            self._line_break()
            self._tables.append(_Table())
        elif tag in ("tr", "td", "th") and self._tables:
            self._begin_part_of_table(tag, given)
        elif tag == "img":
            self._add(_image(given.get("src") or "", given.get("alt") or ""))
        elif tag == "br" or tag in _BLOCKS:
            self._begin_block(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._skipping:
            if tag == self._skipping[-1]:
                self._skipping.pop()
                if tag in ("video", "audio", "iframe") and not self._skipping:
                    self._add_media(tag)
            return
        if tag == "table" and self._tables:
            self._end_table()
        elif tag in ("tr", "td", "th") and self._tables:
            self._tables[-1].cell = None
        elif tag in _BLOCKS:
            self._pre -= tag == "pre" and self._pre > 0
            self._line_break()

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self._add(data)

    def _add_page(self, html: str) -> None:
        """The text of a page in a frame; of none in that."""
        text = _text_of(html, with_frames=False) if self._with_frames else ""
        self._line_break()
        self._lines += ["[embedded page]", *text.split("\n"), ""]

    def _add_media(self, tag: str) -> None:
        if self._media is not None:
            name = "embedded page" if tag == "iframe" else tag
            self._add(f"[{': '.join(filter(None, (name, self._media[:_LONGEST_ADDRESS])))}]")
        self._media = None

    def _begin_part_of_table(self, tag: str, given: dict[str, str | None]) -> None:
        if tag == "tr":
            self._tables[-1].begin_row()
        else:
            self._tables[-1].begin_cell(_span(given.get("colspan")), _span(given.get("rowspan")))

    def _begin_block(self, tag: str) -> None:
        self._line_break()
        self._pre += tag == "pre"
        if tag == "li":
            self._add("- ")
        elif tag == "hr":
            self._add("---")
            self._line_break()

    def _add(self, data: str) -> None:
        if self._tables:
            cell = self._tables[-1].cell
            if cell is not None:
                cell.text += data
            return  # what stands between the cells is white space, or a caption
        if self._pre:
            first, *others = data.split("\n")
            self._lines[-1] += first
            self._lines += others
            return
        text = re.sub(r"\s+", " ", data)
        self._lines[-1] += text.lstrip() if not self._lines[-1] else text

    def _line_break(self) -> None:
        if self._tables:
            if self._tables[-1].cell is not None:
                self._tables[-1].cell.text += " "
        elif self._lines[-1].strip():
            self._lines.append("")
        else:
            self._lines[-1] = ""

    def _end_table(self) -> None:
        text = _aligned(_grid(self._tables.pop()))
        if self._tables:  # a table in a cell
            self._add(f" {text} ")
        else:
            self._lines += [*text.split("\n"), "", ""]


def _image(source: str, alt: str) -> str:
    if is_mark(source):  # one that is shown
        return f"{source} ({alt})" if alt else source
    address = "" if source.startswith("data:") else source[:_LONGEST_ADDRESS]
    said = ", ".join(filter(None, (alt, address)))
    return f"[image: {said}]" if said else "[image]"


def _span(text: str | None) -> int:
    return max(1, min(int(text), _LARGEST_SPAN)) if text and text.isdecimal() else 1


def _grid(table: _Table) -> list[list[str]]:
    """The cells by row and column; one that spans several stands in the first."""
    hanging: dict[int, int] = {}  # column: rows below that a cell above still covers
    grid: list[list[str]] = []
    for cells in table.rows:
        row: list[str] = []
        for cell in cells:
            _skip_covered(row, hanging)
            text = " ".join(cell.text.split())
            for column in range(len(row), len(row) + cell.columns):
                hanging[column] = cell.rows - 1
            row += [text if len(text) <= _CELL_LIMIT else f"{text[: _CELL_LIMIT - 3]}..."]
            row += [""] * (cell.columns - 1)
        _skip_covered(row, hanging)
        if row:
            grid.append(row)
    return grid


def _skip_covered(row: list[str], hanging: dict[int, int]) -> None:
    while hanging.get(len(row), 0) > 0:
        hanging[len(row)] -= 1
        row.append("")


def _aligned(grid: Sequence[Sequence[str]]) -> str:
    """Columns of equal width; numbers to the right."""
    if not grid:
        return ""
    left_out = len(grid) - 2 * _ROWS_EACH_END
    shown = list(grid) if left_out <= 0 else [*grid[:_ROWS_EACH_END], *grid[-_ROWS_EACH_END:]]
    widths = [0] * max(map(len, shown))
    numbers = [True] * len(widths)
    for index, row in enumerate(shown):
        for column, text in enumerate(row):
            widths[column] = max(widths[column], len(text))
            if index and text and not _NUMBER.match(text):
                numbers[column] = False
    lines = [
        "  ".join(
            text.rjust(widths[column]) if numbers[column] else text.ljust(widths[column])
            for column, text in enumerate(row)
        ).rstrip()
        for row in shown
    ]
    if left_out > 0:
        lines.insert(_ROWS_EACH_END, f"[... {left_out:,} rows more ...]")
    return "\n".join(lines)
