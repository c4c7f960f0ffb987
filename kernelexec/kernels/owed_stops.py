"""Kernels that were stopped while nothing led to them: they are ended as soon as something does.

A file each in the state directory, which outlives hub and reboot, as the machine there may.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

from kernelexec.kernels.far_command import FarTrouble
from kernelexec.kernels.far_life import FarPlace, read_place
from kernelexec.plain_file import read_plain

_log = logging.getLogger(__name__)

FOLDER = "owed-stops"  # in the state directory
_PAUSE_SECONDS = 30.0  # between two tries
_LAST_SECONDS = 30 * 86400.0


class OwedStops:
    """All of this user's."""

    def __init__(self, folder: Path, end: Callable[[FarPlace], Awaitable[bool]]) -> None:
        """`end`: whether the kernel there has ended then; raises FarTrouble: it was not reached."""
        self._folder = folder
        self._end = end
        self._making_up: asyncio.Task[None] | None = None

    def add(self, place: FarPlace) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / f"{place.kernel}.json"
            with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
                json.dump(asdict(place), file)
        except OSError as error:
            _log.warning("kernel %s is not ended later: %s", place.kernel, error)
        self.make_up()

    def make_up(self) -> None:
        """Begin to, if there is something to make up for."""
        if self._making_up is None and any(self._folder.glob("*.json")):
            self._making_up = asyncio.get_running_loop().create_task(self._make_up())

    async def _make_up(self) -> None:
        try:
            while paths := list(self._folder.glob("*.json")):
                unreached: set[str] = set()  # commands: one that fails is not tried for each of its kernels
                for path in paths:
                    await self._make_up_for(path, unreached)
                if any(path.exists() for path in paths):
                    await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            self._making_up = None

    async def _make_up_for(self, path: Path, unreached: set[str]) -> None:
        place = _read(path)
        if place is None:
            return _forget(path)
        is_ended = False
        try:
            if place.command not in unreached:
                is_ended = await self._end(place)
        except FarTrouble as error:
            if not error.was_reached:
                unreached.add(place.command)
            _log.info("what is to be ended cannot be reached: %s", error.what)
        if is_ended:
            _log.info("kernel %s of %s was ended", place.kernel, place.host)
            return _forget(path)
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _LAST_SECONDS:
                # A machine that has not been seen for so long is gone, or its kernel is.
                _log.warning("kernel %s of %s could not be ended, and is given up", place.kernel, place.host)
                _forget(path)


def owed_stops(state_dir: Path) -> list[Mapping[str, str]]:
    """For programs, as `kernelexec ps --json` has them."""
    found: list[Mapping[str, str]] = []
    for path in sorted((state_dir / FOLDER).glob("*.json")):
        place = _read(path)
        with suppress(OSError):
            if place is not None:
                since = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).isoformat()
                of = {"kernel": place.kernel, "host": place.host, "command": place.command}
                found.append({**of, "since": since})
    return found


def _read(path: Path) -> FarPlace | None:
    try:
        return read_place(json.loads(read_plain(path)))
    except (OSError, ValueError, AttributeError) as error:
        _log.warning("%s cannot be read: %s", path, error)
        return None


def _forget(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
