"""What each caller has seen of a person's notebook, in a file: the next hub goes on from there.

It is about what they are told and what is refused, so that an older look is never wrong: what has changed
since is told once more. So it is kept when a reply has reached its caller, a first look before, and the
file may be a moment behind. Without the file nobody has seen anything, and nothing unseen is taken away.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kernelexec.model.outputs import JSON
from kernelexec.plain_file import read_plain
from kernelexec.recording.journal import Journal
from kernelexec.recording.looks import Look, Seen
from kernelexec.recording.whole_file import write_whole

_log = logging.getLogger(__name__)

_FORMAT = 1
_MOST_CALLERS = 32  # those whose looks came last
_MOST_CHARACTERS = 8_000_000  # of all cells' text, that of several callers once
_LARGEST = 60_000_000  # bytes of a file that is read: as much text, escaped
_WRITING_SHARE = 20  # writing takes at most a twentieth of the time


def looks_path(journal: Path) -> Path:
    return journal.with_suffix(".looks")


class KeptLooks:
    """The looks at one notebook, by caller. For the event loop; the file is written in threads."""

    def __init__(self, journal: Journal, notebook: Path) -> None:
        self._journal = journal
        self._path = looks_path(journal.path)
        self._notebook = str(notebook)
        self._looks: dict[str, Look] = {}  # the last one last
        self._is_due = False
        self._hurry = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def load(self) -> Mapping[str, Look]:
        """What an earlier hub has kept of this notebook; empty where there is nothing that can be read."""
        with suppress(OSError):
            for left in self._path.parent.glob(f".{self._path.name}.tmp-*"):  # a hub was killed as it wrote
                left.unlink()
        try:
            said = json.loads(read_plain(self._path, _LARGEST))
            if said["format"] == _FORMAT and said["notebook"] == self._notebook:
                self._looks = _read(said)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            _log.warning("%s is passed over: %r", self._path, error)
        return dict(self._looks)

    def of(self, caller: str) -> Look | None:
        return self._looks.get(caller)

    def keep(self, caller: str, look: Look | None) -> None:
        """The next hub is to know it, soon; None: it has none after all."""
        if self._looks.pop(caller, None) is None and look is None:
            return
        if look is not None:
            self._looks[caller] = look
        self._is_due = True
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._work())

    async def flush(self) -> None:
        """Write now."""
        self._hurry.set()
        if self._writer is not None:
            await self._writer
        self._hurry.clear()

    async def _work(self) -> None:
        took = 0.0
        while self._is_due:
            with suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), took * _WRITING_SHARE)
            self._is_due = False
            began = time.monotonic()
            try:
                if self._journal.is_in_place:
                    await asyncio.to_thread(self._write, _newest(self._looks))
            except OSError as error:  # a full disk: what is there is older
                _log.warning("%s cannot be written: %s", self._path, error)
            took = time.monotonic() - began

    def _write(self, looks: Mapping[str, Look]) -> None:
        data = json.dumps(_written(self._notebook, looks)).encode()
        write_whole(self._path, data, replace=True, mode=0o600)


def _newest(looks: Mapping[str, Look]) -> dict[str, Look]:
    """As many of the last ones as the file may have."""
    room, chosen = _MOST_CHARACTERS, dict[str, Look]()
    counted: set[str] = set()
    for caller, look in list(looks.items())[: -_MOST_CALLERS - 1 : -1]:
        new = {seen.source for seen in look.cells.values()} - counted
        room -= sum(map(len, new))
        if room < 0:
            break
        counted |= new
        chosen[caller] = look
    return dict(reversed(chosen.items()))


def _written(notebook: str, looks: Mapping[str, Look]) -> dict[str, JSON]:
    """Callers have mostly seen the same: each text is there once."""
    places: dict[str, int] = {}
    written: dict[str, JSON] = {
        caller: [
            [name, seen.kind, places.setdefault(seen.source, len(places)), seen.shown]
            for name, seen in look.cells.items()
        ]
        for caller, look in looks.items()
    }
    return {"format": _FORMAT, "notebook": notebook, "sources": list(places), "looks": written}


def _read(said: Mapping[str, Any]) -> dict[str, Look]:
    """
    Raises:
        ValueError, LookupError, TypeError, AttributeError: it is not what we write.
    """
    sources, looks = said["sources"], said["looks"]
    return {
        caller: Look({name: Seen(kind, sources[place], shown) for name, kind, place, shown in cells})
        for caller, cells in looks.items()
    }
