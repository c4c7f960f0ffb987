"""A link that leads to a kernel in the test's own memory: nothing is sent, and what is said arrives in the
next turn of the loop."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from kernelexec.kernels.link import Lost
from kernelexec.kernels.replies import Replies
from kernelexec.kernels.wire import Message
from kernelexec.model.limits import Limits
from tests.fakes import DATE
from tests.kernels.scripted_kernel import ScriptedKernel

_log = logging.getLogger(__name__)


class MemoryKernel(ScriptedKernel):
    """Speaks to one link, once it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.take: Callable[[Message], None] = lambda message: None  # the link's
        self.is_quick = False  # it answers before the sending has returned
        self._numbers = itertools.count(1)

    def publish(self, message_type: str, content: dict[str, Any], parent: dict[str, Any] | None) -> None:
        self._say("iopub", message_type, content, parent or {})

    def receive(self, channel: str, request: dict[str, Any]) -> None:
        content = self.answered(channel, request)
        if content is not None:
            kind = request["msg_type"].replace("_request", "_reply")
            self._say(channel, kind, content, request["header"])

    def _say(
        self, channel: str, message_type: str, content: Mapping[str, Any], parent: Mapping[str, Any]
    ) -> None:
        said = f"kernel_{next(self._numbers)}"
        about = parent.get("msg_id"), parent.get("session")
        message = Message(channel, message_type, content, said, *about, DATE, {})
        self.deliver(self.take, message)

    def deliver(self, take: Callable[..., None], *what: Any) -> None:
        if self.is_quick:
            take(*what)
        else:
            asyncio.get_running_loop().call_soon(take, *what)


class MemoryLink:
    """As much as link.Link promises, and no more."""

    def __init__(self, kernel: MemoryKernel, on_message: Callable[[Message], None]) -> None:
        self.session = "memory"
        self.woken = 0
        self.down: Lost | None = None
        self.regained: Callable[[], None] = lambda: None
        self._kernel = kernel
        self._on_message = on_message
        self._replies = Replies()
        self._numbers = itertools.count(1)
        kernel.take = self._take

    @property
    def closed(self) -> asyncio.Future[None]:
        return self._replies.closed

    @property
    def lost(self) -> Lost | None:
        return self.down

    @property
    def is_reading(self) -> bool:
        return False

    def allow(self, limits: Limits) -> None:
        pass

    def when_regained(self, call: Callable[[], None]) -> None:
        self.regained = call

    async def ready(self, *, ask_shell: bool = False) -> Mapping[str, Any]:
        channel = "shell" if ask_shell else "control"
        return (await self.request(channel, "kernel_info_request", {})).content

    def pack(
        self, message_type: str, content: Mapping[str, Any], subshell: str | None = None
    ) -> tuple[str, list[bytes]]:
        msg_id = f"{self.session}_{next(self._numbers)}"
        header = {"msg_id": msg_id, "session": self.session, "subshell_id": subshell}
        packed = {"header": header, "msg_type": message_type, "content": content}
        return msg_id, [json.dumps(packed).encode()]

    def send(self, channel: str, msg_id: str, frames: list[bytes]) -> asyncio.Future[Message]:
        reply = self.expect(msg_id)
        if not self.closed.done():
            self._kernel.deliver(self._kernel.receive, channel, json.loads(frames[0]))
        return reply

    def request(self, channel: str, message_type: str, content: Mapping[str, Any]) -> asyncio.Future[Message]:
        return self.send(channel, *self.pack(message_type, content))

    def expect(self, msg_id: str) -> asyncio.Future[Message]:
        return self._replies.expect(msg_id)

    def deliver(self, reply: Message) -> None:
        self._replies.take(reply)

    def say(self, channel: str, message_type: str, content: Mapping[str, Any]) -> None:
        self.send(channel, *self.pack(message_type, content)).cancel()

    def wake(self) -> None:
        self.woken += 1

    async def take_last_words(self) -> None:
        await asyncio.sleep(0)

    def close(self) -> None:
        self._replies.close()

    def _take(self, message: Message) -> None:
        if self.closed.done():
            return
        try:
            self._on_message(message)
        except Exception:  # noqa: BLE001 - as link.Link promises
            _log.exception("a %s message could not be handled", message.type)
        if message.channel in ("shell", "control"):
            self._replies.take(message)
