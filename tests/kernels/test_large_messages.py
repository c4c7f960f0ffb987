"""Large messages of a kernel that is not ours, over real sockets and through the real program."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest

from kernelexec.kernels import large_messages
from kernelexec.kernels.wire import Message
from kernelexec.kernels.zmq_link import ZmqLink
from kernelexec.model.limits import Limits
from kernelexec.recording.spooled import spooled_in
from tests.fakes import run
from tests.kernels.zmq_kernel import ZmqKernel, connection_in

SIZE = 8_000_000
PARENT = {"msg_id": "r1", "username": "kernelexec", "version": "5.4"}


@asynccontextmanager
async def kernel_and_link(
    folder: Path, spool: Path | None
) -> AsyncIterator[tuple[ZmqKernel, ZmqLink, list[Message]]]:
    heard: list[Message] = []
    kernel = ZmqKernel(connection_in(folder), welcome=True)
    link = ZmqLink(connection_in(folder), heard.append, spool=spool)
    link.allow(Limits(cell=2_000_000))
    try:
        await asyncio.wait_for(link.ready(), 5)
        heard.clear()
        yield kernel, link, heard
    finally:
        link.close()
        kernel.close()


async def until(condition: Callable[[], bool]) -> None:
    """A process is at work: `run` says how long that may take."""
    for _ in count():
        if condition():
            return
        await asyncio.sleep(0.005)


async def heard_of(
    folder: Path, *messages: tuple[str, dict[str, Any]], session: str | None = None, spools: bool = True
) -> list[Message]:
    """What a link gives out of these, and of a last one."""
    async with kernel_and_link(folder, folder if spools else None) as (kernel, link, heard):
        for kind, content in messages:
            kernel.publish(kind, content, {**PARENT, "session": session or link.session})
        kernel.publish("status", {"execution_state": "idle"}, {**PARENT, "session": link.session})
        await until(lambda: any(message.content.get("execution_state") == "idle" for message in heard))
        assert heard[-1].type == "status", "what came later waits for what is read"
        assert not link.is_reading
        return heard[:-1]


def test_a_large_value_comes_as_a_file_as_of_our_own_kernel(tmp_path: Path) -> None:
    text, picture = "й\n" * (SIZE // 2), base64.b64encode(bytes(range(256)) * 20_000).decode()
    data = {"text/plain": text, "image/png": picture, "text/html": "<b>small</b>"}
    content = {"data": data, "metadata": {}, "execution_count": 3}
    [message] = run(heard_of(tmp_path, ("execute_result", content)))
    assert (message.type, message.parent_id, message.content["execution_count"]) == (
        "execute_result",
        "r1",
        3,
    )
    assert len(str(message.content)) < 10_000
    assert message.content["data"]["text/html"] == "<b>small</b>"
    by_mime = {each.mime: each for each in spooled_in(message.content)}
    assert by_mime["text/plain"].characters == SIZE
    assert (tmp_path / str(by_mime["text/plain"].name)).read_text() == text
    assert (tmp_path / str(by_mime["image/png"].name)).read_bytes() == bytes(range(256)) * 20_000


def test_a_large_print_comes_in_pieces_and_all_of_it_in_order(tmp_path: Path) -> None:
    text = "".join(f"{number:09}\n" for number in range(SIZE // 10))
    messages = run(
        heard_of(
            tmp_path,
            ("stream", {"name": "stdout", "text": "before\n"}),
            ("stream", {"name": "stdout", "text": text}),
            ("stream", {"name": "stdout", "text": "after\n"}),
        )
    )
    assert "".join(message.content["text"] for message in messages) == f"before\n{text}after\n"
    assert max(len(message.content["text"]) for message in messages) <= 1_000_000
    assert {message.content["name"] for message in messages} == {"stdout"}
    assert sum(message.serial is not None for message in messages) == 3, "a message is counted once"


def test_one_process_reads_one_large_message_after_the_other_and_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_messages, "_STAYS_SECONDS", 0.05)

    def readers() -> list[int]:
        found = psutil.Process().children()
        return [each.pid for each in found if "large_message_program" in " ".join(each.cmdline())]

    async def test() -> None:
        seen: set[int] = set()
        async with kernel_and_link(tmp_path, tmp_path) as (kernel, link, heard):
            for _ in range(4):
                parent = {**PARENT, "session": link.session}
                kernel.publish("display_data", {"data": {"text/plain": "x" * SIZE}, "metadata": {}}, parent)
            while len(heard) < 4:
                seen.update(readers())
                await asyncio.sleep(0.001)
            assert len({spooled_in(message.content)[0].name for message in heard}) == 4
            await until(lambda: not readers())
        assert len(seen) == 1

    run(test())


def test_a_large_error_keeps_its_name_and_is_in_a_file_whole(tmp_path: Path) -> None:
    content = {"ename": "ValueError", "evalue": "x" * SIZE, "traceback": ["Traceback", "y" * SIZE]}
    [message] = run(heard_of(tmp_path, ("error", content)))
    assert message.content["ename"] == "ValueError"
    assert len(str(message.content)) < 20_000
    [spooled] = spooled_in(message.content)
    whole = (tmp_path / str(spooled.name)).read_text()
    assert whole == f"Traceback\n{'y' * SIZE}\n{'x' * SIZE}"


def test_a_large_reply_is_a_reply(tmp_path: Path) -> None:
    async def test() -> None:
        async with kernel_and_link(tmp_path, tmp_path) as (kernel, link, _):
            kernel.answered = lambda channel, request: {  # type: ignore[method-assign]
                "status": "error",
                "ename": "ValueError",
                "evalue": "x" * SIZE,
                "traceback": ["y" * SIZE],
            }
            reply = await asyncio.wait_for(link.request("shell", "execute_request", {"code": "x"}), 60)
            assert (reply.content["status"], reply.content["ename"]) == ("error", "ValueError")
            assert len(str(reply.content)) < 10_000

    run(test())


@pytest.mark.parametrize("why", ["another client's", "no spool", "no output"])
def test_what_is_no_output_of_ours_comes_as_it_is(tmp_path: Path, why: str) -> None:
    content = {"data": {"text/plain": "x" * SIZE}, "metadata": {}}
    kind = "comm_msg" if why == "no output" else "display_data"
    session = "another" if why == "another client's" else None
    [message] = run(heard_of(tmp_path, (kind, content), session=session, spools=why != "no spool"))
    assert message.content == content
    assert not list(tmp_path.glob("spooled-*"))


def test_a_large_message_that_nobody_signed_is_dropped_and_the_next_ones_come(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with kernel_and_link(tmp_path, tmp_path) as (kernel, link, heard):
            parent = {**PARENT, "session": link.session}
            key, kernel.session.key = kernel.session.key, b"another"
            kernel.publish("stream", {"name": "stdout", "text": "x" * SIZE}, parent)
            kernel.session.key = key
            kernel.publish("stream", {"name": "stdout", "text": "after"}, parent)
            await until(lambda: bool(heard))
            assert [message.content["text"] for message in heard] == ["after"]

    with caplog.at_level(logging.WARNING):
        run(test())
    assert "wrong signature" in caplog.text


def test_what_cannot_be_read_is_told_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program.py"
    program.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")  # as the OOM killer does
    monkeypatch.setattr(large_messages, "_PROGRAM", program)
    kinds = {
        "stream": {"name": "stdout", "text": "x" * SIZE},
        "display_data": {"data": {"text/plain": "x" * SIZE}, "metadata": {}},
        "error": {"ename": "E", "evalue": "x" * SIZE, "traceback": []},
    }
    messages = run(heard_of(tmp_path, *kinds.items()))
    assert [message.type for message in messages] == list(kinds)
    for message in messages:
        assert "a message of 8,000," in str(message.content)
        assert "could not be read" in str(message.content)


def test_a_link_that_is_closed_while_it_reads_leaves_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with kernel_and_link(tmp_path, tmp_path) as (kernel, link, heard):
            kernel.publish(
                "stream", {"name": "stdout", "text": "x" * SIZE}, {**PARENT, "session": link.session}
            )
            await until(lambda: link.is_reading)
            link.close()
            await until(lambda: not link.is_reading)
            assert heard == []

    run(test())
