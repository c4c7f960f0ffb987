"""The reply of list_variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kernelexec.kernels.inspection import Variables
from kernelexec.model.quantities import readable_size
from kernelexec.model.text import plain
from kernelexec.session.session import Session

_WIDEST = 30  # characters of a column; what is longer pushes the rest to the right
_LIMIT = 8_000  # characters of the table
_LINE_LIMIT = 1_500  # of the modules, and of the functions and classes
_COLUMNS = ("name", "type", "size", "memory", "value")


def describe_variables(session: Session, found: Variables, pattern: str | None) -> str:
    """The variables as a table, the large, then the newest; then modules, functions and classes."""
    table = _fitting(_table([_COLUMNS, *map(_row, found.variables)]))
    lines = [_headline(session, found, pattern, len(table) - 1), *_about_time(session, found)]
    if found.variables:
        lines += ["", *table]
    modules = (name if name == module else f"{name} = {module}" for name, module in found.modules.items())
    for title, names in (("Modules", modules), ("Functions and classes", found.callables)):
        listed = _listed(names)
        if listed:
            lines += ["", f"{title}: {listed}"]
    return "\n".join(lines)


def _headline(session: Session, found: Variables, pattern: str | None, shown: int) -> str:
    which = f" with names like {pattern!r}" if pattern else ""
    count = f"{found.total:,} variable{'' if found.total == 1 else 's'}{which}"
    if shown < found.total:
        count += f", of which {shown:,} are shown, the largest and then the newest (use pattern for others)"
    return f"VARIABLES of {session.id}, kernel generation {session.generation}: {count}."


def _about_time(session: Session, found: Variables) -> Iterable[str]:
    if found.is_old:
        when = found.seen.astimezone().strftime("%H:%M:%S %Z")
        yield f"The kernel does not answer now (it is busy): this is what it said at {when}."
    elif session.current is not None:
        yield f"{session.current.id} is running and may change them."


def _row(variable: Mapping[str, Any]) -> Sequence[str]:
    size = variable.get("bytes")
    return (
        str(variable.get("name", "")),
        str(variable.get("type", "")),
        str(variable.get("shape", "")),
        "" if size is None else readable_size(size),
        str(variable.get("preview", "")),
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    rows = [[" ".join(plain(cell).split()) for cell in row] for row in rows]
    widths = [min(_WIDEST, max(len(row[column]) for row in rows)) for column in range(len(_COLUMNS))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _fitting(lines: Sequence[str]) -> Sequence[str]:
    room = _LIMIT
    for count, line in enumerate(lines):
        room -= len(line) + 1
        if room < 0:
            return lines[:count]
    return lines


def _listed(names: Iterable[str]) -> str:
    text = ", ".join(map(plain, names))
    return text if len(text) <= _LINE_LIMIT else f"{text[:_LINE_LIMIT]}..."
