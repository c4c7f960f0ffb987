"""A person's notebook as the text that it is written in: cells by id, the rest byte for byte. Pure.

Whatever wrote the file (JupyterLab, VS Code, a formatter, a hand) has a layout of its own, and a commit shows
each byte that differs. So nothing is written anew as a whole: the text is taken apart at its cells and their
members, and only what a change is about is replaced, in the layout that is found around it.

Before nbformat 4.5 cells have no ids, and may have none: they get one (notebook_reading.py), never written.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from uuid import uuid4

from kernelexec.model.outputs import JSON
from kernelexec.recording.json_spans import Span, blank, loaded, members
from kernelexec.recording.notebook_format import joined_cell, stored_cell

KINDS = ("code", "markdown", "raw")
_LARGE = 20_000  # characters of outputs
_OUTPUT = '"output_type"'
_SURROGATE = re.compile("[\ud800-\udfff]")


class NotANotebook(ValueError):
    """The text is no notebook that can be worked in; says why, in words that end a sentence."""


@dataclass(frozen=True)
class Layout:
    """How a file is written, for what is added to it."""

    newline: str = "\n"
    unit: str | None = " "  # of indentation; None: all in one line
    prefix: str = "  "  # before each line of a cell
    item: str = ","
    colon: str = ": "
    ascii_only: bool = False
    named: bool = True  # whether cells have ids: nbformat 4.5

    def written(self, value: JSON, depth: int = 0) -> str:
        """JSON for a place in a cell, `depth` levels below that."""
        text = json.dumps(
            _without_nan(value),
            ensure_ascii=self.ascii_only,
            indent=self.unit,
            separators=(self.item, self.colon),
            sort_keys=True,
        )
        if self.unit is not None:
            text = text.replace("\n", self.newline + self.prefix + self.unit * depth)
        # As notebook_format: a browser could not save a lone surrogate.
        return text if self.ascii_only else _SURROGATE.sub(lambda one: f"\\\\u{ord(one[0]):04x}", text)


@dataclass(frozen=True)
class TextCell:
    """One cell: its text, and where in that the values of its members are."""

    raw: str
    spans: Mapping[str, Span]
    id: str
    before: str = ""  # the text between it and the cell before
    follows: str | None = None  # the id of that cell, None for the first

    @cached_property
    def kind(self) -> str:
        return str(self.value("cell_type"))

    @cached_property
    def source(self) -> str:
        value = self.value("source")
        lines = value if isinstance(value, list) else [value]
        return "".join(line for line in lines if isinstance(line, str))

    @property
    def outputs(self) -> list[Mapping[str, JSON]]:
        """Those of a code cell, as the file has them."""
        value = self.value("outputs")
        found = value if isinstance(value, list) else []
        return [output for output in found if isinstance(output, Mapping)]

    @cached_property
    def execution_count(self) -> int | None:
        value = self.value("execution_count")
        return value if isinstance(value, int) else None

    @cached_property
    def shown(self) -> str:
        """Stands for what it shows: the same as long as nobody runs or clears it, however it is written."""
        start, stop = self.spans.get("outputs", (0, 0))
        if stop - start > _LARGE:  # all of a large notebook's would take seconds
            text = f"{self.raw.count(_OUTPUT, start, stop)} outputs of {self.execution_count}"
        else:
            outputs = joined_cell({"outputs": list(self.outputs)})["outputs"]
            text = json.dumps([outputs, self.execution_count], sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def metadata(self) -> Mapping[str, JSON]:
        value = self.value("metadata")
        return value if isinstance(value, Mapping) else {}

    def value(self, name: str) -> JSON:
        span = self.spans.get(name)
        return None if span is None else loaded(self.raw[slice(*span)])

    def whole(self) -> dict[str, JSON]:
        value: dict[str, JSON] = json.loads(self.raw)
        return value

    # --- other cells in its place ---------------------------------------------------

    def with_source(self, source: str, layout: Layout) -> TextCell:
        in_lines = isinstance(self.value("source"), list) or "source" not in self.spans
        return self._with({"source": source.splitlines(keepends=True) if in_lines else source}, layout)

    def with_outputs(
        self, outputs: Sequence[Mapping[str, JSON]], count: int | None, layout: Layout
    ) -> TextCell:
        stored = stored_cell({"outputs": list(outputs)})["outputs"]
        return self._with({"outputs": stored, "execution_count": count}, layout)

    def with_kind(self, kind: str, layout: Layout) -> TextCell:
        """Outputs belong to code, and go with it; attachments to the others."""
        value = {**self.whole(), "cell_type": kind}
        for name in ("attachments",) if kind == "code" else _SHOWN:
            value.pop(name, None)
        if kind == "code":
            value |= {"outputs": [], "execution_count": None}
        return replace(cell_of(layout.written(value), self.id), before=self.before, follows=self.follows)

    def _with(self, members: Mapping[str, JSON], layout: Layout) -> TextCell:
        """The cell with other values of some members; what it already is stays as it is written."""
        changed = {name: value for name, value in members.items() if self.value(name) != value}
        changed |= {name: value for name, value in members.items() if name not in self.spans}
        if not changed:
            return self
        if not changed.keys() <= self.spans.keys():
            raw = layout.written({**self.whole(), **changed})
        else:
            raw = self.raw
            for name in sorted(changed, key=lambda name: self.spans[name], reverse=True):
                start, stop = self.spans[name]
                raw = raw[:start] + layout.written(changed[name], depth=1) + raw[stop:]
        return replace(cell_of(raw, self.id), before=self.before, follows=self.follows)


_SHOWN = ("outputs", "execution_count")


def cell_of(raw: str, cell_id: str) -> TextCell:
    """A cell from its text."""
    spans, _ = members(raw, 0)
    return TextCell(raw, spans, cell_id)


def new_cell(kind: str, source: str, cell_id: str, layout: Layout) -> TextCell:
    """A cell that nobody has run."""
    value: dict[str, JSON] = {
        "cell_type": kind,
        "metadata": {},
        "source": source.splitlines(keepends=True),
        **({"id": cell_id} if layout.named else {}),
        **({"outputs": [], "execution_count": None} if kind == "code" else {}),
    }
    return cell_of(layout.written(value), cell_id)


def new_id() -> str:
    """As JupyterLab and nbformat make them."""
    return uuid4().hex[:8]


@dataclass(frozen=True)
class NotebookText:
    """A whole notebook. `head` ends with the `[` of its cells, `foot` begins with what is before the `]`."""

    head: str
    cells: tuple[TextCell, ...]
    foot: str
    layout: Layout
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    had_cells: bool = True  # where head and foot are from

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Where each cell is, from 0."""
        return {cell.id: place for place, cell in enumerate(self.cells)}

    def cell(self, cell_id: str) -> TextCell | None:
        place = self.places.get(cell_id)
        return None if place is None else self.cells[place]

    def with_cells(self, cells: Iterable[TextCell]) -> NotebookText:
        return replace(self, cells=tuple(cells))

    def with_cell(self, cell: TextCell) -> NotebookText:
        """Another cell in the place of the one with its id."""
        return self.with_cells(cell if old.id == cell.id else old for old in self.cells)

    def with_new(self, after: str | None, *new: TextCell) -> NotebookText:
        """With new cells after this one; "" for the top, None or one that is gone for the end."""
        if after == "":
            return self.with_cells((*new, *self.cells))
        place = len(self.cells) if after is None else self.places.get(after, len(self.cells) - 1) + 1
        return self.with_cells((*self.cells[:place], *new, *self.cells[place:]))

    def to_bytes(self) -> bytes:
        line = "" if self.layout.unit is None else self.layout.newline + self.layout.prefix
        between = (cell.before for cell in self.cells if cell.follows is not None)
        gap = next(between, self.layout.item + line)
        parts, previous = [self.head], None
        for cell in self.cells:
            is_in_place = cell.before and cell.follows == previous
            parts += [cell.before if is_in_place else gap if previous is not None else line, cell.raw]
            previous = cell.id
        return "".join([*parts, self._foot()]).encode("utf-8", "surrogatepass")

    def _foot(self) -> str:
        if bool(self.cells) == self.had_cells:
            return self.foot
        end = self.foot[len(blank(self.foot)) :]
        is_in_lines = self.cells and self.layout.unit is not None
        return f"{self.layout.newline}{self.layout.unit}{end}" if is_in_lines else end


def _without_nan(value: JSON) -> JSON:
    """With null for NaN and Infinity, as notebook_format."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        cleaned: JSON = json.loads(json.dumps(value), parse_constant=lambda _: None)
        return cleaned
    return value
