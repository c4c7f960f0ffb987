"""A run that goes on while its hub is replaced."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kernelexec.kernels.kernel import Death, Findings, KernelDied, Question, Reply
from kernelexec.kernels.wire import Message
from kernelexec.model.execution import Execution, Kind, State
from kernelexec.model.limits import Limits
from kernelexec.recording.journal import now
from kernelexec.session.session import Session
from tests.fakes import (
    DATE,
    FakeKernel,
    FakeStarter,
    fine,
    finish,
    journal_lines,
    journal_path,
    open_session,
    quick_recording,
    ran,
    run,
    session_in,
    settled,
    stalling,
    submit,
    text_of,
)

INTERRUPTED = Reply("error", {"status": "error", "ename": "KeyboardInterrupt"}, DATE, {})
OK = Reply("ok", {"status": "ok", "execution_count": 3}, DATE, {})


async def left_running(storage_dir: Path, max_seconds: float | None = None) -> tuple[FakeKernel, str]:
    """A kernel whose hub is gone, and the msg_id of what it runs, of which the hub heard `one`."""
    starter = FakeStarter([stalling(first="one\n")])
    async with session_in(storage_dir, starter) as session:
        execution = submit(session, "a", max_seconds=max_seconds)
        await settled(lambda: execution.last_text != "")
        msg_id = session.executions.msg_id(execution)
    kernel = starter.kernels[0]
    kernel.answers.clear()
    return kernel, msg_id


def an_hour_ago(storage_dir: Path) -> None:
    """As if all that the journal tells of the run had been then."""
    lines = journal_lines(storage_dir)
    for line in lines:
        line["time"] = (now() - timedelta(hours=1)).isoformat()
    journal_path(storage_dir).write_text("".join(json.dumps(line) + "\n" for line in lines))


def said(msg_id: str, serial: int, text: str) -> Message:
    content = {"name": "stdout", "text": text}
    return Message("iopub", "stream", content, f"k_{serial}", msg_id, None, DATE, {})


def busy(msg_id: str, date: str = DATE) -> Message:
    return Message("iopub", "status", {"execution_state": "busy"}, "k_0", msg_id, None, date, {})


def the_run(session: Session) -> Execution:
    return session.executions.get(1)


@pytest.mark.parametrize("complete", [True, False])
def test_a_run_that_ended_in_between_has_its_outcome_and_its_output(tmp_path: Path, complete: bool) -> None:
    async def test() -> None:
        kernel, msg_id = await left_running(tmp_path)
        messages = (busy(msg_id), said(msg_id, 8, "two\n"))[0 if complete else 1 :]
        kernel.findings = Findings(
            True, tells=True, begun=True, reply=OK, messages=messages, complete=complete
        )
        async with session_in(tmp_path, FakeStarter(), alive=kernel) as session:
            execution = the_run(session)
            await finish(session, execution)
            assert (execution.state, execution.execution_count) == (State.OK, 3)
            assert text_of(execution.outputs.to_notebook()) == "one\ntwo\n"
            assert ("recovered" if complete else "may be missing") in execution.problem
            assert kernel.executed == ["a"], "it is not run again"

    run(test())


def test_a_run_that_goes_on_is_running_and_what_comes_after_it_waits(tmp_path: Path) -> None:
    async def test() -> None:
        kernel, msg_id = await left_running(tmp_path)
        kernel.findings = Findings(
            True, tells=True, begun=True, running=msg_id, messages=(busy(msg_id),), complete=True
        )
        async with session_in(tmp_path, FakeStarter(), alive=kernel) as session:
            execution, second = the_run(session), submit(session, "b")
            await settled(lambda: execution.state is State.RUNNING)
            assert (session.current, second.state) == (execution, State.QUEUED)
            kernel.publish("stream", {"name": "stdout", "text": "three\n"}, msg_id)
            kernel.rejoined.set_result(OK)
            await finish(session, execution, second)
            assert (execution.state, second.state) == (State.OK, State.OK)
            assert text_of(execution.outputs.to_notebook()) == "one\nthree\n"
            assert kernel.executed == ["a", "b"]

    run(test())


def test_what_a_run_asks_is_asked_by_the_next_hub(tmp_path: Path) -> None:
    async def test() -> None:
        kernel, msg_id = await left_running(tmp_path)
        kernel.findings = Findings(
            True, tells=True, begun=True, running=msg_id, question=Question("Name? "), complete=True
        )
        async with session_in(tmp_path, FakeStarter(), alive=kernel) as session:
            execution = the_run(session)
            assert await session.executions.wait(execution, 2)
            assert execution.question == Question("Name? ")
            kernel.die()
            await finish(session, execution)

    run(test())


@pytest.mark.parametrize("complete", [True, False])
def test_the_time_that_a_run_may_take_is_counted_from_its_begin_also_by_the_next_hub(
    tmp_path: Path, complete: bool
) -> None:
    async def test() -> None:
        kernel, msg_id = await left_running(tmp_path, max_seconds=3600)
        an_hour_ago(tmp_path)
        messages = (busy(msg_id, (now() - timedelta(hours=1)).isoformat()),) if complete else ()
        kernel.findings = Findings(
            True, tells=True, begun=True, running=msg_id, messages=messages, complete=complete
        )
        async with session_in(tmp_path, FakeStarter(), alive=kernel) as session:
            await settled(lambda: kernel.interrupts != [])
            assert (kernel.interrupts, the_run(session).interrupt) == (
                [msg_id],
                "Interrupted after max_seconds=3600.",
            )
            kernel.rejoined.set_result(INTERRUPTED)
            await finish(session, the_run(session))
            assert the_run(session).problem == "Interrupted after max_seconds=3600. Variables are kept."

    run(test())


def test_a_run_that_has_time_left_is_not_interrupted_by_the_next_hub(tmp_path: Path) -> None:
    async def test() -> None:
        kernel, msg_id = await left_running(tmp_path, max_seconds=7200)
        an_hour_ago(tmp_path)
        kernel.findings = Findings(True, tells=True, begun=True, running=msg_id)
        async with session_in(tmp_path, FakeStarter(), alive=kernel) as session:
            await settled(lambda: the_run(session).state is State.RUNNING)
            assert 3500 < (now() - the_run(session).started).total_seconds() < 3700
            assert kernel.interrupts == []
            kernel.die()
            await finish(session, the_run(session))

    run(test())


def test_an_interrupt_that_was_asked_for_is_told_by_the_next_hub_and_not_sent_again(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([stalling(first="one\n")])
        async with session_in(tmp_path, starter) as session:
            execution = submit(session, "a")
            await settled(lambda: execution.last_text != "")
            await session.cancel(execution, "Its client cancelled it.")
            msg_id = session.executions.msg_id(execution)
        [kernel] = starter.kernels
        kernel.interrupts.clear()
        kernel.findings = Findings(True, tells=True, begun=True, running=msg_id)
        async with session_in(tmp_path, FakeStarter(), alive=kernel) as session:
            await settled(lambda: the_run(session).state is State.RUNNING)
            kernel.rejoined.set_result(INTERRUPTED)
            await finish(session, the_run(session))
            assert the_run(session).state is State.INTERRUPTED
            assert the_run(session).problem == "Its client cancelled it. Variables are kept."
            assert kernel.interrupts == []

    run(test())


def test_how_much_output_is_kept_stays_as_the_submissions_caller_had_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            session.recorder.limits = Limits(cell=1_000, run=2_000)
            await ran(session, "a")
        async with session_in(tmp_path, FakeStarter()) as session:
            assert session.recorder.limits == Limits(cell=1_000, run=2_000)

    run(test())


@pytest.mark.parametrize("ended", [0, 1, 2])
def test_of_a_replay_whose_hub_ended_it_is_told_what_it_ran_and_what_not(tmp_path: Path, ended: int) -> None:
    async def test() -> None:
        starter = FakeStarter([], [fine] * ended + [stalling()])
        async with session_in(tmp_path, starter) as session:
            for code in ("x = 1", "y = 2", "z = 3"):
                await ran(session, code)
            replay = await session.replay("it was restarted", {})
            assert replay is not None
            await settled(lambda: len(starter.kernels) == 2 and len(starter.kernels[1].executed) == ended + 1)
        async with session_in(tmp_path, FakeStarter()) as session:
            found = session.executions.get(4)
            assert (found.kind, found.state) == (Kind.REPLAY, State.INTERRUPTED)
            part, done = f"sales@analysis/{5 + ended}", f"{ended} of 3 submissions ran again and succeeded."
            left = {0: " Not run again: 2, 3.", 1: " Not run again: 3.", 2: ""}[ended]
            assert found.problem == (
                "The hub ended while it ran, and the replay with it. "
                f"{done} {part}, which is {1 + ended} again, was with "
                f'the kernel then; wait_for_execution(execution_id="{part}") has its outcome.{left}'
            )
        async with session_in(tmp_path, FakeStarter()) as session:
            assert session.executions.get(4).problem == found.problem

    run(test())


def test_a_request_that_the_kernel_never_got_was_not_run(tmp_path: Path) -> None:
    async def test() -> None:
        kernel, _ = await left_running(tmp_path)
        kernel.findings = Findings(True, tells=True, begun=False)
        kernel.rejoined.set_result(None)
        async with session_in(tmp_path, FakeStarter(), alive=kernel) as session:
            await finish(session, the_run(session))
            assert the_run(session).state is State.NOT_RUN

    run(test())


def test_the_end_of_a_foreign_kernels_run_is_unknown_unless_its_reply_comes(tmp_path: Path) -> None:
    async def test() -> None:
        kernel, _ = await left_running(tmp_path)
        kernel.findings = Findings(True)
        kernel.rejoined.set_result(None)
        async with session_in(tmp_path, FakeStarter(), alive=kernel) as session:
            await finish(session, the_run(session))
            assert the_run(session).state is State.UNKNOWN
            assert (await ran(session, "b")).state is State.OK

    run(test())


def test_a_kernel_that_dies_under_the_next_hub_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        kernel, msg_id = await left_running(tmp_path)
        kernel.findings = Findings(True, tells=True, begun=True, running=msg_id)
        async with session_in(tmp_path, FakeStarter(), alive=kernel) as session:
            execution = the_run(session)
            await settled(lambda: execution.state is State.RUNNING)
            kernel.die(Death(signal=9, begun=msg_id))
            await finish(session, execution)
            assert execution.state is State.DIED

    run(test())


def test_no_kernel_is_started_in_the_place_of_one_that_ends_before_the_next_hub_hears_of_it(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        kernel, _ = await left_running(tmp_path)
        waited_for: list[str] = []

        async def never_ready() -> Mapping[str, Any]:
            waited_for.append("")
            await asyncio.wait({kernel.died})
            raise KernelDied

        kernel.ready = never_ready  # type: ignore[method-assign]
        starter = FakeStarter()
        async with session_in(tmp_path, starter, alive=kernel) as session:
            execution = the_run(session)
            await settled(lambda: waited_for and session.generations.is_starting)
            kernel.die(Death(signal=9))
            await finish(session, execution)
            await settled(lambda: not session.generations.is_starting)
            assert execution.state is State.DIED
            assert starter.kernels == []

    run(test())


@pytest.mark.parametrize("begun", [True, False, None])
def test_of_a_kernel_that_died_without_a_hub_it_is_known_what_it_had_begun(
    tmp_path: Path, begun: bool | None
) -> None:
    async def test() -> None:
        _, msg_id = await left_running(tmp_path)
        death = Death(signal=9, begun=None if begun is None else msg_id if begun else "another")
        with quick_recording():
            session = open_session(tmp_path, FakeStarter(), death=death)
            try:
                state = {True: State.DIED, False: State.NOT_RUN, None: State.UNKNOWN}[begun]
                assert the_run(session).state is state
            finally:
                await session.close()

    run(test())
