"""Whether notebooks are such that everybody's Jupyter opens them: nbformat says.

What the recorder writes is valid by construction (see notebook_format); this is for what is handed on and
for what others may have damaged. nbformat is imported when it is asked: it takes 0.15 s, and 2 s where
JupyterLab has brought all that jsonschema can use.
"""

from __future__ import annotations

import gc
import heapq
import json
import os
import re
import stat
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from kernelexec.errors import BadRequest
from kernelexec.plain_file import read_plain
from kernelexec.recording.records import find_records

NEWEST = 20  # notebooks that are looked at
LARGEST = 20_000_000  # bytes; of a larger one parsing alone would take seconds
_SAVED_WITHIN = 10.0  # seconds: JupyterLab truncates a notebook and then writes it
_SET_ASIDE = re.compile(r".*\.unreadable(-\d+)?\.ipynb")  # of which its session has told


@dataclass(frozen=True)
class Damaged:
    """A notebook that is not valid."""

    path: str
    what: str
    has_journal: bool  # from which it can be made again
    is_young: bool  # so it may be being saved


def problem_in(data: bytes) -> str | None:
    """Where a notebook is not valid, and why; None: it is."""
    import nbformat

    try:
        notebook = json.loads(data, parse_constant=_refuse)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ids that are missing or there twice, which Jupyter mends
            nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        where = "/".join(str(step) for step in error.absolute_path)
        return f"at {where}: {error.message[:200]}" if where else str(error.message[:200])
    except (ValueError, RecursionError) as error:
        return f"it is no JSON: {error}" if data else "it is empty"
    except (AttributeError, KeyError, TypeError):
        return "it has not the parts of a notebook"
    return None


def newest(storage_dir: Path) -> tuple[list[Path], int]:
    """The notebooks that are looked at, the newest first, and how many are not."""
    found = list(_notebooks(storage_dir))
    chosen = heapq.nlargest(NEWEST, (one for one in found if one[1] <= LARGEST))
    return [path for _, _, path in chosen], len(found) - len(chosen)


def _notebooks(storage_dir: Path) -> Iterator[tuple[float, int, Path]]:
    """Time of the last change, size and path of each; nothing is read through a link."""
    with os.scandir(storage_dir) as entries:
        for entry in entries:
            if not entry.name.endswith(".ipynb") or entry.name[0] == "." or _SET_ASIDE.fullmatch(entry.name):
                continue
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(found.st_mode):
                yield found.st_mtime, found.st_size, Path(entry.path)


def _damaged(path: Path, storage_dir: Path) -> Damaged | None:
    try:
        what, changed = problem_in(read_plain(path, LARGEST)), path.stat().st_mtime
    except OSError as error:
        what, changed = f"it cannot be read: {error.strerror}", 0.0
    if what is None:
        return None
    try:
        find_records(path, [storage_dir])
    except BadRequest:
        has_journal = False
    else:
        has_journal = True
    return Damaged(str(path), what, has_journal, time.time() - changed < _SAVED_WITHIN)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant}, which browsers refuse")


def main() -> None:
    """Print what is not valid of these paths in a storage directory, both as arguments, as JSON.

    A program of its own, because nbformat and notebooks would stay in a hub's memory, and reading one of
    20 MB keeps everything else there waiting.
    """
    gc.disable()
    storage_dir, *paths = map(Path, sys.argv[1:])
    damaged = (_damaged(path, storage_dir) for path in paths)
    print(json.dumps([asdict(one) for one in damaged if one is not None]))
