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


def _of(*kinds: type) -> _Check:
    return lambda value: isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _is_moment(value: object) -> bool:
    """With its zone: moments are compared."""
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_numbers(value: object) -> bool:
    return isinstance(value, list) and all(map(_NUMBER, value))


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
    return texts and all(_NUMBER(value.get(name)) for name in ("size", "left_out"))


def _is_metadata(value: object) -> bool:
    """Of a notebook; what is ours in it and Jupyter's are objects."""
    objects = ("kernelexec", "kernelspec", "language_info")
    return isinstance(value, dict) and all(isinstance(value.get(name, {}), dict) for name in objects)


_TEXT, _NUMBER, _OBJECT, _LIST = _of(str), _of(int), _of(dict), _of(list)
_MAYBE_TEXT, _MAYBE_NUMBER = _of(str, NoneType), _of(int, NoneType)
_MAYBE_MOMENT: _Check = lambda value: value is None or _is_moment(value)  # noqa: E731

# By the field's name, which means the same in each event that has it.
_TYPES: dict[str, _Check] = {
    **dict.fromkeys(("n", "generation", "revision", "s", "number"), _NUMBER),
    **dict.fromkeys(("within", "count"), _MAYBE_NUMBER),
    **dict.fromkeys(
        ("code", "msg_id", "type", "state", "kind", "cause", "why", "file", "path", "comm"), _TEXT
    ),
    **dict.fromkeys(("label", "note", "script", "source", "problem", "error", "lost", "caller"), _MAYBE_TEXT),
    **dict.fromkeys(("client", "directory", "by", "parent", "request", "cell", "after"), _MAYBE_TEXT),
    **dict.fromkeys(("kernel_id", "project", "environment", "begun"), _MAYBE_TEXT),
    **dict.fromkeys(("content", "limits", "described"), _OBJECT),
    **dict.fromkeys(("buffers", "names"), _LIST),
    **dict.fromkeys(("numbers", "changed"), _is_numbers),
    **dict.fromkeys(("started", "finished"), _MAYBE_MOMENT),
    "outputs": _is_objects,
    "time": _is_moment,
    "began": _is_pairs,
    "trusted": _is_version,
    "timing": _is_times,
    "overflow": _is_overflow,
    "notebook_metadata": _is_metadata,
    "max_seconds": _of(int, float, NoneType),
}
_OF_EVENTS: dict[str, dict[str, _Check]] = {
    "kernel": {"notebook": _NUMBER},
    "overflow": {"overflow": _OBJECT},
}


def is_whole(record: Mapping[str, Any]) -> bool:
    """Whether it is an event with all that readers rely on."""
    event = record.get("event")
    if not isinstance(event, str) or not all(name in record for name in _FIELDS.get(event, ())):
        return False
    own = _OF_EVENTS.get(event, {})
    return all(_TYPES[name](value) for name, value in record.items() if name in _TYPES) and all(
        check(record[name]) for name, check in own.items() if name in record
    )
