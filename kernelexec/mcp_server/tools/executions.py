"""wait_for_execution: what became of a run."""

from __future__ import annotations

from typing import Annotated

import mcp_types as types
from pydantic import Field

from kernelexec.errors import BadRequest
from kernelexec.mcp_server.tools.base import Arguments, Call, Tool, WaitSeconds, session_for, wait_for_end
from kernelexec.model.naming import parse_execution_id


class WaitForExecution(Arguments):
    execution_id: Annotated[str, Field(max_length=300, description="For example 'main@default/7'.")]
    wait_seconds: WaitSeconds = None


async def _wait_for_execution(call: Call, arguments: WaitForExecution) -> types.CallToolResult:
    parsed = parse_execution_id(arguments.execution_id)
    if parsed is None:
        raise BadRequest(
            f"{arguments.execution_id!r} is not an execution id.",
            "An id looks like main@default/7; each reply of execute_code begins with one.",
        )
    config = call.caller.config()
    session = call.hub.find(call.caller, parsed[0])
    if session is None and call.hub.has_journal(call.caller, parsed[0]):
        session = await session_for(call, parsed[0])
    if session is None:
        raise BadRequest(
            f"There is no session {parsed[0]} in {config.storage_dir}.",
            f"Sessions there: {call.hub.listed(config)}.",
        )
    execution = session.executions.get(parsed[1])
    return await wait_for_end(call, session, execution, arguments.wait_seconds)


WAIT_FOR_EXECUTION = Tool(
    name="wait_for_execution",
    title="Wait for a run",
    description=(
        "Wait for the end of a run that execute_code left running (its reply began with RUNNING or "
        "QUEUED), or read the outcome of any earlier one. Runs nothing."
    ),
    arguments=WaitForExecution,
    run=_wait_for_execution,
    read_only=True,
)
