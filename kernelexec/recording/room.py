"""How much of the disk a session takes: its journal, notebooks, scripts and outputs."""

from __future__ import annotations

import os
from pathlib import Path

from kernelexec.recording.records import journal_path, split_name

_NOTEBOOK = ".ipynb"


def taken_by(storage_dir: Path, session: str) -> int:
    """Bytes. It takes as long as listing its folders does, so not on the hub's event loop."""
    taken = _size(journal_path(storage_dir, session))
    try:
        entries = list(os.scandir(storage_dir))
    except OSError:
        return taken
    for entry in entries:
        named = split_name(entry.name.removesuffix(_NOTEBOOK))
        if named is None or named[0] != session:
            continue
        if entry.is_dir(follow_symlinks=False):
            taken += sum(_size(Path(at, name)) for at, _, names in os.walk(entry.path) for name in names)
        else:
            taken += _size(Path(entry.path))
    return taken


def _size(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:  # it has just gone
        return 0
