"""Which cells were written to a notebook, and at which of its revisions. Pure.

Each write of ours has a number, the revision, which stands in the notebook's metadata. JupyterLab keeps
metadata: what a person saves tells by its revision which of our cells that person's copy began with. Of
those, what is missing was deleted and stays so. What was written later was never seen, and is added again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any


class Ledger:
    """The cells of one notebook, by execution number."""

    def __init__(self) -> None:
        self.revision = 0  # of the last write
        self.written = 0.0  # when that was, in the seconds of time.time(), as far as the journal says
        self.trusted: tuple[int, int, int] | None = None  # the version of the file of which all can be signed
        self.began: dict[int, int] = {}  # generation -> the first of its cells, which a heading stands above
        self._added: dict[int, int] = {}  # at which revision, in the order of the notebook
        self._changed: dict[int, int] = {}  # at which revision their outputs were last written anew

    def __bool__(self) -> bool:
        return bool(self._added)

    def __contains__(self, number: int) -> bool:
        """Whether this execution's cell was written."""
        return number in self._added

    @property
    def numbers(self) -> frozenset[int]:
        """Of all executions whose cells were written."""
        return frozenset(self._added)

    def write(self, revision: int, added: Iterable[int], changed: Iterable[int]) -> None:
        """One write of ours."""
        self.revision = max(revision, self.revision)
        self._added.update(dict.fromkeys(added, revision))
        self._changed.update(dict.fromkeys(changed, revision))

    def read(self, record: Mapping[str, Any]) -> None:
        """The same from the journal's line."""
        if "time" in record:
            self.written = datetime.fromisoformat(record["time"]).timestamp()
        trusted = record.get("trusted")
        self.trusted = (trusted[0], trusted[1], trusted[2]) if trusted else None
        self.began.update((generation, number) for generation, number in record.get("began", ()))
        self.write(record.get("revision", self.revision + 1), record["numbers"], record.get("changed", ()))

    def unseen(self, revision: int | None, present: Collection[int]) -> tuple[list[int], list[int]]:
        """What a notebook that somebody else saved never had: cells, and newer outputs of cells that it has.

        `revision`: what it was made from; None if its metadata was lost. Then what is missing before a later
        cell of ours counts as deleted, and a missing end as never seen.
        """
        if revision is None:
            places = [place for place, number in enumerate(self._added) if number in present]
            later = list(self._added)[places[-1] + 1 :] if places else []
            return later, []
        cells = [number for number, at in self._added.items() if at > revision and number not in present]
        outputs = [number for number, at in self._changed.items() if at > revision and number in present]
        return cells, outputs
