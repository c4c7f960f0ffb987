"""How much of a run's output a kernel has thrown away.

A stock kernel drops what a client does not fetch fast enough, without a word. But it numbers its
messages: ipykernel's msg_ids end in a count that all its channels share. So a number that is missing
is a message that was lost, or a reply to another client; kernels that number nothing are not counted.
What a server in between, or a process that the kernel forked, numbers on its own is not the kernel's.
"""

from __future__ import annotations

from kernelexec.kernels.wire import Message


class Dropped:
    """Counts messages while one request runs, from its busy status on."""

    def __init__(self) -> None:
        self._run = self._counter = ""
        self._first: int | None = None
        self._last = 0
        self._seen = 0

    def begin(self, msg_id: str) -> None:
        """A request is about to be sent."""
        self._run, self._first = msg_id, None

    def take(self, message: Message) -> None:
        """Any message of the kernel, of whatever channel."""
        number = message.serial
        if number is None:
            return
        if self._first is None:
            if message.type != "status" or message.parent_id != self._run:
                return
            self._counter = message.numbered_by
            self._first, self._last, self._seen = number, number, 0
        if message.numbered_by == self._counter and number >= self._first:
            self._last = max(self._last, number)
            self._seen += 1

    def count(self) -> int:
        """How many messages are missing."""
        return 0 if self._first is None else max(0, self._last - self._first + 1 - self._seen)
