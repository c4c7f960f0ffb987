"""One submission and what may become of it. Pure: no clock, no I/O."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

from kernelexec.model.clock import Times
from kernelexec.model.outputs import CellOutputs

_HIDDEN = "········"  # as JupyterLab shows a password
_SECRET = re.compile(r"pass(word|phrase|wort|code)|secret|token|api.?key|\bpin\b|credential", re.IGNORECASE)


class State(str, Enum):
    """Where an execution stands. The value is the word that replies and the journal use."""

    QUEUED = "queued"
    SENT = "sent"
    RUNNING = "running"
    OK = "ok"
    ERROR = "error"
    INTERRUPTED = "interrupted"
    DIED = "died"  # the kernel ended while it ran
    UNKNOWN = "unknown"  # nobody saw its end
    NOT_RUN = "not_run"

    @classmethod
    def read(cls, word: str) -> State:
        """Of an end that a journal tells; one that this version does not know was not seen by it."""
        return cls(word) if word in cls._value2member_map_ else cls.UNKNOWN


# What may be lost with a run (`Execution.lost`), where that is everything.
ALL_LOST = "all variables are lost"
LOST_WITH_KERNEL = "its kernel ended with it: all variables are lost"

_OPEN = (State.QUEUED, State.SENT, State.RUNNING)  # what other states follow


class Kind(str, Enum):
    """What an execution does. The value is the word that replies and the journal use."""

    CODE = "code"  # one request to the kernel
    INSTALL = "install"  # packages into the environment
    CELLS = "cells"  # cells of a notebook, one request each
    REPLAY = "replay"  # earlier submissions run again in a new kernel

    @classmethod
    def read(cls, word: str) -> Kind:
        """Of what a journal tells; what this version does not know has at least its code."""
        return cls(word) if word in cls._value2member_map_ else cls.CODE


# How an installation's line about a package begins, also where the notebook shows it.
INSTALLED, UPDATED, DOWNGRADED, THERE = "installed ", "updated ", "downgraded ", "was there: "
PACKAGE_LINES = (INSTALLED, UPDATED, DOWNGRADED, THERE)


@dataclass(frozen=True)
class Overflow:
    """Stream text that is too much for a notebook: all of it is in a file."""

    file: str  # relative to the storage directory
    size: int  # bytes in the file
    left_out: int  # bytes beyond the limit, not kept
    tail: str  # the end of the text
    characters: int = 0  # in the file

    def notice(self) -> str:
        """What the notebook's cell says at its end."""
        text = f"\n[all of this output, {self.size:,} bytes: {self.file}"
        if self.left_out:
            text += f"; {self.left_out:,} bytes more were not kept"
        return text + "]\n"

    def to_json(self) -> dict[str, str | int]:
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Overflow:
        """Of what to_json makes, also with what a later version adds."""
        return cls(said["file"], said["size"], said["left_out"], said["tail"], said.get("characters", 0))


@dataclass(frozen=True)
class Question:
    """What running code asks a person: `input()`, or `getpass()` for a password."""

    prompt: str
    password: bool = False
    # Which of all questions it is: the same words may be asked again before an answer is there.
    name: str = field(default_factory=lambda: secrets.token_hex(4), compare=False)

    @property
    def is_secret(self) -> bool:
        """Whether the answer must pass neither the assistant nor a form: getpass(), or a prompt like it."""
        return self.password or _SECRET.search(self.prompt) is not None

    def answered(self, text: str, *, privately: bool) -> str:
        """What the cell shows of it, with the answer but where that is a secret or was given `privately`."""
        hidden = privately or self.is_secret
        return f"{self.prompt}{_HIDDEN if hidden else text}\n"


@dataclass(eq=False)
class Execution:
    """One submission to a session, e.g. `sales@analysis/7`."""

    session: str
    number: int  # never reset within a session
    generation: int
    code: str
    submitted: datetime
    kind: Kind = Kind.CODE
    label: str | None = None  # the `filename` argument
    source: str | None = None  # the code file that was run, as its tools call it
    note: str | None = None
    max_seconds: float | None = None
    caller: str | None = None  # whose it is, where that is known
    script: Path | None = None
    cell: str | None = None  # of a notebook of the person's, by its id
    after: str | None = None  # the cell is a new one there, after this one; "": at the top
    state: State = State.QUEUED
    execution_count: int | None = None  # the kernel's own
    sent: datetime | None = None  # to the kernel, by an earlier hub; an installer: begun
    started: datetime | None = None
    finished: datetime | None = None
    problem: str | None = None  # why it was not run, died or was interrupted
    error: str | None = None  # the name of the exception that ended it, as the kernel's reply tells it
    lost: str | None = None  # what went with it, in words that end a sentence: "all variables are lost"
    interrupt: str | None = None  # why an interrupt was asked for
    was_interrupted: bool = False  # one is known to have reached it, whatever came of that
    question: Question | None = None  # that the code waits for an answer to
    obstacle: str | None = None  # what was found when an interrupt did not end it
    last_text: str = ""  # the end of its stream text, for progress
    # Bytes of each of its streams; None: unknown, another hub has received some.
    received: dict[str, int] | None = field(default_factory=dict)
    outputs: CellOutputs = field(default_factory=CellOutputs)
    timing: Times = field(default_factory=Times)
    overflow: Overflow | None = None
    steps: dict[str, float] | None = None  # when it reached what (session/steps), if that is to be known

    @property
    def id(self) -> str:
        return f"{self.session}/{self.number}"

    @property
    def doing(self) -> str:
        """In a few words, of one that does not wait for an answer."""
        if self.is_final:
            return f"it has ended ({self.state.value})"
        return "it has not begun" if self.state is State.QUEUED else "it is running"

    def receives(self, stream: str, text: str) -> None:
        """Its kernel has sent what it printed."""
        if self.received is not None:
            size = len(text) if text.isascii() else len(text.encode("utf-8", "backslashreplace"))
            self.received[stream] = self.received.get(stream, 0) + size

    @property
    def is_final(self) -> bool:
        return self.state not in _OPEN

    @property
    def cell_id(self) -> str:
        return f"kernelexec-{self.number}"


def seconds_of(times: Times, submitted: datetime, began: datetime | None, ended: datetime) -> float:
    """How long a run took: by the kernel's own clock, where the hub's does not speak against that."""
    by_kernel = times.seconds(at_most=ended - submitted)
    return max((ended - (began or submitted)).total_seconds(), 0.0) if by_kernel is None else by_kernel
