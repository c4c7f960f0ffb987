"""What became of calls that their clients gave up, where no execution tells it: said with the next reply."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from kernelexec.hub.caller import Caller

_KEPT = 200  # texts, of all callers


class Unheard:
    """Texts that callers have not been told yet."""

    def __init__(self) -> None:
        self._texts: deque[tuple[Caller, str]] = deque(maxlen=_KEPT)

    def add(self, caller: Caller, texts: Iterable[str]) -> None:
        self._texts.extend((caller, text) for text in texts)

    def take(self, caller: Caller) -> list[str]:
        """What this caller is to be told: its own, and what a connection that has ended left for the same
        client in the same directory."""
        own = [each for each in self._texts if _is_for(caller, each[0])]
        for each in own:
            self._texts.remove(each)
        return [text for _, text in own]


def _is_for(caller: Caller, whose: Caller) -> bool:
    return whose is caller or (whose.gone and whose.identity.place == caller.identity.place)
