"""The requests of one connection: which are not answered yet, what ended them, whose answers went nowhere.

The SDK cancels a handler without a word why; and it does not say whether what a handler returned was written.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Literal

import mcp_types as types
from mcp.shared.dispatcher import coerce_request_id
from mcp.shared.jsonrpc_dispatcher import cancelled_request_id_from_params

from kernelexec.model.text import one_line

_log = logging.getLogger(__name__)

_REASON = 200  # characters of a client's own words
# "MCP error -32001: Request timed out" (TypeScript SDK), "timed out after 60s" (Python), "Timeout"
_TIMED_OUT = re.compile(r"-32001|time[ -]?out|timed[ -]?out", re.IGNORECASE)
# A connection's requests that are open at once. With more than _MANY each further one is taken up only after
# a moment, so that who asks without end leaves the hub to others; with _MOST it is refused.
_MANY = 50
_MOST = 1_000
_MOST_BYTES = 64 << 20
_MOMENT_SECONDS = 0.02
_LARGE = _MOST_BYTES // _MOST  # bytes of a request; without one there is no need to add them up
_ANSWERED = 32  # answered requests that are remembered, should the client still cancel them

_places = count(1)  # of all connections, because one caller may have several, one after the other


@dataclass(frozen=True)
class Cancellation:
    """Who ended a call before it was answered."""

    kind: Literal["cancelled", "timed_out", "disconnected", "closing"]
    reason: str = ""  # a client's own words: plain, one line

    @classmethod
    def by_client(cls, reason: object) -> Cancellation:
        """What a client's `notifications/cancelled` says with this `reason`, which may be anything."""
        words = one_line(reason[: 10 * _REASON]) if isinstance(reason, str) else ""
        return cls("timed_out" if _TIMED_OUT.search(words) else "cancelled", words[:_REASON])


class Request:
    """One request of a client."""

    def __init__(
        self, came: int | None = None, identity: str = "", waited: float | None = None, size: int = 0
    ) -> None:
        self.heard = time.monotonic()
        self.came = came  # its place among what has been heard and said
        self.identity = identity  # its id, as JSON
        self.size = size  # bytes
        self.waited = waited  # how long an earlier hub, which may have begun it, has let its client wait
        self.cancellation: Cancellation | None = None  # known before the handler is cancelled
        self._undelivered = False
        self._callbacks: list[Callable[[], None]] = []
        self._when_delivered: list[Callable[[int], None]] = []

    @property
    def is_watched(self) -> bool:
        return bool(self._callbacks)

    def on_undelivered(self, callback: Callable[[], None]) -> None:
        """Call this once it is certain that no result of this request reaches the client; at most once."""
        if self._undelivered:
            _call(callback)
        else:
            self._callbacks.append(callback)

    def on_delivered(self, callback: Callable[[int], None]) -> None:
        """Call this with the place of the result (see `came`) once the connection has taken it."""
        self._when_delivered.append(callback)

    def delivered(self, at: int) -> None:
        """Its result was written."""
        for callback in self._when_delivered:
            _call(partial(callback, at))

    def undelivered(self) -> None:
        """No result of it reaches the client."""
        self._undelivered = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            _call(callback)


def _call(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:  # noqa: BLE001 - it is called by the connection, whose other requests go on
        _log.exception("what was to follow from a reply's delivery, or from its loss, failed")


class Requests:
    """Those of one connection. Ids are told apart as the SDK does, for which "7" is 7."""

    def __init__(self, begun: Mapping[types.RequestId, float]) -> None:
        self._begun = {coerce_request_id(identity): waited for identity, waited in begun.items()}
        self._open: dict[types.RequestId, Request] = {}
        self._answered: dict[types.RequestId, Request] = {}
        self._changed = asyncio.Event()
        self._has_large = False

    async def has_room(self, size: int) -> bool:
        """Whether one more request, of so many bytes, may be taken up now."""
        if len(self._open) >= _MANY:
            await self._something_is_answered()
        self._has_large = self._has_large or size > _LARGE
        held = sum(request.size for request in self._open.values()) if self._has_large else 0
        return len(self._open) < _MOST and (not held or held + size <= _MOST_BYTES)

    async def _something_is_answered(self) -> None:
        self._changed.clear()
        with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(self._changed.wait(), _MOMENT_SECONDS)

    @property
    def full(self) -> str:
        """Why there is no room."""
        return (
            f"{len(self._open)} requests of this connection are open, and no more than {_MOST:,} or "
            f"{_MOST_BYTES:,} bytes may be: read the answers, then ask again"
        )

    def add(self, message: types.JSONRPCRequest, size: int = 0) -> Request:
        """A request that has come."""
        request_id = coerce_request_id(message.id)
        waited = self._begun.pop(request_id, None) if self._begun else None
        request = self._open[request_id] = Request(next(_places), json.dumps(message.id), waited, size)
        return request

    def heard(self, message: types.JSONRPCNotification) -> None:
        """A notification that has come, which may cancel one of them. To be told before the SDK is."""
        if message.method != "notifications/cancelled":
            return
        wire_id = cancelled_request_id_from_params(message.params)
        if wire_id is None:
            return
        request_id = coerce_request_id(wire_id)
        request = self._open.pop(request_id, None)
        if request is not None:
            self._changed.set()  # the SDK does not answer it
        else:  # its answer was on its way, and the client had given up before it came
            request = self._answered.pop(request_id, None)
        if request is not None:
            request.cancellation = Cancellation.by_client((message.params or {}).get("reason"))
            request.undelivered()

    def answered(self, message: types.JSONRPCMessage, *, written: bool) -> None:
        """A message was sent; `written`: the connection took it. An error is no result."""
        if not isinstance(message, types.JSONRPCResponse | types.JSONRPCError) or message.id is None:
            return
        request_id = coerce_request_id(message.id)
        request = self._open.pop(request_id, None)
        self._changed.set()
        if request is None:
            return
        if not written or isinstance(message, types.JSONRPCError):
            request.undelivered()
            return
        request.delivered(next(_places))
        if request.is_watched:
            self._answered[request_id] = request
            if len(self._answered) > _ANSWERED:
                del self._answered[next(iter(self._answered))]

    async def wait(self, seconds: float) -> None:
        """Until all are answered, or for so long."""
        with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(self._until_none(), seconds)

    async def _until_none(self) -> None:
        while self._open:
            self._changed.clear()
            await self._changed.wait()

    def end(self) -> None:
        """The connection is over: what is open now is not answered any more."""
        requests, self._open = list(self._open.values()), {}
        for request in requests:
            request.cancellation = Cancellation("disconnected")
            request.undelivered()
