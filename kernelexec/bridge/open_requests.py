"""What a client has asked and no hub has answered yet: so a client keeps its tools when the hub ends.

Pure: lines of bytes in, lines of bytes out. The next hub gets the client's handshake again, and then each
open request as it was; the hello line (`rendezvous.hello`) names those that an earlier hub may have begun, so
that the hub goes on with them and runs nothing a second time.

`json` takes longer to import than a bridge takes to join its hub. So what the client says before its first
answer is kept unread until that answer was passed on.
"""

from __future__ import annotations

from time import monotonic

TYPE_CHECKING = False  # see rendezvous
if TYPE_CHECKING:
    from typing import Any

_RESPONSE = b'{"jsonrpc":"2.0","id":'  # how each response and request of the hub's begins
_HEAD = 4096  # bytes of a hub's line in which its id is looked for first
_INTERNAL_ERROR = -32603  # JSON-RPC; clients show its text

_Id = int | str


class _Request:
    """One open request."""

    __slots__ = ("came", "cancel", "line", "place", "tries")

    def __init__(self, line: bytes, place: int) -> None:
        self.line = line
        self.place = place  # among the client's requests
        self.came = monotonic()
        self.tries = 0  # hubs that it was sent to
        self.cancel: bytes | None = None  # the notification that cancels it


class OpenRequests:
    """One client's open requests, and its handshake."""

    def __init__(self, most_tries: int = 3) -> None:
        self._most_tries = most_tries  # hubs that may end over one request: it might be what ends them
        self._unread: list[tuple[bytes, bool]] = []  # before the first answer
        self._json: Any = None  # the module, once it is imported
        self._open: dict[_Id, _Request] = {}
        self._places = 0
        self._initialize: tuple[_Id, bytes] | None = None
        self._initialized = b""
        self._repeated: _Id | None = None  # the `initialize` that was sent again: the client had its answer
        self._questions: set[_Id] = set()  # that the present hub has asked the client

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def has_read(self) -> bool:
        """Whether the first answer has been seen: until then it is passed on first."""
        return self._json is not None

    def asked(self, line: bytes, *, is_sent: bool) -> bool:
        """A line of the client's, which is about to be sent to a hub or has to wait for one.

        False: no hub has to get it.
        """
        if self._json is None:
            self._unread.append((line, is_sent))
            return True
        try:
            message = self._json.loads(line)
        except (ValueError, RecursionError):
            return True  # the hub says what is wrong with it
        if not isinstance(message, dict):
            return True
        method, identity = message.get("method"), _as_id(message.get("id"))
        if method is None and identity is not None and ("result" in message or "error" in message):
            if identity not in self._questions:
                return False  # the answer to what a hub asked that is gone
            self._questions.discard(identity)
        elif not isinstance(method, str):
            return True  # as above
        elif identity is None:
            self._notified(method, message, line)
        else:
            self._requested(method, identity, line, is_sent=is_sent)
        return True

    def answered(self, line: bytes) -> bool:
        """A line of the hub's. False: it is not for the client, which had the same from an earlier hub."""
        self.read()
        identity, kind = self._parsed(line)
        if identity is None:
            return True
        if kind == "method":
            self._questions.add(identity)
            return True
        if identity == self._repeated:
            self._repeated = None
            return False
        request = self._open.pop(identity, None)
        if request is not None:  # so the hub has read all that was sent before it, cancels too
            ended = [key for key, other in self._open.items() if other.cancel and other.place < request.place]
            for key in ended:
                del self._open[key]
        return True

    def read(self) -> None:
        """Take in what was kept unread."""
        if self._json is None:
            import json  # not before the first answer has been passed on

            self._json = json
            unread, self._unread = self._unread, []
            for line, is_sent in unread:
                self.asked(line, is_sent=is_sent)

    def hub_ended(self) -> list[bytes]:
        """The hub is gone. What the client is told at once: nobody waits any more for what that hub asked."""
        self.read()
        self._repeated = None
        questions, self._questions = self._questions, set()
        return [
            self._line(
                {
                    "method": "notifications/cancelled",
                    "params": {"requestId": identity, "reason": "The hub that asked has ended."},
                }
            )
            for identity in questions
        ]

    def begun(self) -> str:
        """What earlier hubs were sent, for the hello: a JSON array of [id, seconds since it came]."""
        begun = [
            [identity, round(monotonic() - request.came, 3)]
            for identity, request in self._open.items()
            if request.tries
        ]
        text: str = self._json.dumps(begun)
        return text

    def again(self) -> list[bytes]:
        """What the next hub is to be sent first, in this order."""
        lines = []
        if self._initialize is not None and self._initialize[0] not in self._open:
            self._repeated = self._initialize[0]
            lines += [self._initialize[1], self._initialized]
        for request in self._open.values():
            request.tries += 1
            lines += [request.line, request.cancel or b""]
        return [line for line in lines if line]

    def given_up(self, why: str | None = None) -> list[bytes]:
        """The errors that answer what no hub will: all (`why`), or what too many hubs have ended over."""
        lost = [
            identity
            for identity, request in self._open.items()
            if why is not None or request.tries >= self._most_tries
        ]
        reason = why or (
            f"{self._most_tries} hubs ended while they answered this request. What it began may have been "
            "done, in part or as a whole: look with list_executions before you repeat it."
        )
        for identity in lost:
            del self._open[identity]
        return [
            self._line(
                {"id": identity, "error": {"code": _INTERNAL_ERROR, "message": f"kernelexec: {reason}"}}
            )
            for identity in lost
        ]

    def _requested(self, method: str, identity: _Id, line: bytes, *, is_sent: bool) -> None:
        self._places += 1
        request = self._open[identity] = _Request(line, self._places)
        request.tries = int(is_sent)
        if method == "initialize":
            self._initialize = identity, line

    def _notified(self, method: str, message: dict[str, Any], line: bytes) -> None:
        if method == "notifications/initialized":
            self._initialized = line
        elif method == "notifications/cancelled":
            params = message.get("params")
            identity = _as_id(params.get("requestId")) if isinstance(params, dict) else None
            if identity in self._open:
                self._places += 1
                request = self._open[identity]
                request.cancel, request.place = line, self._places

    def _parsed(self, line: bytes) -> tuple[_Id | None, str]:
        """The id of a hub's line, and whether it is a `method` of the hub's or an answer."""
        if not line.startswith(_RESPONSE):
            return None, ""
        head = line[len(_RESPONSE) : _HEAD].decode("utf-8", "replace")
        try:
            identity, end = self._json.JSONDecoder().raw_decode(head)
        except ValueError:  # an id longer than that
            message = self._json.loads(line)
            return _as_id(message.get("id")), "method" if "method" in message else ""
        return _as_id(identity), "method" if head.startswith(',"method"', end) else ""

    def _line(self, message: dict[str, Any]) -> bytes:
        text: str = self._json.dumps({"jsonrpc": "2.0", **message})
        return text.encode() + b"\n"


def _as_id(value: object) -> _Id | None:
    return value if isinstance(value, (int, str)) and not isinstance(value, bool) else None
