"""What went wrong with a session's records and nobody has been told of yet. Pure."""

from __future__ import annotations


class Troubles:
    """Told once, to whoever calls next: it concerns the session, not what a caller knows of its kernel."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def add(self, text: str) -> None:
        """Something to tell; the same words are told once."""
        if text not in self._texts:
            self._texts.append(text)

    def take(self) -> list[str]:
        texts, self._texts = self._texts, []
        return texts
