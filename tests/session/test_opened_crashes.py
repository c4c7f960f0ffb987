"""A person's notebook that a session works in, whose hub is killed or whose disk fails at any operation."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat
import pytest

from kernelexec.errors import KernelexecError
from kernelexec.kernels.kernel import Reply
from kernelexec.model.execution import Execution, State
from kernelexec.model.limits import Limits
from kernelexec.recording import opened_writer
from kernelexec.recording.cell_place import CellPlace
from kernelexec.session.session import Session
from kernelexec.session.submission import Submission
from tests.fakes import (
    ANN,
    FakeKernel,
    FakeStarter,
    Run,
    failing,
    finish,
    printing,
    run,
    saying,
    session_in,
    told_states,
)

OPERATIONS = (
    "open",
    "write",
    "fsync",
    "replace",
    "rename",
    "link",
    "unlink",
    "ftruncate",
    "fchmod",
    "copy_file_range",
    "mkdir",
)
NOTEBOOK = "study.ipynb"
LARGE = "L" * 30_000
ENDS = {"one": "out 1", "new": '"ename": "E"', "two": "LLL", "last": "out 4"}  # what each shows
CODES = {"one": "1", "new": "2", "two": "3", "last": "4"}  # what is run, by the cell that shows it


@pytest.fixture(autouse=True)
def often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERNELEXEC_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setattr(opened_writer, "_GATHER_SECONDS", 0.001)


def make(root: Path) -> Path:
    """What the person has, and what a kernel has put into its spool."""
    root.mkdir()
    notebook = nbformat.v4.new_notebook()
    for name in ("zero", "one", "two"):
        notebook.cells.append(nbformat.v4.new_code_cell(f"# the person's {name}", id=name))
    nbformat.write(notebook, root / NOTEBOOK)
    (root / "k").mkdir()
    (root / "k" / "spooled-1").write_text(LARGE)
    return root


def spooled() -> tuple[str, dict[str, Any]]:
    value = {"mime": "text/plain", "characters": 30_000, "file": "spooled-1", "problem": None}
    told = {"spooled": [{**value, "ends": [LARGE[:2_000], LARGE[:1_000]]}], "text": None}
    data = {"text/plain": "too large for a message"}
    return "display_data", {"data": data, "metadata": {}, "transient": {}, "kernelexec": told}


async def life(session: Session) -> list[Execution]:
    """A busy one; what a full disk refuses is not in it."""
    session.recorder.limits = Limits(cell=5_000, run=1_000_000)
    places = [
        CellPlace("one"),
        CellPlace("new", after="one"),
        CellPlace("two"),
        CellPlace("last", after="two"),
    ]
    done: list[Execution] = []
    for place, code in zip(places, CODES.values(), strict=True):
        try:
            execution = session.submit(
                Submission(code, note="why" if place.after else None, caller=ANN, place=place)
            )
        except KernelexecError:
            continue
        await finish(session, execution)
        done.append(execution)
        await session.recorder.flush()
    return done


async def answer(kernel_run: Run) -> Reply:
    says = {"1": printing("out 1\n"), "2": failing("E"), "3": saying(spooled()), "4": printing("out 4\n")}
    return await says[kernel_run.code](kernel_run)


async def lived(root: Path) -> list[Execution]:
    with mock.patch.object(FakeKernel, "spool", root / "k"):
        async with session_in(root, FakeStarter(*[[answer] * len(CODES)] * len(CODES))) as session:
            await session.open_notebook(root / NOTEBOOK, ANN)
            return await life(session)


async def look_again(root: Path) -> dict[int, State]:
    """The next hub, which writes what is missing."""
    starter = FakeStarter()
    async with session_in(root, starter) as session:
        states = {number: session.executions.get(number).state for number in told_states(root)}
        await session.recorder.flush()
    assert starter.starts == 0, "something was run by itself"
    return states


def assert_whole(root: Path, states: dict[int, State], where: str) -> None:
    """The person's cells are as they were, and all that was run is shown once, in its place."""
    notebook = nbformat.read(root / NOTEBOOK, nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    ids = [cell.id for cell in code_cells]
    assert len(ids) == len(set(ids)), where
    assert [i for i in ids if i in ("zero", "one", "two")] == ["zero", "one", "two"], where
    for cell in code_cells:
        if cell.id in ("zero", "one", "two"):
            assert cell.source == f"# the person's {cell.id}", where
    shown = {cell.id: json.dumps(cell.outputs) for cell in code_cells}
    codes = {line["n"]: line["cell"] for line in submitted(root)}
    for number, state in states.items():
        if state in (State.OK, State.ERROR):
            outputs = shown.get(codes[number], "")
            if "was not kept: No space left on device" in outputs:  # of the large value, which is told then
                continue
            assert ENDS[codes[number]] in outputs, f"{codes[number]} {where}"
            if codes[number] == "two":
                [output] = [output for cell in code_cells if cell.id == "two" for output in cell.outputs]
                assert (root / output.metadata.kernelexec.file).read_text() == LARGE, where
    notes = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert len(notes) <= 2, where


def submitted(root: Path) -> Iterator[dict[str, Any]]:
    for line in (root / ".kernelexec" / "sales@analysis.jsonl").read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record["event"] == "submitted":
            yield record


@contextmanager
def before_each_operation(act: Callable[[int, str], None]) -> Iterator[None]:
    """`act` is called before each operation on files, with its number and name."""
    lock, count = threading.RLock(), 0
    patches = pytest.MonkeyPatch()

    def watched(name: str) -> Any:
        original = getattr(os, name)

        def operation(*arguments: Any, **keywords: Any) -> Any:
            nonlocal count
            with lock:
                count += 1
                act(count, name)
            return original(*arguments, **keywords)

        return operation

    for name in OPERATIONS:
        patches.setattr(os, name, watched(name))
    try:
        yield
    finally:
        patches.undo()


def test_wherever_the_hub_is_killed_nothing_of_the_persons_is_lost_and_all_is_shown(tmp_path: Path) -> None:
    root, points = make(tmp_path / "life"), tmp_path / "points"
    points.mkdir()
    busy = False

    def keep(number: int, name: str) -> None:
        nonlocal busy
        if not busy:
            busy = True
            shutil.copytree(root, points / f"{number:04d}-{name}", symlinks=True)
            busy = False

    with before_each_operation(keep):
        run(lived(root))
    found = sorted(points.iterdir())
    assert len(found) > 50
    for point in found:
        journal = point / ".kernelexec" / "sales@analysis.jsonl"
        if journal.exists():
            lines = journal.read_bytes()
            journal.write_bytes(lines.replace(bytes(root), bytes(point)))  # it names the notebook
            os.utime(point / NOTEBOOK, (1, 1))
            states = run(look_again(point))
            assert_whole(point, states, point.name)
            assert run(look_again(point)) == states, point.name


def test_whichever_operation_fails_nothing_is_lost(tmp_path: Path) -> None:
    number, reached = 0, [""]

    def fail(count: int, operation: str) -> None:
        if count == number:
            reached.append(operation)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    while reached:
        number += 1
        reached.clear()
        root = make(tmp_path / str(number))
        try:
            with before_each_operation(fail):
                run(lived(root))
        except (KernelexecError, OSError):
            continue  # the session, or the notebook, could not be opened
        os.utime(root / NOTEBOOK, (1, 1))
        if (root / ".kernelexec" / "sales@analysis.jsonl").exists():
            assert_whole(root, run(look_again(root)), f"operation {number}, {reached}")
        shutil.rmtree(root)
    assert number > 50
