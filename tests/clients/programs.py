"""The clients that are tried, and what each of them can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.clients.assistant import Assistant
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


CLIENTS = [
    Client("mcp 1", _python("mcp1", "official.py"), cancels=False),
    Client("mcp 2", _python("mcp2", "official.py")),
    Client("fastmcp", _python("mcp2", "with_fastmcp.py")),
    Client("TypeScript SDK 1", _node("sdk1.cjs")),
    Client("TypeScript SDK 2", _node("sdk2.cjs")),
]
