"""TCP connections through one link, both ends played here."""

from __future__ import annotations

import asyncio
import socket

from kernelexec.bridge.channels import Channels
from tests.fakes import run


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


async def through(sizes: list[int], *, is_there: bool = True) -> list[bytes]:
    """What an echo at the far end makes of so many bytes, each in a connection of its own."""
    target = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = target.sockets[0].getsockname()[1]
    if not is_there:
        target.close()
        await target.wait_closed()
    here, there = socket.socketpair()
    near = Channels(*await asyncio.open_connection(sock=here))
    far_streams = await asyncio.open_connection(sock=there)
    far = Channels(*far_streams, lambda: asyncio.open_connection("127.0.0.1", port))
    door = await asyncio.start_server(near.carry, "127.0.0.1", 0)
    running = [asyncio.create_task(near.run()), asyncio.create_task(far.run())]

    async def one(size: int) -> bytes:
        reader, writer = await asyncio.open_connection(*door.sockets[0].getsockname())
        writer.write(b"x" * size)
        back = await reader.readexactly(size) if is_there else await reader.read()
        writer.close()
        return back

    try:
        return list(await asyncio.gather(*map(one, sizes)))
    finally:
        far_streams[1].close()
        await asyncio.wait_for(asyncio.gather(*running), 20)
        here.close()
        door.close()
        target.close()


def test_connections_are_carried_side_by_side() -> None:
    sizes = [1, 100_000, 3_000_000, 10]
    assert [len(back) for back in run(through(sizes))] == sizes


def test_a_connection_that_cannot_be_made_there_ends_here() -> None:
    assert run(through([1], is_there=False)) == [b""]
