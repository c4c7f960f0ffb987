"""A client of the hub's MCP door for the person's commands: calls a tool, and is ready in 20 ms.

Not the SDK's, which takes half a second to import and wants a process between us and the hub. What these
commands run is recorded, told to others and interrupted like anybody's.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from kernelexec import __version__, paths
from kernelexec.bridge.rendezvous import join_hub
from kernelexec.commands.typed_calls import as_typed
from kernelexec.errors import BadRequest, HubUnavailable

_PROTOCOL = "2025-06-18"
_CHUNK = 1 << 16  # bytes
_PREPARING = "The environment is still being prepared"  # such a reply has begun nothing
_AGAIN_SECONDS = 1.0
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Picture:
    mime: str
    data: bytes


@dataclass(frozen=True)
class Reply:
    """A tool's reply: what an assistant reads, and the pictures that it is shown."""

    text: str
    pictures: tuple[Picture, ...]
    is_error: bool

    @property
    def head(self) -> str:
        """The verdict, and what else is told before the output."""
        return self.text.partition("\n\n")[0]

    @property
    def body(self) -> str:
        return self.text.partition("\n\n")[2]

    def for_a_person(self) -> Reply:
        """It recommends commands instead of calls."""
        return replace(self, text=as_typed(self.text))


class ToolClient:
    """One connection to the hub, which is started if none runs."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Raises:
        HubUnavailable: it cannot be reached.
        """
        self._socket = join_hub("mcp", environ, caller=caller_here())
        self._ids = count(time.time_ns())  # no other's, as they all are one caller
        self._rest = b""
        info = {"name": "kernelexec", "version": __version__}
        self._request(
            "initialize",
            {"protocolVersion": _PROTOCOL, "capabilities": {}, "clientInfo": info},
            _silent,
        )
        self._send({"method": "notifications/initialized"})

    def call(self, tool: str, arguments: Mapping[str, Any], progress: Progress | None = None) -> Reply:
        """The tool's reply. Control-C cancels the call, and so interrupts its run. While an environment is
        prepared, which takes longer than a call may, it is made again.

        Raises:
            BadRequest: the hub does not know this tool or its arguments.
            HubUnavailable: the hub ended before it answered.
        """
        while _PREPARING in (reply := self._call_once(tool, arguments, progress)).text and reply.is_error:
            time.sleep(_AGAIN_SECONDS)
        return reply

    def _call_once(self, tool: str, arguments: Mapping[str, Any], progress: Progress | None) -> Reply:
        given = {name: value for name, value in arguments.items() if value is not None}
        params: dict[str, Any] = {"name": tool, "arguments": given}
        if progress is not None:
            params["_meta"] = {"progressToken": tool}
        result = self._request("tools/call", params, progress or _silent)
        content = result.get("content", [])
        return Reply(
            "\n".join(block["text"] for block in content if block["type"] == "text"),
            tuple(
                Picture(block["mimeType"], base64.b64decode(block["data"]))
                for block in content
                if block["type"] == "image"
            ),
            bool(result.get("isError")),
        )

    def close(self) -> None:
        self._socket.close()

    def _request(self, method: str, params: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        number = next(self._ids)
        self._send({"id": number, "method": method, "params": params})
        try:
            while True:
                said = self._message()
                if said.get("id") == number and "method" not in said:
                    return self._result(said)
                self._take(said, progress)
        except KeyboardInterrupt:
            self._send({"method": "notifications/cancelled", "params": {"requestId": number}})
            raise

    def _result(self, said: Mapping[str, Any]) -> dict[str, Any]:
        if "error" in said:
            raise BadRequest(str(said["error"].get("message", said["error"])))
        result: dict[str, Any] = said["result"]
        return result

    def _take(self, said: Mapping[str, Any], progress: Progress) -> None:
        """What is no answer: progress. A question cannot come: we have said that we answer none."""
        method = said.get("method")
        if method == "notifications/progress":
            progress(str(said["params"].get("message", "")))
        elif "id" in said and method is not None:
            self._send({"id": said["id"], "error": {"code": -32601, "message": f"no {method} here"}})

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            self._socket.sendall(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        except OSError as error:
            raise _ended() from error

    def _message(self) -> dict[str, Any]:
        while b"\n" not in self._rest:
            try:
                part = self._socket.recv(_CHUNK)
            except ConnectionResetError:
                part = b""
            if not part:
                raise _ended()
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message


def caller_here() -> str:
    """One for all commands in a directory: what happened between two of them is told, like an assistant's."""
    return hashlib.sha256(f"command line in {os.getcwd()}".encode()).hexdigest()[:16]


def _silent(text: str) -> None:
    """Progress that nobody wants to see."""


def _ended() -> HubUnavailable:
    return HubUnavailable(
        "The hub ended before it answered; what it had begun goes on.",
        f"kernelexec history shows what was run. Its log: {paths.log_file(os.environ)}",
    )
