"""TCP connections through one link: those that come to this end are made anew at the other.

A frame is the number of its channel, its size, and so many bytes; one of no bytes ends the channel. A program
that does not read makes the others wait, as it is one link; a browser reads.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count

_HEAD = struct.Struct(">II")
_CHUNK = 1 << 16  # bytes

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Channels:
    """One end of a link."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connect: Connect | None = None
    ) -> None:
        """`connect`: makes what a channel of the other end leads to."""
        self._reader = reader
        self._writer = writer
        self._connect = connect
        self._numbers = count(1)
        self._open: dict[int, asyncio.StreamWriter] = {}
        self._carrying: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until the link ends."""
        try:
            while True:
                number, size = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
                await self._take(number, await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            for writer in (self._writer, *self._open.values()):
                writer.close()
            for task in self._carrying:
                task.cancel()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection that has come to this end."""
        number = next(self._numbers)
        self._open[number] = writer
        await self._pass_on(number, reader)

    async def _take(self, number: int, data: bytes) -> None:
        writer = self._open.get(number)
        if writer is None and data and self._connect is not None:
            writer = await self._begin(number, self._connect)
        if writer is None:
            return
        if not data:
            self._open.pop(number).close()
            return
        with suppress(ConnectionError):  # its reader sees the end, too
            writer.write(data)
            await writer.drain()

    async def _begin(self, number: int, connect: Connect) -> asyncio.StreamWriter | None:
        try:
            reader, writer = await connect()
        except OSError:
            await self._say(number, b"")
            return None
        self._open[number] = writer
        task = asyncio.create_task(self._pass_on(number, reader))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        return writer

    async def _pass_on(self, number: int, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                await self._say(number, data)
        if number in self._open:
            self._open.pop(number).close()
            with suppress(ConnectionError):
                await self._say(number, b"")

    async def _say(self, number: int, data: bytes) -> None:
        self._writer.write(_HEAD.pack(number, len(data)) + data)
        await self._writer.drain()
