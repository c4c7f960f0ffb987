"""What the person's buttons in Jupyter do to a session, through the relay's questions to the hub."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from kernelexec.daemon import frontends
from kernelexec.hub.hub import Hub
from kernelexec.kernels.kernel import Death
from kernelexec.model.execution import State
from kernelexec.session.session import BUSY_ELSEWHERE, Session
from tests.fakes import FakeKernel, FakeStarter, finish, ran, run, session_in, stalling, submit, told


async def ask(of: Session, command: str, **arguments: Any) -> dict[str, Any]:
    hub = cast(Hub, SimpleNamespace(sessions=[of]))
    storage = str(of.recorder.storage_dir)
    asked = {"command": command, "session": of.id, "storage_dir": storage, **arguments}
    return await frontends.serve_frontend(hub, asked)


def begin_theirs(kernel: FakeKernel, parent: str = "theirs-1") -> None:
    kernel.publish("status", {"execution_state": "busy"}, parent)
    kernel.publish("execute_input", {"code": "theirs()", "execution_count": 5}, parent)


def kernel_of(session: Session) -> FakeKernel:
    assert isinstance(session.kernel, FakeKernel)
    return session.kernel


def test_an_interrupt_of_the_assistants_run_ends_it_and_is_told_as_the_persons(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([stalling()])) as session:
            execution = submit(session, "long()")
            assert not await session.executions.wait(execution, 0.05)  # it runs
            msg_id = session.executions.msg_id(execution)
            assert await ask(session, "interrupt", msg_id=msg_id) == {"interrupted": execution.id}
            await finish(session, execution)
            assert execution.state is State.INTERRUPTED
            assert execution.problem is not None
            assert "by the person, from Jupyter" in execution.problem

    run(test())


def test_an_interrupt_of_a_run_that_is_over_reaches_no_later_one(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([stalling()])) as session:
            execution = submit(session, "long()")
            assert not await session.executions.wait(execution, 0.05)  # it runs
            assert await ask(session, "interrupt", msg_id="an earlier one") == {"interrupted": False}
            assert execution.state is State.RUNNING
            assert execution.interrupt is None

    run(test())


def test_a_cell_of_the_persons_makes_the_session_busy_elsewhere_and_is_interrupted_itself(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "x = 1")
            kernel = kernel_of(session)
            begin_theirs(kernel)
            assert session.state == BUSY_ELSEWHERE
            await ask(session, "interrupt", msg_id=None)
            assert kernel.interrupts == ["theirs-1"]
            kernel.publish("status", {"execution_state": "idle"}, "theirs-1")
            assert session.state == "idle"
            assert "error" in await ask(session, "interrupt", msg_id=None)

    run(test())


def test_a_restart_starts_the_next_generation_and_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "x = 1")
            begin_theirs(kernel_of(session))
            answers = await asyncio.gather(
                ask(session, "restart"), ask(session, "restart"), ask(session, "attach")
            )
            assert answers == [{"generation": 2}] * 3
            assert session.state == "idle"
            execution = submit(session, "x")
            await finish(session, execution)
            assert execution.state is State.NOT_RUN
            assert execution.problem is not None
            assert "restarted by the person, from Jupyter" in execution.problem

    run(test())


def test_after_a_death_the_next_kernel_is_the_sessions_and_the_death_is_still_told(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "x = 1")
            renewing = asyncio.ensure_future(ask(session, "renew", generation=1))
            await asyncio.sleep(0)
            kernel_of(session).died.set_result(Death(signal=9))
            assert await renewing == {"generation": 2}
            assert await ask(session, "renew", generation=1) == {"generation": 2}
            assert "signal 9" in " ".join(told(session))

    run(test())


def test_a_kernel_that_was_stopped_is_not_renewed(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "x = 1")
            await session.stop_kernel("it was stopped on request")
            assert "error" in await ask(session, "renew", generation=1)
            assert session.kernel is None

    run(test())


def test_of_another_storage_directory_or_session_nothing_is_done(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "x = 1")
            for wrong in ({"storage_dir": str(tmp_path / "else")}, {"session": "other@plain"}):
                assert "error" in await ask(session, "restart", **wrong)
            assert session.generation == 1

    run(test())
