"""The channels to one kernel, whichever way they are carried: one half of a kernel, the other is its life."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from kernelexec.kernels.wire import Message
from kernelexec.model.limits import Limits


class LinkClosed(Exception):
    """The link was closed before the reply came; none will come through it."""


@dataclass(frozen=True)
class Lost:
    """A link that is down, and is being made again."""

    since: datetime
    why: str  # sentences, for people
    next_step: str = ""
    passes: bool = True  # it may be over soon, without anybody's doing


class Link(Protocol):
    """Requests out, messages in.

    It is made with a listener, which gets every message of the kernel, whatever channel, in the order in
    which they arrive: also those of iopub that belong to other clients' requests. A reply's future is done
    after that. Nothing waits for the listener, and its failure costs no other message.

    Futures of replies may be cancelled by who awaits them, and are forgotten then. They are never cancelled
    from here: a link that closes fails them with LinkClosed.
    """

    @property
    def closed(self) -> asyncio.Future[None]:
        """Done once it is closed, whoever closed it. For asyncio.wait: who is cancelled while he awaits a
        future cancels it."""

    @property
    def lost(self) -> Lost | None:
        """Whether it is down now: then what is sent waits, and nothing comes. None: it is up."""

    @property
    def is_reading(self) -> bool:
        """Whether a message has come that is so large that it is still being read."""

    def allow(self, limits: Limits) -> None:
        """How large what the next runs show may be: what is larger may come as a file in the spool."""

    def when_regained(self, call: Callable[[], None]) -> None:
        """`call` is called whenever it is up again after a loss: what was on its way may be gone."""

    async def ready(self, *, ask_shell: bool = False) -> Mapping[str, Any]:
        """The kernel's kernel_info, once it answers and its output reaches us.

        Waits for as long as that takes: who calls knows whether the kernel is alive. Asks on the control
        channel, which a kernel serves while it runs code; `ask_shell` on the shell channel too, for kernels
        that answer this question only there.

        Raises:
            LinkClosed
        """

    def pack(
        self, message_type: str, content: Mapping[str, Any], subshell: str | None = None
    ) -> tuple[str, list[bytes]]:
        """A request that is sent later, whose msg_id is needed before; for the main shell or a subshell.

        Raises:
            NotSent: it is longer than what carries it can take.
        """

    def send(self, channel: str, msg_id: str, frames: list[bytes]) -> asyncio.Future[Message]:
        """Send what was packed; the future is its reply."""

    def request(self, channel: str, message_type: str, content: Mapping[str, Any]) -> asyncio.Future[Message]:
        """Pack and send at once."""

    def expect(self, msg_id: str) -> asyncio.Future[Message]:
        """The reply to a request that an earlier client of this kernel sent, should it still come."""

    def deliver(self, reply: Message) -> None:
        """A reply that was had on another way, for who expects it."""

    def say(self, channel: str, message_type: str, content: Mapping[str, Any]) -> None:
        """Send what is not replied to; through a closed link nothing is sent."""

    def wake(self) -> None:
        """Have the kernel look at its shell once more, where that can be done from here.

        A zmq socket's descriptor tells a change, not a state. A kernel that waits for it on an event loop and
        does not look again after it has answered (xeus-python) misses a request that came meanwhile, and the
        next ones with it: what has not been read is no change. A new connection is one.
        """

    async def take_last_words(self) -> None:
        """Take what a kernel that has ended had sent and is still on its way."""

    def close(self) -> None:
        """Disconnect; may be called again. The kernel goes on."""


Connect = Callable[[Callable[[Message], None]], Link]  # makes the link with its listener
