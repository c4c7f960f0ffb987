"""wait_for_execution: what became of a run."""

from __future__ import annotations

from typing import Annotated

import mcp_types as types
from pydantic import Field

from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.recorded import ExecutionId
from kernelexec.mcp_server.tools.arguments import Arguments, WaitSeconds, Whole
from kernelexec.mcp_server.tools.base import Tool, find_execution, wait_for_end


class WaitForExecution(Arguments):
    execution_id: ExecutionId
    wait_seconds: WaitSeconds = None
    offset: Annotated[
        Annotated[Whole, Field(ge=0)] | None,
        Field(description="Show output from this character on; default: what is new to you."),
    ] = None


async def _wait_for_execution(call: Call, arguments: WaitForExecution) -> types.CallToolResult:
    session, execution = await find_execution(call, arguments.execution_id)
    return await wait_for_end(call, session, execution, arguments.wait_seconds, arguments.offset)


WAIT_FOR_EXECUTION = Tool(
    name="wait_for_execution",
    title="Wait for a run",
    description=(
        "Wait for the end of what goes on after its reply (RUNNING, QUEUED, WAITING FOR INPUT; also a "
        "replay or an installation), and get the output that is new since; or read the outcome of any "
        "earlier run, whoever started it."
    ),
    arguments=WaitForExecution,
    run=_wait_for_execution,
)
