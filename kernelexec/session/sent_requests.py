"""Which execution each request was for that the present kernel was sent.

A session has one for as long as its kernel lives, and a thread of any earlier run may still print. So this
takes a few bytes for a run: a msg_id is the name of a connection and a count (kernels/wire), and of those
the counts alone are kept. What has another form, which no version of ours writes, is kept as it is.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping

_FARTHEST = 1_000_000  # counts between two requests: each look at the kernel has one, too


class SentRequests:
    """Executions by msg_id, and the last msg_id of each."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """A new kernel, which was sent nothing yet."""
        self._connections: list[str] = []
        self._numbers: list[array[int]] = []  # by connection and count: an execution; 0: it was for none
        self._last = array("q")  # by execution: its last request's connection and count in one; -1: none
        self._others: dict[str, int] = {}
        self._last_of_others: dict[int, str] = {}

    def add(self, msg_id: str, number: int) -> None:
        """This request was sent for this execution."""
        connection, _, said = msg_id.rpartition("_")
        count = int(said) if connection and said.isascii() and said.isdigit() and len(said) < 10 else -1
        at = self._index(connection) if count >= 0 and str(count) == said else -1
        if at < 0 or count > len(self._numbers[at]) + _FARTHEST or number > len(self._last) + _FARTHEST:
            self._others[msg_id] = number
            self._last_of_others[number] = msg_id
            return
        _put(self._numbers[at], count, number, 0)
        _put(self._last, number, at << 32 | count, -1)
        self._last_of_others.pop(number, None)

    def update(self, sent: Mapping[str, int]) -> None:
        """The same, of many in their order."""
        for msg_id, number in sent.items():
            self.add(msg_id, number)

    def number(self, msg_id: str) -> int | None:
        """The execution that a request was for; None: none of ours."""
        connection, _, said = msg_id.rpartition("_")
        if connection in self._connections and said.isascii() and said.isdigit() and len(said) < 10:
            numbers = self._numbers[self._connections.index(connection)]
            count = int(said)
            if str(count) == said and count < len(numbers) and numbers[count]:
                return numbers[count]
        return self._others.get(msg_id)

    def msg_id(self, number: int) -> str | None:
        """Of the last request for an execution."""
        if number in self._last_of_others:
            return self._last_of_others[number]
        last = self._last[number] if 0 <= number < len(self._last) else -1
        return None if last < 0 else f"{self._connections[last >> 32]}_{last & 0xFFFFFFFF}"

    def _index(self, connection: str) -> int:
        if connection not in self._connections:
            self._connections.append(connection)
            self._numbers.append(array("I"))
        return self._connections.index(connection)


def _put(numbers: array[int], place: int, number: int, nothing: int) -> None:
    if place >= len(numbers):
        numbers.extend([nothing] * (place + 1 - len(numbers)))
    numbers[place] = number
