"""What a clean copy lacks: cells that ran and are not in it, and names that its cells need. Pure.

What the person ran on the kernel and is in no notebook any more is put back where it ran, unless a later
version of it is there. What failed is put back where a later cell needs a name that it makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from kernelexec.model.names_in_code import Names, names_in
from kernelexec.recording.notebook_format import Cell

_SIMILAR = 0.6  # of the text: another version of the same cell
_COMPARED = 3_000  # characters of it


@dataclass(frozen=True)
class Candidate:
    """Something that ran and is not among the chosen cells."""

    name: str  # as the report calls it
    code: str
    cell: Cell
    place: int  # it ran before the chosen cell at this place
    succeeded: bool
    is_others: bool  # the person's own, which the journal alone has


@dataclass
class Completed:
    """The cells with what was put back, and what was found."""

    cells: list[Cell]
    put_back: list[Candidate] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # in words: which cell needs which name


def completed(cells: Sequence[Cell], candidates: Sequence[Candidate]) -> Completed:
    """The chosen cells with those of the candidates that belong among them."""
    codes = [_source(cell) for cell in cells if cell.get("cell_type") == "code"]
    wanted = {number for number, each in enumerate(candidates) if _is_missed(number, candidates, codes)}
    while True:
        chosen = _together(cells, [candidates[number] for number in sorted(wanted)])
        needed = _first_needed(chosen, [each for n, each in enumerate(candidates) if n not in wanted])
        if needed is None:
            break
        wanted.add(candidates.index(needed))
    put_back = [candidates[number] for number in sorted(wanted)]
    return Completed([cell for cell, _ in chosen], put_back, _missing(chosen))


def _is_missed(number: int, candidates: Sequence[Candidate], codes: Sequence[str]) -> bool:
    """Whether it is the person's, ran well, and there is no version of it, here or later."""
    one = candidates[number]
    if not one.is_others or not one.succeeded or not one.code.strip():
        return False
    later = [each.code for each in candidates[number + 1 :] if each.is_others and each.succeeded]
    return not any(_is_version(one.code, other) for other in (*codes, *later))


def _is_version(code: str, other: str) -> bool:
    one, two = code.strip()[:_COMPARED], other.strip()[:_COMPARED]
    if one == two:
        return True
    matcher = SequenceMatcher(None, one, two, autojunk=False)
    return matcher.quick_ratio() > _SIMILAR and matcher.ratio() > _SIMILAR


_Placed = tuple[Cell, Names]


def _together(cells: Sequence[Cell], put_back: Sequence[Candidate]) -> list[_Placed]:
    placed: list[_Placed] = []
    for place in range(len(cells) + 1):
        placed += [(each.cell, names_in(each.code)) for each in put_back if each.place == place]
        if place < len(cells):
            cell = cells[place]
            placed.append((cell, names_in(_source(cell)) if cell.get("cell_type") == "code" else Names()))
    return placed


def _first_needed(chosen: Sequence[_Placed], candidates: Sequence[Candidate]) -> Candidate | None:
    """The last of the candidates before the first cell that needs what only it makes."""
    made: set[str] = set()
    seen: set[int] = {id(cell) for cell, _ in chosen}
    for place, (_, names) in enumerate(chosen):
        if names.takes_all:
            return None
        for name in names.needed - made:
            makers = [
                each
                for each in candidates
                if id(each.cell) not in seen and name in names_in(each.code).made and each.place <= place
            ]
            if makers:
                return makers[-1]
        made |= names.made
    return None


def _missing(chosen: Sequence[_Placed]) -> list[str]:
    """In words, for each cell that needs what nothing before it makes."""
    made: set[str] = set()
    anywhere = {name for _, names in chosen for name in names.made}
    said: list[str] = []
    for cell, names in chosen:
        if names.takes_all:
            return said
        lacks = sorted((names.needed - made) | (names.needed_later - anywhere))
        if lacks:
            said.append(f"{cell.get('id')} needs {', '.join(lacks)}")
        made |= names.made
    return said


def _source(cell: Cell) -> str:
    source = cell.get("source")
    return "".join(map(str, source)) if isinstance(source, list) else str(source or "")
