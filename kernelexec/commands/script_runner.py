"""`kernelexec run`: a folder's scripts, one after the other, in a session of their own.

Through the server and its hub, so they are recorded like everything else that runs there.
"""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp import ClientSession

from kernelexec.commands.mcp_client import PATIENCE_SECONDS, connected, shown, text_of
from kernelexec.commands.verdict import verdict_of


@dataclass(frozen=True)
class Script:
    """One file to run."""

    path: Path
    code: str
    label: str | None
    note: str | None


@dataclass
class Outcome:
    """What came of the scripts."""

    ran_well: int = 0
    failed: list[Path] | None = None
    session: str | None = None  # its id, once something was submitted
    notebook: Path | None = None


def run(scripts: Sequence[Script], environ: Mapping[str, str], outcome: Outcome, keep_going: bool) -> None:
    """Run the scripts and print the reply to each; `outcome` is kept up to date on the way."""
    asyncio.run(_run(scripts, environ, outcome, keep_going))


async def _run(
    scripts: Sequence[Script], environ: Mapping[str, str], outcome: Outcome, keep_going: bool
) -> None:
    outcome.failed = []
    async with connected(environ) as client:
        for number, script in enumerate(scripts, 1):
            print(f"[{number}/{len(scripts)}] {script.path.name}", flush=True)
            state = await _see_through(client, script, outcome)
            if state == "OK":
                outcome.ran_well += 1
                continue
            outcome.failed.append(script.path)
            # Without a state it was refused, and what asks for input never ends: no other would fare better.
            if not keep_going or state not in ("ERROR", "INTERRUPTED", "DIED", "NOT RUN"):
                return


async def _see_through(client: ClientSession, script: Script, outcome: Outcome) -> str:
    """Run one script to its end; the word that its verdict begins with, "" if it was refused."""
    arguments: dict[str, Any] = {"code": script.code}
    for name, value in (("filename", script.label), ("note", script.note)):
        if value:
            arguments[name] = value
    reply = await _call(client, "execute_code", arguments)
    while True:
        _print(reply)
        said = verdict_of(text_of(reply))
        if said is None:
            return ""
        outcome.session = said.session
        outcome.notebook = said.notebook or outcome.notebook
        if not said.goes_on:
            return said.state
        reply = await _call(client, "wait_for_execution", {"execution_id": said.execution})


async def _call(client: ClientSession, tool: str, arguments: dict[str, Any]) -> types.CallToolResult:
    async def progress(progress: float, total: float | None, message: str | None) -> None:
        print(f"    ... {message}", flush=True)

    return await client.call_tool(
        tool, arguments, read_timeout_seconds=PATIENCE_SECONDS, progress_callback=progress
    )


def _print(reply: types.CallToolResult) -> None:
    print(textwrap.indent(shown(reply), "    "))
    print(flush=True)
