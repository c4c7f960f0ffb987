"""A kernel is asked until it answers and its output reaches us."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from kernelexec.kernels.link import LinkClosed
from kernelexec.kernels.wire import Message

_ASK_AGAIN_SECONDS = 0.5  # without an answer, or a sign that the subscription is in place
_LONGEST_PAUSE_SECONDS = 8.0
_SHELL_SECONDS = 3.0  # for its own answer, after control's: it may be busy with a cell

Request = Callable[[str, str, Mapping[str, Any]], asyncio.Future[Message]]


async def kernel_info(
    request: Request, channels: Sequence[str], subscribed: asyncio.Event, closed: asyncio.Future[None]
) -> Mapping[str, Any]:
    """The kernel's answer on one of these channels (see link.Link.ready).

    Of a kernel that is asked on its shell, too, that answer is awaited as well, for as long as it may take an
    idle one: a shell that has just been bound may lose a request, and the next one may be a cell.

    `subscribed`: set once output arrives; `closed`: done when none will any more.

    Raises:
        LinkClosed
    """
    asked: dict[asyncio.Future[Message], str] = {}
    silent = dict.fromkeys(channels)
    info: Message | None = None
    pause = _ASK_AGAIN_SECONDS
    until = 0.0  # when the shell's answer is no longer waited for
    try:
        while True:
            asked |= {request(channel, "kernel_info_request", {}): channel for channel in silent or channels}
            # A kernel that has just bound may lose a question: ipykernel 6 on Python 3.9 does.
            answered, _ = await asyncio.wait(asked, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            if closed.done():
                raise LinkClosed
            for reply in answered:
                silent.pop(asked.pop(reply), None)
                if info is None:
                    info = reply.result()
                    until = time.monotonic() + _SHELL_SECONDS
            if info is None:
                continue
            if "shell" in silent and time.monotonic() < until:
                pause = _ASK_AGAIN_SECONDS
                continue
            # iopub_welcome (ipykernel 7), or the busy and idle of our own question. Without
            # either the subscription may not be in place and the first output would be lost.
            with suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(subscribed.wait(), _ASK_AGAIN_SECONDS)
                return info.content
    finally:
        for reply in asked:
            reply.cancel()
