"""Calls whose reply does not reach their client, and which no execution speaks for: what became of them.

A client may cancel while the environment is still being looked at, or the kernel is being restarted; its
assistant is told with the next reply whether anything was done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mcp_types as types

from kernelexec.mcp_server.call import Call
from kernelexec.model.first_line import first_line
from kernelexec.model.text import one_line

_BECAUSE = {
    "cancelled": "was cancelled",
    "timed_out": "was given up by your client, which had waited long enough",
    "disconnected": "lost its connection",
}  # what ends with the hub is asked again of the next one
_TOLD_BY = ("code", "file_path", "filename", "packages", "session", "execution_id")  # the call it was
_LONGEST = 60  # characters of an argument
_VERDICT = 500  # characters


def watch(call: Call, tool: str, arguments: Mapping[str, Any], result: types.CallToolResult) -> None:
    """A call has its reply; if that does not reach its client, the next one says what this one said."""
    if call.execution is None:
        verdict = next((each.text for each in result.content if isinstance(each, types.TextContent)), "")
        said = one_line(verdict.partition("\n")[0])[:_VERDICT]
        call.on_undelivered(_telling(call, tool, arguments, f"before its reply was there, which was: {said}"))


def broken_off(call: Call, tool: str, arguments: Mapping[str, Any]) -> None:
    """A call was cancelled before it had a reply, as its client wished."""
    if call.execution is None:
        done = call.begun or "before it was accepted: nothing of it was run or changed."
        _telling(call, tool, arguments, done)()


def _telling(call: Call, tool: str, arguments: Mapping[str, Any], what: str) -> Callable[[], None]:
    def tell() -> None:
        cancellation = call.cancellation()
        because = _BECAUSE.get(cancellation.kind) if cancellation is not None else None
        if because is not None:
            text = f"{_named(tool, arguments)}, whose reply you did not get, {because} {what}"
            call.hub.unheard.add(call.caller, [text])

    return tell


def _named(tool: str, arguments: Mapping[str, Any]) -> str:
    """`Your call of execute_code ("import pandas ...")`."""
    told = next((arguments[name] for name in _TOLD_BY if arguments.get(name)), None)
    if isinstance(told, list):
        told = ", ".join(map(str, told[:10]))
    words = f' ("{one_line(first_line(str(told), _LONGEST))}")' if told is not None else ""
    return f"Your call of {tool}{words}"
