"""Tracebacks as IPython formats them, made short: the user's own lines, and less of everything else. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from kernelexec.model.text import plain

_RULE = re.compile(r"-{20,}\Z")
_TITLE = re.compile(r"^(?P<name>\S+) {2,}(?P<rest>Traceback \(most recent call last\))", re.MULTILINE)
# `Cell In[7], line 2, in f(x)`; before IPython 8.7 `Input In [7], in f(x)`.
_CELL = re.compile(r"^(?P<indent>\s*)(?:Cell|Input) In ?\[(?P<count>\d+)\]")
_FILE = re.compile(r"^(?:File )?(?P<path>(?:[~/<]|\w+/)[^\n]*?)(?::\d+)?(?:,? in [^\n]*)?(?:\n|\Z)")
# What runs the user's code. Nobody looks for his mistake there. Our launcher's folder is called by its hash.
_MACHINERY = re.compile(r"/(?:IPython|ipykernel|kernelexec/launcher/[0-9a-f]{12})/")
_LIBRARY = re.compile(r"/(?:site|dist)-packages/|/lib(?:64)?/python3\.\d+/|\.p(?:yx|xi)\Z")
_NO_SOURCE = "Could not get source, probably due dynamically evaluated source code."
_ARROW = re.compile(r"^\s*-+> ?\d+")
_LONGEST_HEADER = 160  # characters: IPython shows the whole signature
_LIBRARY_FRAMES = 4  # in a row that are shown; of more, the first and the last two
_FRAMES = 24  # shown in all; of more, as many of the first as of the last


def short_traceback(traceback: Sequence[str], files: Mapping[int, str]) -> str:
    """The traceback of an `error` message as plain text.

    Frames of IPython are left out, frames of libraries shown as the line that was called, and a frame
    that repeats itself once. `files` names the file of each cell by its execution count.
    """
    parts = [plain(part).strip("\n") for part in traceback]
    frames = [part for part in parts if not _RULE.match(part) and not _is_machinery(part)]
    shown = [_shortened(frame, files) for frame in _without_repeats(frames)]
    text = "\n".join(_middle_left_out(list(_few_of_libraries(shown))))
    return text.rstrip("\n").removesuffix(": ")  # of an exception without a message


def _is_machinery(part: str) -> bool:
    found = _FILE.match(part)
    return bool(found and _MACHINERY.search(found["path"]))


def _is_library(part: str) -> bool:
    found = _FILE.match(part)
    return bool(found and _LIBRARY.search(found["path"]))


def _shortened(part: str, files: Mapping[int, str]) -> str:
    cell = _CELL.match(part)
    if cell is not None:
        name = files.get(int(cell["count"]))
        # Its file alone: the count begins again with each kernel, executions' numbers do not.
        return f"{cell['indent']}{name}{part[cell.end() :]}" if name else part
    if not _is_library(part):
        part = "\n".join(line for line in part.split("\n") if _NO_SOURCE not in line)
        return _TITLE.sub(r"\g<name>: \g<rest>", part)
    header, *code = part.split("\n")
    called = [line for line in code if _ARROW.match(line) and _NO_SOURCE not in line]
    return "\n".join(map(_cut, [header, *called]))


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST_HEADER else f"{line[:_LONGEST_HEADER]}..."


def _without_repeats(frames: Sequence[str]) -> Iterator[str]:
    for frame, same in groupby(frames):
        yield frame
        more = sum(1 for _ in same) - 1
        if more:
            yield f"[... the same {more:,} times more ...]"


def _few_of_libraries(frames: Sequence[str]) -> Iterator[str]:
    for is_library, group in groupby(frames, _is_library):
        row = list(group)
        if is_library and len(row) > _LIBRARY_FRAMES:
            yield row[0]
            yield f"[... {len(row) - 3} more frames in libraries ...]"
            yield from row[-2:]
        else:
            yield from row


def _middle_left_out(frames: list[str]) -> list[str]:
    if len(frames) <= _FRAMES:
        return frames
    half = _FRAMES // 2
    return [*frames[:half], f"[... {len(frames) - 2 * half:,} more frames ...]", *frames[-half:]]
