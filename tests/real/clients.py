"""Clients: the official one, and a crude one that can send what the official one would not."""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mcp_types as types
from anyio.from_thread import BlockingPortal
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.dispatcher import ProgressFnT

from tests.real.home import COMMAND, Home

ANSWER_SECONDS = 100.0  # more than a call waits
BEING_PREPARED = "The environment is still being prepared"
_VERDICT = re.compile(r"(?P<state>[A-Z ]+): (?:nobody saw how )?(?P<id>\S+@\S+/\d+)")
_SAVED = re.compile(r"; saved as (?P<script>/.+\.\w+)$")


@dataclass(frozen=True)
class Reply:
    """The result of a tool call, as an assistant and its client get it."""

    result: types.CallToolResult

    @property
    def text(self) -> str:
        return "\n".join(block.text for block in self.result.content if isinstance(block, types.TextContent))

    @property
    def verdict(self) -> str:
        return self.text.partition("\n")[0]

    @property
    def state(self) -> str:
        """The word that the verdict begins with, e.g. `NOT RUN`; empty if there is no verdict."""
        found = _VERDICT.match(self.verdict)
        return found["state"] if found else ""

    @property
    def id(self) -> str:
        found = _VERDICT.match(self.verdict)
        assert found, self.text
        return found["id"]

    @property
    def session(self) -> str:
        return self.id.rpartition("/")[0]

    @property
    def number(self) -> int:
        return int(self.id.rpartition("/")[2])

    @property
    def script(self) -> Path:
        found = _SAVED.search(self.verdict)
        assert found, self.text
        return Path(found["script"])

    @property
    def images(self) -> list[types.ImageContent]:
        return [block for block in self.result.content if isinstance(block, types.ImageContent)]

    @property
    def is_error(self) -> bool:
        return bool(self.result.is_error)

    def block(self, label: str) -> str:
        """The text below `[label]`, e.g. the stdout of a run."""
        found = re.search(rf"^\[{label}\]\n(.*?)(?=\n\n\[|\Z)", self.text, re.DOTALL | re.MULTILINE)
        assert found, self.text
        return found[1]


class Client:
    """The official MCP client, one call after the other unless a call is `start`ed."""

    def __init__(self, portal: BlockingPortal, session: ClientSession) -> None:
        self._portal = portal
        self._session = session

    def execute(self, code: str, **arguments: Any) -> Reply:
        return self.start(code, **arguments).result(ANSWER_SECONDS)

    def start(self, code: str, **arguments: Any) -> Future[Reply]:
        """Begin an execute_code; cancelling the future is the client's cancel."""
        return self.begin("execute_code", {"code": code, **arguments})

    def begin(self, tool: str, arguments: dict[str, Any]) -> Future[Reply]:
        """Begin a call; cancelling the future is the client's cancel."""
        return self._portal.start_task_soon(self._call, tool, arguments)

    def wait_for(self, execution_id: str, **arguments: Any) -> Reply:
        return self.call("wait_for_execution", {"execution_id": execution_id, **arguments})

    def config(self) -> dict[str, str]:
        """The facts of get_environment_config."""
        reply = self.call("get_environment_config", {})
        assert not reply.is_error, reply.text
        return dict(line.split(": ", 1) for line in reply.text.splitlines())

    def call(self, tool: str, arguments: dict[str, Any]) -> Reply:
        return self._portal.start_task_soon(self._call, tool, arguments).result(ANSWER_SECONDS)

    def call_with_progress(self, tool: str, arguments: dict[str, Any]) -> tuple[Reply, list[str]]:
        """The reply, and the messages of the progress notifications before it."""
        heard: list[str] = []

        async def progress(done: float, total: float | None, message: str | None) -> None:
            heard.append(message or "")

        call = partial(self._call, tool, arguments, progress)
        return self._portal.start_task_soon(call).result(ANSWER_SECONDS), heard

    def tools(self) -> list[types.Tool]:
        return self._portal.call(self._session.list_tools).tools

    def resources(self) -> list[types.Resource]:
        return self._portal.call(self._session.list_resources).resources

    def resource_templates(self) -> list[types.ResourceTemplate]:
        return self._portal.call(self._session.list_resource_templates).resource_templates

    def read(self, uri: str) -> list[types.TextResourceContents | types.BlobResourceContents]:
        return self._portal.call(self._session.read_resource, uri).contents

    async def _call(self, tool: str, arguments: dict[str, Any], progress: ProgressFnT | None = None) -> Reply:
        while True:
            result = await self._session.call_tool(tool, arguments, progress_callback=progress)
            reply = Reply(result)
            # As an assistant would, where an ipykernel is lent for the first time on a loaded machine.
            if BEING_PREPARED not in reply.text or "wait_seconds" in arguments:
                return reply


@contextmanager
def official_client(
    portal: BlockingPortal, home: Home, cwd: Path | None = None, **environ: str
) -> Iterator[Client]:
    """A client that works in `cwd` (the home directory), configured with these variables too."""
    server = StdioServerParameters(
        command=COMMAND, env={**home.environ, **environ}, cwd=str(cwd or home.path)
    )
    with portal.wrap_async_context_manager(_connected(server)) as session:
        yield Client(portal, session)


@asynccontextmanager
async def _connected(server: StdioServerParameters) -> AsyncIterator[ClientSession]:
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        yield session


class RawClient:
    """A client that writes lines and reads lines. Every line it reads has to be JSON-RPC."""

    def __init__(
        self, home: Home, cwd: Path | None = None, command: Sequence[str] = (COMMAND,), **environ: str
    ) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**home.environ, **environ},
            cwd=cwd or home.path,
        )
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._others: list[dict[str, Any]] = []
        self._last_id = 0
        self._meta: dict[str, Any] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def initialize(self, era: str = "2025-06-18") -> dict[str, Any]:
        """The handshake of this version of the protocol; since 2026-07-28 each request says who asks."""
        client = {"name": "test", "version": "1"}
        if era >= "2026":
            said = {"protocolVersion": era, "clientInfo": client, "clientCapabilities": {}}
            self._meta = {f"io.modelcontextprotocol/{key}": value for key, value in said.items()}
            return self.request("server/discover", {})
        params = {"protocolVersion": era, "capabilities": {}, "clientInfo": client}
        answer = self.request("initialize", params)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer

    def request(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        return self.answer(self.begin(method, params))

    def begin(self, method: str, params: Mapping[str, Any]) -> int:
        """Send a request; returns its id."""
        self._last_id += 1
        about = {"_meta": self._meta} if self._meta else {}
        message = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": {**params, **about}}
        self.send(message)
        return self._last_id

    def begin_execute(self, code: str, **arguments: Any) -> int:
        return self.begin("tools/call", {"name": "execute_code", "arguments": {"code": code, **arguments}})

    def begin_together(self, *codes: str) -> list[int]:
        """Several execute_code in one write, as a client sends what its model asks in parallel."""
        ids = [self._last_id + 1 + place for place in range(len(codes))]
        self._last_id += len(codes)
        calls = [{"name": "execute_code", "arguments": {"code": code}} for code in codes]
        lines = [
            json.dumps({"jsonrpc": "2.0", "id": each, "method": "tools/call", "params": call})
            for each, call in zip(ids, calls, strict=True)
        ]
        self.send_line("\n".join(lines).encode())
        return ids

    def execute(self, code: str, **arguments: Any) -> Reply:
        while True:
            reply = self.reply(self.begin_execute(code, **arguments))
            if BEING_PREPARED not in reply.text or "wait_seconds" in arguments:
                return reply

    def call(self, tool: str, **arguments: Any) -> Reply:
        return self.reply(self.begin("tools/call", {"name": tool, "arguments": arguments}))

    def reply(self, request_id: int) -> Reply:
        return Reply(types.CallToolResult.model_validate(self.answer(request_id)["result"]))

    @property
    def others(self) -> list[dict[str, Any]]:
        """What was heard and nobody has asked for."""
        return self._others

    def send(self, message: Mapping[str, Any]) -> None:
        self.send_line(json.dumps(message).encode())

    def send_line(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def answer(self, request_id: int | None, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """The answer to a request; notifications and other answers are kept for later."""
        deadline = time.monotonic() + seconds
        for message in list(self._others):
            if "method" not in message and message.get("id") == request_id:
                self._others.remove(message)
                return message
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no answer to request {request_id}; heard {self._others}") from None
            assert line is not None, "the server closed the connection"
            message = json.loads(line)
            assert message["jsonrpc"] == "2.0", line
            if "method" not in message and message.get("id") == request_id:
                return dict(message)
            self._others.append(message)

    def kill(self) -> None:
        """As when the client's whole process group is killed."""
        self.process.kill()
        self.close()

    def close(self) -> None:
        """Close the server's input and wait for its end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(10)
        self._reader.join(10)
        self.process.stdout.close()

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        descriptor, rest = self.process.stdout.fileno(), b""
        while chunk := os.read(descriptor, 1 << 20):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._lines.put(line)
        self._lines.put(None)
