"""An MCP client of our own server, which it starts as every client does: `kernelexec` over stdio."""

from __future__ import annotations

import base64
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import mcp_types as types
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from kernelexec import __version__

# Its own name: what the user let another client choose with configure_environment is not for this one.
_INFO = types.Implementation(name="kernelexec", version=__version__)
PATIENCE_SECONDS = 300.0  # for one answer: the first use of an environment on a slow disk


@asynccontextmanager
async def connected(environ: Mapping[str, str]) -> AsyncIterator[ClientSession]:
    """A client with a server process of its own, configured by these environment variables."""
    server = StdioServerParameters(command=sys.executable, args=["-m", "kernelexec"], env=dict(environ))
    async with stdio_client(server) as streams, ClientSession(*streams, client_info=_INFO) as client:
        await client.initialize()
        yield client


def text_of(reply: types.CallToolResult) -> str:
    """What the assistant reads."""
    return "\n".join(block.text for block in reply.content if isinstance(block, types.TextContent))


def shown(reply: types.CallToolResult) -> str:
    """The reply for a terminal: its text, and a line for each picture."""
    lines = []
    for block in reply.content:
        if isinstance(block, types.TextContent):
            lines.append(block.text)
        elif isinstance(block, types.ImageContent):
            size = len(base64.b64decode(block.data))
            lines.append(f"<{block.mime_type}, {size:,} bytes, shown to the assistant as a picture>")
    return "\n".join(lines)
