"""What is lost on the way from a kernel is had again, in order and once, however the way loses it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelexec.kernels.recall import Numbers, Recall
from kernelexec.kernels.wire import Message

RUN = "ours_1"


class RememberingKernel:
    """Publishes the outputs of one run, and remembers them: at most so many for each question."""

    def __init__(self, outputs: int, page: int) -> None:
        states = [("status", {"execution_state": "busy"}), *[("stream", {"n": n}) for n in range(outputs)]]
        states.append(("status", {"execution_state": "idle"}))
        numbers = [*range(1, outputs + 2), outputs + 3]  # between the last two is the reply
        self.published = [
            Message("iopub", kind, content, f"kernel_9_{number}", RUN, "ours", "", {})
            for (kind, content), number in zip(states, numbers, strict=True)
        ]
        content = {"status": "ok"}
        self.reply = Message(
            "shell", "execute_reply", content, f"kernel_9_{outputs + 2}", RUN, "ours", "", {}
        )
        self.page = page
        self.asked = 0

    def request(self, channel: str, kind: str, content: Mapping[str, Any]) -> asyncio.Future[Message]:
        self.asked += 1
        after = [each for each in self.published if (each.serial or 0) > content.get("after", -1)]
        told = [
            {"type": m.type, "content": m.content, "msg_id": m.msg_id, "date": ""} for m in after[: self.page]
        ]
        said = {
            "status": "ok",
            "begun": True,
            "complete": True,
            "messages": told,
            "more": len(after) > self.page,
            "reply": {"content": {"status": "ok"}, "metadata": {}, "date": ""},
        }
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        answer.set_result(Message("control", kind, said, "kernel_9_0x", None, None, "", {}))
        return answer


def heard_through(
    kernel: RememberingKernel, way: Callable[[Recall], Coroutine[Any, Any, None]]
) -> list[Message]:
    """What a listener hears of the run, when its messages come this way."""
    heard: list[Message] = []

    async def listen() -> None:
        recall = Recall(kernel, heard.append, heard.append)
        recall.begin(RUN)
        await way(recall)
        for _ in range(200):
            await asyncio.sleep(0)
        assert recall.end(RUN) is False

    asyncio.run(listen())
    return [message for message in heard if message.channel == "iopub"]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_is_dropped_on_the_way_is_heard_in_order_and_once(data: st.DataObject) -> None:
    outputs = data.draw(st.integers(0, 12))
    kernel = RememberingKernel(outputs, data.draw(st.integers(1, 5)))
    kept = [data.draw(st.booleans()) for _ in range(outputs)]
    reply_at = data.draw(st.integers(0, outputs + 2))

    async def way(recall: Recall) -> None:
        through = [True, *kept, True]  # a server drops no status
        for place, (message, comes) in enumerate(zip(kernel.published, through, strict=True)):
            if place == reply_at:
                recall.take(kernel.reply)
            if comes:
                recall.take(message)
            if data.draw(st.booleans()):
                await asyncio.sleep(0)
        if reply_at >= len(through):
            recall.take(kernel.reply)

    heard = heard_through(kernel, way)
    assert [message.msg_id for message in heard] == [message.msg_id for message in kernel.published]


def test_of_a_run_of_which_nothing_is_lost_the_kernel_is_asked_nothing() -> None:
    kernel = RememberingKernel(5, 100)

    async def way(recall: Recall) -> None:
        for message in kernel.published[:-1]:
            recall.take(message)
        recall.take(kernel.reply)
        recall.take(kernel.published[-1])

    assert len(heard_through(kernel, way)) == 7
    assert kernel.asked == 0


def test_a_run_that_ended_while_the_link_was_down_is_heard_whole_and_its_reply_too() -> None:
    kernel = RememberingKernel(3, 2)

    async def way(recall: Recall) -> None:
        recall.take(kernel.published[0])
        recall.regained()
        recall.take(kernel.published[1])  # the server has kept it, too

    heard = heard_through(kernel, way)
    assert [message.msg_id for message in heard] == [message.msg_id for message in kernel.published]


@given(st.lists(st.integers(1, 30)), st.integers(0, 30), st.integers(1, 31))
def test_numbers_are_missing_where_one_was_not_heard(heard: list[int], settled: int, number: int) -> None:
    numbers = Numbers()
    numbers.begin("kernel", 1)
    for each in heard:
        numbers.add(each)
    numbers.settle(settled)
    assert numbers.are_missing_before(number) is any(n not in heard for n in range(settled + 1, number))
    assert all((n in numbers) is (n in heard) for n in range(1, 31))


@pytest.mark.parametrize("text", ["IOPub data rate exceeded.\n...", "IOPub message rate exceeded.\n..."])
def test_the_server_s_notice_is_not_the_run_s_output(text: str) -> None:
    kernel = RememberingKernel(2, 10)
    notice = Message("iopub", "stream", {"name": "stderr", "text": text}, "server_1_4", RUN, "ours", "", {})

    async def way(recall: Recall) -> None:
        recall.take(kernel.published[0])
        recall.take(notice)
        recall.take(kernel.reply)
        recall.take(kernel.published[-1])

    assert len(heard_through(kernel, way)) == 4
