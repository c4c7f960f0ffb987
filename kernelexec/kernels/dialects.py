"""What some kernels of somebody else's say or need otherwise than others. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kernelexec.kernels.wire import Message

_CLASS = re.compile(r"<class '(?:.*\.)?(\w+)'>")  # xeus-python's name of an exception

# By implementation: code that is run silently once the kernel answers. An interrupt is a SIGINT, at which
# xeus-python's library ends the process; Python's own way with it is a KeyboardInterrupt.
_FIRST_CODE = {"xeus-python": "__import__('signal').signal(2, __import__('signal').default_int_handler)"}


def first_request(info: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The execute_request that a kernel which says this of itself needs before all others."""
    code = _FIRST_CODE.get(str(info.get("implementation")))
    if code is None:
        return None
    return {
        "code": code,
        "silent": True,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": False,
    }


def in_plain_words(message: Message) -> Message:
    """The message with the name of an exception as Python's own kernel gives it."""
    found = _CLASS.fullmatch(str(message.content.get("ename", "")))
    return replace(message, content={**message.content, "ename": found[1]}) if found else message
