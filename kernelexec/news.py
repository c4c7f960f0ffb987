"""What happened to a session that nobody has been told of yet. Pure."""

from __future__ import annotations


class News:
    """Told once, to whoever calls next. The kernel's death is kept apart: what is submitted while
    nobody knows of it must not run, because it may rely on variables that are gone."""

    def __init__(self) -> None:
        self.death: str | None = None  # how the last kernel ended, until somebody is told
        self._others: list[str] = []

    def add(self, text: str) -> None:
        """Something else to tell; the same words are told once."""
        if text not in self._others:
            self._others.append(text)

    def take_death(self) -> str:
        """The death's text, which counts as told from now on."""
        death, self.death = self.death or "", None
        return death

    def take(self, told: str | None = None) -> list[str]:
        """All news, but for what `told` says already."""
        news, self._others = self._others, []
        death = self.take_death()
        if death and death not in (told or ""):
            news.append(death)
        return news
