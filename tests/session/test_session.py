"""The queue of a session, through its public door, on kernels that follow a script."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

from kernelexec.errors import BadRequest
from kernelexec.kernels.kernel import Death, Reply
from kernelexec.model.clock import read_moment
from kernelexec.model.execution import State
from kernelexec.recording.journal import Journal
from kernelexec.session.submission import Asked
from tests.fakes import (
    Answer,
    FakeStarter,
    aborted,
    cells,
    dying,
    failing,
    fine,
    finish,
    flooding,
    journal_lines,
    printing,
    ran,
    run,
    session_in,
    settled,
    silently_aborted,
    stalling,
    submit,
    text_of,
    told,
    told_states,
)

# --- one at a time ----------------------------------------------------------------


def test_of_a_run_whose_kernel_died_before_it_said_its_count_files_are_named_all_the_same(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        starter = FakeStarter([fine, dying(Death(signal=9))])
        async with session_in(tmp_path, starter) as session:
            first, second = submit(session, "a"), submit(session, "b")
            await finish(session, first, second)
            assert (second.state, second.execution_count) == (State.DIED, None)
            assert dict(session.executions.files(second)) == {1: first.script.name}

    run(test())


def test_a_submission_runs_and_its_output_is_its_own(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([printing("one\n"), printing("two\n")])
        async with session_in(tmp_path, starter) as session:
            first, second = submit(session, "a"), submit(session, "b")
            await finish(session, first, second)
            assert [e.id for e in (first, second)] == ["sales@analysis/1", "sales@analysis/2"]
            assert [text_of(e.outputs.to_notebook()) for e in (first, second)] == ["one\n", "two\n"]
            assert (first.state, first.execution_count, first.generation) == (State.OK, 1, 1)
            assert first.submitted <= first.started <= first.finished
            assert first.timing.keys() >= {"iopub.execute_input", "shell.execute_reply"}
            moments = [read_moment(said) for said in first.timing.values()]  # the fake's clock stands still
            assert all(first.submitted <= moment <= first.finished for moment in moments)

    run(test())


def test_submissions_run_one_at_a_time_first_come_first_served(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            executions = [submit(session, f"x = {n}") for n in range(20)]
            await finish(session, *executions)
        assert starter.executed == [f"x = {n}" for n in range(20)]
        assert starter.kernels[0].most_in_flight == 1
        assert starter.starts == 1

    run(test())


def test_a_request_that_comes_again_over_another_connection_is_not_run_again(tmp_path: Path) -> None:
    """As of a client whose link to this host dropped."""

    async def test() -> None:
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            first = submit(session, "x += 1", asked=Asked(place=1, request="7"))
            again = submit(session, "x += 1", asked=Asked(place=2, request="7", was_begun=True))
            other = submit(session, "x += 1", asked=Asked(place=3, request="8", was_begun=True))
            await finish(session, first, other)
        assert again is first
        assert starter.executed == ["x += 1", "x += 1"]

    run(test())


def test_an_error_aborts_nobody_else(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([failing("ValueError", "no"), fine])
        async with session_in(tmp_path, starter) as session:
            bad, good = submit(session, "a"), submit(session, "b")
            await finish(session, bad, good)
            assert (bad.state, good.state) == (State.ERROR, State.OK)
            assert bad.problem is None
            assert bad.outputs.to_notebook()[0]["ename"] == "ValueError"

    run(test())


def test_a_wait_ends_after_its_time_and_the_run_goes_on(tmp_path: Path) -> None:
    async def test() -> None:
        go_on = asyncio.Event()
        async with session_in(tmp_path, FakeStarter([stalling(go_on, "so far")])) as session:
            execution = submit(session, "a")
            assert not await session.executions.wait(execution, 0.02)
            assert execution.state is State.RUNNING
            assert (session.state, session.current) == ("busy", execution)
            assert text_of(execution.outputs.to_notebook()) == "so far"
            go_on.set()
            assert await session.executions.wait(execution, 5)
            assert execution.state is State.OK
            await settled(lambda: session.state == "idle")

    run(test())


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_wait_of_no_time_returns_at_once(tmp_path: Path, seconds: float) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([stalling()])) as session:
            assert not await session.executions.wait(submit(session, "a"), seconds)

    run(test())


def test_a_client_that_stops_waiting_stops_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        go_on = asyncio.Event()
        async with session_in(tmp_path, FakeStarter([stalling(go_on)])) as session:
            execution = submit(session, "a")
            waiting = asyncio.create_task(session.executions.wait(execution, 5))
            await settled(lambda: execution.state is State.RUNNING)
            waiting.cancel()
            go_on.set()
            await finish(session, execution)
            assert execution.state is State.OK

    run(test())


def test_a_flood_of_output_is_kept_whole(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([flooding(5_000)])) as session:
            execution = await ran(session, "a")
            assert text_of(execution.outputs.to_notebook()).split() == [str(n) for n in range(5_000)]
            again = session.recorder.journal.records(outputs_of=frozenset({1}))
            assert sum(line["event"] == "output" for line in again) == 5_000

    run(test())


# --- on disk before it runs --------------------------------------------------------


def test_code_is_on_disk_before_it_runs(tmp_path: Path) -> None:
    seen = []

    def check(code: str) -> None:
        events = [(line["event"], line.get("code")) for line in journal_lines(tmp_path)]
        script = tmp_path / "sales@analysis-1" / "0001-load.py"
        seen.append((("submitted", code) in events, events[-1][0], script.read_text() == code))

    async def test() -> None:
        starter = FakeStarter()
        starter.before_execute = check
        async with session_in(tmp_path, starter) as session:
            await ran(session, "x = 'ä'\n", label="load")

    run(test())
    assert seen == [(True, "sent", True)]


def test_the_journal_tells_the_same_as_the_replies(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([fine, failing("E"), dying(Death(signal=9), "half")])
        async with session_in(tmp_path, starter) as session:
            executions = [submit(session, code) for code in "abcd"]
            await finish(session, *executions)
            states = {e.number: [e.state] for e in executions}
        assert told_states(tmp_path) == states
        assert [s for [s] in states.values()] == [State.OK, State.ERROR, State.DIED, State.NOT_RUN]

    run(test())


def test_the_notebook_follows_within_two_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        written = asyncio.Event()
        original = Journal.keep

        def watch(self: Journal, event: str, **fields: Any) -> None:
            original(self, event, **fields)
            if event == "written":
                written.set()

        monkeypatch.setattr(Journal, "keep", watch)
        async with session_in(tmp_path, FakeStarter([printing("1\n")]), gather_cells_for=0.1) as session:
            await ran(session, "print(1)", note="# Why")
            await asyncio.wait_for(written.wait(), 2)
            note, cell = cells(tmp_path)
            assert note == {
                "cell_type": "markdown",
                "id": "kernelexec-1-note",
                "metadata": {},
                "source": ["# Why"],
            }
            assert (cell["source"], cell["execution_count"]) == (["print(1)"], 1)
            assert cell["outputs"] == [{"name": "stdout", "output_type": "stream", "text": ["1\n"]}]
            assert cell["metadata"]["kernelexec"]["execution"] == "sales@analysis/1"

    run(test())


def test_numbers_are_never_reset(tmp_path: Path) -> None:
    async def test() -> None:
        for hub in range(3):
            async with session_in(tmp_path, FakeStarter()) as session:
                execution = await ran(session, "a")
                assert execution.number == 2 * hub + 1
                await session.stop_kernel()
                told(session)
                assert (await ran(session, "b")).number == 2 * hub + 2

    run(test())


def test_an_execution_of_the_past_is_read_from_the_journal(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([printing("old\n"), failing("ValueError")])) as session:
            await ran(session, "a", note="why", label="first")
            await ran(session, "b")
        async with session_in(tmp_path, FakeStarter()) as session:
            found = session.executions.get(1)
            assert (found.code, found.note, found.label, found.state) == ("a", "why", "first", State.OK)
            assert text_of(found.outputs.to_notebook()) == "old\n"
            assert found.script.read_text() == "a"
            assert found.finished >= found.started
            assert session.executions.get(2).state is State.ERROR
            assert await session.executions.wait(found, 5)

    run(test())


@pytest.mark.parametrize("number", [0, -1, 2, 999_999_999])
def test_an_execution_that_never_was_is_refused_and_the_last_one_named(tmp_path: Path, number: int) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "a")
            with pytest.raises(BadRequest, match="the last one is sales@analysis/1"):
                session.executions.get(number)

    run(test())


def test_finished_executions_do_not_stay_in_memory(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            executions = [weakref.ref(await ran(session, f"x = {n}")) for n in range(40)]
            await session.recorder.flush()
            for n in range(3):
                await ran(session, f"last {n}")
            gc.collect()
            assert sum(ref() is not None for ref in executions) <= 20
            assert session.executions.get(1).code == "x = 0"

    run(test())


# --- cancel and max_seconds ---------------------------------------------------------


def test_a_cancelled_run_is_interrupted_and_the_next_one_runs(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([stalling(), fine])
        async with session_in(tmp_path, starter) as session:
            first, second = submit(session, "a"), submit(session, "b")
            await settled(lambda: first.state is State.RUNNING)
            await session.cancel(first, "Cancelled.")
            await finish(session, first, second)
            assert (first.state, first.problem) == (State.INTERRUPTED, "Cancelled. Variables are kept.")
            assert second.state is State.OK
            assert len(starter.kernels[0].interrupts) == 1

    run(test())


def test_a_cancelled_submission_in_the_queue_is_not_run(tmp_path: Path) -> None:
    async def test() -> None:
        go_on = asyncio.Event()
        starter = FakeStarter([stalling(go_on)])
        async with session_in(tmp_path, starter) as session:
            first, second, third = (submit(session, code) for code in "abc")
            await settled(lambda: first.state is State.RUNNING)
            await session.cancel(second, "Taken back.")
            assert (second.state, second.problem) == (State.NOT_RUN, "Taken back.")
            go_on.set()
            await finish(session, first, second, third)
            assert starter.executed == ["a", "c"]
            assert starter.kernels[0].interrupts == []

    run(test())


def test_a_submission_cancelled_while_its_kernel_starts_is_not_run(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter()
        starter.go_on.clear()
        async with session_in(tmp_path, starter) as session:
            first, second = submit(session, "a"), submit(session, "b")
            await settled(lambda: starter.starts == 1)
            assert session.state == "starting"
            await session.cancel(first, "Taken back.")
            starter.go_on.set()
            await finish(session, first, second)
            assert (first.state, second.state) == (State.NOT_RUN, State.OK)
            assert starter.executed == ["b"]

    run(test())


@pytest.mark.parametrize(
    ("by_name", "reached", "sent"),
    [(True, True, 1), (True, False, 2), (False, True, 1)],
    ids=["expected by the kernel", "too early for the kernel", "a kernel that knows no names"],
)
def test_a_cancel_that_comes_before_the_kernel_is_busy_reaches_the_run_once(
    tmp_path: Path, by_name: bool, reached: bool, sent: int
) -> None:
    """Sent, but not begun: a kernel that knows no names would interrupt what it does before."""

    async def test() -> None:
        begin = asyncio.Event()

        async def slow_to_begin(kernel_run: Any) -> Reply:
            await begin.wait()
            if not reached:
                kernel_run.interrupted.clear()
            return await stalling()(kernel_run)

        starter = FakeStarter([slow_to_begin])
        async with session_in(tmp_path, starter) as session:
            execution = submit(session, "a")
            await settled(lambda: execution.state is State.SENT)
            kernel = starter.kernels[0]
            kernel.interrupts_by_name, kernel.is_reached = by_name, reached
            await session.cancel(execution, "Cancelled.")
            assert len(kernel.interrupts) == (1 if by_name else 0)
            kernel.is_reached = True
            begin.set()
            await finish(session, execution)
            assert execution.state is State.INTERRUPTED
            assert execution.problem.startswith("Cancelled.")
            assert len(kernel.interrupts) == sent

    run(test())


def test_an_interrupt_that_comes_too_late_reaches_no_other_run(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([fine, stalling()])
        async with session_in(tmp_path, starter) as session:
            first, second = submit(session, "a"), submit(session, "b")
            await finish(session, first)
            await settled(lambda: second.state is State.RUNNING)
            await session.cancel(first, "Late.")
            assert (first.state, first.problem) == (State.OK, None)
            assert starter.kernels[0].interrupts == []
            await session.cancel(second, "Now.")
            await finish(session, second)
            assert second.problem.startswith("Now.")

    run(test())


def test_a_run_that_ends_well_in_spite_of_an_interrupt_says_so(tmp_path: Path) -> None:
    async def test() -> None:
        go_on = asyncio.Event()

        async def swallows(kernel_run: Any) -> Reply:
            kernel_run.busy()
            await go_on.wait()
            kernel_run.idle()
            return kernel_run.reply()

        async with session_in(tmp_path, FakeStarter([swallows])) as session:
            execution = submit(session, "a")
            await settled(lambda: execution.state is State.RUNNING)
            await session.cancel(execution, "Cancelled.")
            go_on.set()
            await finish(session, execution)
            assert execution.state is State.OK
            assert "interrupt" in execution.problem

    run(test())


def test_an_interrupt_by_another_client_is_told_as_such(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([failing("KeyboardInterrupt")])) as session:
            execution = await ran(session, "a")
            assert execution.state is State.INTERRUPTED
            assert "not by this client" in execution.problem

    run(test())


def test_a_run_is_interrupted_after_max_seconds(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([stalling(), fine])) as session:
            execution = await ran(session, "a", max_seconds=0.02)
            assert execution.state is State.INTERRUPTED
            assert execution.problem.startswith("Interrupted after max_seconds=0.02.")
            assert (await ran(session, "b", max_seconds=100)).state is State.OK

    run(test())


def test_max_seconds_count_from_the_begin_of_the_run_not_from_its_submission(tmp_path: Path) -> None:
    async def test() -> None:
        go_on = asyncio.Event()
        async with session_in(tmp_path, FakeStarter([stalling(go_on), fine])) as session:
            first, second = submit(session, "a"), submit(session, "b", max_seconds=0.01)
            assert not await session.executions.wait(second, 0.03)
            go_on.set()
            await finish(session, first, second)
            assert (first.state, second.state) == (State.OK, State.OK)

    run(test())


# --- aborted --------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [aborted, silently_aborted])
def test_an_aborted_submission_is_sent_again_under_the_same_id(tmp_path: Path, answer: Answer) -> None:
    async def test() -> None:
        starter = FakeStarter([answer, answer, printing("done\n"), fine])
        async with session_in(tmp_path, starter) as session:
            first, second = submit(session, "a"), submit(session, "b")
            await finish(session, first, second)
            assert (first.number, first.state) == (1, State.OK)
            assert text_of(first.outputs.to_notebook()) == "done\n"
            assert starter.executed == ["a", "a", "a", "b"]
        assert told_states(tmp_path) == {1: [State.OK], 2: [State.OK]}

    run(test())
