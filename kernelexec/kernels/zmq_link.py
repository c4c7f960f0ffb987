"""The link to a kernel whose sockets can be reached, on the hub's event loop.

Plain zmq sockets whose file descriptors the loop watches. The descriptor of a zmq socket is
edge-triggered: it reports a change, not a state, so every read drains the socket and every send is
followed by a drain.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import zmq

from kernelexec.kernels.exchange import Exchange
from kernelexec.kernels.large_messages import LARGE, LargeMessages
from kernelexec.kernels.link import Lost
from kernelexec.kernels.reservoir import Frames, Reservoir
from kernelexec.kernels.wire import BadMessage, Message
from kernelexec.model.limits import Limits

_log = logging.getLogger(__name__)

_RECONNECT_MS = 5  # a kernel binds its sockets 0.2 s after its start; each try costs microseconds
# What waits here to be read, when a kernel publishes faster than the hub reads. A kernel of ours queues the
# rest itself, without limit, so a short queue loses nothing and keeps the hub small: its messages of
# streams have up to 1 MB. What others publish is taken from this queue at once (kernels/reservoir). Its
# length cannot be changed later: libzmq does not always wake who waits for it then.
_QUEUED_MESSAGES = 1000
_QUEUED_MESSAGES_OF_OURS = 50
_DRAIN_AT_ONCE = 200  # messages, before other sessions and clients get their turn
_DRAIN_BYTES_AT_ONCE = 1_000_000  # or so much; some 5 ms of work
_PUT_ASIDE_AT_ONCE = 4_000_000  # bytes; some 4 ms
# As numbers: the flags of an enumeration are many times as slow.
_POLLIN, _NOBLOCK, _MORE = int(zmq.POLLIN), int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
_DESCRIPTORS = 40  # a link takes 17, and what else opens some meanwhile has to find them, too
_LAST_WORDS_SECONDS = 0.02  # without a message, after which a dead kernel has said all
_LAST_WORDS_ROUNDS = 50

CHANNELS = {"shell": zmq.DEALER, "control": zmq.DEALER, "iopub": zmq.SUB, "stdin": zmq.DEALER}


class ZmqLink(Exchange):
    """The channels of one kernel over zmq (see link.Link), as its connection file names them."""

    def __init__(
        self,
        connection: Mapping[str, Any],
        on_message: Callable[[Message], None],
        *,
        is_ours: bool = False,
        identity: str = "",
        spool: Path | None = None,
    ) -> None:
        """`identity`: by which the kernel's sockets know us, where the connection alone does not tell;
        `spool`: the folder of what is too large for a message.

        Raises:
            OSError: there are no descriptors for its sockets, say.
        """
        super().__init__(connection["key"], on_message)
        self._large = LargeMessages(self._wire, spool)
        self._reading: dict[str, asyncio.Task[None]] = {}  # by channel: a large message, before the next ones
        self._taken = 0  # messages
        self._loop = asyncio.get_running_loop()
        _look_for_room()
        self._context = zmq.Context()
        self._identity = f"kernelexec-{identity}".encode() if identity else _identity(connection)
        self._shell = _address(connection, "shell")
        self._waker: zmq.Socket[bytes] | None = None
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._put_aside = None if is_ours else Reservoir(spool)  # of iopub
        try:
            for name, kind in CHANNELS.items():
                self._open(name, kind, _address(connection, name))
        except zmq.ZMQError as error:
            self.close()
            raise OSError(error.errno, error.strerror) from error

    @property
    def lost(self) -> Lost | None:
        return None  # sockets of this machine end with the kernel

    def when_regained(self, call: Callable[[], None]) -> None:
        pass

    @property
    def is_reading(self) -> bool:
        return bool(self._reading or self._put_aside)

    def allow(self, limits: Limits) -> None:
        self._large.allow(limits)

    def send(self, channel: str, msg_id: str, frames: list[bytes]) -> asyncio.Future[Message]:
        reply = self.expect(msg_id)
        self._send(channel, frames)
        return reply

    def say(self, channel: str, message_type: str, content: Mapping[str, Any]) -> None:
        _, frames = self._wire.pack(message_type, content)
        self._send(channel, frames)

    def wake(self) -> None:
        if not self._sockets:  # closed
            return
        if self._waker is not None:
            self._waker.close(linger=0)
        self._waker = self._context.socket(zmq.DEALER)
        self._waker.connect(self._shell)

    async def take_last_words(self) -> None:
        before = -1
        rounds = 0
        while self.is_reading or (before != self._taken and rounds < _LAST_WORDS_ROUNDS):
            rounds += 0 if self.is_reading else 1
            before = self._taken
            await asyncio.sleep(_LAST_WORDS_SECONDS)
            self._drain_all()

    def close(self) -> None:
        for reading in self._reading.values():
            reading.cancel()
        self._large.close()
        if self._put_aside is not None:
            self._put_aside.close()
        for socket in self._sockets.values():
            self._loop.remove_reader(socket.fileno())
            socket.close(linger=0)
        self._sockets.clear()
        if self._waker is not None:
            self._waker.close(linger=0)
        self._context.term()
        self._replies.close()

    def _open(self, name: str, kind: int, address: str) -> None:
        socket = self._context.socket(kind)
        socket.linger = 0
        socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        if kind == zmq.SUB:
            queued = _QUEUED_MESSAGES_OF_OURS if self._put_aside is None else _QUEUED_MESSAGES
            socket.setsockopt(zmq.RCVHWM, queued)
            socket.setsockopt(zmq.SUBSCRIBE, b"")
        else:
            socket.setsockopt(zmq.IDENTITY, self._identity)
        socket.connect(address)
        self._sockets[name] = socket
        self._loop.add_reader(socket.fileno(), self._drain, name)

    def _send(self, channel: str, frames: list[bytes]) -> None:
        if not self._sockets:  # closed
            return
        socket, *others = self._sockets[channel], *frames
        last = others.pop()
        for frame in others:
            socket.send(frame, _MORE)
        socket.send(last, _NOBLOCK)
        self._drain(channel)

    def _drain_all(self) -> None:
        for name in self._sockets:
            self._drain(name)

    def _drain(self, name: str) -> None:
        socket = self._sockets.get(name)
        if socket is None:  # closed while this call was scheduled
            return
        # First of all it is put aside: what comes faster than it is looked at does not fill memory.
        is_more = name == "iopub" and self._fetch(socket)
        if not is_more and name not in self._reading:
            is_more = self._take_some(name, socket)
        if is_more:
            self._loop.call_soon(self._drain, name)

    def _take_some(self, name: str, socket: zmq.Socket[bytes]) -> bool:
        """Whether there may be more."""
        room = _DRAIN_BYTES_AT_ONCE
        for _ in range(_DRAIN_AT_ONCE):
            frames = self._put_aside.take() if self._put_aside and name == "iopub" else _received(socket)
            if frames is None:
                return False
            size = sum(map(len, frames))
            if size > LARGE:
                self._reading[name] = self._loop.create_task(self._read_large(name, frames))
                return True
            try:
                message = self._wire.unpack(name, [bytes(frame) for frame in frames])
            except BadMessage as error:
                _log.warning("a message on %s was dropped: %s", name, error)
                continue
            self._take(message)
            room -= size
            if room < 0:
                break
        return True

    def _fetch(self, socket: zmq.Socket[bytes]) -> bool:
        """Put aside what is published, before the kernel has no room for more. Whether there may be more."""
        room = _PUT_ASIDE_AT_ONCE
        while self._put_aside is not None and not self._put_aside.is_full and room > 0:
            frames = _received(socket)
            if frames is None:
                return False
            room -= sum(map(len, frames))
            self._put_aside.add(frames)
        return room <= 0

    async def _read_large(self, name: str, frames: Frames) -> None:
        """Beside everything else; what comes after it on its channel waits."""
        try:
            async for message in self._large.read(name, frames):
                self._take(message)
                await asyncio.sleep(0)
        except BadMessage as error:
            _log.warning("a large message on %s was dropped: %s", name, error)
        except OSError:
            _log.exception("a large message on %s was dropped", name)
        finally:
            del self._reading[name]
            self._loop.call_soon(self._drain, name)

    def _take(self, message: Message) -> None:
        self._taken += 1
        super()._take(message)


def _look_for_room() -> None:
    """
    Raises:
        OSError: too few descriptors are free. libzmq, where it is short of one, ends the whole process.
    """
    held: list[int] = []
    try:
        held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        held.extend(os.dup(held[0]) for _ in range(_DESCRIPTORS - 1))
    except OSError as error:
        raise OSError(error.errno, error.strerror) from error  # of no file
    finally:
        for descriptor in held:
            os.close(descriptor)


def _received(socket: zmq.Socket[bytes]) -> Frames | None:
    """The frames of the next message, None if there is none. A large frame is not copied."""
    # Asked, instead of told by an exception: most descriptors that fire have one message, or none.
    if not int(socket.getsockopt(zmq.EVENTS)) & _POLLIN:
        return None
    # Each frame knows whether another follows. `recv_multipart` asks the socket each time, which takes as
    # long as to receive it.
    frames = [socket.recv(_NOBLOCK, copy=False)]
    while frames[-1].more:
        frames.append(socket.recv(_NOBLOCK, copy=False))
    return [frame.buffer if len(frame) > LARGE else frame.bytes for frame in frames]


def _identity(connection: Mapping[str, Any]) -> bytes:
    """By which the kernel's sockets know us: that of every hub of this kernel, one after the other, so
    that a reply meant for a hub that is gone reaches its successor."""
    name = f"{connection['ip']}-{connection['shell_port']}-{connection['key']}"
    return b"kernelexec-" + hashlib.sha256(name.encode()).hexdigest()[:16].encode()


def _address(connection: Mapping[str, Any], channel: str) -> str:
    ip, port = connection["ip"], connection[f"{channel}_port"]
    return f"ipc://{ip}-{port}" if connection["transport"] == "ipc" else f"tcp://{ip}:{port}"
