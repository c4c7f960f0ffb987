"""A person's notebook that a session works in: the file, read and changed. The methods block.

The file is the person's. It is read whenever something is to be done with it, changed only where that is
meant (notebook_text.py), and replaced whole, unless somebody was faster: then it is read again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from kernelexec.errors import BadRequest, NotFound
from kernelexec.recording.notebook_reading import read_text
from kernelexec.recording.notebook_text import NotANotebook, NotebookText
from kernelexec.recording.replaced_file import Content, Source, Version, version_of
from kernelexec.recording.shared_file import NotebookBusy, SharedFile

T = TypeVar("T")
LARGEST = 300_000_000  # bytes; more is not read into memory
# Seconds. JupyterLab's save of 100 MB takes 2; what takes longer is told, and can be tried again.
_BUSY_AT_MOST = 12.0
_TRIES = 20  # when somebody changes it between our look and our write, which takes milliseconds
_WRITABLE = 0o222  # for anybody: root may write everything, and is not meant to

Update = Callable[[NotebookText], NotebookText]


class OpenedNotebook:
    """One notebook by its real path. For any number of threads."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._file = SharedFile(path, clock)
        self._lock = threading.Lock()
        self._known: NotebookText | None = None  # as it was last read or written
        self._version: Version | None = None  # of the file then
        self._own: Version | None = None  # what we wrote last

    @property
    def last(self) -> NotebookText | None:
        """As it was last read or written."""
        return self._known

    @property
    def has_changed(self) -> bool:
        """Whether it may be otherwise than it was last read or written."""
        try:
            return version_of(os.lstat(self.path)) != self._version
        except OSError:
            return True

    def read(self) -> NotebookText:
        """As it is now.

        Raises:
            BadRequest: it is gone, or no notebook, and why.
        """
        with self._lock:
            return self._patiently(self._read)

    def change(self, update: Update) -> NotebookText:
        """Bring it to what `update` makes of it, or leave it as it is where that raises; returns what it is.

        `update` is called again where somebody was faster.

        Raises:
            BadRequest: it cannot be read or written, and why; nothing was changed.
        """
        with self._lock:
            return self._patiently(lambda: self._change(update))

    def _patiently(self, work: Callable[[], T]) -> T:
        """What comes of it, once nobody else is saving the file."""
        deadline = time.monotonic() + _BUSY_AT_MOST
        while True:
            try:
                return work()
            except NotebookBusy as busy:
                if time.monotonic() > deadline:
                    raise BadRequest(f"{busy}; nothing was changed.", "Call again in some seconds.") from None
                time.sleep(busy.retry_after)
            except FileNotFoundError:
                raise self._gone() from None
            except OSError as error:
                raise BadRequest(
                    f"{self.path} cannot be read or written: {error.strerror or error}. It is as it was."
                ) from error

    def _read(self) -> NotebookText:
        if self._known is not None and not self.has_changed:
            return self._known
        # A reader need not wait until a save has settled: half of one cannot be read, and is waited for then.
        own = version_of(os.lstat(self.path))
        with self._file.opened(own) as source:
            if source is None:
                raise self._gone()
            return self._parsed(source)

    def _change(self, update: Update) -> NotebookText:
        for _ in range(_TRIES):
            with self._file.opened(self._own) as source:
                if source is None:
                    raise self._gone()
                before = self._parsed(source)
                after = update(before)
                old, new = before.to_bytes(), after.to_bytes()
                if old == new:
                    return after
                if not source.stat.st_mode & _WRITABLE:
                    raise BadRequest(
                        f"{self.path} is read-only; nothing was changed.",
                        "Ask the user to make it writable, or work in a copy.",
                    )
                written = self._file.put(Content(0, new), source)
                if written is not None:
                    self._known, self._version, self._own = after, written, written
                    return after
        raise NotebookBusy(self.path)

    def _parsed(self, source: Source) -> NotebookText:
        if self._known is not None and source.version == self._version:
            return self._known
        if source.stat.st_size > LARGEST:
            raise BadRequest(
                f"{self.path} has {source.stat.st_size:,} bytes; up to {LARGEST:,} can be worked in."
            )
        data = source.read()
        try:
            found = read_text(data, self._known)
        except NotANotebook as error:
            # JupyterLab truncates and writes: half a save has no end.
            if self._file.may_be_being_saved(source) and not data.rstrip().endswith(b"}"):
                raise NotebookBusy(self.path) from None
            raise BadRequest(
                f"{self.path} cannot be worked in: {error}. It was left as it is.",
                "Ask the user to mend it.",
            ) from None
        self._known, self._version = found, source.version
        return found

    def _gone(self) -> NotFound:
        return NotFound(
            f"{self.path} is not there any more: it was moved or deleted.",
            "open_notebook opens another, or makes a new one.",
        )
