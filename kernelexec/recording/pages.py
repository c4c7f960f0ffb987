"""Notebooks that are open in JupyterLab as shared models: whoever has one open writes its file, not we.

A server extension in JupyterLab (kernelspecs/jupyter_extension) holds a lock on a file for each notebook that
is open there, and is connected to the hub. The lock goes with its process: nobody writes the file behind
its back while the connection is lost, and as soon as it is dead, we do.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from kernelexec.model.outputs import JSON
from kernelexec.plain_file import open_plain
from kernelexec.recording.notebook_format import Found


class PageGone(Exception):
    """The page, or who holds it, is not there any more: what was not acknowledged is to be written again."""


class Page(Protocol):
    """One notebook that is open."""

    @property
    def is_as_left(self) -> bool:
        """Whether nobody has taken away cells of ours since `take_found`."""

    def take_found(self) -> Found:
        """What is in the notebook; UNTOUCHED if that is known."""

    async def write(self, what: Mapping[str, JSON]) -> frozenset[str]:
        """Change the notebook. When it returns, that is done; the ids of cells that somebody else had changed
        so that their new outputs do not fit.

        Raises:
            PageGone: it may or may not be done.
        """

    async def read(self) -> Mapping[str, JSON]:
        """All of the notebook, as nbformat has it.

        Raises:
            PageGone
        """

    async def carry_out(self, expected: Mapping[str, JSON], steps: Sequence[Mapping[str, JSON]]) -> bool:
        """Make these changes if what they are about is as expected; False: it is not, and none was made.

        Raises:
            PageGone: they may or may not be made.
        """


class Pages:
    """The open notebooks that the hub knows, by path. For the event loop."""

    def __init__(self, locks: Path | None = None) -> None:
        """`locks`: the folder of the lock files."""
        self._locks = locks
        self._open: dict[str, Page] = {}
        self._watchers: list[Callable[[str], None]] = []

    def watch(self, watcher: Callable[[str], None]) -> Callable[[], None]:
        """Have it called with the real path of each notebook that is opened or closed, until what this
        returns is called."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def opened(self, path: str, page: Page) -> None:
        """The notebook at this real path is open."""
        self._open[path] = page
        self._tell(path)

    def closed(self, path: str, page: Page) -> None:
        """It no longer is there."""
        if self._open.get(path) is page:
            del self._open[path]
            self._tell(path)

    def of(self, path: Path) -> Page | None:
        """The page in which a notebook is open."""
        return self._open.get(os.path.realpath(path)) if self._open else None

    def is_held(self, path: Path) -> bool:
        """Whether somebody has the notebook open who may not be connected at present."""
        if self._locks is None:
            return False
        try:
            file = open_plain(self._locks / lock_name(os.path.realpath(path)), os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def _tell(self, path: str) -> None:
        for watcher in list(self._watchers):
            watcher(path)


def lock_name(path: str) -> str:
    """What the lock file for a notebook is called: the same as in kernelexec_live/holding.py."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
