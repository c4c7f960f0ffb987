"""Which kernels of a session share a notebook: those of one sitting. Pure.

Crashes and restarts come in the middle of work. To a person it is one piece, so it is one notebook, with a
heading where a new kernel began. Whoever comes back after hours gets another.
"""

from __future__ import annotations

from datetime import datetime, timedelta

_LONGEST_PAUSE = timedelta(hours=4)


class Sittings:
    """The numbers of a session's notebooks: a notebook has that of its first kernel's generation."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}  # by generation
        self._kept: set[int] = set()  # numbers of notebooks that something is in, or will be
        self._last_used: datetime | None = None

    def number(self, generation: int, moment: datetime | None = None) -> int:
        """Of the notebook of this generation. `moment`: now, for one whose kernel is still to come; what is
        submitted to it first decides."""
        if generation not in self._numbers and moment is not None:
            self._numbers[generation] = self._number_of_next(generation, moment)
        return self._numbers.get(generation, generation)

    def begin(self, generation: int, number: int) -> None:
        """This generation's cells are in that notebook, as an earlier hub has decided."""
        self._numbers[generation] = number

    def use(self, moment: datetime, *keeping: int) -> None:
        """Somebody is at work; these generations have something to be kept."""
        self._last_used = moment if self._last_used is None else max(moment, self._last_used)
        self._kept.update(self.number(generation) for generation in keeping)

    def _number_of_next(self, generation: int, moment: datetime) -> int:
        before = self._numbers.get(generation - 1)
        is_soon = self._last_used is not None and moment - self._last_used < _LONGEST_PAUSE
        # A notebook with nothing in it was never made, and is not missed.
        return before if before in self._kept and is_soon and before is not None else generation
