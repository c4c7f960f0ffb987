"""A person's notebook that is open in JupyterLab as a shared model: read and changed there."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelexec.errors import BadRequest
from kernelexec.model.outputs import JSON
from kernelexec.recording.notebook_format import joined_cell
from kernelexec.recording.notebook_reading import read_text
from kernelexec.recording.notebook_text import NotANotebook, NotebookText, TextCell
from kernelexec.recording.opened_notebook import Update
from kernelexec.recording.pages import Page


@dataclass(frozen=True)
class Marks:
    """Which cells are to be marked in a page, by id."""

    running: Collection[str] = ()  # whose run goes on
    waiting: Collection[str] = ()  # whose run has not begun, whatever they show
    over: Collection[str] = ()  # whose run does not begin after all


NO_MARKS = Marks()
_TRIES = 50  # while the person types in a cell that is to be changed


async def read_page(page: Page) -> NotebookText:
    """The notebook as the person sees it.

    Raises:
        PageGone: it is not open there any more.
    """
    try:
        return read_text(json.dumps(await page.read()).encode("utf-8", "surrogatepass"))
    except NotANotebook as error:
        raise BadRequest(f"The open notebook cannot be worked in: {error}.") from None


async def change_page(page: Page, update: Update, marks: Marks = NO_MARKS) -> NotebookText:
    """As OpenedNotebook.change.

    Raises:
        BadRequest: what `update` says; nothing was changed.
        PageGone: it may or may not be done.
    """
    for _ in range(_TRIES):
        before = await read_page(page)
        after = update(before)
        steps = list(_steps(before, after))
        steps += _marked(after, steps, marks)
        if not steps or await page.carry_out(_expected(before, steps), steps):
            return after
    raise BadRequest("The user is changing these cells right now; nothing was changed.", "Call again.")


def _expected(before: NotebookText, steps: Sequence[Mapping[str, Any]]) -> dict[str, JSON]:
    """What the steps rely on."""
    about = {step["id"] for step in steps if "id" in step}
    cells = {
        cell.id: {"source": cell.source, "execution_count": cell.execution_count}
        for cell in before.cells
        if cell.id in about
    }
    return {"ids": [cell.id for cell in before.cells], "cells": cells}


def _steps(before: NotebookText, after: NotebookText) -> Sequence[dict[str, JSON]]:
    """What makes one of the other, in order."""
    steps: list[dict[str, JSON]] = []
    for cell in before.cells:
        if cell.id not in after.places:
            steps.append({"do": "delete", "id": cell.id})
    order = [cell.id for cell in before.cells if cell.id in after.places]
    previous: str | None = None
    for place, cell in enumerate(after.cells):
        if cell.id not in before.places:
            steps.append({"do": "insert", "after": previous, "cell": _plain(cell)})
            order.insert(place, cell.id)
        elif order[place] != cell.id:
            steps.append({"do": "move", "id": cell.id, "after": previous})
            order.remove(cell.id)
            order.insert(place, cell.id)
        previous = cell.id
    for cell in after.cells:
        old = before.cell(cell.id)
        if old is not None and old.raw != cell.raw:
            steps.append(_change(old, cell))
    return steps


def _marked(after: NotebookText, steps: Sequence[Mapping[str, JSON]], marks: Marks) -> list[dict[str, JSON]]:
    """The busy marks of cells that run or wait, and the end of those that have got their last outputs."""
    states = {str(step["id"]): "idle" for step in steps if "outputs" in step}
    states |= {name: "idle" for name in marks.over if name in after.places}
    states |= {name: "running" for name in marks.waiting if name in after.places}
    for name in marks.running:
        cell = after.cell(name)
        if cell is not None and cell.execution_count is None:
            states[name] = "running"
    return [{"do": "put", "id": name, "execution_state": state} for name, state in states.items()]


def _change(old: TextCell, new: TextCell) -> dict[str, JSON]:
    if old.kind != new.kind:
        return {"do": "remake", "id": new.id, "cell": _plain(new)}
    step: dict[str, JSON] = {"do": "put", "id": new.id}
    if old.source != new.source:
        step["source"] = new.source
    if old.shown != new.shown:
        plain = _plain(new)
        step |= {"outputs": plain["outputs"], "execution_count": plain["execution_count"]}
    return step


def _plain(cell: TextCell) -> dict[str, JSON]:
    """With text in one piece, as a shared model has it."""
    return {**joined_cell(cell.whole()), "id": cell.id}
