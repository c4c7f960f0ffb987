"""Which session's notebook each caller has opened last: its calls are for that where they name none.

In the state directory, for the next hub: a session without a kernel is in no registry, and to read the
journals of all sessions for a caller that comes again would take seconds.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from kernelexec.environments.replaced import replace_file
from kernelexec.plain_file import read_plain

_log = logging.getLogger(__name__)

_FORMAT = 1
_NAME = "opened-notebooks.json"
_MOST = 500  # are remembered, the last ones


class NotebookOpeners:
    """Those of this user. The file is read when somebody first asks."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / _NAME
        self._known: dict[tuple[str, str], str] | None = None  # (caller, storage directory) -> session

    def session_of(self, caller: str, storage_identity: str) -> str | None:
        """The id of the session whose notebook this caller has opened last in this storage directory."""
        return self._opened().get((caller, storage_identity))

    def remember(self, caller: str, storage_identity: str, session_id: str) -> None:
        """It has opened this one. That it cannot be noted keeps nobody from working."""
        opened = self._opened()
        opened.pop((caller, storage_identity), None)
        opened[caller, storage_identity] = session_id
        for oldest in list(opened)[:-_MOST]:
            del opened[oldest]
        listed = [[*who, session] for who, session in opened.items()]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, json.dumps({"format": _FORMAT, "opened": listed}).encode("ascii"))
        except OSError as error:
            _log.warning("%s is not noted: %s", self._path, error)

    def _opened(self) -> dict[tuple[str, str], str]:
        if self._known is None:
            self._known = self._read()
        return self._known

    def _read(self) -> dict[tuple[str, str], str]:
        try:
            said = json.loads(read_plain(self._path))
            listed = said["opened"] if said["format"] == _FORMAT else []
            return {(str(caller), str(storage)): str(session) for caller, storage, session in listed}
        except (OSError, ValueError, LookupError, TypeError):
            return {}
