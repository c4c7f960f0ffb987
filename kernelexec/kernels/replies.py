"""The requests of one link whose replies are still to come."""

from __future__ import annotations

import asyncio
from collections import deque

from kernelexec.kernels.link import LinkClosed
from kernelexec.kernels.wire import Message

_UNEXPECTED = 4  # runs' replies that are kept for who has not asked for them yet


class Replies:
    """Futures by msg_id; what a link promises of them is in link.Link."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._coming: dict[str, asyncio.Future[Message]] = {}
        # To what an earlier hub had sent: a kernel of one thread may reply to that before it is known to
        # answer at all.
        self._early: deque[Message] = deque(maxlen=_UNEXPECTED)
        self.closed: asyncio.Future[None] = self._loop.create_future()

    def expect(self, msg_id: str) -> asyncio.Future[Message]:
        """The reply to this request; one that has failed already where the link is closed."""
        reply: asyncio.Future[Message] = self._loop.create_future()
        if self.closed.done():
            _fail(reply)
            return reply
        for early in self._early:
            if early.parent_id == msg_id:
                reply.set_result(early)
                return reply
        self._coming[msg_id] = reply
        reply.add_done_callback(lambda _: self._coming.pop(msg_id, None))
        return reply

    @property
    def are_coming(self) -> bool:
        """Whether somebody waits for one."""
        return bool(self._coming)

    def take(self, message: Message) -> None:
        """Give a message of shell or control to who asked for it."""
        reply = self._coming.get(message.parent_id or "")
        if reply is not None and not reply.done():
            reply.set_result(message)
        elif message.type == "execute_reply":
            self._early.append(message)

    def close(self) -> None:
        """No reply comes any more."""
        if self.closed.done():
            return
        self.closed.set_result(None)
        for reply in list(self._coming.values()):
            if not reply.done():
                _fail(reply)


def _fail(reply: asyncio.Future[Message]) -> None:
    reply.set_exception(LinkClosed())
    reply.exception()  # nobody has to take note: most who asked have stopped waiting
