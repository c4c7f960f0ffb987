"""Where in a JSON text its values are, to replace one and keep the rest as it is written. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from kernelexec.model.outputs import JSON, is_deeper_than

Span: TypeAlias = tuple[int, int]
Ends: TypeAlias = Mapping[str, Callable[[str, int], int]]

_DEEPEST = 400  # as notebook_format
_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def members(text: str, at: int, ends: Ends | None = None) -> tuple[dict[str, Span], int]:
    """The values of an object's members, and where it ends. Of a name that is there twice the last counts.

    `ends`: what finds the ends of some of these values, by name.
    """
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
        spans[name] = start, (ends or {}).get(name, end_of)(text, start)
        at = after_blank(text, spans[name][1])
        if text[at] == "}":
            return spans, at + 1
        if text[at] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = after_blank(text, at + 1)


def array_end(text: str, at: int, element: Callable[[str, int], int]) -> int:
    """Where the array ends that begins here. `element` is called where each element begins, for its end."""
    at = after_blank(text, at + 1)
    while text[at] != "]":
        at = after_blank(text, element(text, at))
        if text[at] == "]":
            break
        if text[at] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = after_blank(text, at + 1)
        if text[at] == "]":
            raise json.JSONDecodeError("Expecting value", text, at)
    return at + 1


def end_of(text: str, at: int) -> int:
    value, end = _DECODER.raw_decode(text, at)
    may_be_deep = text.count("[", at, end) + text.count("{", at, end) > _DEEPEST  # a look is dear
    if may_be_deep and is_deeper_than(_DEEPEST, value):
        raise RecursionError
    return end


def blank(text: str, at: int = 0) -> str:
    return _BLANK.match(text, at)[0]  # type: ignore[index]


def after_blank(text: str, at: int) -> int:
    return at + len(blank(text, at))


def loaded(text: str) -> JSON:
    value: JSON = json.loads(text)
    return value
