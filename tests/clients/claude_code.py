"""Claude Code, as its own SDK drives it: prompts, interrupts and answers to forms as lines of JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.clients.agents import PERSON, Lines, offline, write
from tests.clients.model.server import Model
from tests.clients.model.turns import SERVER, Json
from tests.real.home import COMMAND, Home, eventually


class ClaudeCode:
    def __init__(self, home: Home, cwd: Path, model: Model) -> None:
        self.progress: list[str] = []
        write(cwd / ".mcp.json", {"mcpServers": {SERVER: {"command": COMMAND, "env": home.environ}}})
        write(
            cwd / ".claude/settings.json",
            {"permissions": {"allow": [f"mcp__{SERVER}"]}, "enableAllProjectMcpServers": True},
        )
        write(home.path / ".claude.json", {"projects": {str(cwd): {"hasTrustDialogAccepted": True}}})
        environ = offline(
            home,
            model,
            ANTHROPIC_BASE_URL=model.url,
            ANTHROPIC_API_KEY="none",
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
            DISABLE_AUTOUPDATER="1",
            ENABLE_TOOL_SEARCH="false",
        )
        command = "claude -p --verbose --input-format stream-json --output-format stream-json"
        self._lines = Lines(command.split(), cwd, environ)
        self._lines.on_message(self._listen)
        self._control(subtype="initialize", hooks={})
        eventually(self._is_connected)

    def prompt(self, text: str) -> None:
        self._lines.say({"type": "user", "message": {"role": "user", "content": text}})

    def interrupt(self) -> None:
        self._control(subtype="interrupt")

    def wait_until_done(self, seconds: float) -> None:
        self._lines.hear(lambda message: message["type"] == "result", seconds)

    def close(self) -> None:
        self._lines.close()

    def _is_connected(self) -> bool:
        servers = self._control(subtype="mcp_status")["mcpServers"]
        return bool(servers) and all(server["status"] == "connected" for server in servers)

    def _control(self, **request: Any) -> Json:
        self._lines.say({"type": "control_request", "request_id": request["subtype"], "request": request})
        heard = self._lines.hear(lambda message: message["type"] == "control_response")
        answer: Json = heard["response"].get("response", {})
        return answer

    def _listen(self, message: Json) -> bool:
        if message["type"] == "control_request" and message["request"]["subtype"] == "elicitation":
            fields = message["request"]["requested_schema"]["properties"]
            accepted = {"action": "accept", "content": dict.fromkeys(fields, PERSON)}
            answer = {"subtype": "success", "request_id": message["request_id"], "response": accepted}
            self._lines.say({"type": "control_response", "response": answer})
            return True
        return False
