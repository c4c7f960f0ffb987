"""A change that the hub asks for, made to the shared model of an open notebook.

Each can be made twice: what is there already is left as it is. A person's work goes first: a cell that somebody
has run or cleared meanwhile keeps what it shows, and is named in the answer.
"""

from __future__ import annotations

from pycrdt import Map, Text

# What the metadata of a cell that was shown as its run began say until they are told the end.
_RUNNING = ("queued", "sent", "running")


def make(document, change: dict) -> list[str]:
    """All of it at once; the ids of the cells that somebody else has changed so that it does not fit."""
    taken = []
    with document.ydoc.transaction():
        cells = by_id(document)
        for cell in change.get("cells", ()):
            if cell["id"] in cells:
                _change_cell(cells[cell["id"]], cell)
            else:
                cells[cell["id"]] = _append(document, cell)
        for cell_id, wanted in change.get("changes", {}).items():
            if cell_id in cells and not _change_cell(cells[cell_id], wanted):
                taken.append(cell_id)
        _withdraw(document, change.get("withdrawn", {}))
        _merge(metadata_of(document), change.get("metadata", {}))
    return taken


def by_id(document) -> dict:
    return {cell.get("id"): cell for cell in document.ycells}


def metadata_of(document):
    """The notebook's metadata."""
    meta = document.ydoc["meta"]
    if not isinstance(meta.get("metadata"), Map):
        meta["metadata"] = Map(meta.get("metadata") or {})
    return meta["metadata"]


def revision_of(document) -> int | None:
    """Which of the hub's writes the model has, as far as it says."""
    ours = metadata_of(document).get("kernelexec")
    revision = _plain(ours).get("revision")
    return int(revision) if isinstance(revision, (int, float)) else None


def remove_doubles(document) -> None:
    """A page that comes back to a server that was started anew brings its own copy of what is there again."""
    with document.ydoc.transaction():
        seen = set()
        index = 0
        while index < len(document.ycells):
            cell_id = document.ycells[index].get("id")
            if cell_id in seen and str(cell_id).startswith("kernelexec-"):
                del document.ycells[index]
                continue
            seen.add(cell_id)
            index += 1


def _withdraw(document, texts: dict) -> None:
    """Take away the cells of what was not run after all, where nobody has done anything with them."""
    index = 0
    while index < len(document.ycells):
        cell = document.ycells[index]
        text = texts.get(cell.get("id"))
        if text is not None and str(cell.get("source")) == text and not _shows_anything(cell):
            del document.ycells[index]
        else:
            index += 1


def _shows_anything(cell) -> bool:
    return bool(cell.get("execution_count") is not None or len(cell.get("outputs") or ()))


def _append(document, cell: dict):
    """What the kernel has shown is as much to be trusted as the code that ran in it with the person's rights."""
    metadata = {**cell.get("metadata", {}), "trusted": True}
    document.ycells.append(document.create_ycell({**cell, "metadata": metadata}))
    added = document.ycells[len(document.ycells) - 1]
    if cell["cell_type"] == "code" and _says_running(added):
        added["execution_state"] = "running"
    return added


def _change_cell(cell, wanted: dict) -> bool:
    """Whether the cell is still what the hub thinks it is."""
    if cell.get("cell_type") != "code":
        return True
    runs = _says_running(cell)
    if not runs and cell.get("execution_count") != wanted.get("execution_count"):
        return False
    fits = _change_outputs(cell["outputs"], wanted)
    if runs and "metadata" in wanted and wanted["metadata"]["kernelexec"]["state"] not in _RUNNING:
        _merge(cell["metadata"], wanted["metadata"])
        cell["execution_count"] = wanted["execution_count"]
        cell["execution_state"] = "idle"
    return fits


def _says_running(cell) -> bool:
    state = _plain(cell["metadata"].get("kernelexec")).get("state")
    return cell.get("execution_count") is None and state in _RUNNING


def _change_outputs(outputs, wanted: dict) -> bool:
    if "outputs" in wanted:
        replace_outputs(outputs, wanted["outputs"])
    elif len(outputs) != wanted.get("expected", len(outputs)):
        return False
    return all(_step(outputs, *step) for step in wanted.get("steps", ()))


def replace_outputs(outputs, wanted: list) -> None:
    """From the first one that is another: what is shown already is not drawn anew."""
    same = 0
    while same < min(len(outputs), len(wanted)) and _is_or_becomes(outputs[same], wanted[same]):
        same += 1
    if same < len(outputs):
        del outputs[same:]
    for output in wanted[same:]:
        outputs.append(_output(output))


def _is_or_becomes(output, wanted: dict) -> bool:
    """A text that only got longer is the same one with more at its end."""
    old = _as_dict(output)
    if old == wanted:
        return True
    texts = old.get("text"), wanted.get("text")
    if not (isinstance(output, Map) and isinstance(output.get("text"), Text) and isinstance(texts[1], str)):
        return False
    if {**old, "text": ""} != {**wanted, "text": ""} or not texts[1].startswith(texts[0]):
        return False
    text = output["text"]
    text += texts[1][len(texts[0]) :]  # never assigned to its place: it is part of the document already
    return True


def _step(outputs, what: str, place: int, *arguments) -> bool:
    """See kernelexec/model/output_changes.py."""
    if what == "cut":
        if place < len(outputs):
            del outputs[place:]
    elif what == "put" and place < len(outputs):
        outputs[place] = _output(*arguments)
    elif what == "put":
        outputs.append(_output(*arguments))
    elif what == "text":
        return _extend(outputs[place].get("text"), *arguments)
    return True


def _extend(text, kept: int, more: str) -> bool:
    if not isinstance(text, Text) or kept > len(text):  # in bytes
        return False
    if kept < len(text):
        del text[kept:]
    text += more  # never assigned to its place: it is part of the document already
    return True


def _output(output: dict):
    if output.get("output_type") == "stream":
        return Map({**output, "text": Text(output["text"])})
    return Map(output)


def _as_dict(output) -> dict:
    return output.to_py() if isinstance(output, Map) else output


def _merge(metadata, wanted: dict) -> None:
    """What is there under the same key is joined, one level deep."""
    for key, value in wanted.items():
        old = _plain(metadata.get(key))
        new = {**old, **value} if isinstance(value, dict) else value
        if new != old:
            metadata[key] = new


def _plain(value) -> dict:
    value = value.to_py() if isinstance(value, Map) else value
    return value if isinstance(value, dict) else {}
