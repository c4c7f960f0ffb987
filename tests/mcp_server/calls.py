"""Calls of tools on a session, and what their replies say."""

from __future__ import annotations

from typing import Any, cast

import mcp_types as types

from kernelexec.hub.hub import Hub
from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.tools import call_tool
from kernelexec.session.session import Session
from tests.fakes import FakeHub, caller


async def unheard(text: str) -> None:
    """Progress, for a client that did not ask for any."""


def call_on(session: Session, **environ: str) -> Call:
    """A call by a client with these environment variables, of a hub that has this session only."""
    return Call(cast(Hub, FakeHub(session)), caller(session.recorder.storage_dir, **environ), unheard)


async def called(session: Session, tool: str, **arguments: Any) -> types.CallToolResult:
    """The reply of a tool."""
    return await call_tool(call_on(session), tool, arguments)


def text_of(result: types.CallToolResult) -> str:
    """The words of a reply."""
    return "\n".join(block.text for block in result.content if isinstance(block, types.TextContent))
