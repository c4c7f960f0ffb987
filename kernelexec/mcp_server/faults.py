"""Whatever goes wrong in a tool or a resource, as what the client is told. The one place for it.

What was raised on purpose says itself what to do. All else should not have happened: it is logged with its
traceback, and told as what it is, so that one call's fault is neither a lie nor the end of a connection.
"""

from __future__ import annotations

import asyncio
import logging
import sys

import mcp_types as types
from mcp.shared.exceptions import MCPError

from kernelexec.errors import KernelexecError, NotFound
from kernelexec.kernels.kernel import Death
from kernelexec.mcp_server import render
from kernelexec.mcp_server.call import Call
from kernelexec.model.text import one_line, plain
from kernelexec.system_errors import in_words

_log = logging.getLogger(__name__)

_LONGEST = 500  # characters of what an exception says
_SETUP = "diagnose_setup checks folders and disk space."


def reply_to(
    error: BaseException, call: Call, tool: str, *, read_only: bool = False
) -> types.CallToolResult | None:
    """The reply of a tool that raised this; None for the end that somebody asked for, which is to go on."""
    if isinstance(error, KernelexecError):
        if call.execution is None:
            return render.failure(f"{tool} was not run. {error}")
        return render.failure(f"{tool} has no reply. {error}\n{_what_became(call, read_only)}")
    told = _explained(error, call, tool)
    return None if told is None else render.failure(f"{told}\n{_what_became(call, read_only)}")


def protocol_error(error: BaseException, call: Call, what: str) -> MCPError | None:
    """The error that answers a request without a reply of its own; None as above.

    Clients show "not found, it may have been deleted" for the code of wrong parameters and the text of an
    internal error, so all that is not simply missing is one. (-32000 means a closed connection to some.)
    """
    if isinstance(error, KernelexecError):
        missing = isinstance(error, NotFound)
        return MCPError(types.INVALID_PARAMS if missing else types.INTERNAL_ERROR, plain(str(error)))
    told = _explained(error, call, what)
    return (
        MCPError(types.INTERNAL_ERROR, plain(f"{told}\nIt can be asked for again."))
        if told is not None
        else None
    )


def _explained(error: BaseException, call: Call, what: str) -> str | None:
    """What happened to `what`, for the assistant; in the log too. None: an end that was asked for."""
    if isinstance(error, asyncio.CancelledError):
        if call.cancellation() is not None or _is_being_cancelled():
            return None
        _log.error("%s was cancelled, and nobody had asked for that", what, exc_info=error)
        return _broken_off(call, what)
    _log.error("%s failed", what, exc_info=error)
    if isinstance(error, OSError) and error.errno is not None:  # without a number it is no file's
        return f"{what} failed. {in_words(error)} {_SETUP}"
    said = one_line(str(error))[:_LONGEST]
    named = type(error).__name__ + (f": {said}" if said else "")
    return f"A fault in kernelexec: {what} met {named}; its log has more (kernelexec ps names it)."


def _is_being_cancelled() -> bool:
    """Whether the task itself is to end, and not only what it waited for. Python 3.10 does not know."""
    if sys.version_info < (3, 11):
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _broken_off(call: Call, what: str) -> str:
    death = _death(call)
    if death is None or call.session is None:
        return (
            f"A fault in kernelexec: {what} was broken off, and nobody had asked for that; "
            "its log has more (kernelexec ps names it). list_kernels shows what runs."
        )
    return (
        f"{what} was broken off: the kernel of {call.session.id} ended while it was asked "
        f"({death.cause}). Its variables are lost. list_kernels shows what runs now."
    )


def _death(call: Call) -> Death | None:
    """How the kernel ended that the call had to do with, if it did."""
    died = call.kernel.died if call.kernel is not None else None
    return died.result() if died is not None and died.done() and not died.cancelled() else None


def _what_became(call: Call, read_only: bool) -> str:
    """Whether the code was accepted, and what to do next."""
    execution = call.execution
    if execution is not None:
        state = f"has ended ({execution.state.value})" if execution.is_final else "was accepted and goes on"
        how = f'wait_for_execution(execution_id="{execution.id}")'
        return f"{execution.id} {state}, do not submit it again; its outcome: {how}"
    if read_only:
        return "Nothing was run; it can be called again."
    return (
        "It may have been done in part or not at all: look before you repeat it "
        "(list_executions, list_kernels)."
    )
