"""What a caller wants to be run."""

from __future__ import annotations

from dataclasses import dataclass

from kernelexec.model.execution import Kind
from kernelexec.session.events import CallerId
from kernelexec.session.surroundings import Surroundings


@dataclass(frozen=True)
class Submission:
    """What a caller wants to be run."""

    code: str
    label: str | None = None
    source: str | None = None  # the code file that it is: relative to the storage directory, or a whole path
    note: str | None = None
    max_seconds: float | None = None
    surroundings: Surroundings | None = None  # the caller's, for a kernel that has to be started
    kind: Kind = Kind.CODE
    caller: CallerId | None = None  # None: nobody who could be told of a loss
    asked: int | None = None  # the place of its call among what the caller's connection heard and said
    within: int | None = None  # the replay that it is a part of
