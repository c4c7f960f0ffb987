"""Changes of a notebook of the person's in its shared model: all of them, if what they are about is as expected.

Texts are changed where they differ and not replaced, so that the person's cursor stays where it is.
"""

from __future__ import annotations

from pycrdt import Text

from . import shared_model


def carry_out(document, expected: dict, steps: list) -> bool:
    """False: somebody was faster, and nothing was done.

    `expected`: the cells' `ids` in order, and of those that the steps are about `cells`: source and count.
    """
    with document.ydoc.transaction():
        if not _is_expected(document, expected):
            return False
        for step in steps:
            _WORK[step["do"]](document, step)
    return True


def _is_expected(document, expected: dict) -> bool:
    cells = shared_model.by_id(document)
    if [cell.get("id") for cell in document.ycells] != expected["ids"]:
        return False
    return all(
        str(cells[cell_id].get("source")) == known["source"]
        and cells[cell_id].get("execution_count") == known["execution_count"]
        for cell_id, known in expected["cells"].items()
    )


def _place_of(document, cell_id: str) -> int:
    return next(place for place, cell in enumerate(document.ycells) if cell.get("id") == cell_id)


def _insert(document, step: dict) -> None:
    place = 0 if step["after"] is None else _place_of(document, step["after"]) + 1
    cell = step["cell"]
    document.ycells.insert(place, document.create_ycell({**cell, "metadata": cell.get("metadata", {})}))


def _delete(document, step: dict) -> None:
    del document.ycells[_place_of(document, step["id"])]


def _move(document, step: dict) -> None:
    """A copy takes its place: a shared model cannot carry a part of it elsewhere."""
    place = _place_of(document, step["id"])
    cell = document.get_cell(place)
    del document.ycells[place]
    _insert(document, {"cell": cell, "after": step["after"]})


def _remake(document, step: dict) -> None:
    place = _place_of(document, step["id"])
    del document.ycells[place]
    document.ycells.insert(place, document.create_ycell(step["cell"]))


def _put(document, step: dict) -> None:
    cell = document.ycells[_place_of(document, step["id"])]
    if "source" in step:
        _rewrite(cell["source"], step["source"])
    if "outputs" in step:
        shared_model.replace_outputs(cell["outputs"], step["outputs"])
        cell["execution_count"] = step["execution_count"]
        # What the kernel has shown is to be trusted, as in shared_model.
        cell["metadata"]["trusted"] = True
    if step.get("execution_state") not in (None, cell.get("execution_state")):
        cell["execution_state"] = step["execution_state"]


def _rewrite(text: Text, wanted: str) -> None:
    """Only what differs; pycrdt counts in bytes of UTF-8."""
    old, new = str(text), wanted
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[len(old) - 1 - end] == new[len(new) - 1 - end]:
        end += 1
    first, last = len(old[:start].encode()), len(old[: len(old) - end].encode())
    if last > first:
        del text[first:last]
    if new[start : len(new) - end]:
        text.insert(first, new[start : len(new) - end])


_WORK = {"insert": _insert, "delete": _delete, "move": _move, "remake": _remake, "put": _put}
