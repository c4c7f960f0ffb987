"""A journal, read: its lines, and the events in them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, BinaryIO

from kernelexec.plain_file import open_plain
from kernelexec.recording.journal_fields import is_whole
from kernelexec.recording.journal_index import DISPLAY_ID, OUTPUT_PREFIX, bulk_of
from kernelexec.recording.kept_lines import kept_for, lines_of

FORMAT = 1
LATER = "of a later format"  # in the place of such an event
# Bytes. Ours hold one message or submission, and the longest that is taken has 32 MB, six times that in JSON.
_LONGEST_LINE = 200_000_000
_BEGIN = b"{"
_PART = 1 << 20  # bytes that are read at once
SURELY = 1_000_000  # bytes, among which the first event is, if this is a journal
_FIRST_LINES = 100
_OPENED_WITHIN = 200  # bytes of a line


def read(
    path: Path, *, outputs_of: frozenset[int] | None = frozenset(), with_displays: bool = False
) -> Iterator[Mapping[str, Any]]:
    """The events in a journal file; torn lines and those without their fields are passed over, and of a later
    format only `LATER` is there.

    Of outputs only those of these executions, or all for None; those with a display id too if asked for.
    """
    lines = whole_lines(path, but_bulk=outputs_of == frozenset())
    yield from events_in(lines, outputs_of, with_displays)


def events_in(
    lines: Iterable[bytes], outputs_of: frozenset[int] | None, with_displays: bool
) -> Iterator[Mapping[str, Any]]:
    wanted: bytes | tuple[bytes, ...] = OUTPUT_PREFIX
    if outputs_of is not None:
        wanted = tuple(OUTPUT_PREFIX + b'"n":%d,' % number for number in outputs_of)
    for line in lines:
        unwanted = line.startswith(OUTPUT_PREFIX) and not line.startswith(wanted)
        if unwanted and not (with_displays and DISPLAY_ID in line):
            continue
        record = parsed(line)
        if record is not None:
            yield record


def whole_lines(path: Path, *, but_bulk: bool = False) -> Iterator[bytes]:
    """The lines of a journal and those that wait for room in it, but for a torn one at its end: even if only
    its own end is missing, nobody was told that it was written.

    `but_bulk`: printed text and displays without an id need not be among them.
    """
    kept = kept_for(path)
    with open(open_plain(path, os.O_RDONLY), "rb") as file:
        missing = kept if kept is not None and kept.missing(file.fileno()) else None
        bulk = bulk_of(path, file.fileno()) if but_bulk else ()
        yield from (line for line, _ in _lines(file, bulk, inf if missing is None else missing.place.at))
    if missing is not None:
        yield from lines_of(missing)


def placed_lines(path: Path, but: Sequence[tuple[int, int]] = ()) -> Iterator[tuple[bytes, int]]:
    """Those that are in the file, each with the place where it begins, without these stretches of lines."""
    with open(open_plain(path, os.O_RDONLY), "rb") as file:
        yield from _lines(file, but, inf)


def _lines(file: BinaryIO, but: Iterable[tuple[int, int]], end: float) -> Iterator[tuple[bytes, int]]:
    """Up to this place."""
    for begin, behind in but:
        if begin >= end:
            break
        yield from _lines_until(file, begin)
        file.seek(behind)
    yield from _lines_until(file, end)


def _lines_until(file: BinaryIO, end: float) -> Iterator[tuple[bytes, int]]:
    def read() -> bytes:
        return file.readline(_PART if end == inf else max(0, min(_PART, int(end) - file.tell())))

    place = file.tell()
    while part := read():
        if part.endswith(b"\n"):
            yield part, place
            place += len(part)
            continue
        line = _whole(part, read)
        if line is not None:
            yield line, place
        place = file.tell()


def _whole(first: bytes, read: Callable[[], bytes]) -> bytes | None:
    """A long line, read to its end; None if it has none, or if it is none of ours, and not held then."""
    parts, size = [first], len(first)
    while part := read():
        size += len(part)
        if first.startswith(_BEGIN) and size <= _LONGEST_LINE:
            parts.append(part)
        if part.endswith(b"\n"):
            return b"".join(parts) if len(parts) > 1 and size <= _LONGEST_LINE else None
    return None


def parsed(line: bytes) -> Mapping[str, Any] | None:
    """The event in a whole line; None if it is none, of another format, or without its fields.

    Of a later format it is that there is something, and what must not be given out once more.
    """
    if not line.startswith(_BEGIN):
        return None  # ten times as fast as to try
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    version = record.get("v")
    if type(version) is int and version > FORMAT:
        numbers = {name: record[name] for name in ("n", "generation") if type(record.get(name)) is int}
        return {"v": FORMAT, "event": LATER, **numbers}
    return record if version == FORMAT and is_whole(record) else None


def first_record(path: Path) -> Mapping[str, Any]:
    """The event that began the session; empty if there is no journal."""
    try:
        with open(open_plain(path, os.O_RDONLY), "rb") as file:
            *lines, _ = file.read(SURELY).split(b"\n", _FIRST_LINES)
    except OSError:
        return {}
    return next((record for line in lines if (record := parsed(line)) is not None), {})


def last_opened(path: Path) -> Mapping[str, Any]:
    """The event that a hub wrote when it last opened the session; empty if there is no journal."""
    try:
        lines = whole_lines(path, but_bulk=True)
        opened = [line for line in lines if b'"opened"' in line[:_OPENED_WITHIN]]
    except OSError:
        return {}
    events = (record for line in reversed(opened) if (record := parsed(line)) is not None)
    return next((record for record in events if record["event"] == "opened"), {})
