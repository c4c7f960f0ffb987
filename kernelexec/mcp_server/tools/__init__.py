"""The tools: their schemas, their descriptions for a model that has never seen them, their work.

One module for each group of them; `call_tool` is the door.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from kernelexec.mcp_server import given_up, render
from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.faults import reply_to
from kernelexec.mcp_server.patience import Waits
from kernelexec.mcp_server.person import CallAgain, Continuation
from kernelexec.mcp_server.tools.base import Tool
from kernelexec.mcp_server.tools.code import EXECUTE_CODE
from kernelexec.mcp_server.tools.doctor import DIAGNOSE_SETUP
from kernelexec.mcp_server.tools.environments import (
    CONFIGURE_ENVIRONMENT,
    GET_ENVIRONMENT_CONFIG,
    LIST_ENVIRONMENTS,
)
from kernelexec.mcp_server.tools.executions import WAIT_FOR_EXECUTION
from kernelexec.mcp_server.tools.files import (
    APPEND_TO_CODE_FILE,
    EXECUTE_CODE_FILE,
    INITIALIZE_CODE_FILE,
    READ_CODE_FILE,
)
from kernelexec.mcp_server.tools.kernels import (
    INTERRUPT_KERNEL,
    RESTART_KERNEL,
    SEND_INPUT,
    STOP_KERNEL,
    go_on,
)
from kernelexec.mcp_server.tools.notebooks import (
    EDIT_NOTEBOOK,
    OPEN_NOTEBOOK,
    READ_CELLS,
    RUN_CELLS,
)
from kernelexec.mcp_server.tools.outputs import LIST_EXECUTIONS, READ_OUTPUT
from kernelexec.mcp_server.tools.packages import CHECK_INSTALLED_PACKAGES, INSTALL_DEPENDENCIES
from kernelexec.mcp_server.tools.variables import LIST_KERNELS, LIST_VARIABLES
from kernelexec.model.text import plain

_log = logging.getLogger("kernelexec.trace")

TOOLS = {
    tool.name: tool
    for tool in (
        EXECUTE_CODE,
        WAIT_FOR_EXECUTION,
        READ_OUTPUT,
        LIST_EXECUTIONS,
        INITIALIZE_CODE_FILE,
        APPEND_TO_CODE_FILE,
        EXECUTE_CODE_FILE,
        READ_CODE_FILE,
        OPEN_NOTEBOOK,
        READ_CELLS,
        EDIT_NOTEBOOK,
        RUN_CELLS,
        LIST_VARIABLES,
        LIST_KERNELS,
        SEND_INPUT,
        INTERRUPT_KERNEL,
        RESTART_KERNEL,
        STOP_KERNEL,
        INSTALL_DEPENDENCIES,
        CHECK_INSTALLED_PACKAGES,
        CONFIGURE_ENVIRONMENT,
        GET_ENVIRONMENT_CONFIG,
        LIST_ENVIRONMENTS,
        DIAGNOSE_SETUP,
    )
}
# What may be asked again of the next hub, although an earlier one may have begun it: what that accepted is in
# the journal, and goes on.
_GO_ON = {
    tool.name
    for tool in (
        EXECUTE_CODE,
        EXECUTE_CODE_FILE,
        OPEN_NOTEBOOK,
        RUN_CELLS,
        INSTALL_DEPENDENCIES,
        CONFIGURE_ENVIRONMENT,
    )
}
# What is about one session: where an earlier hub has left its kernel, it waits for that one. The others may
# be about any, and wait for all.
_OF_ONE_SESSION = {
    tool.name
    for tool in (
        EXECUTE_CODE,
        WAIT_FOR_EXECUTION,
        EXECUTE_CODE_FILE,
        INITIALIZE_CODE_FILE,
        APPEND_TO_CODE_FILE,
        READ_CODE_FILE,
    )
}
_ENDED = (
    "kernelexec's hub ended before it could answer; a new one has taken over, with all kernels that still "
    "run."
)
_DROPPED = "The link to the other host dropped before it could answer."


@lru_cache(maxsize=16)
def definitions(waits: Waits) -> list[types.Tool]:
    """All tools, as a client is told whose calls wait for so long."""
    return [tool.definition(waits) for tool in TOOLS.values()]


async def call_tool(
    call: Call, name: str, arguments: dict[str, Any], continuation: Continuation | None = None
) -> types.CallToolResult:
    """Run a tool; whatever goes wrong becomes a reply that says so.

    With a `continuation` the client calls again with a person's answer: the tool has done its work before.

    Raises:
        MCPError: there is no such tool.
        CallAgain: the client is to ask the person, and to call again.
        CancelledError: the call was ended by who may: the client, the connection's end, the hub.
    """
    tool = TOOLS.get(name)
    if tool is None:
        raise MCPError(
            types.INVALID_PARAMS, plain(f"Unknown tool: {name[:100]}. There are: {', '.join(TOOLS)}.")
        )
    unknown = tool.arguments.unknown(arguments)
    if unknown:
        call.notes.append(f"Ignored: {', '.join(unknown)}, which {name} does not take.")
    reply = await _reply(call, tool, arguments, continuation)
    _trace(call, name, reply)
    if not tool.read_only:
        given_up.watch(call, name, arguments, reply)
    return _with_notes(reply, [*_unheard(call), *call.notes])


def _trace(call: Call, name: str, reply: types.CallToolResult) -> None:
    """Have the log tell what a call took whose reply is about no submission (else base tells its steps)."""
    about_steps = call.execution is not None and call.execution.steps is not None
    if about_steps or not call.is_traced:
        return
    came, replied = call.request.heard, time.monotonic()

    def log(at: int) -> None:
        took = (time.monotonic() - came) * 1e3
        end = "error" if reply.is_error else "ok"
        _log.info("%s, %s: came 0.0, replied %.1f, told %.1f ms", name, end, (replied - came) * 1e3, took)

    call.request.on_delivered(log)


def _unheard(call: Call) -> list[str]:
    """What became of earlier calls; if this reply does not reach the client either, the next one says it."""
    texts = call.hub.unheard.take(call.caller)
    if texts:
        call.on_undelivered(lambda: call.hub.unheard.add(call.caller, texts))
    return texts


def _why_unknown(call: Call) -> str:
    return _ENDED if call.caller.near is None else _DROPPED


async def _reply(
    call: Call, tool: Tool, arguments: dict[str, Any], continuation: Continuation | None
) -> types.CallToolResult:
    if call.request.waited is not None and not (tool.read_only or tool.name in _GO_ON):
        return render.failure(
            f"UNKNOWN: whether {tool.name} was carried out. {_why_unknown(call)}\n"
            "Look before you repeat it: list_kernels shows the kernels as they are now, list_executions what "
            "was run, read_code_file a code file."
        )
    try:
        if tool.name not in _OF_ONE_SESSION:
            await call.hub.adoption.of_all()
        return await _run(call, tool, arguments, continuation)
    except CallAgain:
        raise
    except (Exception, asyncio.CancelledError) as error:
        reply = reply_to(error, call, tool.name, read_only=tool.read_only)
        if reply is None:
            if not tool.read_only:
                given_up.broken_off(call, tool.name, arguments)
            raise
        return reply


def _with_notes(reply: types.CallToolResult, notes: Sequence[str]) -> types.CallToolResult:
    """What is to be said about the call itself, after the verdict."""
    if notes and isinstance(reply.content[0], types.TextContent):
        verdict, end, rest = reply.content[0].text.partition("\n")
        text = "\n".join([verdict, *map(plain, notes)]) + end + rest
        reply.content[0] = reply.content[0].model_copy(update={"text": text})
    return reply


async def _run(
    call: Call, tool: Tool, arguments: dict[str, Any], continuation: Continuation | None
) -> types.CallToolResult:
    try:
        checked = tool.arguments.model_validate(arguments)
    except ValidationError as error:
        return render.failure(f"{tool.name} was not run, its arguments are wrong.\n{_problems(error, tool)}")
    if continuation is not None:
        return await go_on(call, continuation, getattr(checked, "wait_seconds", None))
    return await tool.run(call, checked)


def _problems(error: ValidationError, tool: Tool) -> str:
    lines = [f"- {'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors()]
    fields = ", ".join(
        name if field.is_required() else f"{name}?" for name, field in tool.arguments.model_fields.items()
    )
    return "\n".join([*lines, f"{tool.name} takes: {fields or 'no arguments'}."])
