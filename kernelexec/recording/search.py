"""Searches the transcript of an execution, in a process of its own.

A regular expression can take for ever on a short line, and Python lets nothing else run meanwhile: so this
is a process that is ended when its time is over. It reads one JSON line and the text that follows it on
stdin, and writes one JSON line for each line that matches. Standard library only.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelexec.model.terminal import moves_across_lines, stretches
from kernelexec.model.text import plain, without_controls
from kernelexec.recording.output_file import text_blocks

_LONGEST_LINE = 4_000_000  # characters; a longer one is searched in parts
_SHOWN = 400  # characters of a line
_LINE_BY_LINE = re.compile(r"\\[AZ]|\(\?[=!<]")  # what means another thing in a block than in its lines
_RAW = re.compile("[\x1b\r\b\v\f]")


@dataclass(frozen=True)
class Line:
    number: int
    position: int
    text: str


def main() -> None:
    request = json.loads(sys.stdin.buffer.readline())
    try:
        pattern = re.compile(request["pattern"], re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        _say(error=str(error))
        return
    deadline = time.monotonic() + request["seconds"]
    room = request["limit"]
    for found in _found(pattern, _blocks(request), request["offset"]):
        if found is None:
            if time.monotonic() > deadline:
                return  # without an end: it is not done
            continue
        text = _around(found.text, pattern)
        room -= len(text) + 20
        if room < 0:
            _say(more=found.position)
            return
        _say(number=found.number, position=found.position, text=text)
    _say(done=True)


def _say(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def _blocks(request: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """The text in parts that end where a line does, with their positions."""
    rest, position = "", 0
    for more in _texts(request):
        text = rest + more
        cut = text.rfind("\n") + 1
        if not cut and len(text) > _LONGEST_LINE:
            cut = len(text)
        rest = text[cut:]
        if cut:
            yield position, text[:cut]
            position += cut
    if rest:
        yield position, rest


def _texts(request: dict[str, Any]) -> Iterator[str]:
    yield sys.stdin.buffer.read().decode("utf-8", "replace")
    for part in request["files"]:
        yield part["head"]
        try:
            yield from _first(
                text_blocks(Path(request["storage"]), part["file"], part["skip"]), part["length"]
            )
        except (OSError, ValueError):  # it is gone: the rest can be searched
            _say(missing=part["file"])


def _first(blocks: Iterator[str], length: int) -> Iterator[str]:
    """So many characters: what a run that goes on has added since does not shift what follows."""
    for block in blocks:
        yield block[:length]
        length -= min(length, len(block))


def _found(pattern: re.Pattern[str], blocks: Iterator[tuple[int, str]], offset: int) -> Iterator[Line | None]:
    """The lines that match from the offset on, and None now and then, when nothing was found."""
    number = 1
    line_by_line = _LINE_BY_LINE.search(pattern.pattern) is not None
    for position, block in blocks:
        _say(at=position)
        yield None
        raw = _RAW.search(block) is not None
        if position + len(block) > offset and (line_by_line or raw or pattern.search(block)):
            yield from _found_in(pattern, Line(number, position, block), offset)
        number += block.count("\n")


def _found_in(pattern: re.Pattern[str], block: Line, offset: int) -> Iterator[Line]:
    lines = _lines_shown(block) if moves_across_lines(block.text) else _lines(block)
    return (line for line in lines if line.position >= offset and pattern.search(line.text))


def _lines(block: Line) -> Iterator[Line]:
    position = block.position
    for number, line in enumerate(block.text.split("\n"), block.number):
        yield Line(number, position, plain(line))
        position += len(line) + 1


def _lines_shown(block: Line) -> Iterator[Line]:
    """Where a cursor went up, what the lines came to, with the number and place of where that begins."""
    number, at = block.number, 0
    for stretch in stretches(block.text):
        number += block.text.count("\n", at, stretch.start)
        at = stretch.start
        for line in without_controls(stretch.text).split("\n"):
            yield Line(number, block.position + at, line)


def _around(line: str, pattern: re.Pattern[str]) -> str:
    """The line, or the part of a long one around what matches."""
    if len(line) <= _SHOWN:
        return line
    found = pattern.search(line)
    start = max(0, (found.start() if found else 0) - _SHOWN // 2)
    part = line[start : start + _SHOWN]
    return f"{'...' if start else ''}{part}{'...' if start + _SHOWN < len(line) else ''}"
