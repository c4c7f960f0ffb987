"""Parts of what an execution has shown: by position, and what matches a pattern."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kernelexec import paths
from kernelexec.errors import BadRequest
from kernelexec.model.excerpts import plain_from
from kernelexec.model.terminal import moves, stretches
from kernelexec.model.text import not_a_heading, without_controls
from kernelexec.model.transcript import FilePart, Piece, Transcript
from kernelexec.recording.output_file import read_text

SEARCH_SECONDS = 8.0  # for a gigabyte, unless the pattern is a bad one
_HARD_LIMIT_SECONDS = 12.0  # after which the search is ended wherever it is
_BEFORE = 30_000  # characters of a file's text before a part, to which its bars may go back
_SEARCH = (
    f"import sys; sys.path.insert(0, {paths.import_root()!r}); "
    "from kernelexec.recording.search import main; main()"
)


@dataclass(frozen=True)
class Part:
    """Some of a transcript's text, made plain."""

    text: str
    start: int
    end: int  # where the next part begins


@dataclass(frozen=True)
class Match:
    number: int  # of the line, from 1
    position: int
    text: str


@dataclass(frozen=True)
class Matches:
    lines: Sequence[Match]
    next_position: int | None  # where to go on; None if everything was searched
    out_of_time: bool = False
    missing: Sequence[str] = ()  # files that could not be searched


@dataclass(frozen=True)
class _Text:
    """Text in a transcript."""

    text: str
    is_output: bool  # not a heading of ours
    before: str = ""  # what its cursor can go back to

    def plain(self, length: int) -> str:
        text = plain_from(self.before + self.text[:length], len(self.before))
        return not_a_heading(text) if self.is_output else text


def read_part(transcript: Transcript, storage_dir: Path, start: int, limit: int) -> Part:
    """About `limit` characters from `start` on, cut at the end of a line where one is near.

    Of text that goes back over itself, such as progress bars, a part has the lines that it came to.

    Raises:
        BadRequest: a file in which the text goes on cannot be read.
    """
    shown, end = "", start
    moving = [piece for piece in transcript.pieces if piece.end > start and moves(piece.text)]
    for piece in moving:
        if end < piece.position:
            part = _as_it_came(transcript, storage_dir, end, limit - len(shown), piece.position)
            shown, end = shown + part.text, part.end
        if end < piece.position or len(shown) >= limit:
            return Part(shown, start, end)
        part = _came_to(piece, end, limit - len(shown), must_show=not shown)
        shown, end = shown + part.text, part.end
        if end < piece.end:
            return Part(shown, start, end)
    if len(shown) < limit and end < transcript.end:
        part = _as_it_came(transcript, storage_dir, end, limit - len(shown), transcript.end)
        shown, end = shown + part.text, part.end
    return Part(shown, start, end)


def _came_to(piece: Piece, start: int, limit: int, *, must_show: bool) -> Part:
    """Whole lines, as they are in the end."""
    found = stretches(piece.text, start - piece.position)
    lines: list[str] = []
    end = start
    for stretch in found:
        limit -= len(stretch.text) + 1
        if limit < 0 and (lines or not must_show):
            return Part(_output(lines), start, end)
        lines.append(stretch.text)
        end = piece.position + stretch.end
        if limit < 0:
            lines[-1] = f"{stretch.text[:limit]} [... {-limit:,} characters more in these lines ...]"
            return Part(_output(lines), start, end)
    return Part(_output(lines), start, piece.end)


def _output(lines: Sequence[str]) -> str:
    return not_a_heading(without_controls("".join(f"{line}\n" for line in lines)))


def _as_it_came(transcript: Transcript, storage_dir: Path, start: int, limit: int, stop: int) -> Part:
    """Text that does not go back over itself, up to `stop`."""
    parts = _parts_in_memory(transcript, start, min(limit + 1, stop - start))
    length = sum(len(part.text) for part in parts)
    for file in transcript.files:
        room = limit + 1 - length
        if room > 0 and start + length < min(file.end, stop):
            parts += _parts_in_file(file, storage_dir, start + length, room)
            length = sum(len(part.text) for part in parts)
    if length > limit:
        cut = "".join(part.text for part in parts).rfind("\n", limit // 2, limit) + 1
        length = cut or limit
    shown, rest = "", length
    for part in parts:
        shown += part.plain(rest) if rest else ""
        rest -= min(rest, len(part.text))
    return Part(shown, start, start + length)


def _parts_in_memory(transcript: Transcript, start: int, room: int) -> list[_Text]:
    found = []
    for text, is_output in transcript.parts():
        part = text[max(0, start) : max(0, start + room)]
        if part:
            found.append(_Text(part, is_output))
        start -= len(text)
    return found


def _parts_in_file(part: FilePart, storage_dir: Path, start: int, room: int) -> list[_Text]:
    head = part.head[max(0, len(part.head) - max(0, part.position - start)) :][:room]
    skip = max(0, start - part.position)
    count = min(room - len(head), part.length - skip)
    begin = part.skip + skip
    before = ""
    try:
        text = read_text(storage_dir, part.file, begin, count) if count > 0 else ""
        if begin and moves(text):
            before = read_text(storage_dir, part.file, max(0, begin - _BEFORE), min(begin, _BEFORE))
        return [_Text(head, is_output=False), _Text(text, is_output=True, before=before)]
    except (OSError, ValueError) as error:
        raise BadRequest(f"{storage_dir / part.file} cannot be read: {error}.") from error


async def find(transcript: Transcript, storage_dir: Path, pattern: str, start: int, limit: int) -> Matches:
    """The lines that match a regular expression, from `start` on, in about `limit` characters.

    Raises:
        BadRequest: it is no regular expression, or takes too long on some line.
    """
    request = {
        "pattern": pattern,
        "offset": start,
        "limit": limit,
        "seconds": SEARCH_SECONDS,
        "storage": str(storage_dir),
        "files": [asdict(part) for part in transcript.files],
    }
    text = await asyncio.to_thread(transcript.in_memory)
    return _matches(pattern, start, await asyncio.to_thread(_run, request, text))


def _run(request: dict[str, Any], text: str) -> list[dict[str, Any]]:
    given = json.dumps(request).encode() + b"\n" + text.encode("utf-8", "replace")
    command = [sys.executable, "-I", "-S", "-c", _SEARCH]
    try:
        said = subprocess.run(
            command, input=given, capture_output=True, timeout=_HARD_LIMIT_SECONDS, check=True
        ).stdout
    except subprocess.TimeoutExpired as timeout:
        said = (timeout.stdout or b"").rpartition(b"\n")[0]
    return [json.loads(line) for line in said.splitlines()]


def _matches(pattern: str, start: int, said: Sequence[dict[str, Any]]) -> Matches:
    end = said[-1] if said else {}
    if "error" in end:
        raise BadRequest(
            f"The pattern is no regular expression: {end['error']}.",
            f"To look for the text as it is, write: {re.escape(pattern)}",
        )
    lines = [Match(line["number"], line["position"], line["text"]) for line in said if "number" in line]
    missing = [line["missing"] for line in said if "missing" in line]
    if "done" in end or "more" in end:
        return Matches(lines, end.get("more"), missing=missing)
    reached = max([start, *(line["at"] for line in said if "at" in line)])
    if reached <= start and not lines:
        raise BadRequest(
            "The pattern takes too long on this text.",
            "Nested repetitions such as (a+)+ do that: use a simpler pattern, or read parts with offset.",
        )
    return Matches(lines, max(reached, lines[-1].position + 1 if lines else 0), True, missing)
