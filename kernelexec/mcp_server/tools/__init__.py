"""The tools: their schemas, their descriptions for a model that has never seen them, their work.

One module for each group of them; `call_tool` is the door.
"""

from __future__ import annotations

import asyncio
from typing import Any

import mcp_types as types
from pydantic import ValidationError

from kernelexec.mcp_server import render
from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.faults import reply_to
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
from kernelexec.mcp_server.tools.outputs import LIST_EXECUTIONS, READ_OUTPUT
from kernelexec.mcp_server.tools.packages import CHECK_INSTALLED_PACKAGES, INSTALL_DEPENDENCIES
from kernelexec.mcp_server.tools.variables import LIST_KERNELS, LIST_VARIABLES

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


async def call_tool(
    call: Call, name: str, arguments: dict[str, Any], continuation: Continuation | None = None
) -> types.CallToolResult:
    """Run a tool; whatever goes wrong becomes a reply that says so.

    With a `continuation` the client calls again with a person's answer: the tool has done its work before.

    Raises:
        CallAgain: the client is to ask the person, and to call again.
        CancelledError: the call was ended by who may: the client, the connection's end, the hub.
    """
    tool = TOOLS.get(name)
    if tool is None:
        return render.failure(f"There is no tool {name!r}. The tools are: {', '.join(TOOLS)}.")
    try:
        return await _run(call, tool, arguments, continuation)
    except CallAgain:
        raise
    except (Exception, asyncio.CancelledError) as error:
        reply = reply_to(error, call, name, read_only=tool.read_only)
        if reply is None:
            raise
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
