"""What happened to a session that nobody has been told of yet. Pure."""

from __future__ import annotations

_CODE_SHOWN = 60  # characters of the first line
_CELLS_NAMED = 5


class Notices:
    """Told once, to whoever calls next. The kernel's death is kept apart: what is submitted while
    nobody knows of it must not run, because it may rely on variables that are gone."""

    def __init__(self) -> None:
        self.death: str | None = None  # how the last kernel ended, until somebody is told
        self._others: list[str] = []
        self._elsewhere: list[str] = []  # the cells that other clients ran, a few words each

    def add_run_elsewhere(self, count: int | None, code: str) -> None:
        """Another client has run this code on the session's kernel."""
        lines = code.strip().splitlines() or [""]
        first = (
            lines[0] if len(lines) == 1 and len(lines[0]) <= _CODE_SHOWN else lines[0][:_CODE_SHOWN] + " ..."
        )
        self._elsewhere.append(f"In [{' ' if count is None else count}]: {first}")

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
        if self._elsewhere:
            news.append(_told_elsewhere(self._elsewhere))
            self._elsewhere = []
        death = self.take_death()
        if death and death not in (told or ""):
            news.append(death)
        return news


def _told_elsewhere(cells: list[str]) -> str:
    number = len(cells)
    what = "1 cell was" if number == 1 else f"{number} cells were"
    named = "; ".join(cells[-_CELLS_NAMED:])
    if number > _CELLS_NAMED:
        named = f"the last ones: {named}"
    return (
        f"{what} run by another client on this kernel (the user in JupyterLab, for example), which may "
        f"have changed variables. {named}"
    )
