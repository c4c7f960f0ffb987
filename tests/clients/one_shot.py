"""Programs that start, do one thing and end: `codex exec` and the Inspector."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.clients import codex
from tests.clients.agents import offline
from tests.clients.assistant import SECONDS
from tests.clients.model.server import model
from tests.clients.model.turns import Json, Seen, ToolCall, Turn
from tests.real.home import COMMAND, Home


def codex_exec(home: Home, cwd: Path, code: str) -> Seen:
    """What the model reads of the code that it asked `codex exec` to run."""
    with model() as asked_model:
        codex.configure(home, asked_model)
        command = ["codex", "exec", "--skip-git-repo-check", "--json", "Run the code."]
        started = subprocess.Popen(
            command,
            cwd=cwd,
            env=codex.environ(home, asked_model),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            asked_model.wait_until_asked(SECONDS)
            call = ToolCall("execute_code", {"code": code})
            asked_model.says(Turn(calls=(call,)))
            seen = asked_model.wait_until_asked(SECONDS).results[call.id]
            asked_model.is_done()
            assert started.wait(SECONDS) == 0
        finally:
            started.kill()
            started.wait()
        return seen


def inspector(home: Home, *arguments: str) -> Json:
    """The result of one request. The Inspector fails where it has something to complain of."""
    variables = [word for name, value in home.environ.items() for word in ("-e", f"{name}={value}")]
    with model() as proxy:
        command = ["mcp-inspector", "--cli", COMMAND, *arguments, *variables]
        answer = _run(command, home.project("inspector"), offline(home, proxy))
    result: Json = json.loads(answer)
    return result


def _run(command: list[str], cwd: Path, environ: Mapping[str, str]) -> str:
    ended = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
