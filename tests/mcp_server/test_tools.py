"""The tools as a client sees and calls them, on a session whose kernels follow a script."""

from __future__ import annotations

import asyncio
import math
import tempfile
from pathlib import Path
from typing import Any, cast

import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from kernelexec.errors import EnvironmentUnusable
from kernelexec.mcp_server.requests import Cancellation
from kernelexec.mcp_server.tools import call_tool
from kernelexec.mcp_server.tools.code import CODE_LIMIT
from kernelexec.model.execution import State
from kernelexec.session.session import Session
from tests.fakes import (
    FakeHub,
    FakeStarter,
    cells,
    printing,
    ran,
    run,
    session_in,
    settled,
    stalling,
    submit,
)
from tests.mcp_server.calls import call_on, text_of


def refused(tool: str, arguments: dict[str, Any]) -> str:
    """Why this call was refused; nothing may have been submitted."""

    async def test(folder: Path) -> str:
        starter = FakeStarter()
        async with session_in(folder, starter) as session:
            await ran(session, "x = 1")
            result = await call_tool(call_on(session), tool, arguments)
            assert result.is_error
            assert starter.executed == ["x = 1"], "it was run"
        return text_of(result)

    with tempfile.TemporaryDirectory() as folder:
        return run(test(Path(folder)))


# --- arguments -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "code: Field required"),
        ({"code": 5}, "code: Input should be a valid string"),
        ({"code": None}, "code: Input should be a valid string"),
        ({"code": "x", "wait_seconds": True}, "wait_seconds: Value error, a number, not true or false"),
        ({"code": "x", "wait_seconds": -1}, "wait_seconds: Input should be greater than or equal to 0"),
        ({"code": "x", "wait_seconds": math.nan}, "wait_seconds: Input should be"),
        ({"code": "x", "wait_seconds": math.inf}, "wait_seconds: Input should be"),
        ({"code": "x", "wait_seconds": "soon"}, "wait_seconds: Input should be a valid number"),
        ({"code": "x", "max_seconds": -1}, "max_seconds: Input should be greater than 0"),
        ({"code": "x", "max_seconds": math.nan}, "max_seconds: Input should be"),
        ({"code": "x", "session": ["a"]}, "session: Input should be a valid string"),
        ({"code": "x", "session": "a b"}, "'a b' cannot be the name of a session"),
        ({"code": "x", "session": "../x"}, "cannot be the name of a session"),
        ({"code": "x", "session": "x" * 201}, "session: String should have at most 200 characters"),
        ({"code": "x", "filename": "x" * 1_001}, "filename: String should have at most"),
        ({"code": "x", "note": "x" * 100_001}, "note: String should have at most"),
        ({"code": "x = '\ud800'"}, "lone surrogate"),
    ],
)
def test_wrong_arguments_are_refused_with_what_is_wrong(arguments: dict[str, Any], told: str) -> None:
    text = refused("execute_code", arguments)
    assert "execute_code was not run" in text
    assert told in text
    assert len(text) < 1_500


def test_a_refusal_lists_the_arguments_that_there_are() -> None:
    text = refused("execute_code", {"cod": "x"})
    assert "execute_code takes: code, filename?, session?, note?, wait_seconds?" in text
    assert "Ignored: cod (is code meant?), which execute_code does not take." in text


def test_code_that_is_too_long_is_refused_with_the_limit_and_not_repeated() -> None:
    text = refused("execute_code", {"code": "x" * (CODE_LIMIT + 1)})
    assert "5,000,001 characters is more than the limit of 5,000,000" in text
    assert len(text) < 1_000


def test_an_unknown_tool_is_the_protocols_error_with_those_that_there_are(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            with pytest.raises(
                MCPError, match=r"Unknown tool: run_shell\. There are: execute_code, "
            ) as error:
                await call_tool(call_on(session), "run_shell", {"command": "id"})
            assert error.value.error.code == types.INVALID_PARAMS

    run(test())


@pytest.mark.parametrize(
    ("execution_id", "told"),
    [
        ("", "is not an execution id"),
        ("7", "looks like main@default/7"),
        ("sales@analysis/0", "is not an execution id"),
        ("sales@analysis/99", "the last one is sales@analysis/1"),
        ("../etc@x/1", "There is no session ../etc@x"),
        ("typo@analysis/1", "There is no session typo@analysis"),
        ("x" * 301, "at most 300 characters"),
    ],
)
def test_an_execution_that_is_none_is_refused_with_what_would_be_one(execution_id: str, told: str) -> None:
    assert told in refused("wait_for_execution", {"execution_id": execution_id})


def test_a_wrong_configuration_is_the_answer_to_each_call(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            call = call_on(session, ENV_TYPE="docker")
            for name, arguments in (("execute_code", {"code": "x"}), ("get_environment_config", {})):
                result = await call_tool(call, name, arguments)
                assert result.is_error
                assert "docker" in text_of(result)

    run(test())


def test_an_environment_that_cannot_be_used_is_told_with_what_mends_it(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            call = call_on(session)

            async def unusable(*arguments: Any) -> Session:
                raise EnvironmentUnusable("There is no Python.", "Mend it with: x")

            call.hub.session_of = unusable  # type: ignore[method-assign]
            result = await call_tool(call, "execute_code", {"code": "x"})
            assert result.is_error
            assert text_of(result) == "execute_code was not run. There is no Python.\nMend it with: x"
            assert starter.starts == 0

    run(test())


# --- calls -------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["x = 1", "", "# only a comment", "\ufeffx = 1", "x = 1\r\ny = 2", "x\0y"])
def test_code_reaches_the_kernel_and_the_script_as_it_is(tmp_path: Path, code: str) -> None:
    async def test() -> None:
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            result = await call_tool(call_on(session), "execute_code", {"code": code})
            assert not result.is_error
            assert starter.executed == [code]
            assert session.executions.get(1).script is not None
            assert session.executions.get(1).script.read_bytes() == code.encode()  # type: ignore[union-attr]

    run(test())


def test_every_argument_has_its_effect(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([stalling()])
        async with session_in(tmp_path, starter) as session:
            call = call_on(session, A="1")
            arguments = {"code": "x", "filename": "load", "note": "# Why", "max_seconds": 0.01}
            result = await call_tool(call, "execute_code", {**arguments, "session": "sales@analysis"})
            assert "Interrupted after max_seconds=0.01" in text_of(result)
            assert cast(FakeHub, call.hub).opened == ["sales@analysis"]
            assert session.executions.get(1).script.name == "0001-load.py"  # type: ignore[union-attr]
            assert starter.surroundings[0].environ["A"] == "1"
        assert cells(tmp_path)[0]["source"] == ["# Why"]

    run(test())


def test_a_reply_has_text_and_meta_and_no_structured_content(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([printing("hello\n")])) as session:
            result = await call_tool(call_on(session), "execute_code", {"code": "x"})
            sent = result.model_dump(by_alias=True, exclude_none=True)
            assert "structuredContent" not in sent
            assert sent["_meta"] == {
                "kernelexec/execution": "sales@analysis/1",
                "kernelexec/state": "ok",
                "kernelexec/execution_count": 1,
            }

    run(test())


def test_no_call_blocks_longer_than_the_longest_wait(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([stalling()])) as session:
            call = call_on(session, KERNELEXEC_MAX_WAIT_SECONDS="0.02")
            result = await asyncio.wait_for(
                call_tool(call, "execute_code", {"code": "x", "wait_seconds": 1e18}), 2
            )
            assert text_of(result).startswith("RUNNING: sales@analysis/1")
            assert not result.is_error
            again = {"execution_id": "sales@analysis/1", "wait_seconds": 1e18}
            result = await asyncio.wait_for(call_tool(call, "wait_for_execution", again), 2)
            assert text_of(result).startswith("RUNNING")

    run(test())


@pytest.mark.parametrize("wait_seconds", [0, 0.01, "0.01"])
def test_a_run_that_takes_longer_goes_on_and_its_end_can_be_waited_for(
    tmp_path: Path, wait_seconds: Any
) -> None:
    async def test() -> None:
        go_on = asyncio.Event()
        starter = FakeStarter([stalling(go_on, "so far\n")])
        async with session_in(tmp_path, starter) as session:
            call = call_on(session)
            result = await call_tool(call, "execute_code", {"code": "x", "wait_seconds": wait_seconds})
            assert text_of(result).startswith(("RUNNING: sales@analysis/1", "QUEUED: sales@analysis/1"))
            first = text_of(result)
            assert 'wait_for_execution(execution_id="sales@analysis/1")' in first
            go_on.set()
            result = await call_tool(call, "wait_for_execution", {"execution_id": "sales@analysis/1"})
            assert text_of(result).startswith("OK: sales@analysis/1")
            told_already = "so far" in first
            assert ("so far" in text_of(result)) is not told_already
            again = await call_tool(call, "wait_for_execution", {"execution_id": "sales@analysis/1"})
            assert "so far" in text_of(again)
            assert starter.executed == ["x"]

    run(test())


@pytest.mark.parametrize(
    ("cancellation", "told"),
    [
        (Cancellation("cancelled"), "Cancelled by the client."),
        (Cancellation("cancelled", "Esc"), 'Cancelled by the client. It said: "Esc"'),
        (Cancellation("timed_out", "too slow"), 'The client\'s call timed out. It said: "too slow"'),
        (Cancellation("disconnected"), None),
        (Cancellation("closing"), None),
    ],
)
def test_a_cancel_interrupts_the_run_and_a_client_or_a_hub_that_disappears_does_not(
    tmp_path: Path, cancellation: Cancellation, told: str | None
) -> None:
    async def test() -> None:
        go_on = asyncio.Event()
        async with session_in(tmp_path, FakeStarter([stalling(go_on)])) as session:
            call = call_on(session)
            calling = asyncio.create_task(call_tool(call, "execute_code", {"code": "x"}))
            await settled(
                lambda: session.state == "busy" and session.executions.get(1).state is State.RUNNING
            )
            call.request.cancellation = cancellation
            calling.cancel()
            await asyncio.wait({calling}, timeout=2)
            assert calling.cancelled()
            go_on.set()
            execution = session.executions.get(1)
            await session.executions.wait(execution, 2)
            assert execution.state is (State.OK if told is None else State.INTERRUPTED)
            assert execution.interrupt == told

    run(test())


def test_a_cancelled_call_in_the_queue_is_not_run(tmp_path: Path) -> None:
    async def test() -> None:
        go_on = asyncio.Event()
        starter = FakeStarter([stalling(go_on)])
        async with session_in(tmp_path, starter) as session:
            call = call_on(session)
            first = asyncio.create_task(call_tool(call, "execute_code", {"code": "a"}))
            cancelled = call_on(session)
            second = asyncio.create_task(call_tool(cancelled, "execute_code", {"code": "b"}))
            await settled(lambda: session.queued == 1)
            cancelled.request.cancellation = Cancellation("cancelled")
            second.cancel()
            await asyncio.wait({second}, timeout=2)
            assert session.queued == 0
            go_on.set()
            await first
            assert starter.executed == ["a"]
            assert session.executions.get(2).state is State.NOT_RUN

    run(test())


def test_a_session_that_takes_long_to_open_is_told_and_opened_all_the_same(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            call = call_on(session, KERNELEXEC_MAX_WAIT_SECONDS="0.01")
            go_on, opened = asyncio.Event(), []

            async def slow(*arguments: Any) -> Session:
                await go_on.wait()
                opened.append(1)
                return session

            call.hub.session_of = slow  # type: ignore[method-assign]
            result = await call_tool(call, "execute_code", {"code": "x"})
            assert result.is_error
            assert "goes on" in text_of(result)
            go_on.set()
            await settled(lambda: bool(opened))

    run(test())


def test_the_configuration_names_all_that_a_caller_may_ask_for(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            call = call_on(session)
            before = text_of(await call_tool(call, "get_environment_config", {}))
            assert "kernel: none" in before
            await ran(session, "x")
            lines = text_of(await call_tool(call, "get_environment_config", {})).splitlines()
            facts = dict(line.split(": ", 1) for line in lines)
            assert facts["environment"] == "analysis (venv)"
            assert facts["interpreter"] == "/home/ann/analysis/bin/python"
            assert facts["session"] == "sales@analysis"
            assert facts["working directory"] == facts["storage directory"] == str(tmp_path)
            assert facts["your directory"] == "/home/ann/sales"
            assert facts["kernel"].startswith("idle, generation 1")
            assert facts["notebook"] == str(tmp_path / "sales@analysis-1.ipynb")

    run(test())


@pytest.mark.parametrize("tool", ["execute_code", "execute_code_file"])
def test_one_more_than_may_wait_is_refused_and_not_kept(tmp_path: Path, tool: str) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([stalling()])) as session:
            first, second = submit(session, "a"), submit(session, "b")
            await settled(lambda: first.state is State.RUNNING)
            limited = call_on(session, KERNELEXEC_QUEUED="1", KERNELEXEC_TRACE="1")
            (session.recorder.storage_dir / "a.py").write_text("1")
            arguments = {"code": "1"} if tool == "execute_code" else {"file_path": "a.py"}
            before = session.executions.last_number
            refused = await call_tool(limited, tool, arguments)
            assert refused.is_error
            assert f"{tool} was not run. 1 already wait in" in text_of(refused)
            assert session.executions.last_number == before
            assert f'execution_id="{first.id}"' in text_of(refused)
            assert not second.is_final

    run(test())
