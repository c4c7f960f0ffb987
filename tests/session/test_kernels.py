"""Sessions whose kernels die, do not start, or lie."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelexec.errors import KernelFailed
from kernelexec.kernels.kernel import Death, Reply
from kernelexec.model.execution import State
from kernelexec.session.surroundings import Surroundings
from tests.fakes import (
    FakeStarter,
    cells,
    dying,
    fine,
    finish,
    ran,
    run,
    saying,
    session_in,
    settled,
    stalling,
    submit,
    text_of,
    told,
    told_states,
)

# --- death ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("death", "said"),
    [
        (Death(signal=9), "killed by signal 9 (SIGKILL)"),
        (Death(signal=9, oom_kills=1), "probably used too much memory"),
        (Death(signal=11, stderr="Fatal Python error"), "Fatal Python error"),
        (Death(exit_code=3), "exited with code 3"),
        (Death(signal=99), "killed by signal 99 (unknown)"),
        (Death(), "nobody saw how it ended"),
    ],
)
@pytest.mark.parametrize("first", [None, "half"])
def test_a_run_whose_kernel_dies_is_told_so_and_why(
    tmp_path: Path, death: Death, said: str, first: str | None
) -> None:
    async def test() -> None:
        starter = FakeStarter([dying(death, first)])
        async with session_in(tmp_path, starter) as session:
            execution = await ran(session, "a")
            assert execution.state is State.DIED
            assert said in execution.problem
            assert text_of(execution.outputs.to_notebook()) == (first or "")
            assert told(session, execution) == []  # the reply has said it
            assert (session.state, session.kernel) == ("no kernel", None)

    run(test())


def test_a_queued_run_is_not_run_when_its_kernel_dies(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([dying(Death(exit_code=0), "bye")])
        async with session_in(tmp_path, starter) as session:
            executions = [submit(session, code) for code in ("exit()", "b", "c")]
            await finish(session, *executions)
            assert [e.state for e in executions] == [State.DIED, State.NOT_RUN, State.NOT_RUN]
            assert "exited with code 0" in executions[1].problem
            assert starter.executed == ["exit()"]
            assert starter.starts == 1

    run(test())


def test_after_a_death_that_was_told_the_next_submission_gets_a_new_kernel(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([dying(Death(signal=9), "half")])
        async with session_in(tmp_path, starter) as session:
            last = await ran(session, "a")
            told(session, last)
            second = await ran(session, "b")
            assert (second.state, second.generation, session.generation) == (State.OK, 2, 2)
            assert second.script.parent.name == "sales@analysis-1"

    run(test())


def test_after_a_death_the_notebook_goes_on_below_a_heading(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([fine, dying(Death(signal=9), "half")])
        async with session_in(tmp_path, starter) as session:
            await ran(session, "a")
            last = await ran(session, "b")
            told(session, last)
            await ran(session, "c")
        found = [cell["id"] for cell in cells(tmp_path)]
        assert found == ["kernelexec-1", "kernelexec-2", "kernelexec-kernel-2", "kernelexec-3"]

    run(test())


def test_a_death_while_idle_makes_the_next_submission_not_run_then_comes_a_new_kernel(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            await ran(session, "a")
            starter.kernels[0].die(Death(signal=9))
            await settled(lambda: session.kernel is None)
            second = submit(session, "b")
            assert second.state is State.NOT_RUN
            assert "variables" in second.problem
            assert "killed by signal 9" in second.problem
            assert "generation 1" in second.problem
            assert told(session) == [], "it is told once"
            third = await ran(session, "c")
            assert (third.state, third.generation) == (State.OK, 2)
            assert starter.executed == ["a", "c"]

    run(test())


def test_news_are_told_once_and_then_the_next_submission_runs(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            await ran(session, "a")
            starter.kernels[0].die()
            await settled(lambda: session.kernel is None)
            assert len(told(session)) == 1
            assert told(session) == []
            assert (await ran(session, "b")).state is State.OK

    run(test())


def test_the_death_of_a_kernel_that_ran_nothing_loses_nothing_and_is_no_news(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter()
        starter.go_on.clear()
        async with session_in(tmp_path, starter) as session:
            execution = submit(session, "a")
            await settled(lambda: starter.starts == 1)
            await session.cancel(execution, "Taken back.")
            starter.go_on.set()
            await settled(lambda: session.state == "idle")
            starter.kernels[0].die()
            await settled(lambda: session.kernel is None)
            assert told(session) == []
            assert (await ran(session, "b")).state is State.OK

    run(test())


def test_a_stopped_kernel_is_told_to_who_asks_next(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            assert not await session.stop_kernel()
            await ran(session, "a")
            assert await session.stop_kernel()
            assert session.kernel is None
            second = submit(session, "b")
            assert second.state is State.NOT_RUN
            assert "it was stopped" in second.problem
            assert not await session.stop_kernel()

    run(test())


def test_stopping_a_kernel_that_runs_code_ends_the_run(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([stalling()])) as session:
            first, second = submit(session, "a"), submit(session, "b")
            await settled(lambda: first.state is State.RUNNING)
            await session.stop_kernel()
            await finish(session, first, second)
            assert (first.state, second.state) == (State.DIED, State.NOT_RUN)
            assert "it was stopped" in first.problem

    run(test())


def test_a_death_during_a_run_whose_caller_left_is_told_to_the_next_one(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([dying(Death(signal=9), "half")])
        async with session_in(tmp_path, starter) as session:
            await ran(session, "a")
            second = submit(session, "b")
            assert second.state is State.NOT_RUN
            assert "killed by signal 9" in second.problem
            assert (await ran(session, "c")).generation == 2

    run(test())


def test_a_death_nobody_was_told_of_is_told_by_the_next_hub(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            await ran(session, "a")
            starter.kernels[0].die(Death(signal=9))
            await settled(lambda: session.kernel is None)
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            second = submit(session, "b")
            assert second.state is State.NOT_RUN
            assert "killed by signal 9" in second.problem
            assert starter.executed == []

    run(test())


def test_a_death_that_was_told_is_not_told_again_by_the_next_hub(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([dying(Death(signal=9), "half")])) as session:
            last = await ran(session, "a")
            told(session, last)
        async with session_in(tmp_path, FakeStarter()) as session:
            assert told(session) == []
            assert (await ran(session, "b")).state is State.OK

    run(test())


# --- a kernel that does not start -----------------------------------------------------------


def test_a_failing_start_makes_all_that_is_queued_not_run_after_one_try(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter(KernelFailed("It exited with code 1.", "Mend it."))
        starter.go_on.clear()
        async with session_in(tmp_path, starter) as session:
            executions = [submit(session, f"x = {n}") for n in range(10)]
            await settled(lambda: starter.starts == 1)
            starter.go_on.set()
            await finish(session, *executions)
            assert {e.state for e in executions} == {State.NOT_RUN}
            assert {e.problem for e in executions} == {"It exited with code 1.\nMend it."}
            assert starter.starts == 1
            assert (await ran(session, "again")).state is State.OK
            assert session.generation == 1

    run(test())


@pytest.mark.parametrize(
    "error", [PermissionError(errno.EACCES, "Permission denied", "/srv/x"), KeyError("language_info")]
)
def test_a_start_that_fails_in_an_unforeseen_way_leaves_nobody_waiting(
    tmp_path: Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        starter = FakeStarter(error)
        async with session_in(tmp_path, starter) as session:
            first, second = submit(session, "a"), submit(session, "b")
            assert await session.executions.wait(first, 0.2)
            assert await session.executions.wait(second, 0.2)
            assert first.state is State.NOT_RUN
            assert (await ran(session, "c")).state is State.OK

    run(test())


def test_an_adopted_kernel_that_does_not_answer_runs_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            kernel = (await FakeStarter()(session, {}, session.on_message, str)).kernel
            kernel.not_ready = KernelFailed("It did not answer.")
            session.adopt(kernel, (await ran(session, "a")).submitted)
            second = await ran(session, "b")
            assert (second.state, second.problem) == (State.NOT_RUN, "It did not answer.")
            kernel.not_ready = None
            assert (await ran(session, "c")).state is State.OK
            assert kernel.executed == ["c"]

    run(test())


def test_who_listens_hears_that_a_kernel_is_being_started(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            heard: list[str] = []
            session.listeners.add(heard.append)
            await ran(session, "a", surroundings=Surroundings({"A": "1"}, tmp_path))
            assert heard == ["the kernel is starting"]
            await ran(session, "b")
            assert len(heard) == 1

    run(test())


def test_a_kernel_gets_the_variables_of_the_caller_that_had_it_started(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            await ran(session, "a", surroundings=Surroundings({"A": "1"}, tmp_path))
            await ran(session, "b", surroundings=Surroundings({"A": "2"}, tmp_path))
            assert [each.environ for each in starter.surroundings] == [{"A": "1"}]

    run(test())


# --- kernels that lie -----------------------------------------------------------------------


def test_output_after_the_end_of_a_run_lands_in_its_own_cell(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            first_id = []
            kernel_pack = None

            await ran(session, "warm up")
            kernel = starter.kernels[0]
            kernel_pack = kernel.pack

            def pack(*arguments: Any) -> tuple[str, list[bytes]]:
                msg_id, frames = kernel_pack(*arguments)
                first_id.append(msg_id)
                return msg_id, frames

            kernel.pack = pack
            first = await ran(session, "a")
            await ran(session, "b")
            kernel.publish("stream", {"name": "stdout", "text": "late\n"}, first_id[0])
            assert text_of(first.outputs.to_notebook()) == "late\n"
            assert first.state is State.OK
        assert [text_of(cell["outputs"]) for cell in cells(tmp_path)] == ["", "late\n", ""]
        assert told_states(tmp_path)[2] == [State.OK]

    run(test())


def test_late_output_that_comes_while_the_notebook_is_written_is_written_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        late, replacing, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
        to_thread = asyncio.to_thread

        async def slow_to_thread(function: Callable[..., Any], *arguments: Any) -> Any:
            result = await to_thread(function, *arguments)
            if function.__name__ == "write" and late.is_set():
                replacing.set()
                await go_on.wait()
            return result

        monkeypatch.setattr(asyncio, "to_thread", slow_to_thread)
        runs: list[Any] = []

        async def keep(kernel_run: Any) -> Reply:
            runs.append(kernel_run)
            return await fine(kernel_run)

        async with session_in(tmp_path, FakeStarter([keep])) as session:
            await ran(session, "a")
            await session.recorder.flush()
            late.set()
            runs[0].print("one\n")
            await asyncio.wait_for(replacing.wait(), 5)
            runs[0].print("two\n")
            loop.call_soon(go_on.set)
        assert text_of(cells(tmp_path)[0]["outputs"]) == "one\ntwo\n"

    run(test())


def test_idle_before_the_reply_and_repeated_statuses_end_a_run_once(tmp_path: Path) -> None:
    async def test() -> None:
        async def liar(kernel_run: Any) -> Reply:
            kernel_run.idle()
            kernel_run.busy()
            kernel_run.busy()
            kernel_run.idle()
            kernel_run.print("after idle\n")
            await asyncio.sleep(0)
            return kernel_run.reply()

        async with session_in(tmp_path, FakeStarter([liar])) as session:
            execution = await ran(session, "a")
            assert (execution.state, text_of(execution.outputs.to_notebook())) == (State.OK, "after idle\n")
        assert told_states(tmp_path) == {1: [State.OK]}

    run(test())


def test_what_belongs_to_other_clients_is_nobodys_output(tmp_path: Path) -> None:
    async def test() -> None:
        async def crowded(kernel_run: Any) -> Reply:
            kernel_run.busy()
            for parent in ("another-client_1", None, ""):
                kernel_run.kernel.publish("stream", {"name": "stdout", "text": "theirs"}, parent)
                kernel_run.kernel.publish("status", {"execution_state": "idle"}, parent)
            kernel_run.print("ours")
            kernel_run.idle()
            return kernel_run.reply()

        async with session_in(tmp_path, FakeStarter([crowded])) as session:
            execution = await ran(session, "a")
            assert text_of(execution.outputs.to_notebook()) == "ours"

    run(test())


def test_late_output_of_an_earlier_kernel_disturbs_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([dying(Death(signal=9), "half")])
        async with session_in(tmp_path, starter) as session:
            last = await ran(session, "a")
            told(session, last)
            second = await ran(session, "b")
            starter.kernels[0].publish("stream", {"name": "stdout", "text": "ghost"}, "1")
            assert second.outputs.to_notebook() == []

    run(test())


@pytest.mark.parametrize(
    "content",
    [
        {"name": "stdout"},
        {"name": "stdout", "text": None},
        {"name": "stdout", "text": 5},
        {"name": None, "text": "x"},
        {},
    ],
)
def test_malformed_stream_messages_disturb_nothing(tmp_path: Path, content: dict[str, Any]) -> None:
    async def test() -> None:
        answer = saying(("stream", content), ("stream", {"name": "stdout", "text": "good\n"}))
        async with session_in(tmp_path, FakeStarter([answer])) as session:
            execution = await ran(session, "a")
            assert execution.state is State.OK
            assert text_of(execution.outputs.to_notebook()).endswith("good\n")

    run(test())


@pytest.mark.parametrize("message_type", ["display_data", "execute_result", "error", "update_display_data"])
@pytest.mark.parametrize("content", [{}, {"data": 5, "metadata": [], "transient": 7, "traceback": None}])
def test_malformed_displays_and_errors_disturb_nothing(
    tmp_path: Path, message_type: str, content: dict[str, Any]
) -> None:
    async def test() -> None:
        answer = saying((message_type, content), ("stream", {"name": "stdout", "text": "good\n"}))
        async with session_in(tmp_path, FakeStarter([answer])) as session:
            execution = await ran(session, "a")
            assert text_of(execution.outputs.to_notebook()) == "good\n"
        assert text_of(cells(tmp_path)[0]["outputs"]) == "good\n"

    run(test())


def test_a_fault_of_ours_during_a_run_leaves_nobody_waiting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async def faulty(kernel_run: Any) -> Reply:
            kernel_run.busy()
            raise KeyError("shell")

        async with session_in(tmp_path, FakeStarter([faulty, fine])) as session:
            first, second = submit(session, "a"), submit(session, "b")
            await finish(session, first, second)
            assert (first.state, second.state) == (State.UNKNOWN, State.OK)
        assert told_states(tmp_path) == {1: [State.UNKNOWN], 2: [State.OK]}

    run(test())
    assert "KeyError" in caplog.text
