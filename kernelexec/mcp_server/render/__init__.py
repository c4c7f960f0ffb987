"""Replies as the assistant reads them: the verdict first, then what happened, then the output."""

from __future__ import annotations

import mcp_types as types

from kernelexec.caller import Caller
from kernelexec.mcp_server.render.body import blocks_of, body, where
from kernelexec.mcp_server.render.verdict import opening
from kernelexec.model.execution import Execution, State
from kernelexec.model.text import plain
from kernelexec.session import Session

TEXT_LIMIT = 10_000  # characters; one client keeps 12,000, others more
_FAILED = (State.ERROR, State.DIED, State.NOT_RUN)


async def execution_result(execution: Execution, session: Session, caller: Caller) -> types.CallToolResult:
    """The reply to execute_code and wait_for_execution."""
    blocks, images = blocks_of(execution)
    head = "\n".join(opening(execution, session, caller))
    text = plain(head + body(blocks, TEXT_LIMIT - len(head), where(execution, session)))
    content: list[types.ContentBlock] = [types.TextContent(text=text), *images]
    return types.CallToolResult(
        content=content,
        is_error=execution.state in _FAILED and not images,
        _meta={
            "kernelexec/execution": execution.id,
            "kernelexec/state": execution.state.value,
            "kernelexec/execution_count": execution.execution_count,
        },
    )


def failure(what: str) -> types.CallToolResult:
    """The reply to a call that could not be served; nothing was run."""
    return types.CallToolResult(content=[types.TextContent(text=plain(what))], is_error=True)
