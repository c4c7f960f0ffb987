"""The stdio MCP server as clients start it: finds the hub and passes lines both ways.

Standard library only. Of MCP it knows what it needs to outlive a hub (`open_requests`): when the hub ends,
killed or upgraded, it joins the next one, repeats the handshake and what is open, and the client goes on.
Two threads: one passes what the hub says, and joins hubs; the other what the client says.
"""

from __future__ import annotations

import _thread
import os
import sys
from _socket import SHUT_RDWR, SHUT_WR, socket  # see rendezvous

from kernelexec.bridge.open_requests import OpenRequests
from kernelexec.bridge.rendezvous import working_directory
from kernelexec.bridge.way import SIGN_OF_LIFE, Way, way_to_hub
from kernelexec.errors import HubUnavailable

TYPE_CHECKING = False  # see rendezvous
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_CHUNK = 1 << 16  # bytes
_LONGEST = (32 << 20) + 1  # bytes of a client's line: one more than the hub takes, which says so
_TAIL = 300  # bytes of the end of a longer one, where the hub looks for its id
# Between the client's end of input and our own end: the hub answers what was already asked
# (`printf ... | kernelexec` gets its replies) and no client has to wait for longer.
_LAST_WORDS_SECONDS = 0.9
_INTERNAL_ERROR = -32603  # JSON-RPC


def main() -> int:
    """Serve one client until it closes. Exit status 0, or 1 where there is no hub to begin with."""
    client = Client(0, 1, os.environ)
    return Bridge(client, lambda: end_after_last_words(client)).serve()


def end_after_last_words(client: Client) -> None:
    """End this process; no later than the client: what we took from the hub would count as told."""
    import select  # here: as in _refuse

    output = select.poll()
    output.register(client.output, 0)  # only its end is waited for: POLLERR or POLLHUP
    output.poll(_LAST_WORDS_SECONDS * 1000)
    os._exit(0)


class Client:
    """Who started this process: where it is heard and spoken to, its environment variables and directory."""

    __slots__ = ("cwd", "environ", "input", "output")

    def __init__(self, input: int, output: int, environ: Mapping[str, str]) -> None:
        self.input = input
        self.output = output
        self.environ = environ
        self.cwd = working_directory(environ)
        for descriptor in (input, output):
            os.set_blocking(descriptor, True)  # some clients hand over sockets of their own event loop


class Bridge:
    """One client, and the hub that it has now.

    `at_end` is called when the client's input has ended, and the hub knows it.
    """

    def __init__(self, client: Client, at_end: Callable[[], None]) -> None:
        self._client = client
        self._at_end = at_end
        self._hub: socket | None = None
        self._open = OpenRequests()
        self._input_ended = False
        self._books = _thread.allocate_lock()  # for `_hub` and `_open`; never held while sending
        self._sending = _thread.allocate_lock()
        self._wanted = _thread.allocate_lock()  # let go by a request that has no hub
        self._wanted.acquire()

    @property
    def has_client(self) -> bool:
        """Whether the client may still ask something."""
        return not self._input_ended

    def leave(self) -> None:
        """The hub that ends next is the last."""
        self._input_ended = True

    def serve(self) -> int:
        """Until the client closes. Exit status 0, or 1 where there is no hub to begin with."""
        try:
            way = way_to_hub(self._client.environ, self._client.cwd)
            self._hub = way.join()
        except HubUnavailable as error:
            _refuse(self._client, error)
            return 1
        self._open = OpenRequests(way.most_tries)
        try:
            self._run(way, self._hub)
        except BrokenPipeError:  # the client is gone
            self._input_ended = True
            _end(self._hub)
        return 0

    def _run(self, way: Way, first: socket) -> None:
        hub: socket | None = first
        _thread.start_new_thread(self._pass_input, ())
        while hub is not None:
            self._pass_replies(way, hub)
            hub = None if self._input_ended else self._join_next_hub(way)

    def _pass_replies(self, way: Way, hub: socket) -> None:
        """Until the hub ends. What it has not sent to its end is dropped: half a line is no message."""
        for batch in _batches(lambda: way.receive(hub, self._sending)):
            lines = [line for line in batch if line != SIGN_OF_LIFE]
            if self._open.has_read:
                with self._books:
                    passed = [line for line in lines if self._open.answered(line)]
                self._say(passed)
            elif lines:  # the client waits for this one
                self._say(lines)
                with self._books:
                    for line in lines:
                        self._open.answered(line)

    def _join_next_hub(self, way: Way) -> socket:
        """Once there is something to ask it."""
        print(way.ended, file=sys.stderr, flush=True)
        with self._books:
            self._hub = None
            said = self._open.hub_ended()
        self._say(said)
        while True:
            while not self._open:
                self._wanted.acquire()
            with self._books:
                said, begun = self._open.given_up(), self._open.begun()
            self._say(said)
            if not self._open:
                continue
            try:
                hub = way.join_next(begun)
            except HubUnavailable as error:
                with self._books:
                    said = self._open.given_up(
                        f"{error} What was open may have been begun, and then goes on."
                    )
                self._say(said)
                continue
            self._catch_up(hub)
            return hub

    def _catch_up(self, hub: socket) -> None:
        """The hub is sent what is open, and then what the client says from now on."""
        with self._sending:
            with self._books:
                lines, self._hub = self._open.again(), hub
            for line in lines:
                _send(hub, line)

    def _pass_input(self) -> None:
        for lines in _batches(lambda: os.read(self._client.input, _CHUNK), _LONGEST):
            with self._books:
                hub = self._hub
                passed = [line for line in lines if self._open.asked(line, is_sent=hub is not None)]
                if hub is None and self._open and self._wanted.locked():
                    self._wanted.release()
            if hub is not None and passed:
                with self._sending:
                    _send(hub, b"".join(passed))  # what came together was asked together
        with self._books:
            self._input_ended, hub = True, self._hub
        if hub is not None:
            with self._sending:
                _end_input(hub)
        self._at_end()

    def _say(self, lines: list[bytes]) -> None:
        _write_all(self._client.output, b"".join(lines))


def _batches(read: Callable[[], bytes], longest: int | None = None) -> Iterator[list[bytes]]:
    """The lines of what is read, with their ends: those that came together.

    `longest`: a client's, whose last line may have no end, and of a longer line only so much and its last
    bytes are passed. Of a hub's last line, half is no message.
    """
    parts: list[bytes] = []
    size = 0
    while chunk := read():
        *whole, rest = chunk.split(b"\n")
        if whole:
            yield [b"".join((*parts, whole[0], b"\n")), *(line + b"\n" for line in whole[1:])]
            parts, size = [], 0
        if longest is not None and size > longest:
            parts[1] = (parts[1] + rest)[-_TAIL:]
        elif rest:
            parts.append(rest)
            size += len(rest)
            if longest is not None and size > longest:
                line = b"".join(parts)
                parts = [line[:longest], line[-_TAIL:]]
    if parts and longest is not None:
        yield [b"".join((*parts, b"\n"))]


def _send(hub: socket, line: bytes) -> None:
    try:
        hub.sendall(line)
    except OSError:
        return  # it is gone; the other thread sees that too, and the next hub gets what is open


def _end_input(hub: socket) -> None:
    try:
        hub.shutdown(SHUT_WR)
    except OSError:
        return  # it is gone


def _end(hub: socket | None) -> None:
    """It hears that nobody takes its answers any more."""
    try:
        if hub is not None:
            hub.shutdown(SHUT_RDWR)
    except OSError:
        return  # it is gone


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _refuse(client: Client, error: HubUnavailable) -> None:
    """Answer the client's first request with what is wrong: few clients show stderr."""
    import json  # here: the other path, which every client waits for, does without

    print(f"kernelexec: {error}", file=sys.stderr)
    for line in os.fdopen(client.input, "rb", closefd=False):
        try:
            request = json.loads(line)
        except ValueError:
            continue
        if isinstance(request, dict) and "id" in request:
            failure = {"code": _INTERNAL_ERROR, "message": f"kernelexec: {error}"}
            answer = {"jsonrpc": "2.0", "id": request["id"], "error": failure}
            _write_all(client.output, json.dumps(answer).encode() + b"\n")
            return
