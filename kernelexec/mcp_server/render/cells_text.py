"""A notebook of the user's as replies show it: an outline, cells, what is new. Bounded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelexec.errors import BadRequest
from kernelexec.hub.opened_notebooks import Found
from kernelexec.mcp_server.render.body import body
from kernelexec.mcp_server.render.verdict import OF_THE_USERS
from kernelexec.model.excerpts import clip
from kernelexec.model.outputs import CellOutputs
from kernelexec.model.transcript import Piece, Transcript, transcript_of
from kernelexec.recording.looks import words
from kernelexec.recording.notebook_text import NotebookText, TextCell
from kernelexec.session.session import Session

_LIMIT = 8_500  # characters of cells in a reply
_OUTPUT_LIMIT = 2_000  # characters of what one cell shows
_SOURCE_LIMIT = 6_000  # characters of one cell's text
_LEAST = 300
_FIRST_PART = 0.7  # of an outline that is too long; the rest is its end
_MOST_KINDS = 3  # of a cell's outputs that an outline names
_MATCHES = 3  # lines of a cell that a search shows


def opened(session: Session, found: Found, now: NotebookText, directory: Path) -> list[str]:
    """What has been opened, and what runs it."""
    environment = session.environment
    made = "NOTEBOOK MADE" if found.is_new else "OPENED"
    if session.kernel is None:
        where = "" if environment.host else f" in {directory}"  # elsewhere its first reply tells it
        kernel = f"none yet; the first run starts one ({environment.runs}){where}"
    else:
        what = OF_THE_USERS if session.kernel.is_joined else "its variables are there"
        where = session.place if session.host else f"in {session.directory}"
        kernel = f"{session.state}, {environment.runs}, {where}; {what}"
    lines = [
        f"{made}: {found.path}, {_count(now)}; session {session.id}",
        f"Kernel: {kernel}. Environment: {environment.location}",
    ]
    if found.remark:
        lines.append(found.remark)
    return lines


def title(path: Path, now: NotebookText) -> str:
    return f"CELLS of {path}, {_count(now)}"


def news(told: Sequence[str]) -> list[str]:
    """What others did in the notebook since its reader looked last."""
    return [f"News: in the notebook, since you looked: {'; '.join(told)}."] if told else []


def _count(now: NotebookText) -> str:
    return "1 cell" if len(now.cells) == 1 else f"{len(now.cells):,} cells"


# --- an outline -----------------------------------------------------------------------


def outline(now: NotebookText, states: Mapping[str, str], pattern: str | None = None) -> list[str]:
    """A line for each cell: id, kind, state, what it shows, first line. `states` of what goes on."""
    if not now.cells:
        return ["It has no cell yet."]
    wanted = _compiled(pattern)
    if wanted is not None:
        return _found(now, wanted, states)
    lines = [_line(cell, states) for cell in now.cells]
    return [_COLUMNS, *_bounded(lines, now.cells)]


_COLUMNS = "id | kind, state | outputs | first line"


def _line(cell: TextCell, states: Mapping[str, str]) -> str:
    kinds = _kinds(cell)
    shown = ", ".join(kinds[:_MOST_KINDS]) + (", ..." if len(kinds) > _MOST_KINDS else "")
    return f"{cell.id} | {cell.kind}{_state(cell, states)} | {shown or '-'} | {words(cell.kind, cell.source)}"


def _state(cell: TextCell, states: Mapping[str, str]) -> str:
    if cell.kind != "code":
        return ""
    if cell.id in states:
        return f", {states[cell.id]}"
    if any(output.get("output_type") == "error" for output in cell.outputs):
        return f", error [{cell.execution_count}]"
    return ", not run" if cell.execution_count is None else f", ran [{cell.execution_count}]"


def _kinds(cell: TextCell) -> list[str]:
    """What it shows, in a word each."""
    if cell.kind != "code":
        return []
    found: dict[str, None] = {}
    for output in cell.outputs:
        data = output.get("data")
        if isinstance(data, Mapping):
            mimes = [str(mime) for mime in data]
            telling = [mime for mime in mimes if mime != "text/plain"] or mimes
            found |= dict.fromkeys(mime.partition("/")[2].partition("+")[0] for mime in telling[:1])
        else:
            found[str(output.get("name") or output.get("output_type"))] = None
    return list(found)


def _bounded(lines: Sequence[str], cells: Sequence[TextCell]) -> list[str]:
    if sum(map(len, lines)) + len(lines) <= _LIMIT:
        return list(lines)
    first = _fitting(lines, _LIMIT * _FIRST_PART)
    last = _fitting(lines[::-1], _LIMIT * (1 - _FIRST_PART))
    left_out = len(lines) - first - last
    more = f'read_cells(pattern=...) finds cells, read_cells(ids=["below:{cells[first].id}"]) reads on'
    return [*lines[:first], f"[... {left_out:,} cells left out; {more} ...]", *lines[len(lines) - last :]]


def _fitting(lines: Sequence[str], room: float) -> int:
    """How many of the first lines fit."""
    for number, line in enumerate(lines):
        room -= len(line) + 1
        if room < 0:
            return number
    return len(lines)


def _found(now: NotebookText, wanted: re.Pattern[str], states: Mapping[str, str]) -> list[str]:
    lines: list[str] = []
    found = [cell for cell in now.cells if wanted.search(cell.source)]
    for cell in found:
        lines.append(_line(cell, states))
        matching = [line for line in cell.source.splitlines() if wanted.search(line)]
        lines += [f"    {line[:200]}" for line in matching[:_MATCHES]]
    count = f"{len(found):,} {'cell has' if len(found) == 1 else 'cells have'} {wanted.pattern!r}."
    fitting = _fitting(lines, _LIMIT)
    return [
        count,
        *lines[:fitting],
        *(["[... more of them are left out ...]"] if fitting < len(lines) else []),
    ]


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        return re.compile(pattern)
    except re.error as error:
        raise BadRequest(f"{pattern!r} is no regular expression: {error}.") from None


# --- whole cells ------------------------------------------------------------------------


@dataclass
class Whole:
    """Cells in full, as far as they fit, and their pictures."""

    lines: list[str] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)


def whole(cells: Sequence[TextCell], pattern: str | None, *, outputs: bool) -> Whole:
    """Cells with their text, and with what they show."""
    wanted = _compiled(pattern)
    chosen = [cell for cell in cells if wanted is None or wanted.search(cell.source)]
    shown, room = Whole(), _LIMIT
    each = max(_LEAST, min(_SOURCE_LIMIT, room // max(1, len(chosen))))
    for place, cell in enumerate(chosen):
        if room < _LEAST:
            left = [one.id for one in chosen[place:]]
            shown.lines.append(f"[... {len(left):,} cells left out; next: read_cells(ids={left[:20]}) ...]")
            break
        text = _cell(cell, max(each, room // 2), shown, outputs=outputs)
        shown.lines.append(text)
        room -= len(text)
    if not chosen:
        shown.lines.append("No such cell.")
    return shown


def _cell(cell: TextCell, limit: int, shown: Whole, *, outputs: bool) -> str:
    head = f"\n=== {cell.id} | {cell.kind}{_state(cell, {})}"
    source = clip(cell.source, limit, "the rest is left out")
    if not outputs or cell.kind != "code" or not cell.outputs:
        return f"{head}\n{source}"
    transcript = _transcript(cell)
    shown.pieces += transcript.pieces
    text = body(transcript, min(limit, _OUTPUT_LIMIT), 0, cell.id, Path())
    return f"{head}\n{source}\n--- shows:{text.replace(_NOT_HERE.format(cell.id), _OPEN_IT)}"


_NOT_HERE, _OPEN_IT = 'read_output(execution_id="{}"', "in the notebook ("


def _transcript(cell: TextCell) -> Transcript:
    """What the file has as outputs, in the words of a reply."""
    found = CellOutputs()
    for output in cell.outputs:
        content: dict[str, Any] = {key: value for key, value in output.items() if key != "output_type"}
        if "text" in content:
            content["text"] = _joined(content["text"])
        data = content.get("data")
        if isinstance(data, Mapping):
            content["data"] = {mime: _joined(value) for mime, value in data.items()}
        found.add(str(output.get("output_type")), content)
    return transcript_of(found.to_notebook(), None, {}, lambda file: 0)


def _joined(value: object) -> object:
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    return value
