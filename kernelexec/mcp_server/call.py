"""One call of a tool: who calls, how progress is told, who can be asked."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from kernelexec.hub.caller import Caller
from kernelexec.hub.hub import Hub
from kernelexec.mcp_server.person import Nobody, Person

Report = Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Call:
    """One call of a tool."""

    hub: Hub
    caller: Caller
    report: Report  # sends a progress notification, where the client asked for them
    person: Person = field(default_factory=Nobody)  # who can answer what running code asks
    began: float = field(default_factory=time.monotonic)
