"""A kernel of real zmq sockets in the test's own process, which speaks through Jupyter's own code."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio
from jupyter_client.session import Session

from tests.kernels.scripted_kernel import ScriptedKernel

KEY = "1f0c4a"


class ZmqKernel(ScriptedKernel):
    """Shell, control, iopub and stdin of a kernel. `welcome`: as ipykernel 7 it greets a new subscriber."""

    def __init__(self, connection: dict[str, Any], welcome: bool) -> None:
        super().__init__()
        self.context = zmq.asyncio.Context()
        self.session = Session(key=KEY.encode())
        self.welcome = welcome
        self._sockets: dict[str, Any] = {}
        self._tasks: list[asyncio.Task[None]] = []
        for name, kind in (
            ("shell", zmq.ROUTER),
            ("control", zmq.ROUTER),
            ("iopub", zmq.XPUB),
            ("stdin", zmq.ROUTER),
        ):
            socket = self._sockets[name] = self.context.socket(kind)
            socket.sndhwm = 0
            socket.linger = 0
            socket.bind(f"ipc://{connection['ip']}-{connection[f'{name}_port']}")
        for name in ("shell", "control"):
            self._tasks.append(asyncio.create_task(self._serve(name)))
        self._tasks.append(asyncio.create_task(self._greet()))

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for socket in self._sockets.values():
            socket.close(linger=0)
        self.context.term()

    def publish(self, message_type: str, content: dict[str, Any], parent: dict[str, Any] | None) -> None:
        message = self.session.msg(message_type, content=content, parent=parent)
        # The blocking twin of the socket: what is published keeps its order without anybody awaiting.
        zmq.Socket.send_multipart(
            zmq.Socket(shadow=self._sockets["iopub"].underlying), self.session.serialize(message, b"t")
        )

    def reply(self, channel: str, identities: list[bytes], request: dict[str, Any], **content: Any) -> Any:
        kind = request["msg_type"].replace("_request", "_reply")
        message = self.session.msg(kind, content=content, parent=request["header"])
        return self._sockets[channel].send_multipart(self.session.serialize(message, identities))

    async def _greet(self) -> None:
        while True:
            [event] = await self._sockets["iopub"].recv_multipart()
            if event[:1] == b"\x01" and self.welcome:
                self.publish("iopub_welcome", {"subscription": ""}, None)

    async def _serve(self, channel: str) -> None:
        while True:
            identities, frames = self.session.feed_identities(await self._sockets[channel].recv_multipart())
            request = self.session.deserialize(frames)
            content = self.answered(channel, request)
            if content is not None:
                await self.reply(channel, identities, request, **content)


def connection_in(folder: Path) -> dict[str, Any]:
    ports = {"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4}
    return {"transport": "ipc", "ip": str(folder / "s"), "key": KEY, **ports}
