"""The model's server: a request of the client waits until the test says what the model answers."""

from __future__ import annotations

import gzip
import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.clients.model.anthropic import Anthropic
from tests.clients.model.gemini import Gemini
from tests.clients.model.openai import OpenAI
from tests.clients.model.turns import Asked, Dialect, Json, Turn

_ASIDE = Turn(
    words='{"title": "a test", "next_speaker": "user", "reasoning": "none"}'
)  # what is no conversation
_DONE = Turn(words="That is all.")


class Model:
    """One model, asked by one client at a time; also the proxy that keeps the client on this machine."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.elsewhere: list[str] = []  # where the client wanted to go beside this
        self._asked: queue.Queue[Asked] = queue.Queue()
        self._turns: queue.Queue[Turn] = queue.Queue()

    def wait_until_asked(self, seconds: float) -> Asked:
        """The client's next request; it waits for what `says` gives it."""
        try:
            return self._asked.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"the client asked its model nothing for {seconds} s") from None

    def says(self, turn: Turn) -> None:
        """What the model answers to the request that waits, or to the next one."""
        self._turns.put(turn)

    def is_done(self) -> None:
        """The model has no more to say: its client ends its conversation."""
        self.says(_DONE)

    def turn(self, asked: Asked | None) -> Turn:
        """For the server: the answer to this request."""
        if asked is None:
            return _ASIDE
        self._asked.put(asked)
        return self._turns.get()


@contextmanager
def model() -> Iterator[Model]:
    """A model for one client."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.model = Model(server.server_port)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.model  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def model(self) -> Model:
        return self.server.model  # type: ignore[attr-defined,no-any-return]

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: pytest shows what matters."""

    def do_CONNECT(self) -> None:
        self.model.elsewhere.append(self.path)
        self.send_error(403, "Tests stay on this machine")

    def do_HEAD(self) -> None:
        self._send("text/plain", b"")

    def do_GET(self) -> None:
        if self.path.startswith("http://"):
            self.model.elsewhere.append(self.path)
        self._send("application/json", b'{"data": [], "models": [], "object": "list"}')

    def do_POST(self) -> None:
        body = self._body()
        path = self.path.partition("?")[0]
        dialect = _dialect(path)
        if dialect is None:
            counts = {"input_tokens": 1000, "totalTokens": 1000}  # both count tokens
            self._send("application/json", json.dumps(counts).encode())
            return
        asked = dialect.asked(body)
        answer = dialect.answer(path, body, asked, self.model.turn(asked))
        self._send(answer.content_type, answer.body)

    def _send(self, content_type: str, body: bytes) -> None:
        with suppress(ConnectionError):  # the client has given up
            self.send_response(200)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def _body(self) -> Json:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        if "chunked" in (self.headers.get("transfer-encoding") or ""):
            raw = b"".join(self._chunks())
        if self.headers.get("content-encoding") == "gzip":
            raw = gzip.decompress(raw)
        body: Json = json.loads(raw or b"{}")
        return body

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()


def _dialect(path: str) -> Dialect | None:
    if path.endswith("/messages"):
        return Anthropic()
    if path.endswith("/responses"):
        return OpenAI()
    if path.lower().endswith("generatecontent"):
        return Gemini()
    return None
