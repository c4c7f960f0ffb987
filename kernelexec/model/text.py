"""Text for a reply: what a terminal would show, within limits. Pure.

By hand: nbconvert and the like remove CSI codes alone, and pyte, which knows all of them, draws a terminal of
a fixed size in 60 times the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

# CSI, OSC (ended by BEL or ST) and the other escape sequences of ECMA-48.
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[PX^_][^\x1b\n]*(?:\x1b\\)?|[ -/]*[0-~])"
)
# Controls but tab and newline; the marks that reorder text (Trojan source, CVE-2021-42574); what no
# person sees but a model reads: invisible separators and the tag characters.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
# What stands alone on a line above each output of a reply.
_HEADING = re.compile(
    r"^(?=[ \t]*\[(?:stdout|stderr|result|display|error|widget|end of the output)\][ \t]*$)", re.MULTILINE
)
_LONG_LINE = 20_000  # characters; of a longer one only the part that is shown is looked at


def plain(text: str) -> str:
    """Without escape codes, overwritten progress bars and characters that mislead."""
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    if "\r" in text or "\b" in text:
        text = "\n".join(map(_overwritten, text.replace("\r\n", "\n").split("\n")))
    if text.isascii() and text.isprintable():
        return text
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(text: str) -> str:
    """What a kernel calls something, in one line that cannot be taken for another."""
    return " ".join(plain(text).split())


def clip_line(text: str, limit: int) -> str:
    """What somebody else calls something, in one line of at most `limit` characters and " ..."."""
    line = one_line(text[: 10 * limit])
    return line if len(line) <= limit and len(text) <= 10 * limit else f"{line[:limit]} ..."


def not_a_heading(text: str) -> str:
    """Output that looks like a heading of a reply gets a backslash: a reply has no parts but its own."""
    return _HEADING.sub(r"\\", text) if "]" in text else text


def clip(text: str, limit: int, where: str) -> str:
    """At most about `limit` characters: head and tail, cut at line ends, and what was left out.

    `where` says how to get the rest.
    """
    return excerpt(text, limit, lambda _: where)


def excerpt(raw: str, limit: int, where: Callable[[int], str]) -> str:
    """Raw text made plain, at most about `limit` characters of it: head and tail, cut at line ends.

    Looks only at what it shows, however long the text is. `where` says how to get the rest, which
    begins at the given character of `raw`.
    """
    if len(raw) <= 4 * limit + _LONG_LINE:
        text = plain(raw)
        if len(text) <= limit:
            return text
    room = max(0, limit - len(where(len(raw))) - 50)  # for the line in between
    head = _head(raw, room * 2 // 3)
    tail = _tail(raw, room // 3)
    if head.position >= tail.position:  # it was long only before it was made plain
        return f"{head.text}\n{plain(raw[head.position :])[:limit]}"
    left_out = tail.position - head.position
    return f"{head.text}\n[... {left_out:,} characters left out; {where(head.position)} ...]\n{tail.text}"


@dataclass(frozen=True)
class _Part:
    text: str
    position: int  # of its inner end, in the raw text


def _head(raw: str, room: int) -> _Part:
    """The first lines, as far as there is room."""
    lines: list[str] = []
    position = 0
    while position < len(raw):
        end = raw.find("\n", position)
        end = len(raw) if end < 0 else end
        line = _shown_line(raw, position, end, room)
        if len(line) >= room:
            if room and (not lines or len(line) > _LONG_LINE // 4):  # rather than to show next to nothing
                lines.append(line[:room])
                position += room
            break
        lines.append(line)
        room -= len(line) + 1
        position = end + 1
    return _Part("\n".join(lines), min(position, len(raw)))


def _tail(raw: str, room: int) -> _Part:
    """The last lines, as far as there is room."""
    lines: list[str] = []
    end = len(raw) - 1 if raw.endswith("\n") else len(raw)
    position = len(raw)
    while end >= 0:
        start = raw.rfind("\n", 0, end) + 1
        line = _shown_line(raw, start, end, room)
        if len(line) >= room:
            if room and (not lines or len(line) > _LONG_LINE // 4):
                lines.append(line[-room:])
                position = end - room
            break
        lines.append(line)
        room -= len(line) + 1
        position, end = start, start - 1
    return _Part("\n".join(reversed(lines)), position)


def _shown_line(raw: str, start: int, end: int, room: int) -> str:
    if end - start <= _LONG_LINE:
        return plain(raw[start:end])
    if "\r" in raw[end - _LONG_LINE : end]:  # a progress bar: what it came to
        return plain(raw[end - _LONG_LINE : end].partition("\r")[2])
    return plain(raw[start : start + _LONG_LINE // 2] + raw[end - _LONG_LINE // 2 : end])


def _overwritten(line: str) -> str:
    """What a terminal shows of a line in which the cursor went back."""
    if "\b" in line:
        line = _rubbed_out(line)
    if "\r" not in line:
        return line
    shown = ""
    for part in reversed(line.split("\r")):  # what was written later hides what was there
        if len(part) > len(shown):
            shown += part[len(shown) :]
    return shown.rstrip(" ") if shown.endswith(" ") else shown


def _rubbed_out(line: str) -> str:
    first, *others = line.split("\b")
    parts = [first]
    for part in others:
        while parts and not parts[-1]:
            parts.pop()
        if parts:
            parts[-1] = parts[-1][:-1]
        parts.append(part)
    return "".join(parts)
