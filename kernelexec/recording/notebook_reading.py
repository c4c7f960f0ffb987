"""From a notebook's file to its cells as they are written in it (notebook_text.py). Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from kernelexec.model.outputs import JSON
from kernelexec.recording.json_spans import Span, array_end, blank, end_of, loaded, members
from kernelexec.recording.notebook_text import Layout, NotANotebook, NotebookText, TextCell

# Of a character that is not ASCII, or DEL, which only those escape that escape these.
_ESCAPED = re.compile(r"(?<!\\)(?:\\\\)*\\u(?!00[0-7])[0-9a-fA-F]{4}|\\u007[fF]")
_LOOKED_AT = 1_000_000  # characters that tell how the rest is written
_MARKERS = re.compile(r"^(<{7}|={7}|>{7})( |$)", re.MULTILINE)
_NAMELESS = "nameless-"  # how the id of a cell begins that has none in the file


def read_text(data: bytes, known: NotebookText | None = None) -> NotebookText:
    """The notebook in a file. `known`: as it was before, from which cells without an id have theirs.

    Raises:
        NotANotebook
    """
    try:
        text = data.decode()
        found = _taken_apart(text)
    except UnicodeDecodeError as error:
        raise NotANotebook(f"it is not UTF-8 (byte {error.start:,})") from None
    except RecursionError:
        raise NotANotebook("it is nested too deeply") from None
    except NotANotebook:
        raise
    except (ValueError, IndexError) as error:
        raise NotANotebook(_why_not_json(text, error)) from None
    return found if known is None else _with_known_ids(found, known)


def empty(metadata: Mapping[str, JSON]) -> NotebookText:
    """A notebook without a cell, as Jupyter would write it."""
    value = {"cells": [], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    return _taken_apart(text)


def _taken_apart(text: str) -> NotebookText:
    start = len(blank(text.removeprefix("\ufeff"))) + text.startswith("\ufeff")
    pieces: list[tuple[Span, dict[str, Span]]] = []

    def cell_end(text: str, at: int) -> int:
        if text[at] != "{":
            end_of(text, at)  # which says where it is not even JSON
            raise NotANotebook("one of its cells is no object")
        spans, end = members(text, at)
        pieces.append(((at, end), {name: (one - at, two - at) for name, (one, two) in spans.items()}))
        return end

    def cells_end(text: str, at: int) -> int:
        pieces.clear()
        return array_end(text, at, cell_end) if text[at] == "[" else end_of(text, at)

    spans, end = members(text, start, {"cells": cells_end})
    if blank(text, end) != text[end:]:
        raise ValueError("Extra data")
    rest = {name: loaded(text[slice(*span)]) for name, span in spans.items() if name != "cells"}
    minor = _checked_version(rest)
    if "cells" not in spans or text[spans["cells"][0]] != "[":
        raise NotANotebook("it has no list of cells")
    metadata = rest.get("metadata", {})
    if not isinstance(metadata, Mapping):
        raise NotANotebook("its metadata is no object")
    first = spans["cells"][0] + 1
    layout = _layout(text, start, first, pieces[0][0][0] if pieces else None, named=minor >= 5)
    cells, at = [], first
    for (begin, stop), inside in pieces:
        cells.append(TextCell(text[begin:stop], inside, "", before=text[at:begin]))
        at = stop
    return NotebookText(text[:first], tuple(_named(cells)), text[at:], layout, metadata, bool(pieces))


def _checked_version(rest: Mapping[str, JSON]) -> int:
    major, minor = rest.get("nbformat"), rest.get("nbformat_minor", 0)
    if major != 4 and isinstance(major, int):
        older = major < 4
        raise NotANotebook(
            f"it is of format {major}, and only format 4 is worked in"
            + (" (jupyter nbconvert --to notebook --inplace FILE raises it)" if older else "")
        )
    if not isinstance(major, int) or not isinstance(minor, int):
        raise NotANotebook("it does not say which format of a notebook it is")
    return minor


def _named(cells: Sequence[TextCell]) -> list[TextCell]:
    """The cells with ids that are each there once."""
    taken: set[str] = set()
    named: list[TextCell] = []
    for cell in cells:
        own = cell.value("id")
        wanted = own if isinstance(own, str) and own else _nameless(cell)
        name, number = wanted, 1
        while name in taken:
            number += 1
            name = f"{wanted}~{number}"
        taken.add(name)
        named.append(replace(cell, id=name, follows=named[-1].id if named else None))
    return named


def _nameless(cell: TextCell) -> str:
    text = f"{cell.kind}\0{cell.source}".encode("utf-8", "surrogatepass")
    return _NAMELESS + hashlib.sha256(text).hexdigest()[:6]


def _with_known_ids(found: NotebookText, known: NotebookText) -> NotebookText:
    """Cells that have no id of their own keep the one that they were given, also when their text changed."""
    if all(cell.value("id") for cell in found.cells):
        return found
    old, new = known.cells, found.cells
    pairs: dict[int, str] = {}
    matcher = SequenceMatcher(None, [_key(c) for c in old], [_key(c) for c in new], autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal" or (tag == "replace" and i2 - i1 == j2 - j1):
            pairs |= {j1 + step: old[i1 + step].id for step in range(i2 - i1)}
    taken = set(pairs.values())
    cells: list[TextCell] = []
    for place, cell in enumerate(new):
        name = cell.id if cell.value("id") else pairs.get(place, cell.id)
        while name in taken and place not in pairs:
            name = f"{name}~"
        taken.add(name)
        cells.append(replace(cell, id=name, follows=cells[-1].id if cells else None))
    return found.with_cells(cells)


def _key(cell: TextCell) -> tuple[str, str]:
    return cell.kind, cell.source


def _layout(text: str, start: int, first: int, first_cell: int | None, *, named: bool) -> Layout:
    ascii_only = text.isascii() and _ESCAPED.search(text, 0, _LOOKED_AT) is not None
    gap = blank(text, start + 1)
    if "\n" not in gap:
        spaced = '": ' in text[:_LOOKED_AT]
        return Layout("", None, "", ", " if spaced else ",", ": " if spaced else ":", ascii_only, named)
    newline = "\r\n" if "\r\n" in gap else "\n"
    unit = gap.rpartition("\n")[2] or " "
    prefix = unit * 2
    if first_cell is not None and "\n" in (before := text[first:first_cell]):
        prefix = before.rpartition("\n")[2]
    return Layout(newline, unit, prefix, ",", ": ", ascii_only, named)


def _why_not_json(text: str, error: Exception) -> str:
    if not text.strip():
        return "it is empty"
    marker = _MARKERS.search(text)
    if marker is not None:
        line = text.count("\n", 0, marker.start()) + 1
        return f"it has the markers of a merge that was not finished, from line {line:,} on ({marker[1]})"
    where = f" (line {error.lineno:,}: {error.msg})" if isinstance(error, json.JSONDecodeError) else ""
    return f"it is no JSON{where}"
