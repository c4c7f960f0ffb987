"""One client as the tests see it, whatever program it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from tests.clients.model.turns import Json, Seen

SECONDS = 60.0  # for what takes a few on an idle machine


class Call(Protocol):
    """A call under way."""

    progress: list[str]  # what the client was told meanwhile, where it shows that

    def result(self, seconds: float = SECONDS) -> Seen: ...

    def cancel(self) -> None:
        """As its user would: the key, the button or the task's cancel."""
        ...


class Assistant(Protocol):
    """A client that is connected. Calls follow one another unless one is begun."""

    def tools(self) -> Mapping[str, Json]:
        """The schemas as this client offers them to its model."""
        ...

    def begin(self, tool: str, arguments: Json) -> Call: ...

    def call(self, tool: str, **arguments: Any) -> Seen:
        return self.begin(tool, arguments).result()

    def execute(self, code: str, **arguments: Any) -> Seen:
        return self.call("execute_code", code=code, **arguments)

    def close(self) -> None:
        """The client ends as it does when its user ends it."""
        ...
