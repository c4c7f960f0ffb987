"""What a client says before the SDK is there, held against what the SDK answers once it is."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION

from kernelexec.errors import KernelFailed
from kernelexec.hub.hub import Hub
from kernelexec.mcp_server.opening import (
    INSTRUCTIONS,
    READ_AHEAD,
    VERSIONS,
    Opening,
    initialized,
    where_code_runs,
)
from kernelexec.mcp_server.server import serve
from kernelexec.session.session import Session
from tests.fakes import FakeHub, FakeStarter, caller, run, session_in, settled

CLIENT = {"name": "test", "version": "1"}


def handshake(**changes: Any) -> dict[str, Any]:
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT}
    return {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params | changes}


def call(number: int, **arguments: Any) -> dict[str, Any]:
    params = {"name": "execute_code", "arguments": arguments}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


class Peer:
    """A client whose connection is listened to by an Opening, until `go_on` is called, and then served."""

    def __init__(self, session: Session) -> None:
        self.hub = FakeHub(session)
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.caller = caller(session.recorder.storage_dir)
        self.opening = Opening(cast(Hub, self.hub), self.caller)
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.opening.until(self.ready, reader, writer)
        await self.ready
        await serve(cast(Hub, self.hub), self.caller, reader, writer, {}, self.opening)
        writer.close()

    def go_on(self) -> None:
        self.ready.set_result(None)

    def say(self, *messages: object) -> None:
        for message in messages:
            self.writer.write(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")

    async def heard(self) -> dict[str, Any]:
        line = await asyncio.wait_for(self.reader.readline(), 5)
        assert line, "the connection was closed"
        return cast(dict[str, Any], json.loads(line))

    async def rest(self) -> list[dict[str, Any]]:
        """All that is heard until the end, once nothing more is said."""
        self.writer.write_eof()
        said = await asyncio.wait_for(self.reader.read(-1), 5)
        return [json.loads(line) for line in said.splitlines()]


@asynccontextmanager
async def connected(
    storage_dir: Path, starter: FakeStarter | None = None, limit: int = READ_AHEAD
) -> AsyncIterator[Peer]:
    async with session_in(storage_dir, starter or FakeStarter()) as session:
        peer = Peer(session)
        ours, theirs = socket.socketpair()
        serving = asyncio.create_task(peer.serve(*await asyncio.open_connection(sock=ours, limit=limit)))
        peer.reader, peer.writer = await asyncio.open_connection(sock=theirs, limit=8 << 20)
        try:
            yield peer
        finally:
            peer.writer.close()
            if not peer.ready.done():
                peer.go_on()
            await asyncio.wait_for(serving, 5)


async def sdks_answer(storage_dir: Path, message: object) -> dict[str, Any]:
    async with connected(storage_dir) as peer:
        peer.go_on()
        await asyncio.sleep(0)
        peer.say(message)
        return await peer.heard()


# --- the handshake ---------------------------------------------------------------------------------

ORDINARY = [
    handshake(),
    *(handshake(protocolVersion=version) for version in (*VERSIONS, "2026-07-28", "1999-01-01", "")),
    handshake(capabilities={"roots": {"listChanged": True}, "sampling": {}, "elicitation": {}}),
    handshake(capabilities={"roots": {}, "sampling": {"tools": {}, "context": {}}}),
    handshake(capabilities={"elicitation": {"form": {"applyDefaults": True}, "url": {}}}),
    handshake(capabilities={"experimental": {"x": {"y": [1, None]}}, "extensions": {"io.x/y": {}}}),
    handshake(clientInfo={**CLIENT, "title": "T\u00e9st", "description": "", "websiteUrl": "no address"}),
    {**handshake(), "id": "a-b"},
    {**handshake(), "id": -3},
]
LEFT = [
    {**handshake(), "id": "7"},
    {**handshake(), "id": None},
    {**handshake(), "id": 1.5},
    {**handshake(), "id": True},
    {**handshake(), "jsonrpc": "1.0"},
    {**handshake(), "more": 1},
    {**handshake(), "method": "server/discover"},
    {**handshake(), "params": None},
    handshake(more=1),
    handshake(_meta={}),
    handshake(protocolVersion=1),
    handshake(capabilities=None),
    handshake(capabilities={"roots": {"listChanged": "yes"}}),
    handshake(capabilities={"roots": None}),
    handshake(capabilities={"tasks": {}}),
    handshake(capabilities={"sampling": {"tools": None}}),
    handshake(capabilities={"experimental": {"x": 1}}),
    handshake(capabilities={"unknown": {}}),
    handshake(capabilities={"experimental": {"x": {"y": json.loads("[" * 250 + "]" * 250)}}}),
    handshake(clientInfo={"name": "test"}),
    handshake(clientInfo={**CLIENT, "icons": []}),
    handshake(clientInfo={**CLIENT, "name": "\ud800"}),
    call(1, code="1"),
]


@pytest.mark.parametrize("message", ORDINARY)
def test_an_ordinary_handshake_is_answered_as_the_sdk_does(message: dict[str, Any], tmp_path: Path) -> None:
    async def compare() -> None:
        ours = initialized(message, INSTRUCTIONS + where_code_runs(caller(tmp_path)))
        assert ours is not None
        assert json.loads(ours) == await sdks_answer(tmp_path, message)

    run(compare())


@pytest.mark.parametrize("message", LEFT)
def test_any_other_is_left_to_the_sdk(message: dict[str, Any]) -> None:
    assert initialized(message, "") is None


NAMES = st.sampled_from(
    [
        "roots",
        "sampling",
        "elicitation",
        "experimental",
        "extensions",
        "tasks",
        "listChanged",
        "form",
        "url",
        "tools",
    ]
)
SAID = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.text(max_size=3) | st.just({}),
    lambda inner: st.dictionaries(NAMES, inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=6,
)
ABOUT = st.dictionaries(
    st.sampled_from(["name", "version", "title", "description", "websiteUrl", "icons", "more"]),
    st.text(max_size=3) | st.none(),
    max_size=3,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    identity=st.integers() | st.text(max_size=4) | st.none() | st.floats(allow_nan=False),
    version=st.sampled_from(VERSIONS) | st.text(max_size=3),
    capabilities=st.dictionaries(NAMES, SAID, max_size=3),
    client=ABOUT.map(lambda about: {**CLIENT, **about}),
)
def test_whatever_is_answered_is_answered_so_by_the_sdk(
    identity: Any, version: str, capabilities: Any, client: Any, tmp_path: Path
) -> None:
    message = handshake(protocolVersion=version, capabilities=capabilities, clientInfo=client)
    message["id"] = identity
    ours = initialized(message, INSTRUCTIONS + where_code_runs(caller(tmp_path)))
    if ours is not None:
        assert json.loads(ours) == run(sdks_answer(tmp_path, message))


@pytest.mark.parametrize("setting", [("GATEWAY_URL", "http://127.0.0.1:1"), ("KERNELEXEC_VIA", "gpu")])
def test_where_code_runs_elsewhere_only_its_first_reply_can_tell(
    setting: tuple[str, str], tmp_path: Path
) -> None:
    assert where_code_runs(caller(tmp_path))
    assert where_code_runs(caller(tmp_path, **dict([setting]))) == ""


def test_its_versions_are_the_sdks() -> None:
    assert VERSIONS == HANDSHAKE_PROTOCOL_VERSIONS
    assert VERSIONS[-1] == LATEST_HANDSHAKE_VERSION


def test_nothing_of_the_sdk_is_imported_before_it_is_needed() -> None:
    code = "import sys, kernelexec.daemon.process; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "kernelexec.mcp_server.opening" in imported.stdout.split()
    assert {"pydantic", "mcp_types", "anyio"} & set(imported.stdout.split()) == set()


# --- a connection ----------------------------------------------------------------------------------


def test_a_client_is_answered_once_and_its_kernel_starts_before_the_sdk_is_there(tmp_path: Path) -> None:
    async def talk() -> None:
        starter = FakeStarter()
        async with connected(tmp_path, starter) as peer:
            peer.say(handshake(clientInfo={**CLIENT, "name": "Someone's"}))
            assert (await peer.heard())["result"]["serverInfo"]["name"] == "kernelexec"
            assert peer.caller.client == "Someone's"
            peer.say({"jsonrpc": "2.0", "method": "notifications/initialized"}, call(1, code="1"))
            peer.say(call(2, code="2", session="other"))
            await settled(lambda: starter.starts == 1)
            assert starter.executed == []
            peer.go_on()
            assert {(await peer.heard())["id"] for _ in range(2)} == {1, 2}
            peer.say(handshake())  # a second one is the SDK's
            assert [each["id"] for each in await peer.rest()] == [0]
            assert (starter.starts, starter.executed) == (1, ["1", "2"])

    run(talk())


def test_a_kernel_that_was_there_before_its_first_call_is_told_as_new(tmp_path: Path) -> None:
    async def talk() -> None:
        starter = FakeStarter()
        async with connected(tmp_path, starter) as peer:
            peer.say(handshake(), call(1, code="1"))
            await settled(lambda: starter.starts == 1)
            for _ in range(50):
                await asyncio.sleep(0)
            peer.go_on()
            assert (await peer.heard())["id"] == 0
            text = (await peer.heard())["result"]["content"][0]["text"]
            assert "Kernel: new, generation 1" in text
            assert "It had no variables before this." in text

    run(talk())


@pytest.mark.parametrize(
    "lines",
    [
        [b"no JSON\n", handshake()],
        [{"jsonrpc": "2.0", "id": 5, "method": "ping"}, handshake()],
        [handshake(_meta={"progressToken": 1})],
        [b"[1]\n", b"\xff\n", handshake()],
    ],
)
def test_what_does_not_begin_as_usual_waits_for_the_sdk(lines: list[Any], tmp_path: Path) -> None:
    async def talk() -> list[dict[str, Any]]:
        starter = FakeStarter()
        async with connected(tmp_path, starter) as peer:
            peer.say(*lines, call(1, code="1"))
            await settled(lambda: len(peer.opening.lines) == len(lines) + 1)
            peer.go_on()
            return await peer.rest()

    answers = run(talk())
    assert len(answers) == len(lines) + 1
    assert len([each for each in answers if "serverInfo" in each.get("result", {})]) == 1


@pytest.mark.parametrize(
    "asked",
    [
        {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "list_kernels", "arguments": {}},
        },
        call(1, code=1),
        call(1, code="1", session=3),
        call(1),
    ],
)
def test_a_kernel_starts_for_code_alone(asked: dict[str, Any], tmp_path: Path) -> None:
    async def talk() -> None:
        starter = FakeStarter()
        async with connected(tmp_path, starter) as peer:
            peer.say(handshake(), asked)
            await settled(lambda: len(peer.opening.lines) == 2)
            for _ in range(50):
                await asyncio.sleep(0)
            assert starter.starts == 0
            peer.go_on()
            assert [each["id"] for each in await peer.rest()] == [0, 1]

    run(talk())


def test_a_kernel_that_does_not_start_is_told_by_the_call(tmp_path: Path) -> None:
    async def talk() -> None:
        starter = FakeStarter(KernelFailed("no", ""), KernelFailed("no again", ""))
        async with connected(tmp_path, starter) as peer:
            peer.say(handshake(), call(1, code="1"))
            await settled(lambda: starter.starts == 1)
            peer.go_on()
            reply = (await peer.rest())[-1]
            assert "no again" in reply["result"]["content"][0]["text"]

    run(talk())


@pytest.mark.parametrize("end", [b"", b'{"jsonrpc": "2.0", "id": 9, "method": "ping"}', b"x" * 5000 + b"\n"])
def test_a_client_that_ends_before_the_sdk_is_there_is_answered(end: bytes, tmp_path: Path) -> None:
    async def talk() -> list[dict[str, Any]]:
        async with connected(tmp_path, limit=2000) as peer:
            peer.say(handshake(), call(1, code="1"), end)
            await settled(lambda: len(peer.opening.lines) >= 2)
            asyncio.get_running_loop().call_later(0.05, peer.go_on)
            return await peer.rest()

    answers = run(talk())
    assert [each["id"] for each in answers if each["id"] in (0, 1)] == [0, 1]
    assert len(answers) == (3 if end else 2)


def test_who_sends_without_end_is_not_read_without_end(tmp_path: Path) -> None:
    async def talk() -> None:
        async with connected(tmp_path) as peer:
            peer.say(handshake(), *[call(number, code="#" * 100_000) for number in range(1, 60)])
            await settled(lambda: sum(map(len, peer.opening.lines)) >= READ_AHEAD)
            for _ in range(50):
                await asyncio.sleep(0)
            assert sum(map(len, peer.opening.lines)) < READ_AHEAD + 200_000
            peer.go_on()
            assert len(await peer.rest()) == 60

    run(talk())


def test_a_connection_that_is_cancelled_meanwhile_ends(tmp_path: Path) -> None:
    async def talk() -> None:
        opening = Opening(cast(Hub, None), caller(tmp_path))
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        listening = asyncio.create_task(
            opening.until(never, asyncio.StreamReader(), cast(asyncio.StreamWriter, None))
        )
        await asyncio.sleep(0)
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening

    run(talk())
