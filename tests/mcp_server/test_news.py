"""What a caller is to know is told with its next reply, whichever tool it calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from kernelexec.hub.hub import Hub
from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.tools import call_tool
from kernelexec.session.events import CallerId
from kernelexec.session.session import Session
from tests.fakes import FakeHub, FakeStarter, caller, printing, run, session_in
from tests.mcp_server.calls import text_of, unheard

BEN = CallerId("ben", "another", "/home/ben")


class Ann:
    """One caller, who calls several tools."""

    def __init__(self, session: Session) -> None:
        self._hub = cast(Hub, FakeHub(session))
        self._caller = caller(session.recorder.storage_dir)

    async def __call__(self, tool: str, **arguments: Any) -> str:
        return text_of(await call_tool(Call(self._hub, self._caller, unheard), tool, arguments))


TOOLS = [
    ("read_output", {"execution_id": "sales@analysis/1"}),
    ("read_output", {"execution_id": "sales@analysis/1", "pattern": "hello"}),
    ("list_executions", {}),
    ("interrupt_kernel", {}),
    ("get_environment_config", {}),
    ("wait_for_execution", {"execution_id": "sales@analysis/1"}),
]


@pytest.mark.parametrize(("tool", "arguments"), TOOLS)
def test_whose_kernel_another_has_restarted_is_told_once(
    tmp_path: Path, tool: str, arguments: dict[str, Any]
) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([printing("hello\n")])) as session:
            ann = Ann(session)
            await ann("execute_code", code="x = 1")
            await session.restart_kernel("it was restarted", {}, by=BEN)
            first, second, *rest = (await ann(tool, **arguments)).splitlines()
            is_of_run = tool == "wait_for_execution"
            lost = "all variables are lost" if is_of_run else "LOST since your last reply: all variables of"
            assert lost in first
            news = [line for line in [second, *rest] if line.startswith("News: ")]
            assert len(news) == 1
            assert "another" in news[0]
            assert is_of_run or second == news[0]
            assert "News" not in await ann(tool, **arguments)
            assert (await ann("execute_code", code="y = 1")).startswith("OK: sales@analysis/2")

    run(test())


def test_what_could_not_be_told_with_an_error_is_told_with_the_next_reply(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([printing("hello\n")])) as session:
            ann = Ann(session)
            await ann("execute_code", code="x = 1")
            await session.restart_kernel("it was restarted", {}, by=BEN)
            assert "News" not in await ann("read_output", execution_id="sales@analysis/1", pattern="([")
            assert "News" in await ann("read_output", execution_id="sales@analysis/1")

    run(test())


def test_a_glance_at_all_kernels_is_not_taken_for_being_told_of_a_loss(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            ann = Ann(session)
            await ann("execute_code", code="x = 1")
            await session.restart_kernel("it was restarted", {}, by=BEN)
            assert "News" not in await ann("list_kernels")
            assert (await ann("execute_code", code="y = x")).startswith("NOT RUN: sales@analysis/2")

    run(test())
