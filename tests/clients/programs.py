"""The clients that are tried, and what each of them can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.clients.agents import Agent, PythonAgent
from tests.clients.assistant import Assistant
from tests.clients.claude_code import ClaudeCode
from tests.clients.codex import Codex
from tests.clients.gemini_cli import GeminiCLI
from tests.clients.libraries import INSTALLED, Library
from tests.real.home import Home

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Client:
    name: str  # as docs/clients.md has it
    start: Callable[[Home, Path], Assistant]
    cancels: bool = True  # it tells the server when a call is cancelled
    asks: bool = True  # it shows forms, for input()
    shows_progress: bool = True
    reads_resources: bool = True

    @property
    def project(self) -> str:
        return self.name.lower().replace(" ", "-")


def _python(environment: str, program: str) -> Callable[[Home, Path], Library]:
    python = INSTALLED / environment / "bin/python"
    return partial(Library, command=[str(python), str(FOLDER / "python" / program)])


def _node(program: str) -> Callable[[Home, Path], Library]:
    node = INSTALLED / "node_modules/.bin/node"
    return partial(Library, command=[str(node), str(FOLDER / "node" / program)])


def _agent(start: Callable[..., Any]) -> Callable[[Home, Path], Agent]:
    return partial(Agent, start=start)


def _python_agent(environment: str, program: str, **environ: str) -> Callable[[Home, Path], Agent]:
    return _agent(partial(PythonAgent, environment=environment, program=program, **environ))


CLIENTS = [
    Client("Claude Code", _agent(ClaudeCode), shows_progress=False, reads_resources=False),
    Client("Codex", _agent(Codex), shows_progress=False, reads_resources=False),
    Client(
        "Gemini CLI",
        _agent(GeminiCLI),
        cancels=False,
        asks=False,
        shows_progress=False,
        reads_resources=False,
    ),
    Client(
        "openai-agents",
        _python_agent("mcp2", "with_openai_agents.py"),
        asks=False,
        shows_progress=False,
        reads_resources=False,
    ),
    Client("pydantic-ai", _python_agent("mcp2", "with_pydantic_ai.py"), reads_resources=False),
    Client("langchain", _python_agent("mcp1", "with_langchain.py"), cancels=False, reads_resources=False),
    Client("mcp 1", _python("mcp1", "official.py"), cancels=False),
    Client("mcp 2", _python("mcp2", "official.py")),
    Client("fastmcp", _python("mcp2", "with_fastmcp.py")),
    Client("TypeScript SDK 1", _node("sdk1.cjs")),
    Client("TypeScript SDK 2", _node("sdk2.cjs")),
]

# With the time that this library gives a call unless it is told another.
IMPATIENT = Client("openai-agents, 5 s", _python_agent("mcp2", "with_openai_agents.py", CLIENT_SECONDS="5"))
