"""A Jupyter server with as many kernels as you like, in memory, and with the faults that real ones have.

Its kernels are as ours are that have moved in: they number what they publish, remember it, and tell it on
control. Code is a number of lines to print, or anything else, which has the result 2.

    python -m tests.kernels.fake_kernel_server    # in a process of its own: prints its port; ends with stdin
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from kernelexec.kernels.websocket_frames import V1, V1Frames
from kernelexec.kernels.wire import Message

_DATE = "2026-01-01T00:00:00.000000Z"
_WHERE = {"host": "fake", "directory": "/work", "pid": 1, "python": [3, 12], "executable": "/bin/python"}
_ARRIVED = repr(json.dumps({"came": "moved in", "where": _WHERE}))
_INFO = {"status": "ok", "implementation": "ipython", "language_info": {"name": "python"}}


@dataclass
class Faults:
    """What it does wrong now."""

    status: int = 0  # of each answer, as a proxy's that does not reach it
    pause: float = 0.0  # seconds before each answer
    plain: bool = False  # a websocket is answered as if it were a page: a proxy drops the Upgrade header
    closing: int = 0  # the code by which each run's websocket is closed; the run is not begun
    drops_output: bool = False  # what is printed does not pass, as beyond a server's limits
    noise: bytes | str = ""  # comes before each answer to a run


@dataclass
class FakeKernel:
    """One, and what it remembers of each request."""

    process: str = field(default_factory=lambda: uuid.uuid4().hex)
    said: int = 0
    runs: list[str] = field(default_factory=list)
    remembered: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    replies: dict[str, dict[str, Any]] = field(default_factory=dict)
    listeners: set[_Channels] = field(default_factory=set)
    state: str = "starting"  # as its server has seen it

    def publish(
        self, parent: dict[str, Any], kind: str, content: dict[str, Any], passes: bool = True
    ) -> None:
        """To all who listen."""
        header = self.header(kind)
        about = {"type": kind, "content": content, "msg_id": header["msg_id"], "date": _DATE}
        self.remembered.setdefault(str(parent["msg_id"]), []).append(about)
        self.state = str(content.get("execution_state", self.state))
        if passes:
            for each in list(self.listeners):
                each.say("iopub", header, parent, content)

    def header(self, kind: str) -> dict[str, Any]:
        self.said += 1
        return {
            "msg_id": f"{self.process}_{self.said}",
            "msg_type": kind,
            "session": self.process,
            "username": "k",
            "date": _DATE,
            "version": "5.4",
        }


class FakeKernelServer:
    """Its kernels by their ids, and its faults."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.kernels: dict[str, FakeKernel] = {}
        self.handshakes = 0
        self.requests = 0
        self.url = ""

    @property
    def sockets(self) -> list[_Channels]:
        return [each for kernel in self.kernels.values() for each in kernel.listeners]

    def drop(self) -> int:
        """Break all websockets, as a cable does; how many there were."""
        broken = self.sockets
        for each in broken:
            each.break_off()
        return len(broken)

    def silence(self, *, takes: bool) -> None:
        """Websockets that are open now stay so, and nothing of what kernels say passes; nor, unless it
        `takes` them, do requests."""
        for each in self.sockets:
            each.says, each.takes = False, takes

    def replace_process(self, kernel: FakeKernel) -> None:
        """Another process is in its place, and nobody says so."""
        kernel.process, kernel.said = uuid.uuid4().hex, 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[FakeKernelServer]:
        routes: list[Any] = [
            (r"/api/kernelspecs", _Kernelspecs, {"server": self}),
            (r"/api/kernels", _Kernels, {"server": self}),
            (r"/api/kernels/([^/]+)", _OneKernel, {"server": self}),
            (r"/api/kernels/([^/]+)/channels", _Channels, {"server": self}),
            (r"/fake/(\w+)", _Orders, {"server": self}),
        ]
        application = Application(routes, websocket_max_message_size=2**27, log_function=lambda handler: None)
        server = HTTPServer(application)  # type: ignore[arg-type]
        (door,) = bind_sockets(0, "127.0.0.1", backlog=1024)
        server.add_sockets([door])
        self.url = f"http://127.0.0.1:{door.getsockname()[1]}"
        try:
            yield self
        finally:
            server.stop()
            self.drop()
            await server.close_all_connections()


class _Served(RequestHandler):
    def initialize(self, server: FakeKernelServer) -> None:
        self.server = server

    async def prepare(self) -> None:
        self.server.requests += 1
        if self.server.faults.pause:
            await asyncio.sleep(self.server.faults.pause)
        if self.server.faults.status:
            raise HTTPError(self.server.faults.status)

    def kernel(self, kernel_id: str) -> FakeKernel:
        if kernel_id not in self.server.kernels:
            raise HTTPError(404)
        return self.server.kernels[kernel_id]

    def log_exception(self, *about: Any) -> None:
        """A fault that it was told to have is none."""


class _Kernelspecs(_Served):
    def get(self) -> None:
        spec = {"name": "python3", "spec": {"language": "python", "display_name": "Fake"}}
        self.write({"default": "python3", "kernelspecs": {"python3": spec}})


class _Kernels(_Served):
    def post(self) -> None:
        kernel_id = str(uuid.uuid4())
        self.server.kernels[kernel_id] = FakeKernel()
        self.set_status(201)
        self.write({"id": kernel_id, "name": "python3"})


class _OneKernel(_Served):
    def get(self, kernel_id: str) -> None:
        kernel = self.kernel(kernel_id)
        seen = {"execution_state": kernel.state, "last_activity": str(kernel.said)}
        self.write({"id": kernel_id, "name": "python3", **seen})

    def delete(self, kernel_id: str) -> None:
        self.kernel(kernel_id)
        del self.server.kernels[kernel_id]
        self.set_status(204)


class _Orders(RequestHandler):
    """Of a benchmark, in another process."""

    def initialize(self, server: FakeKernelServer) -> None:
        self.server = server

    def post(self, what: str) -> None:
        if what == "drop":
            self.server.drop()
        elif what == "faults":
            self.server.faults = Faults(**json.loads(self.request.body))
        process = psutil.Process()
        self.write(
            {
                "sockets": len(self.server.sockets),
                "handshakes": self.server.handshakes,
                "requests": self.server.requests,
                "cpu": sum(process.cpu_times()[:2]),
                "memory": process.memory_info().rss,
            }
        )


class _Channels(_Served, WebSocketHandler):
    """One websocket."""

    says = takes = True

    async def get(self, kernel_id: str) -> None:
        self.server.handshakes += 1
        self.of = self.kernel(kernel_id)
        if self.server.faults.plain:
            self.write("{}")
            return
        await super().get(kernel_id)

    def select_subprotocol(self, offered: list[str]) -> str | None:
        return V1 if V1 in offered else None

    def open(self, *_: str) -> None:
        self.set_nodelay(True)
        self.of.listeners.add(self)

    def on_close(self) -> None:
        self.of.listeners.discard(self)

    def break_off(self) -> None:
        self.of.listeners.discard(self)
        if self.ws_connection is not None:
            self.ws_connection.stream.close()  # type: ignore[attr-defined]

    def say(self, channel: str, header: Any, parent: Any, content: Any) -> None:
        if not self.says:
            return
        body = [json.dumps(part).encode() for part in (header, parent, {}, content)]
        self.send(V1Frames().pack(channel, body))

    def send(self, data: bytes | str) -> None:
        try:
            sent = self.write_message(data, binary=isinstance(data, bytes))
        except WebSocketClosedError:
            return
        sent.add_done_callback(lambda done: done.exception())

    def on_message(self, data: bytes | str) -> None:
        if not self.takes:
            return
        assert isinstance(data, bytes)
        message = V1Frames().unpack(data)
        parent = {"msg_id": message.msg_id, "session": message.sender, "msg_type": message.type}
        answer: Callable[[Message, dict[str, Any]], dict[str, Any] | None] = _ANSWERS.get(
            message.type, lambda *_: {"status": "ok"}
        )
        if message.type == "execute_request" and not message.content["silent"]:
            if self.server.faults.closing:
                self.close(self.server.faults.closing, "message too big")
                return
            if self.server.faults.noise:
                self.send(self.server.faults.noise)
        if message.channel == "shell" or message.type == "kernel_info_request":
            self.of.publish(parent, "status", {"execution_state": "busy"})
        content = answer(self, message, parent)  # type: ignore[call-arg, arg-type]
        kind = message.type.replace("_request", "_reply")
        if message.channel == "shell":
            self.of.replies[message.msg_id] = {"content": content, "date": _DATE, "metadata": {}}
        self.say(message.channel, self.of.header(kind), parent, content)
        if message.channel == "shell" or message.type == "kernel_info_request":
            self.of.publish(parent, "status", {"execution_state": "idle"})

    # --- what a kernel says ----------------------------------------------------------------

    def execute(self, message: Message, parent: dict[str, Any]) -> dict[str, Any]:
        code = str(message.content["code"])
        done: dict[str, Any] = {"status": "ok", "execution_count": len(self.of.runs), "user_expressions": {}}
        if message.content["silent"]:
            told = {"status": "ok", "data": {"text/plain": _ARRIVED}, "metadata": {}}
            return {**done, "user_expressions": {"kernelexec": told}}
        self.of.runs.append(code)
        self.of.publish(parent, "execute_input", {"code": code, "execution_count": len(self.of.runs)})
        passes = not self.server.faults.drops_output
        if code.isdigit():
            for number in range(int(code)):
                self.of.publish(parent, "stream", {"name": "stdout", "text": f"{number}\n"}, passes)
        else:
            shown = {"data": {"text/plain": "2"}, "metadata": {}, "execution_count": len(self.of.runs)}
            self.of.publish(parent, "execute_result", shown, passes)
        return {**done, "execution_count": len(self.of.runs)}

    def tell(self, message: Message, parent: dict[str, Any]) -> dict[str, Any]:
        """What it remembers of a run (kernelspecs/kernel/recollection.py)."""
        about, after = str(message.content["about"]), int(message.content.get("after", 0))
        messages = [
            each
            for each in self.of.remembered.get(about, ())
            if int(each["msg_id"].rpartition("_")[2]) > after
        ]
        return {
            "begun": about in self.of.remembered,
            "reply": self.of.replies.get(about),
            "messages": messages,
            "complete": True,
            "more": False,
        }

    def info(self, message: Message, parent: dict[str, Any]) -> dict[str, Any]:
        return _INFO


_ANSWERS: dict[str, Any] = {
    "execute_request": _Channels.execute,
    "kernelexec_request": _Channels.tell,
    "kernel_info_request": _Channels.info,
}


async def _serve() -> None:
    async with FakeKernelServer().serving() as server:
        print(server.url.rpartition(":")[2], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
