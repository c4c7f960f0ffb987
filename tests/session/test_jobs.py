"""Work beside the kernel: executions that are no request to it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelexec.errors import EnvironmentUnusable
from kernelexec.model.execution import Kind, State
from kernelexec.session.jobs import Outcome, Reports
from tests.fakes import (
    FakeStarter,
    cells,
    finish,
    journal_lines,
    ran,
    run,
    session_in,
    settled,
    stalling,
    submit,
    text_of,
    told_states,
)


@dataclass
class FakeJob:
    """Says something, then waits until it may end or is stopped."""

    outcome: Outcome = Outcome(True, "Installed words 2.0 with pip.\nIt can be imported.")  # noqa: RUF009 - frozen
    fields: Mapping[str, Any] = field(default_factory=lambda: {"log": "/run/1.log"})
    failure: Exception | None = None
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False
    kind: Kind = Kind.INSTALL
    what: str = "words>=2"

    async def run(self, reports: Reports) -> Outcome:
        if self.failure is not None:
            raise self.failure
        reports.begun(self.fields)
        reports.output("Collecting words\n")
        await self.go_on.wait()
        return Outcome(False, "Stopped.") if self.stopped else self.outcome

    def stop(self) -> bool:
        self.stopped = True
        self.go_on.set()
        return True


def test_work_is_an_execution_with_a_number_output_and_an_end(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "1")
            job = FakeJob()
            job.go_on.set()
            execution = session.perform(job)
            assert execution.id == "sales@analysis/2"
            await finish(session, execution)
            assert execution.state is State.OK
            assert execution.problem == "Installed words 2.0 with pip.\nIt can be imported."
            assert text_of(execution.outputs.to_notebook()) == "Collecting words\n"
            assert execution.script is None
            await settled(lambda: not session.has_jobs)
            assert (await ran(session, "2")).number == 3

    run(test())


def test_work_needs_no_kernel_and_does_not_wait_for_a_run(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([stalling()])
        async with session_in(tmp_path, starter) as session:
            first = session.perform(FakeJob(go_on=_set()))
            await finish(session, first)
            assert starter.starts == 0
            busy = submit(session, "while True: pass")
            await settled(lambda: busy.state is State.RUNNING)
            second = session.perform(FakeJob(go_on=_set()))
            await finish(session, second)
            assert (second.state, busy.state) == (State.OK, State.RUNNING)

    run(test())


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


def test_a_cancel_ends_it_and_it_is_told_as_interrupted(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            job = FakeJob()
            execution = session.perform(job)
            await settled(lambda: execution.state is State.RUNNING)
            assert session.has_jobs
            await session.cancel(execution, "Cancelled by the client.")
            assert job.stopped
            assert execution.state is State.INTERRUPTED
            assert execution.problem == "Cancelled by the client.\nStopped."

    run(test())


def test_work_that_cannot_begin_was_not_run(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            execution = session.perform(FakeJob(failure=EnvironmentUnusable("It is read-only.", "Mend it.")))
            await finish(session, execution)
            assert (execution.state, execution.problem) == (State.NOT_RUN, "It is read-only.\nMend it.")

    run(test())


def test_a_fault_of_ours_is_an_end_too(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            execution = session.perform(FakeJob(failure=ZeroDivisionError()))
            await finish(session, execution)
            assert execution.state is State.NOT_RUN
            assert execution.problem is not None
            assert "ZeroDivisionError" in execution.problem

    run(test())


def test_the_notebook_gets_one_line_of_text_and_the_folder_no_script(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "1")
            execution = session.perform(FakeJob(go_on=_set()))
            await finish(session, execution)
            await ran(session, "2")
        assert [(cell["cell_type"], "".join(cell["source"])) for cell in cells(tmp_path)] == [
            ("code", "1"),
            ("markdown", "Installed words 2.0 with pip."),
            ("code", "2"),
        ]
        assert len(list((tmp_path / "sales@analysis-1").glob("*.py"))) == 2

    run(test())


def test_what_is_installed_before_the_first_kernel_is_in_its_notebook(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            execution = session.perform(FakeJob(go_on=_set()))
            await finish(session, execution)
            await session.recorder.flush()
            assert cells(tmp_path) == []
        async with session_in(tmp_path, FakeStarter()) as session:  # also by way of the journal
            await ran(session, "1")
        assert [cell["cell_type"] for cell in cells(tmp_path)] == ["markdown", "code"]

    run(test())


def test_a_hub_that_ends_leaves_work_to_itself_and_the_next_one_has_no_second_end_for_it(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            job = FakeJob()
            execution = session.perform(job)
            await settled(lambda: execution.state is State.RUNNING)
        assert not job.stopped
        assert told_states(tmp_path) == {1: []}
        assert [line["log"] for line in journal_lines(tmp_path) if line["event"] == "begun"] == ["/run/1.log"]
        async with session_in(tmp_path, FakeStarter()) as session:
            again = session.executions.get(1)
            await finish(session, again)
            assert again.state is State.UNKNOWN
            assert text_of(again.outputs.to_notebook()) == "Collecting words\n"
        assert told_states(tmp_path) == {1: [State.UNKNOWN]}

    run(test())
