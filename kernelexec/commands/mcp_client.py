"""An MCP client of our own server, which it starts as every client does: `kernelexec` over stdio."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import mcp_types as types
from mcp import ClientSession, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp.client.stdio import stdio_client

from kernelexec import __version__
from kernelexec.paths import import_root

# Its own name: what the user let another client choose with configure_environment is not for this one.
_INFO = types.Implementation(name="kernelexec", version=__version__)
PATIENCE_SECONDS = 300.0  # for one answer: the first use of an environment on a slow disk


@asynccontextmanager
async def connected(environ: Mapping[str, str]) -> AsyncIterator[ClientSession]:
    """A client with a server process of its own, configured by these environment variables.

    What running code asks for is asked at the terminal, if there is one.
    """
    # As scripts/kernelexec starts it; `-m` would put the working directory before the standard library.
    program = f"import sys; sys.path[0] = {import_root()!r}; from kernelexec.__main__ import main; main()"
    server = StdioServerParameters(command=sys.executable, args=["-E", "-c", program], env=dict(environ))
    async with connected_to(server) as client:
        yield client


@asynccontextmanager
async def connected_to(server: StdioServerParameters) -> AsyncIterator[ClientSession]:
    """A client of the server that this starts."""
    ask = _ask_at_terminal if sys.stdin.isatty() else None
    async with (
        stdio_client(server) as streams,
        ClientSession(*streams, client_info=_INFO, elicitation_callback=ask) as client,
    ):
        await client.initialize()
        yield client


async def _ask_at_terminal(
    context: ClientRequestContext, params: types.ElicitRequestParams
) -> types.ElicitResult | types.ErrorData:
    """An answer for each field of the form."""
    if not isinstance(params, types.ElicitRequestFormParams):
        return types.ElicitResult(action="decline")
    print(params.message, flush=True)
    answers: dict[str, str | int | float | bool | list[str] | None] = {}
    for name, field in params.requested_schema.get("properties", {}).items():
        print(f"{field.get('title', name)}: ", end="", flush=True)
        line = await _line_of_stdin()
        if not line:
            return types.ElicitResult(action="cancel")
        answers[name] = line.rstrip("\n")
    return types.ElicitResult(action="accept", content=answers)


async def _line_of_stdin() -> str:
    """Not in a thread, which could not be interrupted. A terminal is readable when a line is complete."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline()


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
