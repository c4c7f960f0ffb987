"""How long calls wait, by what is known of the client and what is configured."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kernelexec.config import read_config
from kernelexec.mcp_server.patience import Patience, Waits, patience_of, waits_of
from kernelexec.mcp_server.tools import call_tool
from tests.fakes import FakeStarter, run, session_in, stalling
from tests.mcp_server.calls import call_on, text_of


def waits(client: str, version: str, *, has_progress: bool = True, **environ: str) -> Waits:
    config = read_config({"HOME": "/home/ann", **environ}, "/home/ann")
    return waits_of(config, patience_of(client, version, has_progress=has_progress))


@pytest.mark.parametrize(
    ("client", "version", "longest"),
    [
        ("codex-mcp-client", "0.171.0", 240),
        ("codex-mcp-client", "1.0.0-alpha.3", 240),
        ("codex-mcp-client", "0.99.1", 50),
        ("codex-mcp-client", "unknown", 50),
        ("claude-code", "2.1.197", 600),
        ("claude-code", "2.1.9 (beta)", 50),
        ("claude-code", "", 50),
        ("claude-code-like", "9", 50),
        ("gemini-cli-mcp-client", "0.61.0", 50),
        ("", "", 50),
    ],
)
def test_a_call_may_wait_longer_only_where_the_client_is_known_to_bear_it(
    client: str, version: str, longest: float
) -> None:
    assert waits(client, version) == Waits(45, longest)


def test_claude_code_bears_it_only_while_it_hears_of_progress() -> None:
    assert waits("claude-code", "2.1.197", has_progress=False) == Waits(45, 50)
    assert waits("codex-mcp-client", "0.171.0", has_progress=False) == Waits(45, 240)


def test_what_is_configured_decides_over_what_is_known() -> None:
    known = ("codex-mcp-client", "0.171.0")
    assert waits(*known, KERNELEXEC_MAX_WAIT_SECONDS="20") == Waits(20, 20)
    assert waits(*known, KERNELEXEC_MAX_WAIT_SECONDS="1000") == Waits(45, 1000)
    assert waits(*known, KERNELEXEC_WAIT_SECONDS="100") == Waits(100, 240)
    assert waits("other", "1", KERNELEXEC_WAIT_SECONDS="100") == Waits(50, 50)


def test_a_call_waits_as_long_as_its_client_bears_and_no_call_longer(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([stalling()])) as session:
            call = call_on(session)
            call.patience = Patience(reply=0.05)
            arguments = {"code": "x", "wait_seconds": 300}
            text = text_of(await asyncio.wait_for(call_tool(call, "execute_code", arguments), 5))
            verdict, cut, *_ = text.splitlines()
            assert verdict.startswith("RUNNING: sales@analysis/1")
            assert cut == "Waited 0.05 s of wait_seconds=300: no call waits longer here."

    run(test())
