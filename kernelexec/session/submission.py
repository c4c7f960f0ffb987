"""What a caller wants to be run."""

from __future__ import annotations

from dataclasses import dataclass

from kernelexec.model.execution import Kind
from kernelexec.recording.cell_place import CellPlace
from kernelexec.session.events import CallerId
from kernelexec.session.surroundings import Surroundings


@dataclass(frozen=True)
class Asked:
    """The request of a caller's connection that submits something."""

    place: int | None = None  # among what the connection heard and said
    request: str = ""  # its id, as JSON; "": it has none
    was_begun: bool = False  # an earlier hub may have begun it: what it came to then is not done again


NO_REQUEST = Asked()


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
    asked: Asked = NO_REQUEST
    within: int | None = None  # the replay or the cells that it is a part of
    came: float | None = None  # when its call did, by time.monotonic, if its steps are to be logged
    place: CellPlace | None = None  # of a cell in a notebook of the person's
