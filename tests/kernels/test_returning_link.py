"""Who is told that the other end of a link was begun anew. With sockets, without a kernel."""

from __future__ import annotations

import asyncio
from pathlib import Path

import zmq

from kernelexec.kernels.returning_link import ReturningLink
from kernelexec.kernels.wire import Message, Wire
from tests.fakes import run

_CHANNELS = ("shell", "iopub", "stdin", "control", "hb")


def test_a_link_tells_each_time_that_the_other_end_is_there_again(tmp_path: Path) -> None:
    ports = {f"{name}_port": number for number, name in enumerate(_CHANNELS, start=1)}
    connection = {"transport": "ipc", "ip": str(tmp_path / "s"), "key": "k", **ports}
    regained: asyncio.Queue[None] = asyncio.Queue()
    context = zmq.Context()

    def listen() -> zmq.Socket[bytes]:
        socket = context.socket(zmq.ROUTER)
        socket.bind(f"ipc://{tmp_path / 's'}-1")
        return socket

    async def connected(other: zmq.Socket[bytes], link: ReturningLink) -> None:
        link.say("shell", "kernel_info_request", {})
        while not other.poll(0):  # noqa: ASYNC110 - a socket of zmq's, in a test
            await asyncio.sleep(0.01)

    async def test() -> None:
        other = listen()
        link = ReturningLink(connection, lambda message: None)
        link.when_regained(lambda: regained.put_nowait(None))
        await connected(other, link)
        for _ in range(3):
            assert regained.empty()
            other.close(linger=0)
            other = listen()
            await regained.get()
            await connected(other, link)
        link.close()
        link.close()
        other.close(linger=0)

    run(test())
    context.term()


def test_while_the_kernel_is_out_of_reach_of_what_stands_for_it_that_is_told(tmp_path: Path) -> None:
    ports = {f"{name}_port": number for number, name in enumerate(_CHANNELS, start=1)}
    connection = {"transport": "ipc", "ip": str(tmp_path / "s"), "key": "k", **ports}
    context = zmq.Context()

    async def test() -> None:
        other = context.socket(zmq.XPUB)
        other.bind(f"ipc://{tmp_path / 's'}-2")
        heard: list[Message] = []
        regained = asyncio.Event()
        link = ReturningLink(connection, heard.append)
        link.when_regained(regained.set)
        while not other.poll(0):  # noqa: ASYNC110 - until it has subscribed
            await asyncio.sleep(0.01)

        def say(*, is_over: bool) -> None:
            _, frames = Wire("k").pack("kernelexec_out_of_reach", {"since": 60.0, "is_over": is_over})
            other.send_multipart([b"topic", *frames])

        say(is_over=True)  # which an earlier hub was told of
        say(is_over=False)
        while link.lost is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert link.lost.since.minute == 1
        assert not regained.is_set()
        say(is_over=True)
        await regained.wait()
        assert link.lost is None
        assert heard == []
        link.close()
        other.close(linger=0)

    run(test())
    context.term()
