"""The journal: append-only JSON lines, the truth about a session.

One line an event, each with the format number. `write` returns when the line is with the operating
system, so it survives the hub; `sync` brings it to the disk. The journal is also the session's
lock: the hub that holds it open is the session's owner.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from kernelexec.errors import SessionTaken, StorageFailed
from kernelexec.plain_file import NotPlain, TooLarge, open_plain
from kernelexec.recording.journal_index import JournalIndex
from kernelexec.recording.script import open_folder

FORMAT = 1
# How a line of the bulkiest kind begins; readers that do not want it need not parse it.
OUTPUT_PREFIX = b'{"v":1,"event":"output",'
_DISPLAY_ID = b'"display_id":'
# Bytes. Ours hold one message or submission, and the longest that is taken has 32 MB, six times that in JSON.
_LONGEST_LINE = 200_000_000
_BEGIN = b"{"
_PART = 1 << 20  # bytes that are read at once
_SURELY = 1_000_000  # bytes, among which the first event is, if this is a journal
_FIRST_LINES = 100
_OPENED_WITHIN = 200  # bytes of a line
_SPOIL = b"!\n"  # after a line that may lack nothing but its end: no reader takes it for an event
# What readers rely on. A line that lacks it was changed by hand, and is no event.
_FIELDS = {
    "submitted": ("n", "generation", "code", "time", "label", "note", "script"),
    "sent": ("n", "msg_id"),
    "output": ("n", "type", "content"),
    "overflow": ("n", "overflow"),
    "finished": ("n", "state", "problem", "execution_count", "started", "finished", "timing", "overflow"),
    "written": ("numbers", "time"),
    "kernel": ("generation", "notebook_metadata"),
    "aborted": ("n",),
    "interrupt_asked": ("n", "why"),
    "died": ("cause",),
    "adopted": ("generation",),
    "caller": ("caller", "client", "directory"),
    "reply_lost": ("caller", "n", "why"),
    "set_aside": ("file",),
    "comm": ("content", "buffers"),
    "captured": ("comm", "type", "content"),
}


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
        if size > _SURELY and not first_record(path):
            os.close(self._descriptor)
            raise StorageFailed(
                f"{path} is no journal: it has {size:,} bytes, and none of kernelexec's lines at its begin.",
                "Move it away, then call again: the session begins anew, and its notebooks stay.",
            )
        self._torn = size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"
        self._index: JournalIndex | None = None  # until something of the past is asked for

    def write(self, event: str, **fields: Any) -> None:
        """Append one event.

        Raises:
            StorageFailed: it is not in the journal, in whole or in part.
        """
        record = {"v": FORMAT, "event": event, **fields, "time": now().isoformat()}
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        rest = memoryview(_SPOIL + line if self._torn else line)
        size = os.fstat(self._descriptor).st_size
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            self._take_back(size)
            raise storage_failed(self.path, error) from error
        if self._index is not None:
            self._index.add(line, size + len(_SPOIL) * self._torn)
        self._torn = False

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
        if self._index is not None:
            yield from read(self.path, outputs_of=outputs_of, with_displays=with_displays)
            return
        size, index = os.fstat(self._descriptor).st_size, JournalIndex()
        yield from _events(index.noted(placed_lines(self.path)), outputs_of, with_displays)
        if size == os.fstat(self._descriptor).st_size:  # else something was written meanwhile
            self._index = index

    def records_of(self, numbers: Iterable[int]) -> Iterator[Mapping[str, Any]]:
        """The events of these executions, outputs and all; what is not theirs is not read."""
        wanted = frozenset(numbers)
        if self._index is None:
            for _ in self.records():
                pass
        assert self._index is not None
        for start, end in self._index.pieces(wanted):
            lines = os.pread(self._descriptor, end - start, start).splitlines(keepends=True)
            yield from _of(wanted, filter(None, map(parsed, lines)))

    def close(self) -> None:
        os.close(self._descriptor)

    def _take_back(self, size: int) -> None:
        """Remove what was written of a line that was not wholly written."""
        try:
            os.ftruncate(self._descriptor, size)
        except OSError:
            self._torn = True  # the next write spoils it


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


def read(
    path: Path, *, outputs_of: frozenset[int] | None = frozenset(), with_displays: bool = False
) -> Iterator[Mapping[str, Any]]:
    """The events in a journal file; torn lines and those of another format or without their fields are
    passed over.

    Of outputs only those of these executions, or all for None; those with a display id too if asked for.
    """
    yield from _events(whole_lines(path), outputs_of, with_displays)


def _events(
    lines: Iterable[bytes], outputs_of: frozenset[int] | None, with_displays: bool
) -> Iterator[Mapping[str, Any]]:
    wanted: bytes | tuple[bytes, ...] = OUTPUT_PREFIX
    if outputs_of is not None:
        wanted = tuple(OUTPUT_PREFIX + b'"n":%d,' % number for number in outputs_of)
    for line in lines:
        unwanted = line.startswith(OUTPUT_PREFIX) and not line.startswith(wanted)
        if unwanted and not (with_displays and _DISPLAY_ID in line):
            continue
        record = parsed(line)
        if record is not None:
            yield record


def whole_lines(path: Path) -> Iterator[bytes]:
    """The lines of a journal, but for a torn one at its end: even if only its own end is missing, nobody was
    told that it was written."""
    return (line for line, _ in placed_lines(path))


def placed_lines(path: Path) -> Iterator[tuple[bytes, int]]:
    """The same, each with the place where it begins."""
    place = 0
    with open(open_plain(path, os.O_RDONLY), "rb") as file:
        while part := file.readline(_PART):
            if part.endswith(b"\n"):
                yield part, place
                place += len(part)
                continue
            line = _whole(part, file)
            if line is not None:
                yield line, place
            place = file.tell()


def _whole(first: bytes, file: BinaryIO) -> bytes | None:
    """A long line, read to its end; None if it has none, or if it is none of ours, and not held then."""
    parts, size = [first], len(first)
    while part := file.readline(_PART):
        size += len(part)
        if first.startswith(_BEGIN) and size <= _LONGEST_LINE:
            parts.append(part)
        if part.endswith(b"\n"):
            return b"".join(parts) if len(parts) > 1 and size <= _LONGEST_LINE else None
    return None


def parsed(line: bytes) -> Mapping[str, Any] | None:
    """The event in a whole line; None if it is none, of another format, or without its fields."""
    if not line.startswith(_BEGIN):
        return None  # ten times as fast as to try
    try:
        record = json.loads(line)
    except ValueError:
        return None
    is_event = isinstance(record, dict) and record.get("v") == FORMAT and _is_whole(record)
    return record if is_event else None


def _is_whole(record: Mapping[str, Any]) -> bool:
    event = record.get("event")
    return isinstance(event, str) and all(field in record for field in _FIELDS.get(event, ()))


def first_record(path: Path) -> Mapping[str, Any]:
    """The event that began the session; empty if there is no journal."""
    try:
        with open(open_plain(path, os.O_RDONLY), "rb") as file:
            *lines, _ = file.read(_SURELY).split(b"\n", _FIRST_LINES)
    except OSError:
        return {}
    return next((record for line in lines if (record := parsed(line)) is not None), {})


def last_opened(path: Path) -> Mapping[str, Any]:
    """The event that a hub wrote when it last opened the session; empty if there is no journal."""
    try:
        opened = [line for line in whole_lines(path) if b'"opened"' in line[:_OPENED_WITHIN]]
    except OSError:
        return {}
    events = (record for line in reversed(opened) if (record := parsed(line)) is not None)
    return next((record for record in events if record["event"] == "opened"), {})


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
