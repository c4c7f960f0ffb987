"""Where in a journal the lines of each execution are, so that one of the past is read without all others,
and where nothing but output is, which who reads what happened passes over.

A file beside a large journal keeps it for the next hub. It says nothing that the journal does not: where it
does not fit the journal, or is not whole, or is not there, all of the journal is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kernelexec.plain_file import open_plain, read_plain

# Bytes between two lines of one execution that are read along, rather than noted as a gap.
_NEAR = 65_536
_MOST_UNKNOWN = 100_000  # numbers left out between two; more than that was written by hand
_NUMBER = re.compile(rb'\{"v":1,"event":"[a-z_]+","n":(\d{1,9}),')
_OURS = b'{"v":1,"event":"'  # how a line begins that was not written anew by another program
# How a line of the bulkiest kind begins; readers that do not want it need not parse it.
OUTPUT_PREFIX = b'{"v":1,"event":"output",'
DISPLAY_ID = b'"display_id":'
_ERROR = b'"type":"error"'
_HEAD = 80  # bytes of an output's line in which its type stands
_WORTH = 8_192  # bytes; what is shorter is sooner read than passed over
_FORMAT = 1
_MARK = 65_536  # bytes of the journal, before the place up to which its index goes, that tell it from others
_LARGEST = 100_000_000  # bytes of an index that is read


def index_path(journal: Path) -> Path:
    return journal.with_suffix(".index")


def is_error(line: bytes) -> bool:
    """Whether an output's line is an error's."""
    return line.find(_ERROR, 0, _HEAD) >= 0


def _number(line: bytes) -> int | None:
    """Whose line it is; None: of no execution."""
    found = _NUMBER.match(line)
    if found is not None:
        return int(found[1])
    if line.startswith(_OURS) or not line.startswith(b"{"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    number = record.get("n")
    return number if isinstance(number, int) and 0 <= number < 1_000_000_000 else None


class JournalIndex:
    """By execution number: from where to where its lines are. 16 bytes for each that is in one piece."""

    def __init__(self) -> None:
        self._starts = array("q")  # of the last piece; by number
        self._ends = array("q")  # 0: there is none
        self._earlier: dict[int, list[tuple[int, int]]] = {}  # pieces before the last one
        self._bulk = array("q")  # where nothing but output is: begin and end of each such stretch
        self.end = 0  # up to here the journal was looked at

    def add(self, line: bytes, start: int) -> None:
        """A line that stands here; lines are added in their order, and what was added counts once."""
        if start < self.end:
            return
        self.end = start + len(line)
        self._add_bulk(line, start)
        number = _number(line)
        if number is None:
            return
        missing = number + 1 - len(self._ends)
        if missing > _MOST_UNKNOWN:
            return
        if missing > 0:
            self._starts.extend([0] * missing)
            self._ends.extend([0] * missing)
        end = self._ends[number]
        if not end or start - end > _NEAR:
            if end:
                self._earlier.setdefault(number, []).append((self._starts[number], end))
            self._starts[number] = start
        self._ends[number] = start + len(line)

    def _add_bulk(self, line: bytes, start: int) -> None:
        """Errors are of interest to who lists runs, and displays with an id to who updates them."""
        if not line.startswith(OUTPUT_PREFIX) or is_error(line) or DISPLAY_ID in line:
            return
        if self._bulk and self._bulk[-1] == start:
            self._bulk[-1] = self.end
            return
        if self._bulk and self._bulk[-1] - self._bulk[-2] < _WORTH:
            del self._bulk[-2:]
        self._bulk.extend((start, self.end))

    @property
    def bulk(self) -> list[tuple[int, int]]:
        """From where to where there is nothing but printed text and displays without an id."""
        places = list(self._bulk)
        return list(zip(places[::2], places[1::2], strict=True))

    def noted(self, lines: Iterable[tuple[bytes, int]]) -> Iterator[bytes]:
        """The lines of a journal that stand at these places; each is added on its way."""
        for line, start in lines:
            self.add(line, start)
            yield line

    def pieces(self, numbers: Iterable[int]) -> list[tuple[int, int]]:
        """What has all lines of these executions, in order, none of it twice; other lines may be in it."""
        found: list[tuple[int, int]] = []
        for number in numbers:
            if 0 <= number < len(self._ends) and self._ends[number]:
                found += [*self._earlier.get(number, ()), (self._starts[number], self._ends[number])]
        merged: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged

    # --- kept for the next hub ---

    def write(self, path: Path, journal: int) -> None:
        """Keep it in a file; `journal`: an open descriptor.

        Raises:
            OSError: it is not, or not wholly, written; what is there is no index then.
        """
        arrays = (self._starts, self._ends, self._bulk)
        said = {
            "v": _FORMAT,
            "order": sys.byteorder,
            "end": self.end,
            "mark": _mark(journal, self.end),
            "lengths": [len(each) for each in arrays],
            "earlier": list(self._earlier.items()),
        }
        data = b"\n".join([json.dumps(said).encode(), b"".join(each.tobytes() for each in arrays)])
        with open(open_plain(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
            file.write(hashlib.sha256(data).hexdigest().encode() + b"\n" + data)

    @classmethod
    def kept(cls, path: Path, journal: int) -> JournalIndex | None:
        """What is in a file of this journal; None if there is none, or if it is none of what the journal is
        now. Then the journal may have more, after its `end`."""
        try:
            digest, _, data = read_plain(path, _LARGEST).partition(b"\n")
            if hashlib.sha256(data).hexdigest().encode() != digest:
                return None
            head, _, rest = data.partition(b"\n")
            said = json.loads(head)
            is_this = (said["v"], said["order"]) == (_FORMAT, sys.byteorder)
            if not is_this or said["mark"] != _mark(journal, said["end"]):
                return None
            return cls._of(said, rest)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @classmethod
    def _of(cls, said: dict[str, Any], rest: bytes) -> JournalIndex:
        index = cls()
        index.end = said["end"]
        index._earlier = {number: [(a, b) for a, b in pieces] for number, pieces in said["earlier"]}
        place = 0
        for each, length in zip((index._starts, index._ends, index._bulk), said["lengths"], strict=True):
            size = length * each.itemsize
            each.frombytes(rest[place : place + size])
            place += size
        return index


def bulk_of(journal: Path, descriptor: int) -> Sequence[tuple[int, int]]:
    """Where in a journal that is open here, perhaps for reading only, nothing but output is, as far as an
    index says."""
    index = JournalIndex.kept(index_path(journal), descriptor)
    return () if index is None else index.bulk


def _mark(journal: int, end: int) -> str:
    """Of the journal that goes to this place, at least: its lines have their times, so no other has these."""
    begin = max(0, end - _MARK)
    return hashlib.sha256(os.pread(journal, end - begin, begin)).hexdigest()
