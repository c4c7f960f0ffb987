"""What all links do alike, whatever carries their messages: see link.Link."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from kernelexec.kernels.readiness import kernel_info
from kernelexec.kernels.replies import Replies
from kernelexec.kernels.wire import Message, Wire

_log = logging.getLogger(__name__)


class Exchange:
    """Requests that are packed and answered, and messages for the listener. How they travel, a link adds."""

    def __init__(self, key: str, on_message: Callable[[Message], None]) -> None:
        self._wire = Wire(key)
        self._on_message = on_message
        self._replies = Replies()
        self._subscribed = asyncio.Event()

    @property
    def session(self) -> str:
        """The id that this client's requests carry, and messages that belong to them."""
        return self._wire.session

    @property
    def closed(self) -> asyncio.Future[None]:
        return self._replies.closed

    async def ready(self, *, ask_shell: bool = False) -> Mapping[str, Any]:
        channels = ("control", "shell") if ask_shell else ("control",)
        return await kernel_info(self.request, channels, self._subscribed, self.closed)

    def pack(
        self, message_type: str, content: Mapping[str, Any], subshell: str | None = None
    ) -> tuple[str, list[bytes]]:
        return self._wire.pack(message_type, content, subshell)

    def send(self, channel: str, msg_id: str, frames: list[bytes]) -> asyncio.Future[Message]:
        raise NotImplementedError

    def request(self, channel: str, message_type: str, content: Mapping[str, Any]) -> asyncio.Future[Message]:
        return self.send(channel, *self._wire.pack(message_type, content))

    def expect(self, msg_id: str) -> asyncio.Future[Message]:
        return self._replies.expect(msg_id)

    def deliver(self, reply: Message) -> None:
        self._replies.take(reply)

    def _take(self, message: Message) -> None:
        """What has come: for the listener, then for who waits for it."""
        is_reply = message.channel not in ("iopub", "stdin")
        if not is_reply and self._shows_subscription(message):
            self._subscribed.set()
        try:
            self._on_message(message)
        except Exception:  # noqa: BLE001 - what comes after this message must still be heard
            _log.exception("a %s message could not be handled", message.type)
        if is_reply:
            self._replies.take(message)

    def _shows_subscription(self, message: Message) -> bool:
        """Whether what the kernel publishes from now on comes here."""
        return message.type == "iopub_welcome" or message.parent_session == self.session
