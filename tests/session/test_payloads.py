"""What a reply leaves to a front end is output of the run, however its reply was had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kernelexec.commands import cli
from kernelexec.kernels.kernel import Findings, Reply
from tests.fakes import (
    DATE,
    FakeStarter,
    Run,
    cells,
    finish,
    journal_lines,
    journal_path,
    ran,
    run,
    session_in,
    settled,
    stalling,
    submit,
)

PAGE = {"source": "page", "data": {"text/plain": "Signature: len(obj)"}, "start": 0}
PAGED = Reply("ok", {"status": "ok", "execution_count": 1, "payload": [PAGE]}, DATE, {})
NOTEBOOK = "sales@analysis-1.ipynb"


async def paging(kernel_run: Run) -> Reply:
    kernel_run.busy()
    kernel_run.print("before\n")
    kernel_run.idle()
    return PAGED


def texts(outputs: list[dict[str, Any]]) -> list[str]:
    return ["".join(o["text"] if "text" in o else o["data"]["text/plain"]) for o in outputs]


def test_a_page_is_in_the_cell_in_the_journal_and_in_a_notebook_made_from_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([paging])) as session:
            execution = await ran(session, "len?")
            assert texts(execution.outputs.to_notebook()) == ["before\n", "Signature: len(obj)"]

    run(test())
    [cell] = cells(tmp_path)
    assert texts(cell["outputs"]) == ["before\n", "Signature: len(obj)"]
    written = (tmp_path / NOTEBOOK).read_bytes()
    (tmp_path / NOTEBOOK).unlink()
    assert cli.main(["rebuild", str(tmp_path / NOTEBOOK)]) == 0
    assert (tmp_path / NOTEBOOK).read_bytes() == written


def test_a_page_of_a_run_that_ended_between_two_hubs_is_kept_once(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([stalling(first="one\n")])
        async with session_in(tmp_path, starter) as session:
            execution = submit(session, "len?")
            await settled(lambda: execution.last_text != "")
        [kernel] = starter.kernels
        kernel.answers.clear()
        kernel.findings = Findings(True, tells=True, begun=True, reply=PAGED, complete=True)
        async with session_in(tmp_path, FakeStarter(), alive=kernel) as session:
            execution = session.executions.get(1)
            await finish(session, execution)
            assert texts(execution.outputs.to_notebook()) == ["one\n", "Signature: len(obj)"]
        without_the_end = [line for line in journal_lines(tmp_path) if line["event"] != "finished"]
        journal_path(tmp_path).write_text("".join(json.dumps(line) + "\n" for line in without_the_end))
        kernel.executed.clear()
        async with session_in(tmp_path, FakeStarter(), alive=kernel) as session:
            execution = session.executions.get(1)
            await finish(session, execution)
            assert texts(execution.outputs.to_notebook()) == ["one\n", "Signature: len(obj)"]

    run(test())
