"""Clients that a model drives. The test is the model: it says which tool to call, and reads what comes of it.

An `Agent` is the same for all; a `Program` is one of them, prompted and interrupted by another program.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from tests.clients.assistant import SECONDS, Assistant
from tests.clients.libraries import INSTALLED
from tests.clients.model.server import Model, model
from tests.clients.model.turns import Asked, Json, Seen, ToolCall, Turn
from tests.real.home import COMMAND, Home

PERSON = "Ada"  # what the person types into every form
_TO_END_SECONDS = 5.0
_PROMPT = "Do as you like."


class Program(Protocol):
    """A client's program, under way."""

    progress: list[str]

    def prompt(self, text: str) -> None:
        """What a person types; the program then asks its model."""
        ...

    def interrupt(self) -> None:
        """What a person does to stop the model's turn."""
        ...

    def wait_until_done(self, seconds: float) -> None:
        """Until the turn is over."""
        ...

    def close(self) -> None: ...


class Agent(Assistant):
    """A client that asks a model what to do."""

    def __init__(self, home: Home, cwd: Path, start: Callable[[Home, Path, Model], Program]) -> None:
        with ExitStack() as ends:
            self.model = ends.enter_context(model())
            self.program = start(home, cwd, self.model)
            ends.callback(self.program.close)
            self._ends = ends.pop_all()

    def tools(self) -> Mapping[str, Json]:
        schemas = self._prompt().schemas
        self._finish()
        return schemas

    def begin(self, tool: str, arguments: Json) -> _Call:
        self._prompt()
        call = ToolCall(tool, arguments)
        self.program.progress.clear()
        self.model.says(Turn(calls=(call,)))
        return _Call(self, call.id)

    def finished(self, call: str, seconds: float) -> Seen:
        """What the model got to read of its call."""
        asked = self.model.wait_until_asked(seconds)
        self._finish()
        return asked.results[call]

    def interrupted(self) -> None:
        self.program.interrupt()
        self.program.wait_until_done(SECONDS)

    def close(self) -> None:
        self._ends.close()

    def _prompt(self) -> Asked:
        self.program.prompt(_PROMPT)
        return self.model.wait_until_asked(SECONDS)

    def _finish(self) -> None:
        self.model.is_done()
        self.program.wait_until_done(SECONDS)


class _Call:
    def __init__(self, agent: Agent, call: str) -> None:
        self._agent = agent
        self._id = call
        self.progress = agent.program.progress

    def result(self, seconds: float = SECONDS) -> Seen:
        return self._agent.finished(self._id, seconds)

    def cancel(self) -> None:
        self._agent.interrupted()


class Lines:
    """A program that speaks JSON, a line a message, on stdin and stdout."""

    def __init__(self, command: list[str], cwd: Path, environ: Mapping[str, str]) -> None:
        self._heard: queue.Queue[Json | None] = queue.Queue()
        self._listens: Callable[[Json], bool] = lambda message: False
        self._errors = (cwd / "client.stderr").open("ab")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=cwd,
            env=dict(environ),
            text=True,
            bufsize=1,
            start_new_session=True,  # some start themselves once more
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def on_message(self, listens: Callable[[Json], bool]) -> None:
        """`listens` hears each message first, in a thread of its own; True: it is dealt with."""
        self._listens = listens

    def say(self, message: Json) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def hear(self, wanted: Callable[[Json], bool], seconds: float = SECONDS) -> Json:
        """The next message that is wanted; those before it are passed over."""
        deadline = time.monotonic() + seconds
        passed = []
        while True:
            try:
                message = self._heard.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"not heard within {seconds} s, but {passed[-5:]}") from None
            if message is None:
                raise AssertionError(f"the client's program has ended; it said {passed[-5:]}")
            if wanted(message):
                return message
            passed.append(message)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_TO_END_SECONDS)
        except subprocess.TimeoutExpired:  # Gemini CLI stays when its stdin ends
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(_TO_END_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._reader.join(SECONDS)
            self._process.stdout.close()
            self._errors.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{") and not self._listens(message := json.loads(line)):
                self._heard.put(message)
        self._heard.put(None)


class PythonAgent:
    """A program of `python/` that is built on a library for agents."""

    def __init__(
        self, home: Home, cwd: Path, model: Model, environment: str, program: str, **environ: str
    ) -> None:
        self.progress: list[str] = []
        own = {
            "KERNELEXEC_COMMAND": COMMAND,
            "KERNELEXEC_ENVIRON": json.dumps(home.environ),
            "OPENAI_BASE_URL": f"{model.url}/v1",
            "OPENAI_API_KEY": "none",
        }
        python = INSTALLED / environment / "bin/python"
        command = [str(python), str(Path(__file__).parent / "python" / program)]
        self._lines = Lines(command, cwd, offline(home, model, **own, **environ))
        self._lines.on_message(self._listen)
        self._lines.hear(lambda message: "ready" in message)

    def prompt(self, text: str) -> None:
        self._lines.say({"prompt": text})

    def interrupt(self) -> None:
        self._lines.say({"interrupt": True})

    def wait_until_done(self, seconds: float) -> None:
        done = self._lines.hear(lambda message: "done" in message, seconds)
        assert done["error"] in ("", "cancelled"), done

    def close(self) -> None:
        self._lines.close()

    def _listen(self, message: Json) -> bool:
        if "progress" in message:
            self.progress.append(message["progress"])
            return True
        return False


def offline(home: Home, model: Model, **more: str) -> dict[str, str]:
    """The variables of a client that is to stay on this machine, all but its model's address."""
    return {
        **home.environ,
        "PATH": f"{INSTALLED / 'node_modules/.bin'}:/usr/bin:/bin",
        "HTTPS_PROXY": model.url,
        "HTTP_PROXY": model.url,
        "NO_PROXY": "127.0.0.1,localhost",
        "NO_COLOR": "1",
        "TERM": "dumb",
        **more,
    }


def requests(lines: Lines) -> Callable[[str, Json], Json]:
    """`ask(method, params)` by JSON-RPC 2.0: the result."""
    ids = count(1)

    def ask(method: str, params: Json) -> Json:
        number = next(ids)
        lines.say({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        answer = lines.hear(lambda message: message.get("id") == number and "method" not in message)
        assert "error" not in answer, answer["error"]
        result: Json = answer["result"]
        return result

    return ask


def write(path: Path, content: Any) -> None:
    """A client's file of settings, as JSON or text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
