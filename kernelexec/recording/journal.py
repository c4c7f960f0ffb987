"""The journal: append-only JSON lines, the truth about a session.

One line an event, each with the format number. `write` returns when the line is with the operating
system, so it survives the hub; `sync` brings it to the disk. What has happened and finds no room waits
(`keep`). The journal is also the session's
lock: the hub that holds it open is the session's owner.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from math import inf
from pathlib import Path
from typing import Any

from kernelexec.errors import SessionTaken, StorageFailed
from kernelexec.plain_file import NotPlain, TooLarge, open_plain
from kernelexec.recording.journal_index import JournalIndex, index_path
from kernelexec.recording.journal_lines import (
    FORMAT,
    SURELY,
    events_in,
    first_record,
    last_opened,
    parsed,
    placed_lines,
    read,
)
from kernelexec.recording.kept_lines import KeptLines, file_for
from kernelexec.recording.script import open_folder

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0  # between two tries to write what waits
_INDEX_EVERY = (
    16_000_000  # bytes, of which the next hub reads all: its index goes as far as the last of these
)
_encode = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps makes one for each line
_SPOIL = b"!\n"  # after a line that may lack nothing but its end: no reader takes it for an event


def now() -> datetime:
    return datetime.now(timezone.utc)


class Journal:
    """The journal of one session, open and owned.

    Raises:
        SessionTaken: another process owns it.
        StorageFailed: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = open_folder(path.parent)
            try:
                flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
                self._descriptor = open_plain(path.name, flags, dir_fd=folder)
                os.fchmod(folder, 0o700)  # also where they were there before
                os.fchmod(self._descriptor, 0o600)
            finally:
                os.close(folder)
        except OSError as error:
            raise storage_failed(path, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise _taken(path) from None
        size = os.fstat(self._descriptor).st_size
        if size > SURELY and not first_record(path):
            os.close(self._descriptor)
            raise StorageFailed(
                f"{path} is no journal: it has {size:,} bytes, and none of kernelexec's lines at its begin.",
                "Move it away, then call again: the session begins anew, and its notebooks stay.",
            )
        self._kept = KeptLines(path, self._descriptor)
        self._why = ""  # lines wait
        self._tried = -inf  # when it was last tried to write them
        size = os.fstat(self._descriptor).st_size
        self._torn = size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"
        self._index: JournalIndex | None = None  # until something of the past is asked for
        self._indexed = 0  # up to where the index is in its file
        self.catch_up()

    def write(self, event: str, **fields: Any) -> None:
        """Append one event that has to be in the journal before the next step is taken.

        Raises:
            StorageFailed: it is not in the journal, in whole or in part.
        """
        try:
            self._write_kept()
            self._append(_line(event, fields))
        except OSError as error:
            raise storage_failed(self.path, error) from error

    def keep(self, event: str, **fields: Any) -> None:
        """Append one event that has happened. Where there is no room for it now, it waits (`problem`).

        Raises:
            StorageFailed: there is no room to wait, either.
        """
        line = _line(event, fields)
        try:
            if self._kept and time.monotonic() - self._tried < _RETRY_SECONDS:
                raise OSError(errno.ENOSPC, self._why)
            self._write_kept()
            self._append(line)
        except OSError as error:
            if not self._kept.has_room(line, is_output=event == "output"):
                raise storage_failed(self.path, error) from error
            self._why = error.strerror or str(error)
            self._kept.add(_SPOIL + line if self._torn and not self._kept else line)

    @property
    def is_behind(self) -> bool:
        """Whether lines wait for room."""
        return bool(self._kept)

    @property
    def problem(self) -> str | None:
        """That lines wait and why, for who relies on the journal."""
        if not self._kept:
            return None
        where = str(file_for(self.path)) if self._kept.is_on_disk else "the hub's memory"
        return (
            f"The journal {self.path} cannot be written: {self._why}. What happened since waits in {where}, "
            "and is written once there is room."
        )

    def catch_up(self) -> None:
        """Write what waits, if there is room now."""
        try:
            self._write_kept()
        except OSError as error:
            self._why = error.strerror or str(error)

    def _write_kept(self) -> None:
        if self._kept:
            self._tried = time.monotonic()
            written = self._kept.write()
            if self._index is not None:
                for line, start in written:
                    self._index.add(line, start)
                self._keep_index()
            self._torn = False

    def _append(self, line: bytes) -> None:
        """All of it or nothing; raises OSError."""
        rest = memoryview(_SPOIL + line if self._torn else line)
        size = os.fstat(self._descriptor).st_size
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            self._take_back(size)
            raise
        if self._index is not None:
            self._index.add(line, size + len(_SPOIL) * self._torn)
            self._keep_index()
        self._torn = False

    def _keep_index(self) -> None:
        """In its file, each time that it has grown by so much."""
        assert self._index is not None
        if self._index.end - self._indexed < _INDEX_EVERY or not self.is_in_place:
            return
        self._indexed = self._index.end
        try:
            self._index.write(index_path(self.path), self._descriptor)
        except OSError as error:  # the journal is read whole then
            _log.info("%s has no current index: %s", self.path, error)

    @property
    def is_in_place(self) -> bool:
        """Whether the open file is still the one at its path: the storage directory may have been
        deleted or moved, and what is written then would be lost or land elsewhere."""
        try:
            found, held = os.stat(self.path), os.fstat(self._descriptor)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def records(
        self, *, outputs_of: frozenset[int] | None = frozenset(), with_displays: bool = False
    ) -> Iterator[Mapping[str, Any]]:
        """As `read` gives them."""
        if self._kept:
            yield from read(self.path, outputs_of=outputs_of, with_displays=with_displays)
            return
        size = os.fstat(self._descriptor).st_size
        index = self._index or JournalIndex.kept(index_path(self.path), self._descriptor) or JournalIndex()
        kept = index.end
        lines = placed_lines(self.path, index.bulk if outputs_of == frozenset() else ())
        if index is self._index:
            yield from events_in((line for line, _ in lines), outputs_of, with_displays)
            return
        yield from events_in(index.noted(lines), outputs_of, with_displays)
        if size == os.fstat(self._descriptor).st_size:  # else something was written meanwhile
            self._index, self._indexed = index, kept
            self._keep_index()

    def records_of(self, numbers: Iterable[int]) -> Iterator[Mapping[str, Any]]:
        """The events of these executions, outputs and all; what is not theirs is not read."""
        wanted = frozenset(numbers)
        if self._index is None:
            for _ in self.records():
                pass
        if self._index is None or self._kept:  # it is written to, or cannot be
            yield from _of(wanted, read(self.path, outputs_of=wanted))
            return
        for start, end in self._index.pieces(wanted):
            lines = os.pread(self._descriptor, end - start, start).splitlines(keepends=True)
            yield from _of(wanted, filter(None, map(parsed, lines)))

    def close(self) -> None:
        self.catch_up()
        self._kept.close()
        os.close(self._descriptor)
        self._descriptor = -1  # which nobody's file has: who still writes is refused

    def _take_back(self, size: int) -> None:
        """Remove what was written of a line that was not wholly written."""
        try:
            os.ftruncate(self._descriptor, size)
        except OSError:
            self._torn = True  # the next write spoils it


def _line(event: str, fields: Mapping[str, Any]) -> bytes:
    record = {"v": FORMAT, "event": event, **fields, "time": now().isoformat()}
    return _encode(record).encode() + b"\n"


class ClosedJournal:
    """The journal of a session that is not open here: it can be read, whoever owns it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def records_of(self, numbers: Iterable[int]) -> Iterator[Mapping[str, Any]]:
        """As Journal.records_of, but all of the file is read."""
        wanted = frozenset(numbers)
        yield from _of(wanted, read(self.path, outputs_of=wanted))


def _of(numbers: frozenset[int], records: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    return (record for record in records if record.get("n") in numbers)


def is_taken(path: Path) -> bool:
    """Whether a hub has the session of this journal open."""
    try:
        descriptor = open_plain(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def storage_failed(path: Path, error: OSError) -> StorageFailed:
    if isinstance(error, (NotPlain, TooLarge)):
        named = path.parent / (error.filename or path)  # it may be a name in an open folder
        return StorageFailed(
            f"{named} cannot be used: {error.strerror}.",
            "It is not what kernelexec has made there: move it away, then call again.",
        )
    return StorageFailed(
        f"{error.filename or path} cannot be written: {error.strerror or error}.",
        "Make room or give write access, or set CODE_STORAGE_DIR to another directory.",
    )


def _taken(path: Path) -> SessionTaken:
    owner = last_opened(path).get("hub")
    if owner == os.getpid():
        return SessionTaken(
            f"The session's journal {path} is open here already, under another path: the storage directory "
            "was moved or replaced by a link while the session ran.",
            f"Use another session name, or end the session: kernelexec stop {path.stem}",
        )
    process = f" (process {owner})" if owner else ""
    return SessionTaken(
        f"The session's journal {path} is in use by another kernelexec hub{process}.",
        "Use another session name, or end that hub: kernelexec stop --all, with its "
        "KERNELEXEC_RUNTIME_DIR if it was given one.",
    )
