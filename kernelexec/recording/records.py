"""Where a session's records are, and which session a notebook or a folder of scripts belongs to."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kernelexec.errors import BadRequest
from kernelexec.model.naming import folded
from kernelexec.plain_file import read_plain

JOURNALS = ".kernelexec"
LARGEST = 500_000_000  # bytes of a notebook that is read at all
JOURNAL = re.compile(r"(?P<session>.+@.+)\.jsonl")  # the name of one
# A notebook with its folder, and what is made beside a notebook: NAME.rebuilt, NAME.unreadable-2.
_NAME = re.compile(
    r"(?P<session>.+@.+)-(?P<generation>[1-9][0-9]{0,8})(\.(rebuilt|clean|unreadable)(-\d+)?)?"
)


def journal_path(storage_dir: Path, session: str) -> Path:
    return storage_dir / JOURNALS / f"{session}.jsonl"


def sessions_in(storage_dir: Path) -> list[str]:
    """The ids of the sessions that have a journal."""
    try:
        names = os.listdir(storage_dir / JOURNALS)
    except OSError:
        return []
    return sorted(found["session"] for found in map(JOURNAL.fullmatch, names) if found)


def spelled_there(storage_dir: Path, session: str) -> str:
    """The session's id as it is written there already, if only its case is another: both would be one
    file on another computer."""
    known = sessions_in(storage_dir)
    if session in known:
        return session
    return next((name for name in known if folded(name) == folded(session)), session)


def last_generation(storage_dir: Path, session: str) -> int:
    """The highest number that a notebook or a folder of this session has, 0 if there is none."""
    try:
        names = os.listdir(storage_dir)
    except OSError:
        return 0
    found = [split_name(name.removesuffix(".ipynb")) for name in names]
    return max((one[1] for one in found if one and folded(one[0]) == folded(session)), default=0)


def last_notebook(storage_dir: Path, session: str) -> Path | None:
    """The notebook of this session with the highest number; None if it has none."""
    found = {}
    with suppress(OSError):
        for name in os.listdir(storage_dir):
            stem, suffix = os.path.splitext(name)
            one = split_name(stem) if suffix == ".ipynb" else None
            if one is not None and f"{one[0]}-{one[1]}" == stem and folded(one[0]) == folded(session):
                found[one[1]] = storage_dir / name
    return found[max(found)] if found else None


def split_name(name: str) -> tuple[str, int] | None:
    """`sales@analysis-2` as ("sales@analysis", 2); None if no notebook or folder of ours is called so."""
    found = _NAME.fullmatch(name)
    return (found["session"], int(found["generation"])) if found else None


@dataclass(frozen=True)
class Records:
    """One notebook of one session, and what is beside it."""

    storage_dir: Path
    session: str
    generation: int  # of the first kernel whose cells are in it

    @property
    def journal(self) -> Path:
        return journal_path(self.storage_dir, self.session)

    @property
    def notebook(self) -> Path:
        return self.storage_dir / f"{self.session}-{self.generation}.ipynb"

    @property
    def folder(self) -> Path:
        return self.storage_dir / f"{self.session}-{self.generation}"


def find_records(path: Path, storage_dirs: Iterable[Path]) -> Records:
    """The records of a notebook or of a folder, which need not be there (any more).

    The name says which, else what stands in the notebook. The journal is looked for beside it, then in
    the storage directories.

    Raises:
        BadRequest: it is none of ours, or its journal is gone.
    """
    named = [split_name(path.stem if path.suffix == ".ipynb" else path.name), _said_inside(path)]
    candidates = [name for name in named if name is not None]
    # A link to a notebook stands for it.
    places = list(dict.fromkeys([path.parent, Path(os.path.realpath(path)).parent, *storage_dirs]))
    for session, generation in candidates:
        for place in places:
            records = Records(place, session, generation)
            if records.journal.is_file():
                return records
    looked = ", ".join(str(place / JOURNALS) for place in places)
    if not candidates:
        raise BadRequest(
            f"{path} does not say which session it belongs to: neither its name (sales@analysis-1.ipynb, "
            "for example) nor what stands in it.",
            _existing(places),
        )
    raise BadRequest(
        f"There is no journal of {candidates[0][0]}, which {path.name} belongs to; looked in {looked}.",
        "Set CODE_STORAGE_DIR to the directory that the notebook was made in. " + _existing(places),
    )


def _existing(places: Iterable[Path]) -> str:
    known = [f"{place / session}" for place in places for session in sessions_in(place)]
    return f"Sessions with a journal there: {', '.join(known) or 'none'}."


def _said_inside(path: Path) -> tuple[str, int] | None:
    """What a renamed or copied notebook says of itself."""
    try:
        said = json.loads(read_plain(path, LARGEST, follow=True))["metadata"]["kernelexec"]
        session, generation = said["session"], said["generation"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    known = isinstance(session, str) and isinstance(generation, int) and "/" not in session
    return (session, generation) if known else None
