"""Lines of JSON-RPC as the MCP SDK gets them."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import mcp_types as types
import pytest
from mcp.shared.message import ServerMessageMetadata, SessionMessage

from kernelexec.mcp_server import stream as module
from kernelexec.mcp_server.requests import Requests
from kernelexec.mcp_server.stream import message_streams
from tests.fakes import run, settled


class Writer:
    """As much of an asyncio.StreamWriter as is used; a client that reads all."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None:
        pass

    @property
    def lines(self) -> list[dict[str, Any]]:
        assert self.data.endswith(b"\n") or not self.data
        return [json.loads(line) for line in self.data.splitlines()]


@pytest.fixture
def short_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines may have 4,000 bytes, of which the reader's buffer holds 1,000."""
    monkeypatch.setattr(module, "LINE_LIMIT", 4_000)


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no server here, so waiting for its answers is in vain."""
    monkeypatch.setattr("kernelexec.mcp_server.stream._LAST_WORDS_SECONDS", 0.01)


async def exchange(
    sent: bytes, *replies: dict[str, Any], limit: int = 1 << 20
) -> tuple[list[SessionMessage], Writer, list[str]]:
    """What the SDK gets of these bytes, what the client gets back, and in which order it ended."""
    reader = asyncio.StreamReader(limit=limit)
    reader.feed_data(sent)
    reader.feed_eof()
    writer = Writer()
    order: list[str] = []
    got = []

    def at_end() -> None:
        order.append("at_end")

    streams = message_streams(reader, cast(asyncio.StreamWriter, writer), at_end, {}, lambda: False)
    async with streams as (incoming, outgoing), incoming, outgoing:  # the SDK closes both
        for reply in replies:
            message = types.jsonrpc_message_adapter.validate_python(reply, by_name=False)
            await outgoing.send(SessionMessage(message))
        async for message in incoming:
            assert isinstance(message, SessionMessage)
            got.append(message)
        order.append("end of messages")
        await settled(lambda: len(writer.data.splitlines()) >= len(replies))
    return got, writer, order


def ping(number: Any = 1) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "ping"}).encode()


def test_each_line_is_one_message() -> None:
    got, writer, _ = run(exchange(ping(1) + b"\n\n  \n" + ping("a") + b"\r\n" + ping(3)))
    assert [message.message.id for message in got] == [1, "a", 3]  # type: ignore[union-attr]
    assert writer.lines == []


def test_a_message_goes_out_as_one_line() -> None:
    reply = {"jsonrpc": "2.0", "id": 1, "result": {"text": "two\nlines ä \u2028 📈"}}
    _, writer, _ = run(exchange(b"", reply))
    assert writer.data.count(b"\n") == 1
    assert writer.lines == [reply]


def test_the_end_of_input_is_known_before_the_sdk_hears_of_it() -> None:
    """Else a client's end could not be told from its cancel."""
    _, _, order = run(exchange(ping() + b"\n"))
    assert order == ["at_end", "end of messages"]


PARSE_ERROR, INVALID_REQUEST = -32700, -32600


@pytest.mark.parametrize(
    ("line", "code", "told", "request_id"),
    [
        (b"{", PARSE_ERROR, "Not valid JSON", None),
        (b"hello", PARSE_ERROR, "Not valid JSON", None),
        (b'{"jsonrpc": "2.0", "id": 7, "method": "x", }', PARSE_ERROR, "Not valid JSON", 7),
        (b'{"jsonrpc":"2.0","id":"a-1","method":"\xff"}', PARSE_ERROR, "Not valid UTF-8", "a-1"),
        (b"[" * 100_000, PARSE_ERROR, "Nested too deeply", None),
        (b"5", INVALID_REQUEST, "Not a JSON-RPC 2.0 message", None),
        (b"[]", INVALID_REQUEST, "Not a JSON-RPC 2.0 message", None),
        (b'{"id": 3}', INVALID_REQUEST, "Not a JSON-RPC 2.0 message", 3),
        (b'{"jsonrpc": "2.0", "id": null, "method": "x"}', INVALID_REQUEST, "The id of a request is", None),
        (
            b'{"jsonrpc": "2.0", "id": 4, "method": "x", "params": {"code": "\\ud800"}}',
            INVALID_REQUEST,
            "text that UTF-8 can encode",
            4,
        ),
    ],
)
def test_a_line_that_cannot_be_read_is_answered_and_the_next_one_served(
    line: bytes, code: int, told: str, request_id: Any
) -> None:
    got, writer, _ = run(exchange(line + b"\n" + ping(9) + b"\n"))
    [answer] = writer.lines
    assert (answer["jsonrpc"], answer["id"], answer["error"]["code"]) == ("2.0", request_id, code)
    assert told in answer["error"]["message"]
    assert "Nothing was run" in answer["error"]["message"]
    assert len(answer["error"]["message"]) < 300
    assert [message.message.id for message in got] == [9]  # type: ignore[union-attr]


def test_an_id_inside_the_parameters_is_not_taken_for_the_requests() -> None:
    line = b'{"jsonrpc": "2.0", "method": "x", "params": {"id": 5, "code": "\\ud800"}, "id": 4}\n'
    _, writer, _ = run(exchange(line))
    assert writer.lines[0]["id"] == 4


def test_code_is_never_altered() -> None:
    code = "x = 'ä 📈 \u2028 \\ud800 \x7f'\r\n\ty"
    line = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "m", "params": {"code": code}}, ensure_ascii=False
    )
    got, _, _ = run(exchange(line.encode() + b"\n"))
    assert got[0].message.params["code"] == code  # type: ignore[union-attr,index]


def test_a_line_that_is_too_long_is_answered_and_the_next_one_served(short_lines: None) -> None:
    long = b'{"jsonrpc": "2.0", "id": 1, "method": "' + b"x" * 5_000 + b'"}'
    got, writer, _ = run(exchange(long + b"\n" + ping(2) + b"\n", limit=1_000))
    [answer] = writer.lines
    assert "error" in answer
    assert [message.message.id for message in got] == [2]  # type: ignore[union-attr]


def test_a_line_that_is_too_long_is_told_to_be_too_long(short_lines: None) -> None:
    _, writer, _ = run(exchange(b"x" * 5_000 + b"\n", limit=1_000))
    assert f"{module.LINE_LIMIT:,}" in writer.lines[0]["error"]["message"]


def test_an_endless_line_without_an_end_is_no_end_of_the_server(short_lines: None) -> None:
    got, _, order = run(exchange(b"x" * 5_000, limit=1_000))
    assert (got, order[-1]) == ([], "end of messages")


@pytest.mark.parametrize("size", [999, 1_000, 1_001, 2_500, 3_000])
def test_a_line_that_is_longer_than_the_readers_buffer_is_whole(short_lines: None, size: int) -> None:
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "m", "params": {"x": "y" * size}}).encode()
    got, writer, _ = run(exchange(line + b"\n" + ping(2) + b"\n", limit=1_000))
    assert writer.lines == []
    assert got[0].message.params == {"x": "y" * size}  # type: ignore[union-attr]
    assert got[1].message.id == 2  # type: ignore[union-attr]


def test_the_id_of_a_line_that_is_too_long_is_found_at_either_end(short_lines: None) -> None:
    first = b'{"id": 7, "method": "' + b"x" * 9_000 + b'"}\n'
    last = b'{"method": "' + b"x" * 9_000 + b'", "id": "a"}\n'
    _, writer, _ = run(exchange(first + last, limit=1_000))
    assert [line["id"] for line in writer.lines] == [7, "a"]


def test_others_have_their_turn_while_a_client_sends_what_cannot_be_read() -> None:
    async def test() -> None:
        turns = 0

        async def another() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(another())
        _, writer, _ = await exchange(b"{broken\n" * 2_000)
        task.cancel()
        assert len(writer.lines) == 2_000
        assert turns >= 2_000

    run(test())


def test_who_reads_no_answers_is_not_read_from_either() -> None:
    class Unread(Writer):
        async def drain(self) -> None:
            if len(self.data) > 10_000:
                await asyncio.Event().wait()

    async def test() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(b"{broken\n" * 2_000)
        writer = Unread()
        streams = message_streams(reader, cast(asyncio.StreamWriter, writer), lambda: None, {}, lambda: False)
        async with streams as (incoming, outgoing), incoming, outgoing:
            await settled(lambda: len(writer.data) > 10_000)
            for _ in range(100):
                await asyncio.sleep(0)
            assert len(writer.data) < 11_000

    run(test())


def test_a_client_that_asks_without_end_is_refused_at_a_limit_and_served_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kernelexec.mcp_server.requests._MOST", 60)
    monkeypatch.setattr("kernelexec.mcp_server.requests._MOMENT_SECONDS", 0.001)

    async def test() -> None:
        reader = asyncio.StreamReader()
        for number in range(70):
            reader.feed_data(ping(number) + b"\n")
        writer = Writer()
        streams = message_streams(reader, cast(asyncio.StreamWriter, writer), lambda: None, {}, lambda: False)
        async with streams as (incoming, outgoing), incoming, outgoing:
            for number in range(60):
                assert (await incoming.receive()).message.id == number  # type: ignore[union-attr]
            await settled(lambda: len(writer.data.splitlines()) == 10)
            assert [line["id"] for line in writer.lines] == list(range(60, 70))
            assert "Nothing was run" in writer.lines[0]["error"]["message"]
            answer = types.JSONRPCResponse(jsonrpc="2.0", id=5, result={})
            await outgoing.send(SessionMessage(answer))
            reader.feed_data(ping(70) + b"\n" + ping(71) + b"\n")
            assert (await incoming.receive()).message.id == 70  # type: ignore[union-attr]
            await settled(lambda: writer.lines[-1]["id"] == 71)

    run(test())


def test_large_requests_are_refused_before_there_are_many() -> None:
    async def test() -> None:
        requests = Requests({})
        large = 40 << 20
        assert await requests.has_room(large)
        requests.add(types.JSONRPCRequest(jsonrpc="2.0", id=1, method="m"), large)
        assert not await requests.has_room(large)
        assert await requests.has_room(1_000)

    run(test())


def test_a_connection_that_breaks_is_an_end_like_any_other() -> None:
    async def test() -> list[str]:
        reader = asyncio.StreamReader()
        reader.set_exception(ConnectionResetError())
        order: list[str] = []

        def at_end() -> None:
            order.append("at_end")

        streams = message_streams(reader, cast(asyncio.StreamWriter, Writer()), at_end, {}, lambda: False)
        async with streams as (incoming, outgoing), incoming, outgoing:
            async for _ in incoming:
                order.append("message")
        return order

    assert run(test()) == ["at_end"]


def test_what_is_open_when_the_server_lets_go_of_a_connection_is_not_delivered() -> None:
    async def test() -> list[str]:
        reader = asyncio.StreamReader()
        reader.feed_data(ping() + b"\n")
        order: list[str] = []
        streams = message_streams(
            reader, cast(asyncio.StreamWriter, Writer()), lambda: None, {}, lambda: False
        )
        async with streams as (incoming, outgoing), incoming, outgoing:
            message = await incoming.receive()
            assert isinstance(message, SessionMessage)
            assert isinstance(message.metadata, ServerMessageMetadata)
            message.metadata.request_context.on_undelivered(lambda: order.append("undelivered"))
        return order

    assert run(test()) == ["undelivered"]
