"""What the hub asks for, made to a shared model of jupyter-collaboration; twice makes no difference."""

from __future__ import annotations

import copy
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from kernelexec import paths

if importlib.util.find_spec("jupyter_ydoc") is None and not os.environ.get("CI"):
    pytest.skip("jupyter-collaboration is not installed", allow_module_level=True)

from jupyter_ydoc import YNotebook

_EXTENSION = str(Path(paths.kernelspec_templates(), "jupyter_extension"))


@pytest.fixture(scope="module")
def model() -> Any:
    sys.path.append(_EXTENSION)
    try:
        from kernelexec_live import shared_model

        return shared_model
    finally:
        sys.path.remove(_EXTENSION)


def cell(number: int, state: str = "running", **fields: Any) -> dict[str, Any]:
    return {
        "id": f"kernelexec-{number}",
        "cell_type": "code",
        "source": f"x = {number}",
        "outputs": [],
        "execution_count": None if state == "running" else number,
        "metadata": {"kernelexec": {"execution": f"main@x/{number}", "state": state}},
        **fields,
    }


def stream(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


def end(number: int, *steps: Any, **fields: Any) -> dict[str, Any]:
    metadata = {"kernelexec": {"state": "ok", "script": "s.py"}, "execution": {"shell.execute_reply": "t"}}
    return {"execution_count": number, "metadata": metadata, "steps": list(steps), **fields}


def test_cells_of_what_was_not_run_go_where_nobody_has_touched_them(model: Any) -> None:
    document = notebook()
    waiting = [cell(number, "queued", execution_count=None) for number in (1, 2, 3)]
    model.make(document, {"cells": waiting})
    assert [each.get("execution_state") for each in document.ycells][-3:] == ["running"] * 3
    by_id = model.by_id(document)
    by_id["kernelexec-2"]["source"] += "  # edited"
    by_id["kernelexec-3"]["execution_count"] = 9  # run by the person
    texts = {f"kernelexec-{number}": f"x = {number}" for number in (1, 2, 3)}
    for _ in range(2):
        model.make(document, {"withdrawn": {**texts, "kernelexec-9": "x = 9"}})
        assert [each["id"] for each in document.ycells] == ["own", "kernelexec-2", "kernelexec-3"]


def notebook() -> YNotebook:
    document = YNotebook()
    own = {
        "id": "own",
        "cell_type": "code",
        "source": "y",
        "outputs": [],
        "execution_count": 3,
        "metadata": {},
    }
    document.set({"cells": [own], "metadata": {"a": 1}, "nbformat": 4, "nbformat_minor": 5})
    return document


def make(model: Any, document: YNotebook, **change: Any) -> list[str]:
    taken: list[str] = model.make(document, copy.deepcopy(change))
    return taken


def test_a_cell_is_added_runs_and_ends(model: Any) -> None:
    document = notebook()
    assert make(model, document, cells=[cell(1)], metadata={"kernelexec": {"revision": 1}}) == []
    assert document.ycells[1]["execution_state"] == "running"
    steps = [["put", 0, stream("ä\n")]]
    assert not make(model, document, changes={"kernelexec-1": {"execution_count": None, "steps": steps}})
    steps = [["text", 0, 3, "b\n10%"], ["text", 0, 5, "20%"], ["put", 1, {"output_type": "x"}], ["cut", 1]]
    assert not make(model, document, changes={"kernelexec-1": end(1, *steps)})
    assert document.ycells[1]["execution_state"] == "idle"
    found = document.get()
    assert found["cells"][1]["outputs"] == [stream("ä\nb\n20%")]
    assert found["cells"][1]["execution_count"] == 1
    assert found["cells"][1]["metadata"]["kernelexec"]["state"] == "ok"
    assert found["cells"][1]["metadata"]["execution"] == {"shell.execute_reply": "t"}
    assert found["metadata"]["a"] == 1
    assert model.revision_of(document) == 1


def test_what_is_there_already_is_not_added_again(model: Any) -> None:
    document = notebook()
    change = {"cells": [cell(1, "ok", outputs=[stream("a")])], "metadata": {"kernelexec": {"revision": 4}}}
    make(model, document, **change)
    before = document.get()
    make(model, document, **change)
    assert document.get() == before


def test_a_cell_that_was_shown_as_it_began_gets_its_end_from_who_comes_next(model: Any) -> None:
    document = notebook()
    make(model, document, cells=[cell(1, outputs=[stream("half")])])
    make(model, document, cells=[cell(1, "ok", outputs=[stream("half, whole")])])
    assert document.get()["cells"][1]["outputs"] == [stream("half, whole")]
    assert document.ycells[1]["execution_state"] == "idle"


@pytest.mark.parametrize("count", [9, 9.0])
def test_a_cell_that_the_person_has_run_since_keeps_what_it_shows(model: Any, count: float) -> None:
    document = notebook()
    make(model, document, cells=[cell(1)])
    document.ycells[1]["execution_count"] = count
    change = end(1, ["put", 0, stream("ours")])
    assert make(model, document, changes={"kernelexec-1": change}) == ["kernelexec-1"]
    assert document.get()["cells"][1]["outputs"] == []


def test_a_cell_that_was_cleared_during_its_run_stays_cleared_and_ends(model: Any) -> None:
    document = notebook()
    make(model, document, cells=[cell(1, outputs=[stream("a")])])
    document.ycells[1]["outputs"].clear()
    change = end(1, ["text", 0, 1, "b"], expected=1)
    assert make(model, document, changes={"kernelexec-1": change}) == ["kernelexec-1"]
    assert document.get()["cells"][1]["outputs"] == []
    assert document.get()["cells"][1]["execution_count"] == 1


def test_a_cell_that_was_deleted_stays_deleted(model: Any) -> None:
    document = notebook()
    make(model, document, cells=[cell(1)])
    del document.ycells[1]
    assert make(model, document, changes={"kernelexec-1": end(1)}) == []
    assert len(document.ycells) == 1


def test_a_copy_that_a_page_brings_back_is_removed(model: Any) -> None:
    document = notebook()
    make(model, document, cells=[cell(1)])
    document.append_cell(cell(1))
    document.append_cell({**cell(2), "id": "own"})  # a person's own double is not ours to remove
    model.remove_doubles(document)
    assert [each["id"] for each in document.ycells] == ["own", "kernelexec-1", "own"]
