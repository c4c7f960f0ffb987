"""Where in a journal the lines of each execution are, so that one of the past is read without all others."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator

# Bytes between two lines of one execution that are read along, rather than noted as a gap.
_NEAR = 65_536
_MOST_UNKNOWN = 100_000  # numbers left out between two; more than that was written by hand
_NUMBER = re.compile(rb'\{"v":1,"event":"[a-z_]+","n":(\d{1,9}),')


class JournalIndex:
    """By execution number: from where to where its lines are. 16 bytes for each that is in one piece."""

    def __init__(self) -> None:
        self._starts = array("q")  # of the last piece; by number
        self._ends = array("q")  # 0: there is none
        self._earlier: dict[int, list[tuple[int, int]]] = {}  # pieces before the last one

    def add(self, line: bytes | memoryview, start: int) -> None:
        """A line that stands here; lines are added in their order."""
        found = _NUMBER.match(line)
        if found is None:
            return
        number = int(found[1])
        missing = number + 1 - len(self._ends)
        if missing > _MOST_UNKNOWN:
            return
        if missing > 0:
            self._starts.extend([0] * missing)
            self._ends.extend([0] * missing)
        end = self._ends[number]
        if not end or start - end > _NEAR:
            if end:
                self._earlier.setdefault(number, []).append((self._starts[number], end))
            self._starts[number] = start
        self._ends[number] = start + len(line)

    def noted(self, lines: Iterable[tuple[bytes, int]]) -> Iterator[bytes]:
        """The lines of a journal that stand at these places; each is added on its way."""
        for line, start in lines:
            self.add(line, start)
            yield line

    def pieces(self, numbers: Iterable[int]) -> list[tuple[int, int]]:
        """What has all lines of these executions, in order, none of it twice; other lines may be in it."""
        found: list[tuple[int, int]] = []
        for number in numbers:
            if 0 <= number < len(self._ends) and self._ends[number]:
                found += [*self._earlier.get(number, ()), (self._starts[number], self._ends[number])]
        merged: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged
