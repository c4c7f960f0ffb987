"""A notebook's file, which other programs save while we write it.

It is always replaced whole: temporary file, sync, rename. So a reader sees the old notebook or the new one,
and so does a crash.

JupyterLab does not replace: it copies the file to `.~NAME`, truncates it and writes into the same inode.
While that may be going on nothing is written here; the caller is told NotebookBusy and comes back.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kernelexec.plain_file import open_plain
from kernelexec.recording.replaced_file import Content, Source, Version, is_alive, version_of, write_file

# Seconds. A file changed less than this ago may be in the middle of a save that leaves no other trace.
_SETTLED_AFTER = 0.2
# Seconds. JupyterLab truncates first and only then makes the new text (2 s for 100 MB). An unreadable file or
# a `.~NAME` older than this is no save under way but one that died.
_SAVED_WITHIN = 10.0
# Seconds after which the caller should try again.
_RETRY_AFTER = 0.25


class NotebookBusy(Exception):
    """Somebody is saving the notebook: nothing of ours was written, try again after `retry_after` seconds.

    `over_within`: seconds after which it is not that any more, or never will be over.
    """

    def __init__(
        self,
        path: Path,
        retry_after: float = _RETRY_AFTER,
        by: str = "is being saved by another program",
        over_within: float = _SAVED_WITHIN + 2.0,
    ) -> None:
        super().__init__(f"{path} {by}")
        self.retry_after = retry_after
        self.over_within = over_within


class SharedFile:
    """One file by its path, which is never reached through a link. The methods block."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        own_name = f".{path.name}.tmp-{os.getpid()}"
        self._temporary = path.with_name(own_name)
        self._former = path.with_name(f"{own_name}-old")

    @contextmanager
    def opened(self, own: Version | None) -> Iterator[Source | None]:
        """The file as it is now, open and not being saved; None if there is none.

        `own`: what we wrote last, which need not settle.
        """
        self.check_no_save()
        file = self._open()
        if file is None:
            yield None
            return
        try:
            source = Source(file, os.fstat(file))
            if source.version != own and self._age(source.stat.st_mtime) < _SETTLED_AFTER:
                raise NotebookBusy(self.path)
            yield source
        finally:
            os.close(file)

    def _open(self) -> int | None:
        """None if there is none (any more)."""
        try:
            return open_plain(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return None

    def may_be_being_saved(self, source: Source) -> bool:
        """Whether what cannot be read may be half a save."""
        return self._age(source.stat.st_mtime) < _SAVED_WITHIN

    def check_no_save(self) -> None:
        with suppress(FileNotFoundError):
            # The time of the inode's change: JupyterLab gives the copy the other time of the original.
            copied = os.lstat(self.path.with_name(f".~{self.path.name}")).st_ctime
            if self._age(copied) < _SAVED_WITHIN:
                raise NotebookBusy(self.path)

    def _age(self, moment: float) -> float:
        """Seconds since then. A time in the future is another clock's, and as far from now as it says."""
        return abs(self._clock() - moment)

    def is_still(self, source: Source | None) -> bool:
        """Whether the file is what it was when it was opened."""
        try:
            return source is not None and version_of(os.lstat(self.path)) == source.version
        except FileNotFoundError:
            return False

    def put(self, content: Content, source: Source | None) -> Version | None:
        """Put the content in the file's place; None, with nothing done, if somebody was faster."""
        self._sweep()
        try:
            written = write_file(self._temporary, content, source)
            if not self._replace(source):
                return None
        finally:
            for path in (self._temporary, self._former):
                with suppress(FileNotFoundError):
                    os.unlink(path)
        return written

    def _replace(self, source: Source | None) -> bool:
        """Rename the temporary file, unless the file changed since it was read."""
        self.check_no_save()
        if source is None:
            return self._place_new()
        if not self.is_still(source):
            return False
        with suppress(OSError):  # a file system without hard links
            os.link(self.path, self._former)
        os.replace(self._temporary, self.path)
        if source.has_changed() and os.path.lexists(self._former):
            # Somebody began to save after the last look, into the inode that has just lost its name.
            os.replace(self._former, self.path)
            return False
        return True

    def _place_new(self) -> bool:
        """Rename the temporary file where there was none, without replacing one that came meanwhile."""
        try:
            os.link(self._temporary, self.path)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            if os.path.lexists(self.path):
                return False
            os.replace(self._temporary, self.path)
        return True

    def _sweep(self) -> None:
        """Remove what processes that died left of this notebook; nothing of ours is there at this moment."""
        leftover = re.compile(re.escape(f".{self.path.name}.tmp-") + r"([1-9][0-9]{0,6})(-old)?")
        for name in os.listdir(self.path.parent):
            found = leftover.fullmatch(name)
            if found and (int(found[1]) == os.getpid() or not is_alive(int(found[1]))):
                with suppress(OSError):
                    os.unlink(self.path.with_name(name))
