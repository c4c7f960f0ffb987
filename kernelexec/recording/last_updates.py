"""What is updated many times a second, of which only the last counts: in the journal about once a second."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from kernelexec.errors import StorageFailed
from kernelexec.model.widgets import replaced_by
from kernelexec.recording.journal import Journal

_log = logging.getLogger(__name__)

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

    def keep_comm(self, fields: Mapping[str, Any], size: int) -> None:
        """A widget's, as `keep`."""
        content = fields["content"]
        self.keep(content["comm_id"], "comm", fields, size, replaced_by(content))

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
        """All that is held goes to the journal, now or with the next one of these."""
        try:
            for key in list(self._held):
                self.write(key)
        except StorageFailed:
            _log.exception("%s: an update is not in the journal", self._journal.path)
