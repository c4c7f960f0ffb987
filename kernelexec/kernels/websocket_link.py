"""The link to a kernel of a Jupyter server: one websocket for all channels, made again when it drops.

What is sent while it is down waits. A server keeps what a kernel says meanwhile, for whoever comes again
with the same session id and only so much of it; what is missing all the same is had again from the kernel's
memory (recall.py).

Servers write a message in small pieces, and each waits until the one before is acknowledged, which a
listener's system puts off for 40 ms (Nagle's algorithm and delayed acknowledgement). A pong that nobody asked
for carries the acknowledgement at once, also through proxies and TLS: 8 to 14 ms a call instead of 50.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

from kernelexec.kernels.exchange import Exchange
from kernelexec.kernels.kernel import NotSent
from kernelexec.kernels.link import Lost
from kernelexec.kernels.retries import FIRST_PAUSE_SECONDS, Retries
from kernelexec.kernels.server_api import ServerApi, missing_extra
from kernelexec.kernels.server_troubles import (
    ServerTrouble,
    Trouble,
    no_token_yet,
    no_websocket,
    of_failure,
    of_status,
)
from kernelexec.kernels.websocket_frames import V1, Frames, frames_for
from kernelexec.kernels.wire import BadMessage, Message
from kernelexec.model.limits import Limits

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

_log = logging.getLogger(__name__)

_OPEN_SECONDS = 60.0  # a server answers once it has heard from the kernel, which may be starting
_PING_SECONDS = 20.0  # so that a silent network is noticed, and proxies do not think us idle
_CLOSE_SECONDS = 1.0
_LAST_WORDS_SECONDS = 0.05
_LONGEST_REQUEST = 10 * 2**20 - 4096  # bytes; tornado's limit of a message, with room for what is around it
_SIGNATURE_FRAMES = 2  # of zmq, before a message's body


class Entrance(Protocol):
    """What leads to the kernel's server, as far as that is known now."""

    def api(self) -> ServerApi | None:
        """None: nobody has brought a token since this hub began."""

    async def changed(self) -> None:
        """Wait until somebody brings another one."""

    @property
    def retries(self) -> Retries:
        """Those of all links to the same server."""


@dataclass(frozen=True)
class Address:
    """A kernel on a server, and by which name the server knows our connection to it."""

    url: str
    kernel_id: str
    session_id: str


class WebsocketLink(Exchange):
    """The channels of one kernel over a websocket (see link.Link)."""

    def __init__(self, address: Address, entrance: Entrance, on_message: Callable[[Message], None]) -> None:
        super().__init__("", on_message)
        self._address = address
        self._entrance = entrance
        self._on_regained: Callable[[], None] = lambda: None
        self.on_request: Callable[[], None] = lambda: None
        self.on_missing: Callable[[], None] = lambda: None  # the server does not know the kernel
        self._waiting: deque[tuple[str, str, list[bytes]]] = deque()  # channel, msg_id, frames
        self._has_waiting = asyncio.Event()
        self._lost: Lost | None = None
        self._was_up = False
        self._frames: Frames = frames_for(None)
        self._socket: ClientConnection | None = None
        self._is_deaf = False
        self._is_busy = False  # its idle is still to come
        self._keeping = asyncio.create_task(self._keep())

    @property
    def lost(self) -> Lost | None:
        return self._lost

    @property
    def is_reading(self) -> bool:
        return False

    def allow(self, limits: Limits) -> None:
        pass

    def when_regained(self, call: Callable[[], None]) -> None:
        self._on_regained = call

    def pack(
        self, message_type: str, content: Mapping[str, Any], subshell: str | None = None
    ) -> tuple[str, list[bytes]]:
        msg_id, frames = self._wire.pack(message_type, content, subshell)
        if sum(map(len, frames)) > _LONGEST_REQUEST:
            raise NotSent(
                "It is too long: a Jupyter server closes the connection at more than 10 MiB. Nothing was "
                "sent. Have the code read the data from where it runs, or submit it in parts."
            )
        return msg_id, frames

    def send(self, channel: str, msg_id: str, frames: list[bytes]) -> asyncio.Future[Message]:
        self.on_request()
        reply = self.expect(msg_id)
        self._put(channel, msg_id, frames)
        # Who has given up waiting does not want it sent either, if it still waits to be.
        reply.add_done_callback(lambda done: self._take_back(msg_id) if done.cancelled() else None)
        return reply

    def say(self, channel: str, message_type: str, content: Mapping[str, Any]) -> None:
        self._put(channel, *self._wire.pack(message_type, content))

    def wake(self) -> None:
        """The connections to its sockets are the server's."""

    def is_awaited(self) -> bool:
        """Whether somebody waits for a reply."""
        return self._replies.are_coming

    def ask_who(self) -> None:
        """Have the kernel's process send something, by which it is known."""
        if self._lost is None:
            self.say("control", "kernel_info_request", {})

    def connect_again(self) -> None:
        """The connection is open, and what the kernel says does not come."""
        if self._socket is not None:
            self._is_deaf = True
            self._socket.transport.abort()

    async def take_last_words(self) -> None:
        await asyncio.sleep(_LAST_WORDS_SECONDS)

    def close(self) -> None:
        self._keeping.cancel()
        self._waiting.clear()
        self._replies.close()

    # --- the websocket -----------------------------------------------------------------

    async def _keep(self) -> None:
        """Be connected, and again each time that it drops."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                async with self._connected() as socket:
                    began = time.monotonic()
                    self._is_up(socket)
                    await self._talk(socket)
                if time.monotonic() - began > pause:  # else it only comes about, and is closed at once
                    pause = FIRST_PAUSE_SECONDS
                trouble = _deaf(self._address.url) if self._is_deaf else _closed(socket, self._address.url)
            except ServerTrouble as error:
                trouble = error.trouble
            except Exception as error:  # noqa: BLE001 - whatever it was, the kernel may still be there
                _log.exception("the link to kernel %s failed", self._address.kernel_id)
                trouble = of_failure(error, self._address.url)
            self._is_down(trouble)
            pause = await self._entrance.retries.pause(pause, self._entrance.changed())

    def _is_up(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._is_deaf = False
        self._frames = frames_for(socket.subprotocol)
        was_lost, self._lost = self._lost, None
        self._has_waiting.set()
        self._entrance.retries.came_through()
        if was_lost is not None:
            _log.info("the link to kernel %s is up again", self._address.kernel_id)
        if self._was_up:
            self._on_regained()
        self._was_up = True

    def _is_down(self, trouble: Trouble) -> None:
        self._socket = None
        since = self._lost.since if self._lost is not None else datetime.now(timezone.utc)
        if self._lost is None or self._lost.why != trouble.what:
            _log.warning("the link to kernel %s is down: %s", self._address.kernel_id, trouble.what)
        self._lost = Lost(since, trouble.what, trouble.next_step, trouble.passes)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[ClientConnection]:
        """Raises ServerTrouble: no connection comes about."""
        connection = _websockets()
        api = self._entrance.api()
        if api is None:
            raise ServerTrouble(no_token_yet(self._address.url))
        try:
            socket = await connection.connect(
                api.channels(self._address.kernel_id, self._address.session_id),
                additional_headers=dict(api.access.headers()),
                ssl=api.access.trust(),
                subprotocols=[V1],
                max_size=None,
                compression=None,
                open_timeout=_OPEN_SECONDS,
                ping_interval=_PING_SECONDS,
                ping_timeout=_PING_SECONDS,
                close_timeout=_CLOSE_SECONDS,
                logger=_quiet,
            )
        except Exception as error:  # noqa: BLE001 - of many kinds, and each has its words
            trouble = await self._why_not(error, api)
            raise ServerTrouble(trouble) from None
        try:
            yield socket
        finally:
            socket.transport.abort()

    async def _why_not(self, error: Exception, api: ServerApi) -> Trouble:
        """Why no websocket came about. A server that does not know the kernel says so also when it is asked
        plainly: a proxy's 404 is no kernel's end."""
        answer = getattr(error, "response", None)
        status = getattr(answer, "status_code", None)
        if status is None or status in (200, 400, 404, 426):
            try:
                is_there = await api.has(self._address.kernel_id)
            except ServerTrouble as trouble:
                return trouble.trouble
            if not is_there:
                self.on_missing()
                return Trouble(f"{api.url} does not know the kernel any more.")
            if status is not None:
                return no_websocket(api.url)
        if status is None:
            return of_failure(error, api.url)
        if status in (401, 403):
            api.refused(api.access)
        location = answer.headers.get("location", "") if answer is not None else ""
        return of_status(status, api.url, location=location, has_token=api.access.has_token)

    async def _talk(self, socket: ClientConnection) -> None:
        """Send and hear until it is closed."""
        from websockets.exceptions import ConnectionClosed

        sending = asyncio.create_task(self._send_waiting(socket))
        try:
            async for data in socket:
                if self._is_busy or self._replies.are_coming:
                    await socket.pong()
                self._hear(data)
        except ConnectionClosed:
            pass  # its codes are read by who calls
        finally:
            sending.cancel()

    async def _send_waiting(self, socket: ClientConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        with suppress(ConnectionClosed):
            while True:
                await self._has_waiting.wait()
                self._has_waiting.clear()
                while self._waiting:
                    channel, _, frames = self._waiting[0]
                    data = self._frames.pack(channel, frames[_SIGNATURE_FRAMES:])
                    self._waiting.popleft()
                    await socket.send(data)

    def _put(self, channel: str, msg_id: str, frames: list[bytes]) -> None:
        if not self.closed.done():
            self._waiting.append((channel, msg_id, frames))
            self._has_waiting.set()

    def _take_back(self, msg_id: str) -> None:
        if self._waiting:
            self._waiting = deque(each for each in self._waiting if each[1] != msg_id)

    def _hear(self, data: bytes | str) -> None:
        try:
            message = self._frames.unpack(data)
        except BadMessage as error:
            _log.warning("a message of kernel %s was dropped: %s", self._address.kernel_id, error)
            return
        if message.type == "status":
            self._is_busy = message.content.get("execution_state") == "busy"
        self._take(message)

    def _shows_subscription(self, message: Message) -> bool:
        """A welcome is the server's, and may come of what it had kept."""
        return message.parent_session == self.session


def _closed(socket: ClientConnection, url: str) -> Trouble:
    said = f"{socket.close_code} {socket.close_reason or ''}".strip()
    return Trouble(f"{url} closed the connection ({said}).", passes=True)


def _deaf(url: str) -> Trouble:
    return Trouble(f"The connection to {url} was open, and passed nothing on.", passes=True)


_quiet = logging.getLogger("kernelexec.websockets")
_quiet.setLevel(logging.CRITICAL)  # its messages have headers in them, and so the token


def _websockets() -> Any:
    """Here, because few need it.

    Raises:
        ServerTrouble: it is not installed.
    """
    try:
        from websockets.asyncio import client
    except ImportError:
        raise ServerTrouble(missing_extra("websockets")) from None
    return client
