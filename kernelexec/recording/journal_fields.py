"""What readers rely on in a journal's lines: which fields each event has, and of which type. Pure.

A line that is otherwise was changed by hand or written by another version, and is no event: one line that
nobody understands must not cost a session its past.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import NoneType
from typing import Any

_FIELDS = {
    "submitted": ("n", "generation", "code", "time", "label", "note", "script"),
    "sent": ("n", "msg_id"),
    "output": ("n", "type", "content"),
    "overflow": ("n", "overflow"),
    "finished": ("n", "state", "problem", "execution_count", "started", "finished", "timing", "overflow"),
    "written": ("numbers", "time"),
    "kernel": ("generation", "notebook_metadata", "time"),
    "begun": ("n",),
    "other": ("time",),
    "other_ended": ("outputs",),
    "aborted": ("n",),
    "interrupt_asked": ("n", "why"),
    "died": ("cause", "time"),
    "adopted": ("generation",),
    "caller": ("caller", "client", "directory"),
    "reply_lost": ("caller", "n", "why"),
    "set_aside": ("file",),
    "notebook": ("path", "by"),
    "comm": ("content", "buffers"),
    "captured": ("comm", "type", "content"),
}

_Check = Callable[[Any], bool]


def _is_moment(value: object) -> bool:
    """With its zone: moments are compared."""
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_numbers(value: object) -> bool:
    return isinstance(value, list) and all(type(each) is int for each in value)


def _is_pairs(value: object) -> bool:
    return isinstance(value, list) and all(_is_numbers(pair) and len(pair) == 2 for pair in value)


def _is_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _is_version(value: object) -> bool:
    """Of a file (see ledger.Ledger.trusted)."""
    return value is None or (isinstance(value, list) and len(value) == 3 and _is_numbers(value))


def _is_times(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(moment, str) for moment in value.values())


def _is_overflow(value: object) -> bool:
    if not isinstance(value, dict):
        return value is None
    texts = all(isinstance(value.get(name), str) for name in ("file", "tail"))
    return texts and all(type(value.get(name)) is int for name in ("size", "left_out"))


def _is_metadata(value: object) -> bool:
    """Of a notebook; what is ours in it and Jupyter's are objects."""
    objects = ("kernelexec", "kernelspec", "language_info")
    return isinstance(value, dict) and all(isinstance(value.get(name, {}), dict) for name in objects)


_TEXT, _NUMBER, _OBJECT, _LIST = frozenset({str}), frozenset({int}), frozenset({dict}), frozenset({list})
_MAYBE_TEXT, _MAYBE_NUMBER = _TEXT | {NoneType}, _NUMBER | {NoneType}

# By the field's name, which means the same in each event that has it. Exactly these types: what is read from
# JSON has no others, True is no number, and a long journal has a million fields.
_TYPES: dict[str, frozenset[type]] = {
    **dict.fromkeys(("n", "generation", "revision", "s", "number"), _NUMBER),
    **dict.fromkeys(("within", "count"), _MAYBE_NUMBER),
    **dict.fromkeys(("code", "msg_id", "type", "state", "kind", "cause"), _TEXT),
    **dict.fromkeys(("why", "file", "path", "comm"), _TEXT),
    **dict.fromkeys(("label", "note", "script", "source", "problem", "error", "lost", "caller"), _MAYBE_TEXT),
    **dict.fromkeys(("client", "directory", "by", "parent", "request", "cell", "after"), _MAYBE_TEXT),
    **dict.fromkeys(("kernel_id", "project", "environment", "begun"), _MAYBE_TEXT),
    **dict.fromkeys(("content", "limits", "described"), _OBJECT),
    **dict.fromkeys(("buffers", "names"), _LIST),
    "max_seconds": _MAYBE_NUMBER | {float},
}
_CHECKS: dict[str, _Check] = {
    "time": _is_moment,
    "started": lambda value: value is None or _is_moment(value),
    "finished": lambda value: value is None or _is_moment(value),
    "timing": _is_times,
    "overflow": _is_overflow,
    "numbers": _is_numbers,
    "changed": _is_numbers,
    "began": _is_pairs,
    "trusted": _is_version,
    "outputs": _is_objects,
    "notebook_metadata": _is_metadata,
}
_OF_EVENTS: dict[str, dict[str, frozenset[type]]] = {
    "kernel": {"notebook": _NUMBER},
    "overflow": {"overflow": _OBJECT},
}
_NOTHING: dict[str, frozenset[type]] = {}


def is_whole(record: Mapping[str, Any]) -> bool:
    """Whether it is an event with all that readers rely on."""
    event = record.get("event")
    if not isinstance(event, str):
        return False
    for name in _FIELDS.get(event, ()):
        if name not in record:
            return False
    own = _OF_EVENTS.get(event, _NOTHING)
    for name, value in record.items():
        types = own.get(name) or _TYPES.get(name)
        if types is not None and type(value) not in types:
            return False
        check = _CHECKS.get(name)
        if check is not None and not check(value):
            return False
    return True
