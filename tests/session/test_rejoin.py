"""A run that goes on while its hub is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelexec.kernels.kernel import Death, Findings, Question, Reply
from kernelexec.kernels.wire import Message
from kernelexec.model.execution import Execution, State
from kernelexec.session.session import Session
from tests.fakes import (
    DATE,
    FakeKernel,
    FakeStarter,
    finish,
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

OK = Reply("ok", {"status": "ok", "execution_count": 3}, DATE, {})


async def left_running(storage_dir: Path) -> tuple[FakeKernel, str]:
    """A kernel whose hub is gone, and the msg_id of what it runs, of which the hub heard `one`."""
    starter = FakeStarter([stalling(first="one\n")])
    async with session_in(storage_dir, starter) as session:
        execution = submit(session, "a")
        await settled(lambda: execution.last_text != "")
        msg_id = session.executions.msg_id(execution)
    kernel = starter.kernels[0]
    kernel.answers.clear()
    return kernel, msg_id


def said(msg_id: str, serial: int, text: str) -> Message:
    content = {"name": "stdout", "text": text}
    return Message("iopub", "stream", content, f"k_{serial}", msg_id, None, DATE, {})


def busy(msg_id: str) -> Message:
    return Message("iopub", "status", {"execution_state": "busy"}, "k_0", msg_id, None, DATE, {})


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
