"""Whether a cell of a person's notebook still is for the run that it is shown in."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from kernelexec.recording.cell_place import CellPlace
from kernelexec.recording.notebook_reading import read_text
from kernelexec.recording.notebook_text import NotebookText
from tests.recording.test_live_notebook import PaperPage


def notebook(text: str = "", count: int | None = None, source: str = "x") -> NotebookText:
    outputs = [{"output_type": "stream", "name": "stdout", "text": text}] if text else []
    cell: dict[str, Any] = {"cell_type": "code", "id": "a", "metadata": {}, "source": source}
    cells = [{**cell, "outputs": outputs, "execution_count": count}, {**cell, "id": "b", "source": "y"}]
    made = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return read_text(json.dumps(made).encode())


def shown(text: str = "", count: int | None = None) -> str:
    return notebook(text, count).cells[0].shown


RUN_BEFORE = CellPlace("a", shown=shown("old", 5)).showing(notebook("ours").cells[0], None)
FRESH = CellPlace("a", shown=shown()).showing(notebook("ours").cells[0], None)


@pytest.mark.parametrize(
    ("place", "is_cleared"), [(RUN_BEFORE, True), (FRESH, True)], ids=["run before", "fresh"]
)
def test_an_empty_cell_in_a_notebook_that_says_what_it_did_was_cleared(
    place: CellPlace, *, is_cleared: bool
) -> None:
    found = notebook()
    assert place.has_other(found.cells[0])
    assert place.is_cleared(found.cells[0], found, notebook("ours")) is is_cleared


def test_a_fresh_cell_that_is_empty_beside_other_texts_may_be_of_before_the_run() -> None:
    found = notebook(source="x  # edited")
    assert not FRESH.is_cleared(found.cells[0], found, notebook("ours"))
    assert RUN_BEFORE.is_cleared(found.cells[0], found, notebook("ours"))


def test_what_the_cell_showed_before_the_run_is_older_than_it_whatever_its_count() -> None:
    assert RUN_BEFORE.is_newer(notebook("old", 5).cells[0], 1), "a new kernel counts from 1"
    assert RUN_BEFORE.is_newer(notebook("theirs", 2).cells[0], 3)
    assert not RUN_BEFORE.is_newer(notebook("theirs", 4).cells[0], 3)
    assert not RUN_BEFORE.is_newer(notebook("theirs", 4).cells[0], None)


def test_a_new_cell_that_a_page_did_not_save_is_made_in_the_file_and_one_that_was_deleted_is_not() -> None:
    page = PaperPage([])
    new = CellPlace("a", after="")
    assert new.was_never_in(None, was_saved=True)
    began = time.time()
    place = new.showing(notebook().cells[0], page).showing(notebook("ours").cells[0], page)
    assert began <= place.paged <= time.time()
    assert place.was_never_in(None, was_saved=False)
    assert place.was_never_in(PaperPage([]), was_saved=False), "of a JupyterLab that was started again"
    assert not place.was_never_in(None, was_saved=True)
    assert not place.was_never_in(page, was_saved=False)
    in_file = new.showing(notebook().cells[0], None)
    assert not in_file.was_never_in(None, was_saved=True)
    assert not CellPlace("a").was_never_in(None, was_saved=False), "of the person's own"
