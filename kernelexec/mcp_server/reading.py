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
from kernelexec.model.text import not_a_heading, plain
from kernelexec.model.transcript import FilePart, Transcript
from kernelexec.recording.output_file import read_text

SEARCH_SECONDS = 8.0  # for a gigabyte, unless the pattern is a bad one
_HARD_LIMIT_SECONDS = 12.0  # after which the search is ended wherever it is
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


def read_part(transcript: Transcript, storage_dir: Path, start: int, limit: int) -> Part:
    """About `limit` characters from `start` on, cut at the end of a line where one is near.

    Raises:
        BadRequest: a file in which the text goes on cannot be read.
    """
    parts = _parts_in_memory(transcript, start, limit + 1)
    length = sum(len(text) for text, _ in parts)
    for part in transcript.files:
        room = limit + 1 - length
        if room > 0 and start + length < part.end:
            parts += _parts_in_file(part, storage_dir, start + length, room)
            length = sum(len(text) for text, _ in parts)
    if length > limit:
        cut = "".join(text for text, _ in parts).rfind("\n", limit // 2, limit) + 1
        length = cut or limit
    shown, rest = "", length
    for text, is_output in parts:
        said = plain(text[:rest])
        shown += not_a_heading(said) if is_output else said
        rest -= min(rest, len(text))
    return Part(shown, start, start + length)


def _parts_in_memory(transcript: Transcript, start: int, room: int) -> list[tuple[str, bool]]:
    """Text, and whether it is output or a heading of ours."""
    found = []
    for text, is_output in transcript.parts():
        part = text[max(0, start) : max(0, start + room)]
        if part:
            found.append((part, is_output))
        start -= len(text)
    return found


def _parts_in_file(part: FilePart, storage_dir: Path, start: int, room: int) -> list[tuple[str, bool]]:
    head = part.head[max(0, len(part.head) - max(0, part.position - start)) :][:room]
    skip = max(0, start - part.position)
    count = min(room - len(head), part.length - skip)
    try:
        text = read_text(storage_dir, part.file, part.skip + skip, count) if count > 0 else ""
        return [(head, False), (text, True)]
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
