"""JSON-RPC lines on a connection, as the object streams that the MCP SDK runs on.

A line that the SDK could not read gets a JSON-RPC error here; its own reader would drop it without
a word, and would replace invalid UTF-8, so that other code would run than was sent.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

_log = logging.getLogger(__name__)

LINE_LIMIT = 64 << 20  # bytes; execute_code has a smaller limit of its own and says so
_PARSE_ERROR, _INVALID_REQUEST = -32700, -32600  # JSON-RPC
_ID = re.compile(rb'"id"\s*:\s*(-?[0-9]{1,18}|"[^"\\]{0,200}")')

Inbox = MemoryObjectReceiveStream[SessionMessage | Exception]
Outbox = MemoryObjectSendStream[SessionMessage]


@asynccontextmanager
async def message_streams(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    at_end: Callable[[], Awaitable[None]],
) -> AsyncIterator[tuple[Inbox, Outbox]]:
    """Messages from and to a client. `at_end` is awaited at its end of input, before the SDK
    hears of it and cancels what is under way."""
    incoming_send, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, outgoing_receive = anyio.create_memory_object_stream[SessionMessage](0)

    async def receive() -> None:
        async with incoming_send:
            async for line in _lines(reader):
                if not line.strip():
                    continue
                message = _parse(line)
                if isinstance(message, SessionMessage):
                    await incoming_send.send(message)
                else:
                    writer.write(json.dumps(message).encode() + b"\n")
            await at_end()

    async def send() -> None:
        async with outgoing_receive:
            async for message in outgoing_receive:
                data = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                writer.write(data.encode() + b"\n")
                await writer.drain()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive)
        tasks.start_soon(send)
        yield incoming, outgoing
        tasks.cancel_scope.cancel()


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            if end.partial:
                yield end.partial
            return
        except asyncio.LimitOverrunError:
            await _skip_line(reader)
            yield b"\xff"  # never valid: answered as a line that cannot be read
            continue
        except ConnectionError:
            return
        yield line


async def _skip_line(reader: asyncio.StreamReader) -> None:
    while True:
        try:
            await reader.readuntil(b"\n")
            return
        except asyncio.LimitOverrunError as overrun:
            await reader.readexactly(overrun.consumed)
        except asyncio.IncompleteReadError:
            return


def _parse(line: bytes) -> SessionMessage | dict[str, Any]:
    """The message, or the JSON-RPC error that answers a line which is none."""
    try:
        return SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        _log.info("a line of %d bytes could not be read", len(line))
        return _error(line, error)


def _error(line: bytes, error: ValueError) -> dict[str, Any]:
    code, reason = _PARSE_ERROR, "Not valid JSON"
    try:
        json.loads(line)
    except UnicodeDecodeError:
        reason = "Not valid UTF-8"
    except RecursionError:
        reason = "Nested too deeply"
    except ValueError as problem:
        reason = f"Not valid JSON: {problem}"
    else:
        code, reason = _INVALID_REQUEST, "Not a JSON-RPC 2.0 message with text that UTF-8 can encode"
    found = _ID.search(line)
    request_id = json.loads(found[1]) if found else None
    message = f"{reason}. Nothing was run."
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}
