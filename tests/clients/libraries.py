"""Clients that a program calls. The program here reads requests and writes answers, a line of JSON each.

{"id": 1, "do": "call", "tool": "execute_code", "arguments": {...}}   {"id": 2, "do": "cancel", "call": 1}
{"id": 3, "do": "tools"}   {"id": 4, "do": "resources"}   {"id": 5, "do": "read", "uri": "..."}
{"id": 1, "progress": "..."}   {"id": 1, "text": "...", "images": 0, "is_error": false}
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.clients.assistant import SECONDS, Assistant
from tests.clients.model.turns import Json, Seen
from tests.real.home import COMMAND, Home

INSTALLED = Path(__file__).parent.parent.parent / ".clients"


@dataclass(eq=False)
class _Call:
    library: Library
    id: int
    answer: Future[Json] = field(default_factory=Future)
    progress: list[str] = field(default_factory=list)

    def result(self, seconds: float = SECONDS) -> Seen:
        answer = self.answer.result(seconds)
        return Seen(answer["text"], answer["images"], answer["is_error"])

    def cancel(self) -> None:
        self.library.ask("cancel", call=self.id)


class Library(Assistant):
    """A program of `python/` or `node/`, in the clients' own environment."""

    def __init__(self, home: Home, cwd: Path, command: list[str]) -> None:
        self._calls: dict[int, _Call] = {}
        self._ids = count(1)
        environ = {
            "KERNELEXEC_COMMAND": COMMAND,
            "KERNELEXEC_ENVIRON": json.dumps(home.environ),
            "NODE_PATH": str(INSTALLED / "node_modules"),
        }
        self._errors = (cwd / "client.stderr").open("ab")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=cwd,
            env={**home.environ, **environ},
            text=True,
            bufsize=1,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def tools(self) -> Mapping[str, Json]:
        tools: Mapping[str, Json] = self.ask("tools").answer.result(SECONDS)["tools"]
        return tools

    def resources(self) -> list[str]:
        """Their addresses."""
        found: list[str] = self.ask("resources").answer.result(SECONDS)["resources"]
        return found

    def read(self, uri: str) -> Seen:
        """A resource's text, or what this client says of an error."""
        return self.ask("read", uri=uri).result()

    def begin(self, tool: str, arguments: Json) -> _Call:
        return self.ask("call", tool=tool, arguments=arguments)

    def ask(self, what: str, **more: Any) -> _Call:
        call = _Call(self, next(self._ids))
        self._calls[call.id] = call
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": call.id, "do": what, **more}) + "\n")
        self.process.stdin.flush()
        return call

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(SECONDS)
        finally:
            self.process.kill()
            self._reader.join(SECONDS)
            self.process.stdout.close()
            self._errors.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            answer = json.loads(line)
            call = self._calls[answer["id"]]
            if "progress" in answer:
                call.progress.append(answer["progress"])
            else:
                call.answer.set_result(answer)
        for call in self._calls.values():
            if not call.answer.done():
                call.answer.set_exception(AssertionError("the client's program has ended"))
