"""Some of a long text, made plain: its head and its tail, within a limit. Pure.

Positions are characters of the raw text, so that what comes later moves none. Where text goes back to earlier
lines (bars that redraw, a cursor that goes up), what is excerpted is not the raw lines but what they came to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kernelexec.model.screen import Stretch
from kernelexec.model.terminal import moves, moves_across_lines, stretches
from kernelexec.model.text import plain, without_controls

_LONG_LINE = 20_000  # characters; of a longer one only the part that is shown is looked at


def clip(text: str, limit: int, where: str) -> str:
    """At most about `limit` characters: head and tail, cut at line ends, and what was left out.

    `where` says how to get the rest.
    """
    return excerpt(text, limit, lambda _: where)


def plain_from(raw: str, start: int) -> str:
    """What of the raw text is new from a position on, made plain: lines that were changed are new, too."""
    if not start:
        return plain(raw)
    if moves_across_lines(raw):
        return "\n".join(without_controls(stretch.text) for stretch in stretches(raw, start))
    end = raw.find("\n", start)
    end = len(raw) if end < 0 else end
    return _rest_of_line(raw, start, end) + plain(raw[end:])


def excerpt(raw: str, limit: int, where: Callable[[int], str], start: int = 0) -> str:
    """Raw text from `start` on made plain, at most about `limit` characters: head and tail, cut at line ends.

    Looks only at what it shows, however long the text is. `where` says how to get the rest, which
    begins at the given character of `raw`.
    """
    if len(raw) - start <= 4 * limit + _LONG_LINE:
        text = plain_from(raw, start)
        if len(text) <= limit:
            return text
    room = max(0, limit - len(where(len(raw))) - 50)  # for the line in between
    if moves_across_lines(raw):
        found = [_changed(stretch) for stretch in stretches(raw, start)]
        if sum(len(line.text) + 1 for line in found) <= limit:
            return "\n".join(line.text for line in found)
        first, last = iter(found), reversed(found)
    else:
        first, last = _lines(raw, start), _last_lines(raw, start)
    head = _head(first, start, room * 2 // 3)
    tail = _tail(last, len(raw), room // 3)
    if head.position >= tail.position:  # it was long only before it was made plain
        return f"{head.text}\n{plain_from(raw, head.position)[:limit]}"
    left_out = tail.position - head.position
    return f"{head.text}\n[... {left_out:,} characters left out; {where(head.position)} ...]\n{tail.text}"


@dataclass(frozen=True)
class _Line:
    text: str
    start: int
    end: int  # after its newline
    can_be_cut: bool = True  # a position within the text is one in the raw text


@dataclass(frozen=True)
class _Part:
    text: str
    position: int  # of its inner end, in the raw text


def _changed(stretch: Stretch) -> _Line:
    is_as_it_came = 0 <= stretch.end - stretch.start - len(stretch.text) <= 1
    return _Line(without_controls(stretch.text), stretch.start, stretch.end, is_as_it_came)


def _head(lines: Iterator[_Line], start: int, room: int) -> _Part:
    """The first lines, as far as there is room."""
    shown: list[str] = []
    position = start
    for line in lines:
        if len(line.text) >= room:
            if room and (not shown or len(line.text) > _LONG_LINE // 4):  # rather than next to nothing
                shown.append(line.text[:room])
                position += room if line.can_be_cut else 0
            break
        shown.append(line.text)
        room -= len(line.text) + 1
        position = line.end
    return _Part("\n".join(shown), position)


def _tail(lines: Iterator[_Line], end: int, room: int) -> _Part:
    """The last lines, as far as there is room."""
    shown: list[str] = []
    position = end
    for line in lines:
        if len(line.text) >= room:
            if room and (not shown or len(line.text) > _LONG_LINE // 4):
                shown.append(line.text[-room:])
                position = line.end - room if line.can_be_cut else line.start
            break
        shown.append(line.text)
        room -= len(line.text) + 1
        position = line.start
    return _Part("\n".join(reversed(shown)), position)


def _lines(raw: str, start: int) -> Iterator[_Line]:
    """From the first on."""
    while start < len(raw):
        end = raw.find("\n", start) + 1 or len(raw)
        yield _Line(_rest_of_line(raw, start, end), start, end)
        start = end


def _last_lines(raw: str, start: int) -> Iterator[_Line]:
    """From the last one back to where it starts."""
    end = len(raw)
    while end > start:
        begin = max(start, raw.rfind("\n", 0, end - 1) + 1)
        yield _Line(_rest_of_line(raw, begin, end), begin, end)
        end = begin


def _rest_of_line(raw: str, start: int, end: int) -> str:
    """What a line shows from here on; all of it where the rest goes back over what came before."""
    if raw.endswith("\n", start, end):
        end -= 1
    if end - start > _LONG_LINE:
        return _of_long_line(raw, start, end)
    begin = max(raw.rfind("\n", 0, start) + 1, start - _LONG_LINE)
    if begin < start and moves(raw[start:end]):
        return without_controls("".join(stretch.text for stretch in stretches(raw[begin:end], start - begin)))
    return plain(raw[start:end])


def _of_long_line(raw: str, start: int, end: int) -> str:
    if "\r" in raw[end - _LONG_LINE : end]:  # a progress bar: what it came to
        return plain(raw[end - _LONG_LINE : end].partition("\r")[2])
    return plain(raw[start : start + _LONG_LINE // 2] + raw[end - _LONG_LINE // 2 : end])
