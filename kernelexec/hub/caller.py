"""Who asks: one client, as the first line of its connection describes it."""

from __future__ import annotations

import os
import secrets
import socket
import time
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kernelexec import paths
from kernelexec.config import Config, EnvironmentChoice, read_config, unknown_settings
from kernelexec.errors import BadRequest, ConfigError
from kernelexec.model.environment import Environment
from kernelexec.model.execution import Execution
from kernelexec.model.naming import clean_name, session_name
from kernelexec.session.events import CallerId
from kernelexec.session.session import Session
from kernelexec.session.surroundings import Surroundings

_LONGEST_NEAR = 4_000  # characters of each thing that is said of a client's own host


@dataclass(frozen=True)
class SessionChoice:
    """Which session a call is for."""

    name: str
    environment: str | None  # the label after "@"; None: the caller's own environment
    project: str | None  # the directory whose default session it is; "": of none, None: chosen by name


@dataclass(frozen=True)
class Near:
    """The host of a client that has come over a link (bridge/far_link)."""

    host: str  # what it calls this host: a command, or a name of ssh's
    version: str  # of its kernelexec
    project: str  # `laptop:/home/me/churn`: its working directory, if that is a project and is not here, too

    @classmethod
    def of(cls, said: object) -> Near | None:
        """As the far end says it in its hello; None of a client of this host."""
        if not isinstance(said, dict):
            return None
        return cls(*(str(said.get(field, ""))[:_LONGEST_NEAR] for field in ("host", "version", "project")))


@dataclass(eq=False)
class Caller:
    """One connected client.

    `seen` holds, by the id of an execution that it left running, how much of its output it has been shown
    (characters of the transcript).
    """

    pid: int
    cwd: str
    environ: Mapping[str, str]
    choice: EnvironmentChoice | None = None  # of its environment, once it is known
    near: Near | None = None  # its own host, if that is another than this
    client: str = ""  # the name that the client gives itself
    environment: Environment | None = None  # found at its first call
    notices: list[str] = field(default_factory=list)  # what the next reply has to say, once
    gone: bool = False  # its connection has ended
    seen: dict[str, int] = field(default_factory=dict)
    introduced: dict[str, tuple[str, str]] = field(
        default_factory=dict
    )  # by session: what a reply told of it
    told_questions: dict[str, str] = field(default_factory=dict)  # by execution: the name of its last one
    open: dict[object, tuple[float, Session, Execution]] = field(default_factory=dict)  # calls that wait
    id: str = field(default_factory=lambda: secrets.token_hex(8))  # of its bridge
    _config: Config | None = None
    _default: SessionChoice | None = None

    @property
    def on_host(self) -> str:
        """` on gpu01`, where the client is on another host, and paths in replies are none there."""
        return f" on {socket.gethostname()}" if self.near is not None else ""

    @property
    def identity(self) -> CallerId:
        """As the sessions and their journals know it."""
        return CallerId(self.id, self.client, self.cwd)

    def config(self) -> Config:
        """What its environment variables ask for.

        Raises:
            ConfigError: they cannot be used; the server runs, and each call says why.
        """
        if self._config is None:
            self._config = read_config(self.environ, self.cwd)
            self.notices += unknown_settings(self.environ)
        return self._config

    def surroundings(self, session: Session) -> Surroundings:
        """What a kernel of this session gets that has to be started for this caller.

        Raises:
            ConfigError: the configuration cannot be used.
        """
        config = self.config()
        running = session.environment.running  # and works where who started it has it work
        if running is not None:
            return Surroundings(self.environ, Path(running.directory))
        opened = session.opened  # code of a notebook runs where Jupyter would run it
        directory = config.kernel_dir(session.project) if opened is None else opened.directory
        return Surroundings(self.environ, directory)

    @contextmanager
    def opened(self, session: Session, execution: Execution) -> Iterator[None]:
        """While a call of this caller waits for the end of an execution."""
        call = object()
        self.open[call] = time.monotonic(), session, execution
        try:
            yield
        finally:
            del self.open[call]

    def open_for(self, seconds: float) -> list[tuple[Session, Execution]]:
        """What its calls have been waiting for that long."""
        until = time.monotonic() - seconds
        return [(session, execution) for since, session, execution in self.open.values() if since <= until]

    def is_told_question(self, execution: Execution) -> None:
        """A reply tells it what an execution asks, if anything: what it answers is meant for that."""
        self.told_questions.pop(execution.id, None)
        if execution.question is not None:
            self.told_questions[execution.id] = execution.question.name

    def leave(self) -> None:
        """Its input has ended. The sessions that it waits for hear of it: its client may come again."""
        self.gone = True
        for session in {session for _, session, _ in self.open.values()}:
            session.left(self.identity)

    def take_notices(self) -> list[str]:
        """What this caller must be told with the reply at hand."""
        notices, self.notices = self.notices, []
        return notices

    def choose(self, session: str | None) -> SessionChoice:
        """The session meant by a tool's `session` argument, else the caller's default.

        Raises:
            BadRequest, ConfigError: no session can have this name.
        """
        if session is not None:
            name, _, environment = session.partition("@")
            return SessionChoice(_checked(name, BadRequest), environment or None, None)
        if self._default is None:
            self._default = self._choose_default()
        return self._default

    def _choose_default(self) -> SessionChoice:
        configured = self.config().session
        if configured is not None:
            return SessionChoice(_checked(configured, ConfigError), None, None)
        if self.near is not None and self.near.project:
            _, _, folder = self.near.project.partition(":")
            return SessionChoice(session_name(Path(folder), Path("/")), None, self.near.project)
        project, home = Path(os.path.realpath(self.cwd)), Path(os.path.realpath(paths.home(self.environ)))
        return SessionChoice(session_name(project, home), None, self.config().project)


def _checked(name: str, error: type[BadRequest] | type[ConfigError]) -> str:
    name = unicodedata.normalize("NFC", name)  # nobody can see the difference
    if not name or clean_name(name) != name:
        raise error(
            f"{name!r} cannot be the name of a session.",
            f"Use letters, digits, '_', '-' and '.', for example {clean_name(name) or 'analysis'!r}.",
        )
    return name
