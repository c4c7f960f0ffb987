"""The storage directories that hubs of this user have worked in: known also when no hub runs.

In the state directory, the one used last first; who looks for a session looks there.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from kernelexec.plain_file import read_text
from kernelexec.recording.whole_file import write_whole

_log = logging.getLogger(__name__)

_NAME = "storage-directories.json"
_MOST = 200  # are remembered


def remember(state_dir: Path, storage_dir: Path) -> None:
    """It is used now. That it cannot be noted keeps nobody from working."""
    before = known(state_dir)
    if before[:1] == [storage_dir]:
        return
    paths = [storage_dir, *(path for path in before if path != storage_dir)]
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        data = json.dumps([os.fspath(path) for path in paths[:_MOST]], indent=1)
        write_whole(state_dir / _NAME, data.encode("ascii"), replace=True)
    except OSError as error:
        _log.warning("%s is not noted: %s", storage_dir, error)


def known(state_dir: Path) -> list[Path]:
    """All of them; those that are gone, too."""
    try:
        listed = json.loads(read_text(state_dir / _NAME))
    except (OSError, ValueError, RecursionError):
        return []
    return [Path(path) for path in listed if isinstance(path, str)] if isinstance(listed, list) else []
