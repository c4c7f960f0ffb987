"""Codex by its app server, which is what its editor extensions are built on."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from tests.clients.agents import PERSON, Lines, offline, requests, write
from tests.clients.assistant import SECONDS
from tests.clients.model.server import Model
from tests.clients.model.turns import SERVER, Json
from tests.real.home import COMMAND, Home


class Codex:
    def __init__(self, home: Home, cwd: Path, model: Model) -> None:
        self.progress: list[str] = []
        self._turn = ""
        self._has_started = threading.Event()  # our server; it may have before the thread is told to
        configure(home, model)
        self._lines = Lines(["codex", "app-server"], cwd, environ(home, model))
        self._lines.on_message(self._listen)
        self._ask = requests(self._lines)
        self._ask("initialize", {"clientInfo": {"name": "tests", "version": "1"}})
        self._lines.say({"jsonrpc": "2.0", "method": "initialized"})
        self._thread = self._ask("thread/start", {"cwd": str(cwd)})["thread"]["id"]
        assert self._has_started.wait(SECONDS)

    def prompt(self, text: str) -> None:
        words = [{"type": "text", "text": text, "text_elements": []}]
        self._turn = self._ask("turn/start", {"threadId": self._thread, "input": words})["turn"]["id"]

    def interrupt(self) -> None:
        self._ask("turn/interrupt", {"threadId": self._thread, "turnId": self._turn})

    def wait_until_done(self, seconds: float = SECONDS) -> None:
        self._lines.hear(lambda message: message.get("method") == "turn/completed", seconds)

    def close(self) -> None:
        self._lines.close()

    def _listen(self, message: Json) -> bool:
        method = message.get("method")
        if method == "mcpServer/elicitation/request":
            fields = message["params"]["requestedSchema"]["properties"]
            accepted = {"action": "accept", "content": dict.fromkeys(fields, PERSON)}
            self._lines.say({"jsonrpc": "2.0", "id": message["id"], "result": accepted})
        elif method == "item/mcpToolCall/progress":
            self.progress.append(message["params"]["message"])
        elif method == "mcpServer/startupStatus/updated" and message["params"].get("status") == "ready":
            self._has_started.set()
        else:
            return False
        return True


def configure(home: Home, model: Model) -> None:
    """As docs/clients.md has it, with a model that is on this machine."""
    variables = "\n".join(f"{name} = {json.dumps(value)}" for name, value in home.environ.items())
    write(
        home.path / ".codex/config.toml",
        f"""
model = "a-model"
model_provider = "tests"
approval_policy = "on-request"

[model_providers.tests]
name = "tests"
base_url = "{model.url}/v1"
wire_api = "responses"

[mcp_servers.{SERVER}]
command = "{COMMAND}"
default_tools_approval_mode = "approve"
required = true

[mcp_servers.{SERVER}.env]
{variables}
""",
    )


def environ(home: Home, model: Model) -> dict[str, str]:
    return offline(home, model, CODEX_HOME=str(home.path / ".codex"))
