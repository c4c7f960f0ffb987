"""A notebook that is larger than clients take, as notebooks of some of its cells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kernelexec.errors import BadRequest, NotFound

_ROOM = 10_000  # bytes beside the cells: what the part says of itself and of its language
_KEPT = ("kernelspec", "language_info")  # of the notebook's metadata: widgets' states can be large
_SOURCE_LIMIT = 100_000  # characters of a cell that is too large itself


def part_from(notebook: bytes, first: int, limit: int, uri: str, file: str) -> str:
    """A notebook of the cells from `first` on, in at most `limit` bytes; at least one cell.

    It begins with its metadata, which name the resource of the next part: `uri` with the number of a cell.

    Raises:
        NotFound: it has not so many cells.
        BadRequest: it is no notebook.
    """
    try:
        document = json.loads(notebook)
        cells = document["cells"]
        total = len(cells)
        metadata = {key: document["metadata"][key] for key in _KEPT if key in document["metadata"]}
    except (ValueError, KeyError, TypeError) as error:
        raise BadRequest(f"{file} is no notebook that can be read: {error!r}.") from error
    if first > max(total, 1):
        raise NotFound(f"{file} has no cell {first:,}; it has {total:,}.")
    shown: list[Any] = []
    left = limit - _ROOM
    for cell in cells[first - 1 :]:
        size = _size(cell)
        if size > left and shown:
            break
        shown.append(cell if size <= left else _shortened(cell, file))
        left -= size
    last = first - 1 + len(shown)
    said = {"cells": f"{first} to {last} of {total}", "notebook": file}
    if last < total:
        said["next"] = f"{uri}/{last + 1}"
    part = {
        "metadata": {"kernelexec": {"part": said}, **metadata},
        "nbformat": document.get("nbformat", 4),
        "nbformat_minor": document.get("nbformat_minor", 5),
        "cells": shown,
    }
    return json.dumps(part, indent=1, ensure_ascii=False)


def _size(cell: Any) -> int:
    """In bytes, with what its indentation costs."""
    text = json.dumps(cell, indent=1, ensure_ascii=False)
    return len(text.encode("utf-8", "replace")) + 2 * (text.count("\n") + 2)


def _shortened(cell: Mapping[str, Any], file: str) -> dict[str, Any]:
    """A cell that is too large, with words instead of its output; of code that is too long, the beginning."""
    source = cell.get("source", "")
    source = source if isinstance(source, str) else "".join(map(str, source))
    short = {
        **{key: cell[key] for key in ("id", "cell_type") if key in cell},
        "metadata": {"kernelexec": kept} if (kept := _ours(cell)) else {},
        "source": source[:_SOURCE_LIMIT],
    }
    if len(source) > _SOURCE_LIMIT:
        short["source"] += f"\n... ({len(source) - _SOURCE_LIMIT:,} more characters are in {file})"
    if cell.get("cell_type") == "code":
        text = f"(output of {_size(cell.get('outputs', [])):,} bytes is left out here{_how(cell)})\n"
        output = {"output_type": "stream", "name": "stderr", "text": text}
        short |= {"execution_count": cell.get("execution_count"), "outputs": [output]}
    return short


def _ours(cell: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = cell.get("metadata")
    ours = metadata.get("kernelexec") if isinstance(metadata, dict) else None
    return ours if isinstance(ours, dict) else {}


def _how(cell: Mapping[str, Any]) -> str:
    execution = _ours(cell).get("execution")
    return f'; read_output(execution_id="{execution}") reads it' if isinstance(execution, str) else ""
