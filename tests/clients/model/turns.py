"""What a model is asked and what it answers, in nobody's protocol."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

SERVER = "kernelexec"  # its name in every client's configuration
Json = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """The result of a call, as much of it as reaches the model."""

    text: str
    images: int = 0
    is_error: bool = False

    @property
    def verdict(self) -> str:
        """The line that the reply begins with; clients put words of their own before it."""
        return next((line for line in self.text.splitlines() if ": " in line), "")

    @property
    def execution(self) -> str:
        """The id of the execution that the reply is about."""
        return next(iter(re.findall(r"\S+@\S+/\d+", self.verdict)), "")


@dataclass(frozen=True)
class ToolCall:
    tool: str
    arguments: Json
    id: str = field(default_factory=lambda: f"call_{uuid4().hex[:16]}")


@dataclass(frozen=True)
class Turn:
    """What the model says: words, calls, or both. Without calls its client is done."""

    words: str = ""
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class Asked:
    """A request of the client: the server's tools by their own names, and the results so far by the call."""

    tools: dict[str, str]
    schemas: dict[str, Json]
    results: dict[str, Seen]
    instructions: str = ""


@dataclass(frozen=True)
class Answer:
    content_type: str
    body: bytes


class Dialect(Protocol):
    """One way to ask a model over HTTP."""

    def asked(self, body: Json) -> Asked | None:
        """The request; None for one that does not offer the server's tools, e.g. for a title."""
        ...

    def answer(self, path: str, body: Json, asked: Asked | None, turn: Turn) -> Answer:
        """The model's turn, as the answer to this request."""
        ...


def own_name(name: str) -> str | None:
    """A tool's own name, from the one that a client has made of it; None: it is not the server's."""
    for prefix in (f"mcp__{SERVER}__", f"mcp_{SERVER}_", f"{SERVER}__", f"{SERVER}_"):
        if name.startswith(prefix):
            return name[len(prefix) :]
    return None
