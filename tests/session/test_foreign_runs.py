"""Cells that other clients run on a session's kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.fakes import (
    FakeKernel,
    FakeStarter,
    cells,
    finish,
    journal_lines,
    ran,
    run,
    session_in,
    stalling,
    submit,
    told,
)


def person_runs(
    kernel: FakeKernel, code: str, count: int, printing: str = "", parent: str = "theirs"
) -> None:
    """What a kernel publishes of a cell that somebody runs in JupyterLab."""
    parent = f"{parent}-{count}"
    said: list[tuple[str, dict[str, Any]]] = [
        ("status", {"execution_state": "busy"}),
        ("execute_input", {"code": code, "execution_count": count}),
        *([("stream", {"name": "stdout", "text": printing})] if printing else []),
        ("status", {"execution_state": "idle"}),
    ]
    for message_type, content in said:
        kernel.publish(message_type, content, parent)


def test_cells_of_another_client_are_told_once_with_their_code(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "x = 1")
            assert isinstance(session.kernel, FakeKernel)
            person_runs(session.kernel, "x = 3", 2)
            person_runs(session.kernel, "for n in range(3):\n    print(n)", 3)
            [text] = told(session)
            assert text.startswith("2 cells were run by another client")
            assert "In [2]: x = 3; In [3]: for n in range(3): ..." in text
            assert told(session) == []
            person_runs(session.kernel, "del x", 4)
            [text] = told(session)
            assert text.startswith("1 cell was run by another client")

    run(test())


def test_of_many_cells_the_last_ones_are_named(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "x = 1")
            assert isinstance(session.kernel, FakeKernel)
            for count in range(2, 102):
                person_runs(session.kernel, "y" * 1000, count)
            [text] = told(session)
            assert text.startswith("100 cells were run by another client")
            assert "In [101]" in text
            assert "In [96]" not in text
            assert len(text) < 800

    run(test())


def test_they_are_in_the_journal_with_their_output_and_not_in_our_notebook(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "x = 1")
            assert isinstance(session.kernel, FakeKernel)
            person_runs(session.kernel, "print(x)", 2, printing="1\n")
            await ran(session, "x = 2")
        lines = journal_lines(tmp_path)
        [begun] = [line for line in lines if line["event"] == "other"]
        [ended] = [line for line in lines if line["event"] == "other_ended"]
        assert (begun["code"], begun["count"], begun["client"]) == ("print(x)", 2, "s")
        assert begun["msg_id"] == ended["msg_id"]
        assert ended["outputs"] == [{"output_type": "stream", "name": "stdout", "text": "1\n"}]
        assert ["".join(cell["source"]) for cell in cells(tmp_path)] == ["x = 1", "x = 2"]

    run(test())


def test_a_run_of_ours_gets_nothing_of_what_another_client_runs_meanwhile(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([stalling(first="ours\n")])) as session:
            execution = submit(session, "wait()")
            while not execution.outputs.to_notebook():
                await session.executions.wait(execution, 0.001)
            assert isinstance(session.kernel, FakeKernel)
            person_runs(session.kernel, "print('theirs')", 9, printing="theirs\n")
            await session.cancel(execution, "Enough.")
            await finish(session, execution)
            assert execution.execution_count == 1
            assert "theirs" not in str(execution.outputs.to_notebook())

    run(test())


def test_a_silent_request_is_no_cell(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "x = 1")
            assert isinstance(session.kernel, FakeKernel)
            for state in ("busy", "idle"):
                session.kernel.publish("status", {"execution_state": state}, "silent")
            session.kernel.publish("stream", {"name": "stdout", "text": "a stray line"}, None)
            assert told(session) == []

    run(test())


def test_their_use_keeps_a_session_from_being_idle(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "x = 1")
            before = session.last_used
            assert isinstance(session.kernel, FakeKernel)
            person_runs(session.kernel, "x", 2)
            assert session.last_used > before

    run(test())
