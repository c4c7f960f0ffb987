"""Where in a JSON text its values are, to replace one and keep the rest as it is written. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TypeAlias

from kernelexec.model.outputs import JSON, is_deeper_than

Span: TypeAlias = tuple[int, int]

_DEEPEST = 400  # as notebook_format
_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def members(text: str, at: int) -> tuple[dict[str, Span], int]:
    """The values of an object's members, and where it ends. Of a name that is there twice the last counts."""
    if text[at : at + 1] != "{":
        raise ValueError("Expecting an object")
    spans: dict[str, Span] = {}
    at = after_blank(text, at + 1)
    if text[at] == "}":
        return spans, at + 1
    while True:
        if text[at] != '"':
            raise json.JSONDecodeError("Expecting property name", text, at)
        name, at = _DECODER.raw_decode(text, at)
        at = after_blank(text, at)
        if text[at] != ":":
            raise json.JSONDecodeError("Expecting ':' delimiter", text, at)
        start = after_blank(text, at + 1)
        spans[name] = start, end_of(text, start)
        at = after_blank(text, spans[name][1])
        if text[at] == "}":
            return spans, at + 1
        if text[at] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = after_blank(text, at + 1)


def elements(text: str, at: int) -> Iterator[Span]:
    """Where the elements of the array are whose `[` is just before."""
    at = after_blank(text, at)
    while text[at] != "]":
        end = end_of(text, at)
        yield at, end
        at = after_blank(text, end)
        if text[at] == "]":
            return
        if text[at] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = after_blank(text, at + 1)
        if text[at] == "]":
            raise json.JSONDecodeError("Expecting value", text, at)


def end_of(text: str, at: int) -> int:
    value, end = _DECODER.raw_decode(text, at)
    if is_deeper_than(_DEEPEST, value):
        raise RecursionError
    return end


def blank(text: str, at: int = 0) -> str:
    return _BLANK.match(text, at)[0]  # type: ignore[index]


def after_blank(text: str, at: int) -> int:
    return at + len(blank(text, at))


def loaded(text: str) -> JSON:
    value: JSON = json.loads(text)
    return value
