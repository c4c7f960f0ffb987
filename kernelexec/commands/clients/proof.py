"""Whether what is configured works: started as the client would, with its bare environment, and used."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import mcp_types as types
from mcp import ClientSession, StdioServerParameters
from mcp.shared.exceptions import MCPError

from kernelexec.commands.clients.entry import Started
from kernelexec.commands.mcp_client import PATIENCE_SECONDS, connected_to, text_of
from kernelexec.commands.verdict import verdict_of

SESSION = "setup"  # of its own: the person's sessions do not begin with our cell
_CODE = "import os, sys\nprint(sys.version.split()[0], 'in', sys.prefix, 'working in', os.getcwd())"


@dataclass(frozen=True)
class Proof:
    works: bool
    said: str  # what the cell printed, or what went wrong
    seconds: float


def prove(started: Started) -> Proof:
    """Start the server and run a cell; its kernel is stopped again."""
    return asyncio.run(_prove(started))


async def _prove(started: Started) -> Proof:
    begun = time.monotonic()
    if started.program is None:
        return Proof(False, f"{started.command} is not found on the client's PATH", 0)
    server = StdioServerParameters(
        command=started.program,
        args=list(started.arguments),
        env=dict(started.environ),
        cwd=started.cwd,
    )
    try:
        async with connected_to(server) as client:
            reply = await _run(client)
            if (said := verdict_of(text_of(reply))) and said.state == "NOT RUN":
                reply = await _run(client)  # the first told of a kernel that an earlier set-up left
            await client.call_tool("stop_kernel", {"session": SESSION})
    except (OSError, MCPError) as error:
        return Proof(False, str(error), time.monotonic() - begun)
    text = text_of(reply)
    works = text.startswith("OK: ")
    printed = text.partition("[stdout]\n")[2].partition("\n")[0]
    return Proof(works, printed if works else text, time.monotonic() - begun)


async def _run(client: ClientSession) -> types.CallToolResult:
    """The reply at the cell's end."""
    arguments = {"code": _CODE, "session": SESSION, "filename": "setup"}
    reply = await client.call_tool("execute_code", arguments, read_timeout_seconds=PATIENCE_SECONDS)
    while (said := verdict_of(text_of(reply))) and said.goes_on:
        reply = await client.call_tool("wait_for_execution", {"execution_id": said.execution})
    return reply
