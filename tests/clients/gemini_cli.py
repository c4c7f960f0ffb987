"""Gemini CLI by the Agent Client Protocol, which is how editors drive it."""

from __future__ import annotations

from pathlib import Path

from tests.clients.agents import Lines, offline, requests, write
from tests.clients.model.server import Model
from tests.clients.model.turns import SERVER, Json
from tests.real.home import COMMAND, Home


class GeminiCLI:
    def __init__(self, home: Home, cwd: Path, model: Model) -> None:
        self.progress: list[str] = []
        write(
            home.path / ".gemini/settings.json",
            {
                "mcpServers": {SERVER: {"command": COMMAND, "env": home.environ, "trust": True}},
                "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
                "privacy": {"usageStatisticsEnabled": False},
                "general": {"disableAutoUpdate": True},
                "telemetry": {"enabled": False},
            },
        )
        environ = offline(
            home,
            model,
            GEMINI_API_KEY="none",
            GOOGLE_GEMINI_BASE_URL=model.url,
            GEMINI_CLI_NO_RELAUNCH="true",
        )
        self._lines = Lines(["gemini", "--acp"], cwd, environ)
        self._lines.on_message(self._listen)
        self._ask = requests(self._lines)
        self._ask("initialize", {"protocolVersion": 1, "clientCapabilities": {}})
        self._session = self._ask("session/new", {"cwd": str(cwd), "mcpServers": []})["sessionId"]

    def prompt(self, text: str) -> None:
        words = [{"type": "text", "text": text}]
        self._lines.say(
            {
                "jsonrpc": "2.0",
                "id": "turn",
                "method": "session/prompt",
                "params": {"sessionId": self._session, "prompt": words},
            }
        )

    def interrupt(self) -> None:
        self._lines.say(
            {"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": self._session}}
        )

    def wait_until_done(self, seconds: float) -> None:
        self._lines.hear(lambda message: message.get("id") == "turn", seconds)

    def close(self) -> None:
        self._lines.close()

    def _listen(self, message: Json) -> bool:
        if message.get("method") == "session/request_permission":
            allowed = message["params"]["options"][0]["optionId"]
            outcome = {"outcome": {"outcome": "selected", "optionId": allowed}}
            self._lines.say({"jsonrpc": "2.0", "id": message["id"], "result": outcome})
            return True
        return False
