"""The link over zmq, to kernels of real sockets that speak through Jupyter's own code."""

from __future__ import annotations

import asyncio
import logging
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import zmq
import zmq.asyncio
from jupyter_client.session import Session

from kernelexec.kernels.link import LinkClosed
from kernelexec.kernels.wire import Message
from kernelexec.kernels.zmq_link import ZmqLink
from tests.fakes import run, settled
from tests.kernels.zmq_kernel import KEY, ZmqKernel, connection_in


@asynccontextmanager
async def kernel_and_link(
    folder: Path, welcome: bool = True
) -> AsyncIterator[tuple[ZmqKernel, ZmqLink, list[Message]]]:
    """A kernel, a link to it that is ready, and what it has published since."""
    heard: list[Message] = []

    def hear(message: Message) -> None:
        if message.channel == "iopub":
            heard.append(message)

    kernel = ZmqKernel(connection_in(folder), welcome)
    link = ZmqLink(connection_in(folder), hear)
    try:
        await asyncio.wait_for(link.ready(), 5)
        kernel.publish("stream", {"text": "mark"}, None)
        await settled(lambda: any(message.type == "stream" for message in heard))
        heard.clear()
        yield kernel, link, heard
    finally:
        link.close()
        kernel.close()


@pytest.mark.parametrize("welcome", [True, False])
def test_a_link_is_ready_once_it_knows_the_kernel_and_hears_its_output(tmp_path: Path, welcome: bool) -> None:
    async def test() -> None:
        heard: list[Message] = []
        kernel = ZmqKernel(connection_in(tmp_path), welcome)
        link = ZmqLink(connection_in(tmp_path), heard.append)
        assert (await asyncio.wait_for(link.ready(), 5))["language_info"]["name"] == "python"
        heard.clear()
        kernel.publish("stream", {"text": "the first"}, None)
        await settled(lambda: any(message.content.get("text") == "the first" for message in heard))
        link.close()
        kernel.close()

    run(test())


def test_a_link_that_is_there_before_the_kernel_waits_for_it(tmp_path: Path) -> None:
    async def test() -> None:
        link = ZmqLink(connection_in(tmp_path), lambda message: None)
        ready = asyncio.create_task(link.ready())
        done, _ = await asyncio.wait({ready}, timeout=0.05)
        assert not done
        kernel = ZmqKernel(connection_in(tmp_path), welcome=True)
        await asyncio.wait_for(ready, 5)
        link.close()
        kernel.close()

    run(test())


def test_the_kernel_is_asked_on_the_channel_that_it_serves_while_it_runs_code(tmp_path: Path) -> None:
    async def test() -> None:
        async with kernel_and_link(tmp_path) as (kernel, _, _):
            assert ("control", "kernel_info_request") in kernel.requests
            assert "shell" not in [channel for channel, _ in kernel.requests]

    run(test())


def test_an_execution_is_answered_and_its_output_heard_in_order(tmp_path: Path) -> None:
    async def test() -> None:
        async with kernel_and_link(tmp_path) as (kernel, link, heard):
            kernel.on_execute = lambda request: [
                kernel.publish("stream", {"text": str(n)}, request["header"]) for n in range(3)
            ]
            msg_id, frames = link.pack("execute_request", {"code": "x"})
            reply = await asyncio.wait_for(link.send("shell", msg_id, frames), 5)
            assert (reply.type, reply.parent_id, reply.content["status"]) == ("execute_reply", msg_id, "ok")
            assert reply.channel == "shell"
            await settled(lambda: len(heard) == 5)
            assert [m.content.get("text") or m.content["execution_state"] for m in heard] == [
                *("busy", "0", "1", "2", "idle")
            ]
            assert {m.parent_id for m in heard} == {msg_id}
            assert {m.parent_session for m in heard} == {link.session}

    run(test())


def test_a_reply_is_heard_where_it_comes_and_given_to_who_asked(tmp_path: Path) -> None:
    async def test() -> None:
        kernel = ZmqKernel(connection_in(tmp_path), welcome=True)
        heard: list[Message] = []
        link = ZmqLink(connection_in(tmp_path), heard.append)
        try:
            await asyncio.wait_for(link.ready(), 5)
            reply = await asyncio.wait_for(link.request("shell", "execute_request", {"code": "x"}), 5)
            assert [message for message in heard if message.type == "execute_reply"] == [reply]
        finally:
            link.close()
            kernel.close()

    run(test())


def test_nothing_of_a_flood_is_lost(tmp_path: Path) -> None:
    async def test() -> None:
        async with kernel_and_link(tmp_path) as (kernel, link, heard):
            kernel.on_execute = lambda request: [
                kernel.publish("stream", {"text": str(n)}, request["header"]) for n in range(5_000)
            ]
            link.request("shell", "execute_request", {"code": "x"})
            await settled(lambda: len(heard) == 5_002)
            assert [m.content["text"] for m in heard[1:-1]] == [str(n) for n in range(5_000)]

    run(test())


def test_other_clients_messages_are_heard_and_answer_nobody(tmp_path: Path) -> None:
    async def test() -> None:
        async with kernel_and_link(tmp_path) as (kernel, link, heard):
            theirs = Session(key=KEY.encode()).msg("execute_request")["header"]
            kernel.publish("stream", {"text": "theirs"}, theirs)
            await settled(lambda: len(heard) == 1)
            assert heard[0].parent_session not in (None, link.session)

    run(test())


def test_two_requests_get_their_own_answers_whichever_comes_first(tmp_path: Path) -> None:
    async def test() -> None:
        async with kernel_and_link(tmp_path) as (_, link, _):
            first = link.request("shell", "execute_request", {"code": "1"})
            second = link.request("control", "interrupt_request", {})
            assert (await asyncio.wait_for(second, 5)).type == "interrupt_reply"
            assert (await asyncio.wait_for(first, 5)).type == "execute_reply"

    run(test())


def test_a_forged_message_is_dropped_and_logged_and_the_next_one_heard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with kernel_and_link(tmp_path) as (kernel, _, heard):
            true, kernel.session = kernel.session, Session(key=b"another")
            kernel.publish("stream", {"text": "forged"}, None)
            kernel.session = true
            kernel.publish("stream", {"text": "true"}, None)
            await settled(lambda: bool(heard))
            assert [m.content["text"] for m in heard] == ["true"]

    with caplog.at_level(logging.WARNING):
        run(test())
    assert "wrong signature" in caplog.text


def test_a_listener_that_fails_does_not_make_the_link_deaf(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        heard: list[str] = []

        def fails_once(message: Message) -> None:
            if message.type == "stream":
                heard.append(message.content["text"])
                if len(heard) == 1:
                    raise KeyError("text")

        kernel = ZmqKernel(connection_in(tmp_path), welcome=True)
        link = ZmqLink(connection_in(tmp_path), fails_once)
        try:
            await asyncio.wait_for(link.ready(), 5)
            for n in range(3):
                kernel.publish("stream", {"text": str(n)}, None)
            await settled(lambda: len(heard) == 3)
        finally:
            link.close()
            kernel.close()

    run(test())


def test_closing_fails_what_waits_and_what_is_asked_later(tmp_path: Path) -> None:
    async def test() -> None:
        async with kernel_and_link(tmp_path) as (kernel, link, _):
            kernel.silent.add("execute_request")
            reply = link.request("shell", "execute_request", {"code": "x"})
            await settled(lambda: ("shell", "execute_request") in kernel.requests)
            ready = asyncio.ensure_future(link.ready())
            link.close()
            for waiting in (reply, ready, link.request("control", "interrupt_request", {}), link.expect("m")):
                with pytest.raises(LinkClosed):
                    await asyncio.wait_for(waiting, 5)
            link.say("stdin", "input_reply", {"value": "to nobody"})
            assert link.closed.done()

    run(test())


def test_a_question_that_nobody_awaits_any_more_is_forgotten(tmp_path: Path) -> None:
    async def test() -> None:
        async with kernel_and_link(tmp_path) as (kernel, link, _):
            kernel.silent.add("execute_request")
            link.request("shell", "execute_request", {"code": "x"}).cancel()
            reply = await asyncio.wait_for(link.request("control", "interrupt_request", {}), 5)
            assert reply.type == "interrupt_reply"
            assert link._replies._coming == {}

    run(test())


def test_tcp_kernels_can_be_reached_too() -> None:
    async def test() -> None:
        context = zmq.asyncio.Context()
        router = context.socket(zmq.ROUTER)
        port = router.bind_to_random_port("tcp://127.0.0.1")
        ports = {"shell_port": port, "iopub_port": port, "stdin_port": port, "control_port": port}
        link = ZmqLink({"transport": "tcp", "ip": "127.0.0.1", "key": KEY, **ports}, lambda m: None)
        link.request("shell", "execute_request", {})
        assert await asyncio.wait_for(router.poll(5_000), 6)
        link.close()
        router.close(linger=0)
        context.term()

    run(test())


def test_others_get_their_turn_while_much_is_read(tmp_path: Path) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        turn = 0
        heard_in: list[int] = []

        def hear(message: Message) -> None:
            if message.type == "stream":
                heard_in.append(turn)

        def tick() -> None:
            nonlocal turn
            turn += 1
            loop.call_soon(tick)

        kernel = ZmqKernel(connection_in(tmp_path), welcome=True)
        link = ZmqLink(connection_in(tmp_path), hear, is_ours=True)
        try:
            await asyncio.wait_for(link.ready(), 5)
            tick()
            for _ in range(100):
                kernel.publish("stream", {"text": "x" * 300_000}, None)
            await settled(lambda: len(heard_in) == 100)
            assert max(heard_in.count(each) for each in heard_in) <= 4
        finally:
            turn = 0
            link.close()
            kernel.close()

    run(test())


def test_a_kernel_that_waits_for_a_change_and_has_missed_it_is_woken(tmp_path: Path) -> None:
    connection = connection_in(tmp_path)
    context = zmq.Context()
    shell = context.socket(zmq.ROUTER)
    shell.bind(f"ipc://{connection['ip']}-{connection['shell_port']}")

    def is_told_of_a_change(seconds: float) -> bool:
        return bool(select.select([shell.fileno()], [], [], seconds)[0])

    async def test() -> None:
        link = ZmqLink(connection, lambda message: None)
        link.say("shell", "execute_request", {"code": "1"})
        link.say("shell", "execute_request", {"code": "2"})
        assert b'{"code":"1"}' in shell.recv_multipart()[-1].replace(b" ", b"")
        assert (
            shell.poll(5000) == zmq.POLLIN
        )  # the second has come, and this call has taken note of the change
        link.say("shell", "execute_request", {"code": "3"})
        assert not is_told_of_a_change(0.2)
        link.wake()
        assert is_told_of_a_change(5)
        assert b'{"code":"2"}' in shell.recv_multipart()[-1].replace(b" ", b"")
        link.wake()
        link.close()
        link.wake()

    run(test())
    shell.close(linger=0)
    context.term()
