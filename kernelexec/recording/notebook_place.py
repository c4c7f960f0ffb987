"""Which notebook a path means that an assistant gave: in the folders where it may work, nowhere else."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from kernelexec.errors import BadRequest
from kernelexec.recording.code_files import below
from kernelexec.recording.notebook_text import NotebookText
from kernelexec.recording.replaced_file import Content
from kernelexec.recording.shared_file import SharedFile

_SUFFIX = ".ipynb"
_LISTED = 10  # notebooks that a refusal names


def find_notebook(path: str, places: Sequence[Path]) -> Path:
    """The notebook's real path. It need not be there; a relative one means the first place that has it.

    Raises:
        BadRequest: it is outside, through a link too, or no notebook's.
    """
    inside = [(place, plain) for place in places if (plain := below(place, path)) is not None]
    if not inside:
        raise _outside(path, places)
    chosen = next((each for each in inside if os.path.lexists(each[0] / each[1])), inside[0])
    named = chosen[0] / chosen[1]
    if named.suffix.lower() != _SUFFIX:
        raise BadRequest(f"{path!r} is no notebook: its name has to end in {_SUFFIX}.", _listed(places))
    real = Path(os.path.realpath(named))
    roots = [Path(os.path.realpath(place)) for place in places]
    if not any(real.is_relative_to(root) for root in roots) or real.suffix.lower() != _SUFFIX:
        raise BadRequest(f"{named} is not opened: a symbolic link in it leads out.", _listed(places))
    if os.path.lexists(real) and not stat.S_ISREG(os.lstat(real).st_mode):
        raise BadRequest(f"{named} is no file.", _listed(places))
    return real


def make_notebook(path: Path, notebook: NotebookText) -> None:
    """Write a new notebook, with the folders that it is to be in; one that came meanwhile stays.

    Raises:
        BadRequest: that cannot be done.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        SharedFile(path).put(Content(0, notebook.to_bytes()), None)
    except OSError as error:
        raise BadRequest(f"{path} cannot be made: {error.strerror or error}.") from error


def _outside(path: str, places: Sequence[Path]) -> BadRequest:
    shown = path.replace("\0", "\\0")
    where = " or ".join(map(str, places))
    return BadRequest(f"{shown!r} is not inside {where}; no notebook outside is opened.", _listed(places))


def _listed(places: Sequence[Path]) -> str:
    """The newest notebooks of these folders."""
    found: list[tuple[float, str]] = []
    for place in places:
        try:
            found += [
                (entry.stat().st_mtime, entry.name)
                for entry in os.scandir(place)
                if entry.name.endswith(_SUFFIX) and not entry.name.startswith(".")
            ]
        except OSError:  # it is not there: it has none
            continue
    names = [name for _, name in sorted(found, reverse=True)[:_LISTED]]
    return f"Notebooks there: {', '.join(names)}." if names else "There is no notebook there yet."
