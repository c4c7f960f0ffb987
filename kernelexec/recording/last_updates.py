"""What is updated many times a second, of which only the last counts: in the journal about once a second."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from kernelexec.recording.journal import Journal

LARGE = 10_000  # characters; what is smaller is a line of the journal each


@dataclass(frozen=True)
class _Held:
    event: str
    fields: Mapping[str, Any]
    sets: frozenset[Hashable]


class LastUpdates:
    """Holds large updates until `write`; one that comes before takes the place of what it replaces.

    A hub that is killed loses what it holds: the state of a display or widget that was to be replaced soon.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._held: dict[Hashable, _Held] = {}

    def keep(
        self,
        key: Hashable,
        event: str,
        fields: Mapping[str, Any],
        size: int,
        sets: frozenset[Hashable] | None,
    ) -> None:
        """An update of what this key names. `sets`: the parts of it that are others now; None: it has to be
        read after all before it, and none of these may be left out.

        Raises:
            StorageFailed: as Journal.keep.
        """
        before = self._held.get(key)
        if before is not None and sets is not None and sets >= before.sets:
            del self._held[key]
        self.write(key)
        if sets is not None and size > LARGE:
            self._held[key] = _Held(event, fields, sets)
        else:
            self._journal.keep(event, **fields)

    def write(self, key: Hashable) -> None:
        """What is held by this key goes to the journal.

        Raises:
            StorageFailed: as Journal.keep.
        """
        held = self._held.get(key)
        if held is not None:
            self._journal.keep(held.event, **held.fields)
            del self._held[key]

    def write_all(self) -> None:
        """As `write`, for all."""
        for key in list(self._held):
            self.write(key)
