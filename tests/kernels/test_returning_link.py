"""Who is told that the other end of a link was begun anew. With sockets, without a kernel."""

from __future__ import annotations

import asyncio
from pathlib import Path

import zmq

from kernelexec.kernels.returning_link import ReturningLink
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
