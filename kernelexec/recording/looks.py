"""What somebody has seen of a notebook, and what is otherwise in it since. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kernelexec.model.first_line import first_line
from kernelexec.model.text import clip_line
from kernelexec.recording.notebook_text import NotebookText, TextCell

_LONGEST = 80  # characters
_NAMED = 10  # cells, of each kind of change


def words(kind: str, source: str) -> str:
    """The line by which a cell is known."""
    if kind == "code":
        return first_line(source) or "(empty)"
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    return clip_line(lines[0], _LONGEST) if lines else "(empty)"


@dataclass(frozen=True)
class Seen:
    """One cell, as somebody has seen it last."""

    kind: str
    source: str
    shown: str  # see TextCell.shown

    @classmethod
    def of(cls, cell: TextCell) -> Seen:
        return cls(cell.kind, cell.source, cell.shown)

    @property
    def words(self) -> str:
        return words(self.kind, self.source)


@dataclass(frozen=True)
class Look:
    """A notebook as somebody has seen it last: its cells by id, in order."""

    cells: Mapping[str, Seen] = field(default_factory=dict)

    @classmethod
    def at(cls, notebook: NotebookText) -> Look:
        return cls({cell.id: Seen.of(cell) for cell in notebook.cells})

    def without(self, name: str) -> Look:
        """The look of who knows that this cell is gone."""
        return Look({each: seen for each, seen in self.cells.items() if each != name})

    def is_still(self, cell: TextCell) -> bool:
        """Whether the cell says what was seen of it, whatever it shows."""
        seen = self.cells.get(cell.id)
        return seen is not None and (seen.kind, seen.source) == (cell.kind, cell.source)

    def news(self, now: NotebookText) -> list[str]:
        """What is otherwise by now, a few words for each cell."""
        new = [cell for cell in now.cells if cell.id not in self.cells]
        known = [(cell, self.cells[cell.id]) for cell in now.cells if cell.id in self.cells]
        changed = [cell for cell, seen in known if (cell.kind, cell.source) != (seen.kind, seen.source)]
        rerun = [cell for cell, seen in known if cell.shown != seen.shown and cell not in changed]
        gone = [(name, seen) for name, seen in self.cells.items() if name not in now.places]
        said = [
            *_listed("new", [(cell.id, Seen.of(cell)) for cell in new]),
            *_listed("changed", [(cell.id, Seen.of(cell)) for cell in changed]),
            *_listed("deleted", gone),
            *_listed("with other outputs", [(cell.id, Seen.of(cell)) for cell in rerun]),
        ]
        order = [name for name in self.cells if name in now.places]
        if order != [cell.id for cell, _ in known]:
            said.append("cells were moved")
        return said


def _listed(what: str, cells: list[tuple[str, Seen]]) -> list[str]:
    if not cells:
        return []
    names = ", ".join(f"{name} ({seen.words})" for name, seen in cells[:_NAMED])
    more = f" and {len(cells) - _NAMED:,} more" if len(cells) > _NAMED else ""
    return [f"{what}: {names}{more}"]
