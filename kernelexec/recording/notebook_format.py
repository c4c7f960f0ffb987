"""The layout of a notebook file, byte for byte as nbformat and JupyterLab write it. Pure.

nbformat itself is not used: importing it and its schema validator costs a tenth of a second, and it can only
read and write whole notebooks. The tests hold this module against it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import quote
from uuid import uuid4

from kernelexec.model.outputs import JSON, is_deeper_than, is_json_mime

Cell: TypeAlias = Mapping[str, JSON]

# nbformat 4.5, the first minor version with cell ids.
_MAJOR, _MINOR = 4, 5

# Levels of lists and objects. The JSON writer takes a Python frame for each, of which there are 1,000, and
# nbformat takes two or three: nobody else could write such a notebook either.
_DEEPEST = 400

# Strings in JSON hold no line break, so these bytes are nowhere else in a notebook of the standard layout.
_HEAD = b'{\n "cells": [\n'
_TAIL = b'\n ],\n "metadata": {'
_CELL_END = b"\n  }"
_CELL_BREAK = b",\n"
_CELL_START = b"  {"
_CELL_ID = re.compile(rb'\n   "id": "([^"\\]*)"')

# Of the types that are not text/*, those whose data nbformat stores as a list of lines.
_MIMES_IN_LINES = frozenset({"application/javascript", "image/svg+xml"})

# What only concerns a notebook in memory; nbformat writes none of it.
_TRANSIENT_METADATA = frozenset({"orig_nbformat", "orig_nbformat_minor", "signature"})
_TRANSIENT_CELL_METADATA = frozenset({"trusted"})

# What the metadata of a cell that was shown as its run began say until they are told the end.
RUNNING_STATES = ("queued", "sent", "running")

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class NewOutputs:
    """What a cell of ours is to show, unless it was cleared or run again meanwhile: a cell that has
    another execution count than this one is left as it is, but for one that was shown as its run began."""

    outputs: Sequence[Cell]
    execution_count: int | None
    metadata: Mapping[str, JSON] = field(default_factory=dict)  # for a cell that was shown as its run began


@dataclass(frozen=True)
class Change:
    """What is to become of a notebook: cells to add at its end, other outputs by cell id, and metadata,
    which joins what is there under the same key."""

    cells: Sequence[Cell] = ()
    outputs: Mapping[str, NewOutputs] = field(default_factory=dict)
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    only_metadata: bool = False  # worth a write of its own
    # By id, with their text: cells of what was not run after all, which a page takes away where nobody has
    # done anything with them. In a file they say so by their metadata.
    withdrawn: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (self.cells or self.outputs or self.only_metadata)


@dataclass(frozen=True)
class Found:
    """The notebook as it is before a change. `ids` is None if nobody has written it since we did."""

    ids: frozenset[str] | None
    revision: int | None  # of ours that it was made from, by its metadata


UNTOUCHED = Found(None, None)
MISSING = Found(frozenset(), None)
# What was there cannot be read: as if it was made from nothing of ours, so that all of ours is added again.
LOST = Found(frozenset(), 0)


@dataclass(frozen=True)
class Document:
    """A whole notebook: its cells, and its other top-level keys."""

    cells: Sequence[Cell]
    rest: Mapping[str, JSON]

    def changed(self, change: Change) -> Document:
        cells = [
            _with_outputs(cell, change.outputs[str(cell.get("id"))])
            if cell.get("id") in change.outputs
            else cell
            for cell in self.cells
        ]
        metadata = _merged(self.rest.get("metadata"), change.metadata)
        return Document([*cells, *change.cells], {**self.rest, "metadata": metadata})

    def found(self) -> Found:
        ids = frozenset(str(cell.get("id")) for cell in self.cells)
        return Found(ids, _revision(self.rest))

    def to_bytes(self) -> bytes:
        metadata = _without(self.rest.get("metadata"), _TRANSIENT_METADATA)
        cells = [stored_cell(cell) for cell in self.cells]
        return to_json({**self.rest, "metadata": metadata, "cells": cells}) + b"\n"


def new_document(metadata: Mapping[str, JSON]) -> Document:
    """A notebook that nothing was run in yet. One that follows another begins with a link to that."""
    return Document(
        _link_to_previous(metadata), {"metadata": metadata, "nbformat": _MAJOR, "nbformat_minor": _MINOR}
    )


def _link_to_previous(metadata: Mapping[str, JSON]) -> list[Cell]:
    about = metadata.get("kernelexec")
    previous = about.get("previous") if isinstance(about, Mapping) else None
    if not isinstance(about, Mapping) or not isinstance(previous, str):
        return []
    ended = about.get("previous_ended")
    why = f" Its kernel ended: {ended}." if isinstance(ended, str) else ""
    source = f"Continues [{previous}]({quote(previous, safe='@')}).{why} No variables were carried over."
    return [
        {
            "cell_type": "markdown",
            "id": "previous-kernel",
            "metadata": {"kernelexec": {"previous": previous}},
            "source": source,
        }
    ]


def parse(data: bytes) -> Document | None:
    """A notebook of nbformat 4 in any layout, raised to 4.5 with ids for all cells; None if it is none."""
    try:
        # Not json.loads(bytes), which takes surrogates in UTF-8 that no reader of notebooks takes.
        whole: JSON = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(whole, dict) or whole.get("nbformat") != _MAJOR or is_deeper_than(_DEEPEST, whole):
        return None
    cells, minor = whole.get("cells"), whole.get("nbformat_minor", 0)
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        return None
    if not isinstance(minor, int) or not isinstance(whole.get("metadata"), dict):
        return None
    rest = {key: value for key, value in whole.items() if key != "cells"}
    rest["nbformat_minor"] = max(minor, _MINOR)
    return Document([cell if _has_id(cell) else {**cell, "id": str(uuid4())} for cell in cells], rest)


def tail_offset(data: bytes) -> int | None:
    """Where the cells end in a notebook to which cells can be added as bytes; None for any other content.

    All of the data is checked to be a notebook of nbformat 4.5 or later, cell by cell: one json.loads of
    100 MB would keep every other thread waiting for half a second.
    """
    end = data.rfind(_TAIL)
    if end < 0 or not data.startswith(_HEAD + _CELL_START):
        return None
    try:
        if _closes_notebook(data[end:]) and all(_has_id(cell) for cell in _each_cell(data, end)):
            return end
    except (ValueError, RecursionError):
        pass
    return None


def own_tail_offset(data: bytes) -> int | None:
    """The same for what `to_bytes` has made, whose cells need no check."""
    end = data.rfind(_TAIL)
    usual = end >= 0 and data.startswith(_HEAD + _CELL_START) and _closes_notebook(data[end:])
    return end if usual and data.find(b"\n ],\n", 0, end) < 0 else None


def appended(cells: Sequence[Cell]) -> bytes:
    """The bytes to put between the last cell and the tail."""
    return b"".join(_CELL_BREAK + b"  " + _indented(to_json(stored_cell(cell))) for cell in cells)


def found_in(data: bytes, end: int) -> Found:
    """What is in a notebook of the standard layout, whose tail begins at `end`."""
    ids = frozenset(found.decode() for found in _CELL_ID.findall(data, 0, end))
    return Found(ids, _revision(_rest(data[end:])))


def changed_tail(tail: bytes, metadata: Mapping[str, JSON]) -> bytes:
    """The tail with this metadata in it."""
    if not metadata:
        return tail
    rest = _rest(tail)
    merged = _merged(_without(rest.get("metadata"), _TRANSIENT_METADATA), metadata)
    return b"\n ]," + to_json({**rest, "metadata": merged})[1:] + b"\n"


def changed_cells(data: bytes, end: int, outputs: Mapping[str, NewOutputs]) -> list[tuple[int, int, bytes]]:
    """For a notebook of the standard layout: which bytes of it are to be replaced by which, in order."""
    changes = []
    for cell_id, new in outputs.items():
        line = data.find(b'\n   "id": %s' % json.dumps(cell_id).encode(), 0, end)
        if line < 0:
            continue
        start = data.rfind(b"\n" + _CELL_START + b"\n", 0, line) + 1
        stop = data.find(_CELL_END, line, end) + len(_CELL_END)
        cell: dict[str, JSON] = json.loads(data[start:stop])
        changed = _with_outputs(cell, new)
        if changed is not cell:
            changes.append((start, stop, b"  " + _indented(to_json(stored_cell(changed)))))
    return sorted(changes)


def _with_outputs(cell: Cell, new: NewOutputs) -> Cell:
    """The cell itself if it is not (any more) what the outputs are of."""
    if cell.get("cell_type") != "code":
        return cell
    if _says_running(cell):
        metadata = _merged(cell.get("metadata"), new.metadata)
        count = new.execution_count
        return {**cell, "outputs": list(new.outputs), "execution_count": count, "metadata": metadata}
    if cell.get("execution_count") != new.execution_count:
        return cell
    return {**cell, "outputs": list(new.outputs)}


def _says_running(cell: Cell) -> bool:
    """Whether it is one of ours whose end it has not been told; a person's own run gives it a count."""
    metadata = cell.get("metadata")
    ours = metadata.get("kernelexec") if isinstance(metadata, Mapping) else None
    state = ours.get("state") if isinstance(ours, Mapping) else None
    return cell.get("execution_count") is None and state in RUNNING_STATES


def _rest(tail: bytes) -> dict[str, JSON]:
    """The notebook's keys behind its cells."""
    closed: dict[str, JSON] = json.loads(b'{"cells": [' + tail)
    del closed["cells"]
    return closed


def _revision(rest: Mapping[str, JSON]) -> int | None:
    metadata = rest.get("metadata")
    ours = metadata.get("kernelexec") if isinstance(metadata, Mapping) else None
    revision = ours.get("revision") if isinstance(ours, Mapping) else None
    return revision if isinstance(revision, int) else None


def _merged(metadata: JSON, new: Mapping[str, JSON]) -> JSON:
    merged = dict(metadata) if isinstance(metadata, Mapping) else {}
    for key, value in new.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = {**old, **value} if both else value  # type: ignore[dict-item]
    return merged


def _closes_notebook(tail: bytes) -> bool:
    """Whether nothing but the list of cells is open before the tail, and the version is one we can write."""
    closed: JSON = json.loads('{"cells": [' + tail.decode())
    if not isinstance(closed, dict) or closed.get("nbformat") != _MAJOR:
        return False
    minor = closed.get("nbformat_minor")
    return isinstance(minor, int) and minor >= _MINOR


def _each_cell(data: bytes, end: int) -> Iterator[JSON]:
    """The cells before `end`. Raises ValueError if they are not JSON, or not in the standard layout."""
    start, between = len(_HEAD), _CELL_END + _CELL_BREAK + _CELL_START
    while (found := data.find(between, start, end)) >= 0:
        yield json.loads(data[start : found + len(_CELL_END)].decode())
        start = found + len(_CELL_END) + len(_CELL_BREAK)
    yield json.loads(data[start:end].decode())


def _has_id(cell: JSON) -> bool:
    return isinstance(cell, dict) and isinstance(cell.get("id"), str) and cell["id"] != ""


def stored_cell(cell: Cell) -> dict[str, JSON]:
    """The cell as nbformat stores it: text as lists of lines."""
    stored = dict(cell)
    if "metadata" in cell:
        stored["metadata"] = _without(cell["metadata"], _TRANSIENT_CELL_METADATA)
    if "source" in cell:
        stored["source"] = _in_lines(_joined(cell["source"]))
    attachments, outputs = cell.get("attachments"), cell.get("outputs")
    if isinstance(attachments, Mapping):
        stored["attachments"] = {name: _stored_bundle(data) for name, data in attachments.items()}
    if isinstance(outputs, list):
        stored["outputs"] = [_stored_output(output) for output in outputs]
    return stored


def joined_cell(cell: Cell) -> dict[str, JSON]:
    """The cell with text in one piece, as it is in memory."""
    whole = {**cell, "source": _joined(cell.get("source", ""))}
    outputs = cell.get("outputs")
    if isinstance(outputs, list):
        whole["outputs"] = [_joined_output(output) for output in outputs]
    return whole


def _joined_output(output: JSON) -> JSON:
    if not isinstance(output, Mapping):
        return output
    if "text" in output:
        return {**output, "text": _joined(output["text"])}
    data = output.get("data")
    if not isinstance(data, Mapping):
        return output
    joined = {mime: value if is_json_mime(mime) else _joined(value) for mime, value in data.items()}
    return {**output, "data": joined}


def _stored_output(output: JSON) -> JSON:
    if not isinstance(output, Mapping):
        return output
    if output.get("output_type") == "stream":
        return {**output, "text": _in_lines(_joined(output.get("text", "")))}
    if output.get("output_type") in ("execute_result", "display_data"):
        return {**output, "data": _stored_bundle(output.get("data", {}))}
    return output


def _stored_bundle(data: JSON) -> JSON:
    if not isinstance(data, Mapping):
        return data
    return {mime: _stored_data(mime, value) for mime, value in data.items()}


def _stored_data(mime: str, value: JSON) -> JSON:
    text = value if is_json_mime(mime) else _joined(value)
    return _in_lines(text) if mime.startswith("text/") or mime in _MIMES_IN_LINES else text


def _joined(value: JSON) -> JSON:
    """Text in one piece if it was in lines."""
    if not isinstance(value, list):
        return value
    lines = [line for line in value if isinstance(line, str)]
    return "".join(lines) if len(lines) == len(value) else value


def _in_lines(value: JSON) -> JSON:
    return value.splitlines(keepends=True) if isinstance(value, str) else value


def _without(metadata: JSON, keys: frozenset[str]) -> JSON:
    if not isinstance(metadata, Mapping):
        return metadata
    return {key: value for key, value in metadata.items() if key not in keys}


def _indented(cell: bytes) -> bytes:
    return cell.replace(b"\n", b"\n  ")


def to_json(value: JSON, indent: int | None = 1) -> bytes:
    """JSON in the layout of notebooks, and always UTF-8. `indent`: None for all of it in one line.

    A lone surrogate becomes its escape as text, six characters: JSON could hold it, but JupyterLab could not
    save the notebook then, and in source code the escape means the same.
    """
    text = _dumps(value, indent)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text).encode()


def _dumps(value: JSON, indent: int | None) -> str:
    """Like json.dumps, with null for NaN and Infinity: a browser refuses a notebook that has them."""

    def dumps(value: JSON) -> str:
        return json.dumps(
            value, ensure_ascii=False, allow_nan=False, indent=indent, separators=(",", ": "), sort_keys=True
        )

    try:
        return dumps(value)
    except ValueError:
        return dumps(json.loads(json.dumps(value), parse_constant=lambda _: None))
