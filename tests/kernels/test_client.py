"""The client of a kernel, against kernels of real zmq sockets that speak through Jupyter's own code."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import zmq
import zmq.asyncio
from jupyter_client.session import Session

from kernelexec.kernels.client import KernelClient
from kernelexec.kernels.wire import Message
from tests.fakes import run, settled
from tests.kernels.zmq_kernel import KEY, ZmqKernel, connection_in


@asynccontextmanager
async def kernel_and_client(
    folder: Path, welcome: bool = True
) -> AsyncIterator[tuple[ZmqKernel, KernelClient, list[Message]]]:
    """A kernel, a client of it that is ready, and what the client has heard since."""
    heard: list[Message] = []
    kernel = ZmqKernel(connection_in(folder), welcome)
    client = KernelClient(connection_in(folder), heard.append)
    try:
        await asyncio.wait_for(client.ready(), 5)
        kernel.publish("stream", {"text": "mark"}, None)
        await settled(lambda: any(message.type == "stream" for message in heard))
        heard.clear()
        yield kernel, client, heard
    finally:
        client.close()
        kernel.close()


@pytest.mark.parametrize("welcome", [True, False])
def test_a_client_is_ready_once_it_knows_the_kernel_and_hears_its_output(
    tmp_path: Path, welcome: bool
) -> None:
    async def test() -> None:
        heard: list[Message] = []
        kernel = ZmqKernel(connection_in(tmp_path), welcome)
        client = KernelClient(connection_in(tmp_path), heard.append)
        assert (await asyncio.wait_for(client.ready(), 5))["language_info"]["name"] == "python"
        heard.clear()
        kernel.publish("stream", {"text": "the first"}, None)
        await settled(lambda: any(message.content.get("text") == "the first" for message in heard))
        client.close()
        kernel.close()

    run(test())


def test_a_client_that_is_there_before_the_kernel_waits_for_it(tmp_path: Path) -> None:
    async def test() -> None:
        client = KernelClient(connection_in(tmp_path), lambda message: None)
        ready = asyncio.create_task(client.ready())
        done, _ = await asyncio.wait({ready}, timeout=0.05)
        assert not done
        kernel = ZmqKernel(connection_in(tmp_path), welcome=True)
        await asyncio.wait_for(ready, 5)
        client.close()
        kernel.close()

    run(test())


def test_the_kernel_is_asked_on_the_channel_that_it_serves_while_it_runs_code(tmp_path: Path) -> None:
    async def test() -> None:
        async with kernel_and_client(tmp_path) as (kernel, _, _):
            assert ("control", "kernel_info_request") in kernel.requests
            assert "shell" not in [channel for channel, _ in kernel.requests]

    run(test())


def test_an_execution_is_answered_and_its_output_heard_in_order(tmp_path: Path) -> None:
    async def test() -> None:
        async with kernel_and_client(tmp_path) as (kernel, client, heard):
            kernel.on_execute = lambda request: [
                kernel.publish("stream", {"text": str(n)}, request["header"]) for n in range(3)
            ]
            msg_id, frames = client.pack("execute_request", {"code": "x"})
            reply = await asyncio.wait_for(client.send("shell", msg_id, frames), 5)
            assert (reply.type, reply.parent_id, reply.content["status"]) == ("execute_reply", msg_id, "ok")
            assert reply.channel == "shell"
            await settled(lambda: len(heard) == 5)
            assert [m.content.get("text") or m.content["execution_state"] for m in heard] == [
                *("busy", "0", "1", "2", "idle")
            ]
            assert {m.parent_id for m in heard} == {msg_id}
            assert {m.parent_session for m in heard} == {client.session}

    run(test())


def test_nothing_of_a_flood_is_lost(tmp_path: Path) -> None:
    async def test() -> None:
        async with kernel_and_client(tmp_path) as (kernel, client, heard):
            kernel.on_execute = lambda request: [
                kernel.publish("stream", {"text": str(n)}, request["header"]) for n in range(5_000)
            ]
            client.request("shell", "execute_request", {"code": "x"})
            await settled(lambda: len(heard) == 5_002)
            assert [m.content["text"] for m in heard[1:-1]] == [str(n) for n in range(5_000)]

    run(test())


def test_other_clients_messages_are_heard_and_answer_nobody(tmp_path: Path) -> None:
    async def test() -> None:
        async with kernel_and_client(tmp_path) as (kernel, client, heard):
            theirs = Session(key=KEY.encode()).msg("execute_request")["header"]
            kernel.publish("stream", {"text": "theirs"}, theirs)
            await settled(lambda: len(heard) == 1)
            assert heard[0].parent_session not in (None, client.session)

    run(test())


def test_two_requests_get_their_own_answers_whichever_comes_first(tmp_path: Path) -> None:
    async def test() -> None:
        async with kernel_and_client(tmp_path) as (_, client, _):
            first = client.request("shell", "execute_request", {"code": "1"})
            second = client.request("control", "interrupt_request", {})
            assert (await asyncio.wait_for(second, 5)).type == "interrupt_reply"
            assert (await asyncio.wait_for(first, 5)).type == "execute_reply"

    run(test())


def test_a_forged_message_is_dropped_and_logged_and_the_next_one_heard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with kernel_and_client(tmp_path) as (kernel, _, heard):
            true, kernel.session = kernel.session, Session(key=b"another")
            kernel.publish("stream", {"text": "forged"}, None)
            kernel.session = true
            kernel.publish("stream", {"text": "true"}, None)
            await settled(lambda: bool(heard))
            assert [m.content["text"] for m in heard] == ["true"]

    with caplog.at_level(logging.WARNING):
        run(test())
    assert "wrong signature" in caplog.text


def test_a_listener_that_fails_does_not_make_the_client_deaf(
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
        client = KernelClient(connection_in(tmp_path), fails_once)
        try:
            await asyncio.wait_for(client.ready(), 5)
            for n in range(3):
                kernel.publish("stream", {"text": str(n)}, None)
            await settled(lambda: len(heard) == 3)
        finally:
            client.close()
            kernel.close()

    run(test())


def test_closing_ends_who_waits_and_frees_the_sockets(tmp_path: Path) -> None:
    async def test() -> None:
        async with kernel_and_client(tmp_path) as (kernel, client, _):
            kernel.silent.add("execute_request")
            reply = client.request("shell", "execute_request", {"code": "x"})
            await settled(lambda: ("shell", "execute_request") in kernel.requests)
            client.close()
            await asyncio.wait({reply}, timeout=5)
            assert reply.done()

    run(test())


def test_a_question_that_nobody_awaits_any_more_is_forgotten(tmp_path: Path) -> None:
    async def test() -> None:
        async with kernel_and_client(tmp_path) as (kernel, client, _):
            kernel.silent.add("execute_request")
            client.request("shell", "execute_request", {"code": "x"}).cancel()
            reply = await asyncio.wait_for(client.request("control", "interrupt_request", {}), 5)
            assert reply.type == "interrupt_reply"
            assert client._replies == {}

    run(test())


def test_tcp_kernels_can_be_reached_too() -> None:
    async def test() -> None:
        context = zmq.asyncio.Context()
        router = context.socket(zmq.ROUTER)
        port = router.bind_to_random_port("tcp://127.0.0.1")
        ports = {"shell_port": port, "iopub_port": port, "stdin_port": port, "control_port": port}
        client = KernelClient({"transport": "tcp", "ip": "127.0.0.1", "key": KEY, **ports}, lambda m: None)
        client.request("shell", "execute_request", {})
        assert await asyncio.wait_for(router.poll(5_000), 6)
        client.close()
        router.close(linger=0)
        context.term()

    run(test())
