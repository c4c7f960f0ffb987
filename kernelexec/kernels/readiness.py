"""A kernel is asked until it answers and its output reaches us."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from kernelexec.kernels.link import LinkClosed
from kernelexec.kernels.wire import Message

_ASK_AGAIN_SECONDS = 0.5  # without an answer, or a sign that the subscription is in place
_LONGEST_PAUSE_SECONDS = 8.0

Request = Callable[[str, str, Mapping[str, Any]], asyncio.Future[Message]]


async def kernel_info(
    request: Request, channels: Sequence[str], subscribed: asyncio.Event, closed: asyncio.Future[None]
) -> Mapping[str, Any]:
    """The kernel's answer on one of these channels (see link.Link.ready).

    `subscribed`: set once output arrives; `closed`: done when none will any more.

    Raises:
        LinkClosed
    """
    asked: set[asyncio.Future[Message]] = set()
    pause = _ASK_AGAIN_SECONDS
    try:
        while True:
            asked |= {request(channel, "kernel_info_request", {}) for channel in channels}
            # A kernel that has just bound may lose a question: ipykernel 6 on Python 3.9 does.
            answered, asked = await asyncio.wait(asked, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            if closed.done():
                raise LinkClosed
            if not answered:
                continue
            # iopub_welcome (ipykernel 7), or the busy and idle of our own question. Without
            # either the subscription may not be in place and the first output would be lost.
            with suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(subscribed.wait(), _ASK_AGAIN_SECONDS)
                return answered.pop().result().content
    finally:
        for reply in asked:
            reply.cancel()
