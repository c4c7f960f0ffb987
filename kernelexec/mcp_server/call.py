"""One call of a tool: who calls, how progress is told, who can be asked, and what is known if it fails."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from kernelexec.errors import ConfigError
from kernelexec.hub.caller import Caller
from kernelexec.hub.hub import Hub
from kernelexec.kernels.kernel import Kernel
from kernelexec.mcp_server.patience import Patience, Waits, waits_of
from kernelexec.mcp_server.person import Nobody, Person
from kernelexec.mcp_server.requests import Cancellation, Request
from kernelexec.model.execution import Execution
from kernelexec.session.session import Session
from kernelexec.session.submission import Asked

Report = Callable[[str], Awaitable[None]]


@dataclass(eq=False)
class Call:
    """One call of a tool."""

    hub: Hub
    caller: Caller
    report: Report  # sends a progress notification, where the client asked for them
    person: Person = field(default_factory=Nobody)  # who can answer what running code asks
    patience: Patience = field(default_factory=Patience)
    request: Request = field(default_factory=Request)
    began: float = field(default_factory=time.monotonic)
    session: Session | None = None  # the last that it had to do with
    kernel: Kernel | None = None  # which that had then
    execution: Execution | None = None  # what it waits for the end of
    begun: str = ""  # what is done of it, should its client give it up; empty: nothing. For its next reply
    notes: list[str] = field(default_factory=list)  # about the call itself, for its reply

    @property
    def waits(self) -> Waits:
        """How long it may wait.

        Raises:
            ConfigError
        """
        return waits_of(self.caller.config(), self.patience)

    def concerns(self, session: Session, execution: Execution | None = None) -> None:
        """What it has to do with from now on, for a reply that has to say what is known."""
        self.session, self.kernel, self.execution = session, session.kernel, execution

    @property
    def came(self) -> float | None:
        """When it did, if its caller wants to have the steps of a submission logged."""
        return self.request.heard if self.caller.config().traces else None

    @property
    def is_traced(self) -> bool:
        """Whether its caller wants to have logged what it takes."""
        try:
            return self.caller.config().traces
        except ConfigError:  # told by whatever needs the settings
            return False

    def cancellation(self) -> Cancellation | None:
        """Who has ended this call, asked where it was cancelled. None: nobody has."""
        if self.request.cancellation is None and self.hub.closing:
            return Cancellation("closing")
        return self.request.cancellation

    @property
    def reply(self) -> int | None:
        """Names its reply among those of this connection."""
        return self.request.came

    @property
    def asked(self) -> Asked:
        """What it is to a session that it submits to."""
        request = self.request
        return Asked(request.came, request.identity, was_begun=request.waited is not None)

    def will_tell(self, session: Session) -> None:
        """Its reply tells the caller of this session; the session hears whether that was delivered."""
        who, reply = self.caller.identity, self.reply
        if reply is not None:
            self.request.on_delivered(lambda at: session.delivered(who, reply, at))
            self.request.on_undelivered(lambda: session.not_delivered(who, reply))

    def on_undelivered(self, callback: Callable[[], None]) -> None:
        """Call this once it is certain that the result of this call does not reach the client: it was
        cancelled, an error was sent instead, or the connection had ended. At most once, perhaps at once."""
        self.request.on_undelivered(callback)
