"""What an assistant is told when something goes wrong in a tool that nobody had foreseen."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import mcp_types as types
import pytest

from kernelexec.errors import StorageFailed
from kernelexec.mcp_server.faults import protocol_error
from kernelexec.mcp_server.requests import Cancellation
from kernelexec.mcp_server.tools import call_tool
from kernelexec.model.execution import State
from tests.fakes import FakeStarter, ran, run, session_in, settled, stalling
from tests.mcp_server.calls import call_on, text_of


def raising(error: BaseException) -> Callable[..., Any]:
    async def raises(*arguments: object, **more: object) -> Any:
        raise error

    return raises


def told(folder: Path, error: BaseException, tool: str = "list_variables", **arguments: Any) -> str:
    """The reply of a tool whose search for its session raises this."""

    async def test() -> types.CallToolResult:
        async with session_in(folder, FakeStarter()) as session:
            call = call_on(session)
            call.hub.session_of = raising(error)  # type: ignore[method-assign]
            return await call_tool(call, tool, arguments)

    result = run(test())
    assert result.is_error
    return text_of(result)


@pytest.mark.parametrize(
    "error", [KeyError("control"), TimeoutError(), RecursionError("too deep"), OSError("no number")]
)
def test_what_nobody_foresaw_is_told_as_a_fault_of_ours_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    first, second = told(tmp_path, error).split("\n")
    assert first.startswith(f"A fault in kernelexec: list_variables met {type(error).__name__}")
    assert "log has more (kernelexec ps names it)" in first
    assert second == "Nothing was run; it can be called again."
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert "Traceback" in caplog.text


def test_an_exceptions_text_is_made_plain_and_short(tmp_path: Path) -> None:
    text = told(tmp_path, ValueError("\x1b[31mred\nline\n" + "x" * 100_000))
    assert "ValueError: red line xxx" in text
    assert len(text) < 1_000


def test_a_fault_of_a_tool_that_changes_things_says_that_it_may_have_done_so(tmp_path: Path) -> None:
    assert "may have been done in part or not at all" in told(tmp_path, KeyError(1), "execute_code", code="x")


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "The disk is full"),
        (errno.EACCES, "write and read access"),
        (errno.ENOENT, "deleted or moved"),
        (errno.EMFILE, "stop kernels that nobody needs"),
        (errno.EIO, "diagnose_setup checks folders"),
    ],
)
def test_an_error_of_the_system_names_the_path_and_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, number: int, advice: str
) -> None:
    text = told(tmp_path, OSError(number, os.strerror(number), "/data/x"))
    assert text.startswith(f"list_variables failed. /data/x: {os.strerror(number)}. ")
    assert advice in text
    assert "Traceback" in caplog.text


def test_a_cancel_that_nobody_asked_for_is_a_reply(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = told(tmp_path, asyncio.CancelledError())
    assert text.startswith("A fault in kernelexec: list_variables was broken off")
    assert "nobody had asked for that" in text
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("kind", ["cancelled", "timed_out", "disconnected", "closing"])
def test_a_cancel_that_somebody_asked_for_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            call = call_on(session)
            call.hub.session_of = raising(asyncio.CancelledError())  # type: ignore[method-assign]
            if kind == "closing":
                call.hub.closing = True
            else:
                call.request.cancellation = Cancellation(kind)
            assert cast(Cancellation, call.cancellation()).kind == kind
            with pytest.raises(asyncio.CancelledError):
                await call_tool(call, "list_variables", {})

    run(test())
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.skipif("sys.version_info < (3, 11)", reason="Python 3.10 does not tell whom a cancel is for")
def test_a_task_that_is_cancelled_ends_also_where_nobody_knows_why(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([stalling()])) as session:
            calling = asyncio.create_task(call_tool(call_on(session), "execute_code", {"code": "x"}))
            await settled(lambda: session.current is not None)
            calling.cancel()
            await asyncio.wait({calling}, timeout=2)
            assert calling.cancelled()

    run(test())


@pytest.mark.parametrize("end", ["restart_kernel", "stop_kernel", "kill -9"])
def test_a_kernel_that_ends_while_it_is_asked_is_told_as_that(tmp_path: Path, end: str) -> None:
    """The kernel's client cancels what waits for an answer; with what comes first the rounds differ."""
    for number in range(100):
        text = run(asked_beside(tmp_path / str(number), end, turns=3 + number % 10))
        assert text.startswith(
            "list_variables was broken off: the kernel of sales@analysis ended while it was asked ("
        )
        why = {"restart_kernel": "restarted on", "stop_kernel": "stopped on", "kill -9": "signal 9"}
        assert why[end] in text
        assert "Its variables are lost." in text


async def asked_beside(folder: Path, end: str, turns: int) -> str:
    """The reply of list_variables whose kernel ends, after so many turns of the loop, before it answers."""
    starter = FakeStarter()
    async with session_in(folder, starter) as session:
        await ran(session, "x = 1")
        [kernel] = starter.kernels
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        kernel.variables = lambda *a, **m: answer  # type: ignore[method-assign,assignment,misc]
        kernel.died.add_done_callback(lambda died: answer.cancel())
        asked = asyncio.create_task(call_tool(call_on(session), "list_variables", {}))
        for _ in range(turns):
            await asyncio.sleep(0)
        if end == "kill -9":
            kernel.die()
        else:
            assert not (await call_tool(call_on(session), end, {"session": session.id})).is_error
        return text_of(await asyncio.wait_for(asked, 2))


def test_a_fault_while_code_runs_says_that_it_goes_on_and_how_to_get_its_end(tmp_path: Path) -> None:
    async def test() -> None:
        go_on = asyncio.Event()
        starter = FakeStarter([stalling(go_on)])
        async with session_in(tmp_path, starter) as session:
            waits, session.executions.wait = session.executions.wait, raising(KeyError("x"))  # type: ignore[method-assign]
            result = await call_tool(call_on(session), "execute_code", {"code": "x"})
            assert "sales@analysis/1 was accepted and goes on, do not submit it again" in str(result.content)
            assert 'wait_for_execution(execution_id="sales@analysis/1")' in str(result.content)
            session.executions.wait = waits  # type: ignore[method-assign]
            go_on.set()
            end = await call_tool(
                call_on(session), "wait_for_execution", {"execution_id": "sales@analysis/1"}
            )
            assert not end.is_error
            assert starter.executed == ["x"]

    run(test())


@pytest.mark.parametrize(
    "error", [KeyError("x"), asyncio.CancelledError(), StorageFailed("No room.", "Make some.")]
)
def test_a_reply_that_cannot_be_made_says_how_the_run_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            monkeypatch.setattr("kernelexec.mcp_server.render.execution_result", raising(error))
            result = await call_tool(call_on(session), "execute_code", {"code": "x"})
            assert session.executions.get(1).state is State.OK
            assert "was not run" not in str(result.content)
            assert "sales@analysis/1 has ended (ok), do not submit it again" in str(result.content)

    run(test())


@pytest.mark.parametrize(
    "error", [KeyError("x"), OSError(errno.EACCES, "Permission denied", "/data"), asyncio.CancelledError()]
)
def test_a_resource_that_fails_is_an_internal_error_whose_text_says_what_to_do(
    tmp_path: Path, error: BaseException
) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            made = protocol_error(error, call_on(session), "resources/read")
            assert made is not None
            assert made.error.code == types.INTERNAL_ERROR
            assert "resources/read" in made.error.message
            assert "It can be asked for again." in made.error.message

    run(test())


def test_a_replay_that_cannot_be_kept_is_no_restart_and_says_that_the_kernel_was_ended(
    tmp_path: Path,
) -> None:
    async def test() -> str:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "x = 1")

            def full(*arguments: object) -> None:
                raise StorageFailed("No room.", "Make some.")

            session.recorder.accept = full  # type: ignore[method-assign]
            arguments = {"session": session.id, "replay": True}
            result = await call_tool(call_on(session), "restart_kernel", arguments)
            assert session.kernel is None
            assert result.is_error
            return text_of(result)

    assert run(test()) == (
        "NOT RESTARTED: sales@analysis. Its kernel was ended, all variables are lost. "
        "Nothing was run again.\nNo room.\nMake some."
    )
