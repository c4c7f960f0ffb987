"""JSON-RPC lines on a connection, as the object streams that the MCP SDK runs on.

A line that the SDK could not read gets a JSON-RPC error here; its own reader would drop it without
a word, and would replace invalid UTF-8, so that other code would run than was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import ServerMessageMetadata, SessionMessage

from kernelexec.mcp_server.opening import Opening
from kernelexec.mcp_server.requests import Requests

_log = logging.getLogger(__name__)

LINE_LIMIT = 32 << 20  # bytes: the most that execute_code takes, were each character an escape
_END = 300  # bytes of each end of a line that is too long, where its id is looked for
_LAST_WORDS_SECONDS = 0.75  # the bridge ends 0.9 s after its input
_PARSE_ERROR, _INVALID_REQUEST, _TOO_MANY = -32700, -32600, -32000  # JSON-RPC
_ID = re.compile(rb'"id"\s*:\s*(-?[0-9]{1,18}(?![0-9])|"[^"\\]{0,200}")')

_COMPACT = (",", ":")  # as pydantic writes JSON
# What a client is asked has an id of this hub's: the answer to what an earlier one has asked is nobody's.
_THIS_HUB = secrets.token_hex(4)

Inbox = MemoryObjectReceiveStream[SessionMessage | Exception]
Outbox = MemoryObjectSendStream[SessionMessage]


@asynccontextmanager
async def message_streams(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    at_end: Callable[[], None],
    begun: Mapping[types.RequestId, float],
    is_closing: Callable[[], bool],
    opening: Opening | None = None,
) -> AsyncIterator[tuple[Inbox, Outbox]]:
    """Messages from and to a client.

    `at_end` is called at its end of input. What it had asked by then is answered if that takes less
    than a second; then the SDK hears of the end and cancels what is under way. What becomes of a request
    is told to its `Request`, which is its handler's `context.request`. `begun`: see `server.serve`. Once
    the hub `is_closing` nothing more is sent: the SDK would answer what is open with an error, and the next
    hub has the answer. `opening`: what the client has said before the SDK was there; its handshake, if it was
    answered then, is not answered again.
    """
    incoming_send, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, outgoing_receive = anyio.create_memory_object_stream[SessionMessage](0)

    requests = Requests(begun)

    written = asyncio.Lock()  # before Python 3.12 only one may wait for a connection to take what was said
    unreadable = 0

    async def say(data: bytes) -> bool:
        """Whether the connection took it."""
        with contextlib.suppress(ConnectionError):  # the reader sees the end too
            writer.write(data + b"\n")
            async with written:
                await writer.drain()
            return True
        return False

    async def receive() -> None:
        nonlocal unreadable
        async with incoming_send:
            async for line in _lines(reader, opening.lines if opening is not None else ()):
                if not line.strip():
                    continue
                message = _parse(line)
                if isinstance(message, types.JSONRPCRequest) and not await requests.has_room(len(line)):
                    message = _error(_TOO_MANY, requests.full, message.id)
                if isinstance(message, dict):
                    unreadable += 1
                    _log_some(unreadable, line)
                    await say(json.dumps(message, separators=_COMPACT).encode())
                    await asyncio.sleep(0)  # others have their turn, however many such lines come at once
                else:
                    await incoming_send.send(_known(_theirs(message), requests, len(line)))
            at_end()
            await requests.wait(_LAST_WORDS_SECONDS)
            requests.end()

    async def send() -> None:
        async with outgoing_receive:
            async for message in outgoing_receive:
                if is_closing():
                    continue
                # Begins with the id (bridge/open_requests counts on it).
                data = _ours(message.message).model_dump_json(by_alias=True, exclude_unset=True)
                was_said = _is_handshake_of(opening, message.message)
                requests.answered(message.message, written=was_said or await say(data.encode()))

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(receive)
            tasks.start_soon(send)
            yield incoming, outgoing
            tasks.cancel_scope.cancel()
    finally:
        requests.end()


def _log_some(number: int, line: bytes) -> None:
    """The 1st, 2nd, 4th, 8th ...: a client that sends nothing else must not fill the log."""
    if number & (number - 1) == 0:
        _log.info("a line of %d bytes was refused, the connection's number %d", len(line), number)


def _known(message: types.JSONRPCMessage, requests: Requests, size: int) -> SessionMessage:
    """The message for the SDK; a request's handler finds its `Request` as its context's `request`."""
    if isinstance(message, types.JSONRPCRequest):
        return SessionMessage(message, ServerMessageMetadata(request_context=requests.add(message, size)))
    if isinstance(message, types.JSONRPCNotification):
        requests.heard(message)
    return SessionMessage(message)


def _ours(message: types.JSONRPCMessage) -> types.JSONRPCMessage:
    """As it is sent: a request to the client has an id that no other hub gives."""
    if isinstance(message, types.JSONRPCRequest):
        return message.model_copy(update={"id": f"{_THIS_HUB}-{message.id}"})
    if isinstance(message, types.JSONRPCNotification) and message.method == "notifications/cancelled":
        params = dict(message.params or {})
        return message.model_copy(
            update={"params": params | {"requestId": f"{_THIS_HUB}-{params['requestId']}"}}
        )
    return message


def _theirs(message: types.JSONRPCMessage) -> types.JSONRPCMessage:
    """As the SDK knows it: the answer has the id that the SDK gave its request."""
    if not isinstance(message, types.JSONRPCResponse | types.JSONRPCError) or not isinstance(message.id, str):
        return message
    hub, _, identity = message.id.partition("-")
    return (
        message.model_copy(update={"id": int(identity)})
        if hub == _THIS_HUB and identity.isdigit()
        else message
    )


class _TooLong(bytes):
    """The two ends of a line that is too long."""


def _is_handshake_of(opening: Opening | None, message: types.JSONRPCMessage) -> bool:
    """Whether the client has this answer already."""
    if opening is None or not isinstance(message, types.JSONRPCResponse | types.JSONRPCError):
        return False
    return message.id is not None and opening.has_answered(message.id)


async def _lines(reader: asyncio.StreamReader, first: Iterable[bytes]) -> AsyncIterator[bytes]:
    """The lines up to the end of input, after these; of one that is too long, both ends."""
    for line in first:
        yield line
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            if end.partial:
                yield end.partial
            return
        except asyncio.LimitOverrunError:
            line = await _long_line(reader)
        except ConnectionError:
            return
        yield line


async def _long_line(reader: asyncio.StreamReader) -> bytes:
    """A line of which the reader's buffer has only a part."""
    parts: list[bytes] = []
    size, is_whole = 0, False
    while not is_whole:
        try:
            part = await reader.readuntil(b"\n")
            is_whole = True
        except asyncio.LimitOverrunError as overrun:
            part = await reader.readexactly(overrun.consumed)
        except asyncio.IncompleteReadError as end:
            part, is_whole = end.partial, True
        size += len(part)
        parts.append(part)
        if size > LINE_LIMIT:
            both = b"".join(parts)
            parts = [both[:_END], both[_END:][-_END:]]
    return b"".join(parts) if size <= LINE_LIMIT else _TooLong(b"".join(parts))


def _parse(line: bytes) -> types.JSONRPCMessage | dict[str, Any]:
    """The message, or the JSON-RPC error that answers a line which is none."""
    if isinstance(line, _TooLong):
        return _error(_PARSE_ERROR, f"A line of more than {LINE_LIMIT:,} bytes, the limit", _guess_id(line))
    try:
        message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        return _explain(line)
    if isinstance(message, types.JSONRPCNotification) and b'"id"' in line and "id" in json.loads(line):
        return _explain(line)  # an id of null, say: a request that would never be answered
    return message


def _explain(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except UnicodeDecodeError:
        return _error(_PARSE_ERROR, "Not valid UTF-8", _guess_id(line))
    except RecursionError:
        return _error(_PARSE_ERROR, "Nested too deeply", _guess_id(line))
    except ValueError as problem:
        return _error(_PARSE_ERROR, f"Not valid JSON: {problem}", _guess_id(line))
    request_id = request.get("id") if isinstance(request, dict) else None
    if isinstance(request_id, bool) or not isinstance(request_id, (int, str)):
        request_id = None
        if isinstance(request, dict) and "id" in request:
            return _error(_INVALID_REQUEST, "The id of a request is a string or a whole number", None)
    return _error(_INVALID_REQUEST, "Not a JSON-RPC 2.0 message with text that UTF-8 can encode", request_id)


def _guess_id(line: bytes) -> int | str | None:
    """The id in a line that cannot be parsed, so that whoever waits for it is answered."""
    found = _ID.search(line)
    return json.loads(found[1]) if found else None


def _error(code: int, reason: str, request_id: int | str | None) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "id": request_id,
        "error": {"code": code, "message": f"{reason}. Nothing was run."},
    }
