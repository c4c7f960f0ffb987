"""The link to a kernel at the end of any command that has stdin and stdout, made again whenever it ends.

What carries the messages there is kernelspecs/far/far_relay.py. Those that were on their way when a command
ended are gone: what the kernel published is had again by recall (see kernels/recall.py), and of requests
those that can be made twice are.
"""

from __future__ import annotations

import asyncio
import json
import logging
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from kernelexec.kernels import far_frames
from kernelexec.kernels.exchange import Exchange
from kernelexec.kernels.far_command import FarTrouble, Passage
from kernelexec.kernels.far_frames import BEAT, GONE, KEPT, KILL, NOTHING, Frames
from kernelexec.kernels.large_messages import LARGE, LargeMessages
from kernelexec.kernels.link import Lost
from kernelexec.kernels.turns import Turns
from kernelexec.kernels.wire import BadMessage, Message, WrongSignature
from kernelexec.model.limits import Limits

_log = logging.getLogger(__name__)

_BEAT_SECONDS = 5.0
_SILENT_SECONDS = 15.0  # in which a beat was not answered and nothing else came
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 10.0
_AT_ONCE = 1 << 18  # bytes that are read before others have their turn
_DESCRIBED = struct.error, IndexError, ValueError


@dataclass(frozen=True)
class Way:
    """How a command is begun that leads to a kernel."""

    begin: Callable[[], Awaitable[Passage]]  # raises FarTrouble
    turns: Turns = field(default_factory=Turns)  # those of all links through the same command
    # What comes is answered with a frame of nothing. Some commands hold back theirs without (srun: 40 ms).
    acknowledges: bool = False


class StdioLink(Exchange):
    """The channels of one kernel through a command (see link.Link)."""

    def __init__(
        self,
        key: str,
        way: Way,
        on_message: Callable[[Message], None],
        *,
        passage: Passage | None = None,
        spool: Path | None = None,
    ) -> None:
        """`passage`: one that has begun already. `spool`: the folder for what is too large for a message."""
        super().__init__(key, on_message)
        self._large = LargeMessages(self._wire, spool)
        self._reads_large = False  # what comes after it waits
        self._way = way
        self._passage: Passage | None = None
        self._lost: Lost | None = None
        self._was_up = False
        self._broken: FarTrouble | None = None  # where it is we who ended the command
        self._frames = Frames()
        self._waiting: deque[tuple[str, bytes]] = deque()  # msg_id, frame
        self._again: dict[str, bytes] = {}  # requests without a reply that can be made twice
        self._heard_at = time.monotonic()
        self._on_regained: Callable[[], None] = lambda: None
        self.on_gone: Callable[[Mapping[str, Any]], None] = lambda said: None
        self.on_beat: Callable[[Mapping[str, Any]], None] = lambda said: None
        self._keeping = asyncio.create_task(self._keep(passage))

    @property
    def lost(self) -> Lost | None:
        if self._lost is None or self._way.turns.trouble is None:
            return self._lost
        return _lost(self._lost.since, self._way.turns.trouble)  # which another link has met, perhaps

    @property
    def is_reading(self) -> bool:
        return self._reads_large or self._frames.is_within_one

    def allow(self, limits: Limits) -> None:
        self._large.allow(limits)

    def when_regained(self, call: Callable[[], None]) -> None:
        self._on_regained = call

    def send(self, channel: str, msg_id: str, frames: list[bytes]) -> asyncio.Future[Message]:
        reply = self.expect(msg_id)
        self._put(msg_id, far_frames.pack_message(channel, frames))
        # Who has given up waiting does not want it sent either, if it still waits to be.
        reply.add_done_callback(lambda done: self._take_back(msg_id) if done.cancelled() else None)
        return reply

    def request(self, channel: str, message_type: str, content: Mapping[str, Any]) -> asyncio.Future[Message]:
        msg_id, frames = self._wire.pack(message_type, content)
        reply = self.send(channel, msg_id, frames)
        if message_type != "execute_request":
            self._again[msg_id] = far_frames.pack_message(channel, frames)
            reply.add_done_callback(lambda _: self._again.pop(msg_id, None))
        return reply

    def say(self, channel: str, message_type: str, content: Mapping[str, Any]) -> None:
        msg_id, frames = self._wire.pack(message_type, content)
        self._put(msg_id, far_frames.pack_message(channel, frames))

    def wake(self) -> None:
        """A kernel of ours needs no such thing."""

    async def take_last_words(self) -> None:
        """They have come: before the news that it has ended, on the same way."""

    def close(self) -> None:
        self._waiting.clear()
        self._large.close()
        self._replies.close()
        self._keeping.cancel()

    # --- beside the channels ---------------------------------------------------------

    def keep(self) -> None:
        """The kernel is to live on without us."""
        self._put("", far_frames.pack(KEPT))

    def kill(self) -> bool:
        """Have the kernel killed. False: the link is down."""
        if self._passage is None:
            return False
        self._write(far_frames.pack(KILL))
        return True

    # --- the command -----------------------------------------------------------------

    async def _keep(self, passage: Passage | None) -> None:
        """Be connected, and again each time that it ends."""
        pause = _FIRST_PAUSE_SECONDS
        try:
            while not self.closed.done():
                try:
                    if passage is None:
                        async with self._way.turns.turn():
                            passage = await self._way.begin()
                    began = time.monotonic()
                    await self._talk(passage)
                    trouble = self._broken or await passage.why("The command that leads to it ended")
                    if time.monotonic() - began > _LONGEST_PAUSE_SECONDS:
                        pause = _FIRST_PAUSE_SECONDS
                except FarTrouble as error:
                    trouble = error
                except Exception as error:  # noqa: BLE001 - whatever it was, the kernel may still be there
                    _log.exception("a link failed")
                    trouble = FarTrouble(repr(error))
                if passage is not None:
                    await passage.ended()
                    passage = None
                self._is_down(trouble)
                if self._way.turns.trouble is None:  # else its next turn comes late enough
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        finally:
            self._passage = None
            if passage is not None:
                await passage.ended()

    async def _talk(self, passage: Passage) -> None:
        """Send and hear until it ends."""
        self._heard_at = time.monotonic()
        self._broken = None
        frames = self._frames = Frames()
        passage.writer.write(far_frames.pack(BEAT))
        beating = asyncio.create_task(self._beat(passage))
        try:
            while data := await passage.reader.read(_AT_ONCE):
                self._heard_at = time.monotonic()
                for kind, content in frames.feed(data):
                    if isinstance(content, bytes):
                        self._hear(passage, kind, content)
                    else:
                        await self._read_large(far_frames.CHANNELS[kind], content)
                    del content
                if self._way.acknowledges:
                    passage.writer.write(far_frames.pack(NOTHING))
        except ConnectionError as error:
            _log.warning("a link ended: %s", error)
        except _DESCRIBED as error:
            self._broken = FarTrouble(f"What came over it had been changed or cut on its way: {error}.")
        finally:
            beating.cancel()
            self._passage = None

    async def _beat(self, passage: Passage) -> None:
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            silent = time.monotonic() - self._heard_at
            if silent > _SILENT_SECONDS and not self._reads_large:
                self._broken = FarTrouble(f"Nothing came over it for {silent:.0f} s.", passage.trial)
                passage.end()
                return
            with suppress(ConnectionError, RuntimeError):
                passage.writer.write(far_frames.pack(BEAT))

    def _hear(self, passage: Passage, kind: int, content: bytes) -> None:
        if kind < len(far_frames.CHANNELS):
            self._unpack(far_frames.CHANNELS[kind], content)
        elif kind == BEAT:
            if self._passage is None:
                self._is_up(passage)
            self.on_beat(json.loads(content))
        elif kind == GONE:
            passage.writer.write(far_frames.pack(GONE))
            self.on_gone(json.loads(content))

    def _unpack(self, channel: str, content: bytes) -> None:
        try:
            message = self._wire.unpack(channel, far_frames.unpack_message(content))
        except WrongSignature as error:
            raise ValueError(f"a message on {channel} has a {error}") from error
        except (BadMessage, *_DESCRIBED) as error:
            _log.warning("a message on %s was dropped: %s", channel, error)
            return
        self._take(message)

    async def _read_large(self, channel: str, content: memoryview) -> None:
        """Beside everything else, but for what comes after it."""
        self._reads_large = True
        try:
            parts = far_frames.unpack_message(content)
            frames = [part if len(part) > LARGE else bytes(part) for part in parts]
            async for message in self._large.read(channel, frames):
                self._take(message)
                await asyncio.sleep(0)
        except WrongSignature as error:
            raise ValueError(f"a message on {channel} has a {error}") from error
        except (BadMessage, OSError, *_DESCRIBED) as error:
            _log.warning("a large message on %s was dropped: %s", channel, error)
        finally:
            self._reads_large = False
            self._heard_at = time.monotonic()

    def _is_up(self, passage: Passage) -> None:
        """The relay there is joined to the kernel: what it publishes from now on comes here."""
        self._passage, self._lost = passage, None
        for msg_id, frame in self._again.items():
            if all(msg_id != waiting for waiting, _ in self._waiting):
                self._write(frame)
        while self._waiting:
            self._write(self._waiting.popleft()[1])
        if self._was_up:
            _log.info("a link is up again")
            self._on_regained()
        self._was_up = True

    def _is_down(self, trouble: FarTrouble) -> None:
        if self.closed.done():
            return
        since = self._lost.since if self._lost is not None else datetime.now(timezone.utc)
        if self._lost is None or self._lost.why != trouble.what:
            _log.warning("a link is down: %s", trouble.what)
        self._lost = _lost(since, trouble)

    def _put(self, msg_id: str, frame: bytes) -> None:
        if self.closed.done():
            return
        if self._passage is None:
            self._waiting.append((msg_id, frame))
        else:
            self._write(frame)

    def _write(self, frame: bytes) -> None:
        assert self._passage is not None
        self._passage.writer.write(frame)

    def _take_back(self, msg_id: str) -> None:
        if self._waiting:
            self._waiting = deque(each for each in self._waiting if each[0] != msg_id)


def _lost(since: datetime, trouble: FarTrouble) -> Lost:
    return Lost(since, trouble.what, trouble.next_step, passes=not trouble.refused)
