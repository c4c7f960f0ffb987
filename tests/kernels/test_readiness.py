"""When a kernel counts as ready, on a clock of the test's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest

from kernelexec.kernels import readiness
from kernelexec.kernels.link import LinkClosed
from kernelexec.kernels.readiness import kernel_info
from kernelexec.kernels.wire import Message
from tests.fakes import run


class Channels:
    """Answers on a channel to all but the first few questions there; to none where it is not named."""

    def __init__(self, lost: Mapping[str, int]) -> None:
        self.lost = lost
        self.asked: list[str] = []
        self.subscribed = asyncio.Event()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def request(self, channel: str, message_type: str, content: Mapping[str, Any]) -> asyncio.Future[Message]:
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.asked.append(channel)
        if self.asked.count(channel) > self.lost.get(channel, 1_000):
            info = Message(channel, "kernel_info_reply", {"on": channel}, "1", None, None, "", {})
            asyncio.get_running_loop().call_soon(lambda: reply.done() or reply.set_result(info))
            self.subscribed.set()
        return reply

    async def ready(self, *channels: str) -> Mapping[str, Any]:
        return await kernel_info(self.request, channels, self.subscribed, self.closed)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_ASK_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(readiness, "_SHELL_SECONDS", 0.5)


def test_a_question_that_was_lost_is_asked_again() -> None:
    async def test() -> None:
        channels = Channels({"control": 2})
        assert await channels.ready("control") == {"on": "control"}
        assert channels.asked == ["control"] * 3

    run(test())


def test_a_shell_that_lost_a_question_has_to_answer_before_a_cell_may_come() -> None:
    async def test() -> None:
        channels = Channels({"control": 0, "shell": 2})
        assert await channels.ready("control", "shell") == {"on": "control"}
        assert channels.asked.count("shell") == 3
        assert channels.asked.count("control") == 1

    run(test())


def test_a_shell_that_is_busy_is_waited_for_only_so_long() -> None:
    async def test() -> None:
        channels = Channels({"control": 0})
        began = time.monotonic()
        assert await channels.ready("control", "shell") == {"on": "control"}
        assert time.monotonic() - began >= 0.5

    run(test())


def test_a_kernel_that_answers_on_its_shell_only_is_not_waited_for() -> None:
    async def test() -> None:
        channels = Channels({"shell": 0})
        assert await channels.ready("control", "shell") == {"on": "shell"}
        assert channels.asked == ["control", "shell"]

    run(test())


def test_a_link_that_closes_is_said() -> None:
    async def test() -> None:
        channels = Channels({})
        channels.closed.set_result(None)
        with pytest.raises(LinkClosed):
            await channels.ready("control")

    run(test())
