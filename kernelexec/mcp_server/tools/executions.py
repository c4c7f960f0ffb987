"""wait_for_execution: what became of a run."""

from __future__ import annotations

from typing import Annotated

import mcp_types as types
from pydantic import Field

from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.tools.base import (
    Arguments,
    Tool,
    WaitSeconds,
    find_execution,
    wait_for_end,
)


class WaitForExecution(Arguments):
    execution_id: Annotated[str, Field(max_length=300, description="For example 'main@default/7'.")]
    wait_seconds: WaitSeconds = None
    offset: Annotated[
        int | None,
        Field(
            ge=0,
            strict=True,
            description="Show output from this character on (default: what is new since your last reply).",
        ),
    ] = None


async def _wait_for_execution(call: Call, arguments: WaitForExecution) -> types.CallToolResult:
    session, execution = await find_execution(call, arguments.execution_id)
    return await wait_for_end(call, session, execution, arguments.wait_seconds, arguments.offset)


WAIT_FOR_EXECUTION = Tool(
    name="wait_for_execution",
    title="Wait for a run",
    description=(
        "Wait for the end of a run that execute_code left running (its reply began with RUNNING or "
        "QUEUED), and get the output that is new since your last reply about it; or read the outcome of "
        "any earlier one, whoever started it. Runs nothing."
    ),
    arguments=WaitForExecution,
    run=_wait_for_execution,
    read_only=True,
)
