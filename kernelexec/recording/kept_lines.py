"""Lines of a journal that could not be written yet: a full disk, a quota, a disk that fails.

What has happened cannot be refused, only told: a run's end, its output, a kernel's death. So these lines
wait, in order, and go to the journal before its next one. They wait in memory, and in a file in the runtime
directory, which often is another file system, for the next hub and for who reads the journal meanwhile.

The file begins with a line that says where in which journal its lines belong, so that what is there already
(a hub was killed between the two) is neither written nor read twice.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from kernelexec import paths
from kernelexec.errors import HubUnavailable
from kernelexec.plain_file import open_plain, read_plain

MOST = 64_000_000  # bytes that wait for one journal
_SPARED = 4_000_000  # of these for what is not output: ends of runs and the like
_LARGEST = MOST + 4096  # of the file, with its first line
_MARK = 64  # bytes before the place, by which the journal is known
FOLDER = "kept"

_waiting: dict[str, KeptLines] = {}  # of the journals that are open here, by their real paths


@dataclass(frozen=True)
class Place:
    """Where in a journal lines belong: after so many bytes, of which the last are these."""

    at: int
    mark: bytes

    @classmethod
    def end_of(cls, journal: int) -> Place:
        at = os.fstat(journal).st_size
        return cls(at, os.pread(journal, _MARK, max(0, at - _MARK))[-at:] if at else b"")

    def is_in(self, journal: int) -> bool:
        """Whether the journal, an open file, is the one and still has what was before the place."""
        start = max(0, self.at - _MARK)
        return os.pread(journal, self.at - start, start) == self.mark


@dataclass(frozen=True)
class Kept:
    """Lines, and where they belong."""

    place: Place
    lines: bytes

    def missing(self, journal: int) -> bool:
        """Whether they are yet to be written to this journal, an open file: in whole, then."""
        if not self.place.is_in(journal):
            return False
        there = os.pread(journal, len(self.lines), self.place.at)
        return len(there) < len(self.lines) and self.lines.startswith(there)

    def placed(self) -> list[tuple[bytes, int]]:
        """Each line with the place where it begins once it is written."""
        lines = self.lines.splitlines(keepends=True)
        return list(zip(lines, accumulate(map(len, lines), initial=self.place.at), strict=False))


class KeptLines:
    """What waits for one journal, which is open here."""

    def __init__(self, journal: Path, descriptor: int) -> None:
        self._name = os.path.realpath(journal)
        self._descriptor = descriptor  # the journal's
        self._path = file_for(journal)
        self._place: Place | None = None
        self._lines = bytearray()
        self.is_on_disk = False
        self._failed = False  # to write the file, which is not tried with each line
        found = _read(self._path)
        if found is not None and found.missing(descriptor):
            # In part they may be there: the hub was killed while it wrote.
            os.ftruncate(descriptor, found.place.at)
            self._place, self._lines, self.is_on_disk = found.place, bytearray(found.lines), True
        elif found is not None:
            self._remove()
        _waiting[self._name] = self

    def __bool__(self) -> bool:
        return bool(self._lines)

    def now(self) -> Kept | None:
        return Kept(self._place, bytes(self._lines)) if self._place is not None else None

    def has_room(self, line: bytes, *, is_output: bool) -> bool:
        return len(self._lines) + len(line) <= (MOST - _SPARED if is_output else MOST)

    def add(self, line: bytes) -> None:
        """One more. That no file can be written is no error: then it waits in memory alone."""
        if self._place is None:
            self._place = Place.end_of(self._descriptor)
        self._lines += line
        if self.is_on_disk or not self._failed:
            self._save(line)

    def _save(self, line: bytes) -> None:
        try:
            self._append(line if self.is_on_disk else bytes(self._lines))
        except (OSError, HubUnavailable):
            self._failed = True
            self._remove()  # half of it would be worse than nothing

    def write(self) -> list[tuple[bytes, int]]:
        """Bring them to the journal; returns them with their places there.

        Raises:
            OSError: there is still no room; the journal is as it was, and they wait on.
        """
        assert self._place is not None
        at = self._place.at
        if os.fstat(self._descriptor).st_size > at:  # what could not be taken back
            os.ftruncate(self._descriptor, at)
        rest = memoryview(bytes(self._lines))
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            os.ftruncate(self._descriptor, at)
            raise
        written = Kept(self._place, bytes(self._lines)).placed()
        self._lines, self._place, self._failed = bytearray(), None, False
        self._remove()
        return written

    def close(self) -> None:
        """The journal is to be closed; what is in the file waits for who opens it next."""
        if self._lines and not self.is_on_disk:
            self._save(b"")
        if _waiting.get(self._name) is self:
            del _waiting[self._name]

    def _append(self, data: bytes) -> None:
        assert self._place is not None
        paths.make_private_dir(str(self._path.parent.parent))
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        begins = not self.is_on_disk
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if begins else os.O_APPEND)
        file = open_plain(self._path, flags)
        try:
            if begins:
                head = {"journal": self._name, "at": self._place.at, "mark": self._place.mark.hex()}
                data = json.dumps(head).encode() + b"\n" + data
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
            self.is_on_disk = True
        finally:
            os.close(file)

    def _remove(self) -> None:
        self.is_on_disk = False
        with suppress(OSError):
            self._path.unlink()


def file_for(journal: Path) -> Path:
    """Where the lines of a journal wait."""
    digest = hashlib.sha256(os.fsencode(os.path.realpath(journal))).hexdigest()[:24]
    return Path(paths.runtime_dir(os.environ), FOLDER, f"{digest}.jsonl")


def kept_for(journal: Path) -> Kept | None:
    """What waits for a journal, whoever has it open."""
    here = _waiting.get(os.path.realpath(journal))
    return here.now() if here is not None else _read(file_for(journal))


def lines_of(kept: Kept) -> Iterator[bytes]:
    yield from (line for line in kept.lines.splitlines(keepends=True) if line.endswith(b"\n"))


def forget(journal: Path) -> None:
    """The journal was removed on purpose."""
    with suppress(FileNotFoundError):
        file_for(journal).unlink()


def _read(path: Path) -> Kept | None:
    """What a file says; None where there is none, or none that can be understood."""
    try:
        head, _, lines = read_plain(path, _LARGEST).partition(b"\n")
        said = json.loads(head)
        place = Place(int(said["at"]), bytes.fromhex(said["mark"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    lines = lines[: lines.rfind(b"\n") + 1]  # the last may be torn
    return Kept(place, lines) if lines else None
