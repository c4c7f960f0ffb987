"""Valid notebooks: nbformat's verdict on whatever a session can write, and on what others do to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from kernelexec.kernels.kernel import Death
from kernelexec.model.execution import State
from kernelexec.model.limits import Limits
from kernelexec.recording.notebook_format import Change, new_document
from kernelexec.recording.rebuild import rebuild
from kernelexec.recording.records import find_records
from kernelexec.recording.validity import problem_in
from tests.fakes import (
    FakeStarter,
    Run,
    dying,
    failing,
    fine,
    finish,
    printing,
    ran,
    run,
    saying,
    session_in,
)
from tests.session.test_jobs import FakeJob

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg=="
VIEW = {
    "application/vnd.jupyter.widget-view+json": {"model_id": "w1", "version_major": 2, "version_minor": 0}
}
MODEL = {"_model_module": "@jupyter-widgets/controls", "_model_name": "IntSliderModel", "value": 3}


def display(data: dict[str, Any], **more: Any) -> tuple[str, dict[str, Any]]:
    return "display_data", {"data": data, "metadata": {}, "transient": {}, **more}


ANSWERS = {
    "streams": saying(
        ("stream", {"name": "stdout", "text": "out\r50 %\b\x1b[31mred\x1b[0m\n"}),
        ("stream", {"name": "stderr", "text": "half a character: \ud83d, none: \udc80, \x00 \u2028\n"}),
    ),
    "displays": saying(
        display({"text/plain": "p", "text/html": "<b>p</b>", "image/png": PNG, "image/svg+xml": "<svg/>"}),
        display({"application/json": {"a": [1, None, {"b": float("nan")}]}, "text/latex": ["$x$", "$y$"]}),
        display({"application/vnd.plotly.v1+json": {"data": []}, "text/markdown": "# ü", "x/y": "odd"}),
        ("execute_result", {"data": {"text/plain": "42"}, "metadata": {"a": 1}, "execution_count": 2}),
    ),
    "not as the protocol has it": saying(
        display({"text/plain": 5, "image/png": None, "application/json": "text"}),
        ("stream", {"name": "stdlog", "text": None}),
        ("execute_result", {"data": "none", "metadata": [], "execution_count": "one"}),
        ("error", {"ename": 1, "evalue": None, "traceback": "one line"}),
    ),
    "updates": saying(
        display({"text/plain": "0 %"}, transient={"display_id": "bar"}),
        (
            "update_display_data",
            {"data": {"text/plain": "9 %"}, "metadata": {}, "transient": {"display_id": "bar"}},
        ),
        ("clear_output", {"wait": True}),
        ("stream", {"name": "stdout", "text": "after\n"}),
    ),
    "widgets": saying(
        ("comm_open", {"comm_id": "w1", "target_name": "jupyter.widget", "data": {"state": MODEL}}),
        display({"text/plain": "IntSlider(value=3)", **VIEW}),
        ("comm_msg", {"comm_id": "w1", "data": {"method": "update", "state": {"value": 4}}}),
    ),
    "overflow": printing("a line of more than enough\n" * 1_000),
    "a large value": saying(display({"image/png": PNG * 1_000, "text/html": "<p>long</p>" * 1_000})),
    "an error": failing("ValueError", "wrong\x00", ["\x1b[31mTraceback\x1b[0m", "ValueError: wrong"]),
    "nothing": fine,
}


def validated(storage_dir: Path) -> dict[str, Any]:
    """All notebooks there, each valid as it stands on disk; here a warning of nbformat's is an error."""
    found = {path.name: json.loads(path.read_bytes()) for path in storage_dir.glob("*.ipynb")}
    for name, content in found.items():
        nbformat.validate(content)
        assert problem_in((storage_dir / name).read_bytes()) is None
    return found


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("note", [None, "# Why\n\nBecause: `x` \ud83d $y$"], ids=["no note", "note"])
def test_the_notebook_of_a_run_is_valid_whatever_it_shows(
    tmp_path: Path, name: str, note: str | None
) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([ANSWERS[name], printing("next\n")])) as session:
            session.recorder.limits = Limits(cell=5_000)
            await ran(session, "first\r\n\u2028", note=note, label="ä / b")
            await ran(session, "next")

    run(test())
    written = validated(tmp_path)["sales@analysis-1.ipynb"]["cells"]
    assert [cell["cell_type"] for cell in written] == [*(["markdown"] if note else []), "code", "code"]


def test_the_notebooks_of_a_whole_life_are_valid_and_so_is_what_is_made_from_the_journal(
    tmp_path: Path,
) -> None:
    kept: list[Run] = []

    async def keep(kernel_run: Run) -> Any:
        kept.append(kernel_run)
        return await fine(kernel_run)

    async def test() -> None:
        starter = FakeStarter([keep, *ANSWERS.values()], [dying(Death(signal=9), "last words")], [])
        async with session_in(tmp_path, starter) as session:
            session.recorder.limits = Limits(cell=5_000)
            job = FakeJob()
            job.go_on.set()
            await finish(session, session.perform(job))  # before the first kernel
            await ran(session, "kept")
            for name in ANSWERS:
                await ran(session, name, note="A note.")
            kept[0].print("late\n")
            replay = await session.replay("it was restarted", {})
            assert replay is not None
            await finish(session, replay)
            assert replay.state is not State.OK, "its kernel dies"
            await ran(session, "not run, for who sent it did not know of the death")
            await ran(session, "after it")

    run(test())
    found = validated(tmp_path)
    first = json.dumps(found["sales@analysis-1.ipynb"])
    for part in ("Installed words", "A note.", "widget-state+json", "all of this output", '"late": true'):
        assert part in first, "the test would show nothing"
    assert first.count("## A new kernel") == 2, first[-2000:]
    assert sorted(found) == ["sales@analysis-1.ipynb"]
    path = tmp_path / "sales@analysis-1.ipynb"
    made = rebuild(find_records(path, []), in_place=False).document.to_bytes()
    nbformat.validate(json.loads(made))


# --- what is not valid -----------------------------------------------------------


def document(**cell: Any) -> bytes:
    whole = {
        "cell_type": "code",
        "id": "a",
        "source": "",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
    return new_document({}).changed(Change([{**whole, **cell}])).to_bytes()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "it is empty"),
        (b"{", "it is no JSON"),
        (b"\xff", "it is no JSON"),
        (b"[" * 100_000, "it is no JSON"),
        (b"[]", "it has not the parts of a notebook"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "it has not the parts of a notebook"),
        (document(metadata={"x": 1}).replace(b'"x": 1', b'"x": NaN'), "NaN, which browsers refuse"),
        (document(outputs=[{"output_type": "stream", "text": "x"}]), "at cells/0/outputs/0: 'name'"),
        (document(source=5), "at cells/0/source: 5"),
        (document(id="no id!"), "at cells/0/id: 'no id!'"),
    ],
)
def test_what_is_not_valid_is_told_with_its_place(data: bytes, problem: str) -> None:
    said = problem_in(data)
    assert said is not None
    assert problem in said


def test_what_jupyter_mends_itself_is_valid() -> None:
    cell = {"cell_type": "markdown", "id": "a", "source": "", "metadata": {}}
    without_id = {"cell_type": "markdown", "source": "", "metadata": {}}
    for cells in ([cell, cell], [without_id]):
        content = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        assert problem_in(json.dumps(content).encode()) is None


def test_an_older_notebook_is_measured_by_the_format_of_its_time() -> None:
    old = {"worksheets": [], "metadata": {"name": ""}, "nbformat": 3, "nbformat_minor": 0}
    assert problem_in(json.dumps(old).encode()) is None
