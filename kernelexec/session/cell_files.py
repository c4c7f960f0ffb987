"""The names of the files that a kernel's cells are saved in, by execution count, as tracebacks name cells.

A kernel has one for as long as it lives, and any of its cells may be in a traceback. So a name that is
nothing but a number, as most are, takes four bytes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping

_FARTHEST = 1_000_000  # counts between two cells; what a kernel says is not believed
_LARGEST = 0xFFFF_FFFF
_PLAIN = "{:04d}.py"


class CellFiles(Mapping[int, str]):
    """Of one kernel."""

    def __init__(self) -> None:
        self._numbers = array("I")  # by execution count; 0: another name, or none
        self._others: dict[int, str] = {}

    def add(self, count: int, number: int, name: str) -> None:
        """The cell with this execution count is this execution's."""
        length = len(self._numbers)
        is_plain = name == _PLAIN.format(number) and 0 < number <= _LARGEST
        if not is_plain or not 0 <= count < length + _FARTHEST:
            self._others[count] = name
            return
        self._numbers.extend([0] * (count + 1 - length))
        self._numbers[count] = number
        self._others.pop(count, None)

    def clear(self) -> None:
        """Another kernel's from now on."""
        del self._numbers[:]
        self._others.clear()

    def __getitem__(self, count: int) -> str:
        if count in self._others:
            return self._others[count]
        number = self._numbers[count] if 0 <= count < len(self._numbers) else 0
        if not number:
            raise KeyError(count)
        return _PLAIN.format(number)

    def __iter__(self) -> Iterator[int]:
        plain = (count for count, number in enumerate(self._numbers) if number and count not in self._others)
        yield from self._others
        yield from plain

    def __len__(self) -> int:
        return sum(1 for _ in self)
