"""Replies as the assistant reads them: the verdict first, then what happened, then the output.

- `verdict` (what is said first), `hints` and `import_hints` (what to do about an error), `lost_names`
  (which run had made one), `transcripts`, `body` (the output) with its `bars`, `meanwhile` (what came into
  earlier cells), `images`, `drawings` with their `drawing_program`: about an execution.
- `cells_text`, `config_text`, `kernels_text`, `summary_text`, `variables_text`: the replies of the tools that
  look; `news`, what they tell besides.
"""

from __future__ import annotations

import asyncio

import mcp_types as types

from kernelexec.hub.caller import Caller
from kernelexec.mcp_server.render.body import body, how_to_read
from kernelexec.mcp_server.render.hints import hints_on
from kernelexec.mcp_server.render.images import pictures_of
from kernelexec.mcp_server.render.meanwhile import meanwhile
from kernelexec.mcp_server.render.transcripts import transcript
from kernelexec.mcp_server.render.verdict import opening
from kernelexec.model.execution import Execution, Kind, State
from kernelexec.model.text import plain
from kernelexec.model.transcript import Transcript
from kernelexec.session.session import Session

TEXT_LIMIT = 10_000  # characters; one client keeps 12,000, others more
_LONG = 200_000  # characters; bars in more than that take milliseconds to fold, which a thread does
_FAILED = (State.ERROR, State.DIED, State.NOT_RUN)


async def execution_result(
    execution: Execution,
    session: Session,
    caller: Caller,
    offset: int | None = None,
    reply: int | None = None,
) -> types.CallToolResult:
    """The reply to execute_code and wait_for_execution.

    Its output begins at `offset` of the transcript; without one where the caller's last reply about a run
    that went on ended, else at the beginning. `reply` names it among those of the caller's connection.
    """
    text = await transcript(session, execution)
    since = caller.seen.get(execution.id, 0) if offset is None else offset
    since = 0 if since > text.end else since  # it was cleared meanwhile
    is_told = execution.kind is Kind.INSTALL and execution.state is State.OK and offset is None
    since = text.end if is_told else since  # what the installer printed says less, at length
    storage_dir = session.recorder.storage_dir
    new = [piece for piece in text.pieces if piece.end > since]
    pictures = await pictures_of(new, execution.id, storage_dir)
    hints = await hints_on(execution, session, caller)
    lines = opening(execution, session, caller, hints, reply)
    lines += _printed(text, execution) if is_told else _seen_already(text, since, execution)
    lines += [f"Pictures: {note}." for note in pictures.notes]
    head = "\n".join(lines)
    others = session.meanwhile(caller.identity, execution, reply) if not caller.gone else []
    late = meanwhile(session.id, others) if others else ""
    limit = TEXT_LIMIT - len(head) - len(late)
    if sum(len(piece.text) for piece in text.pieces) > _LONG:
        output = await asyncio.to_thread(body, text, limit, since, execution.id, storage_dir)
    else:
        output = body(text, limit, since, execution.id, storage_dir)
    shown = plain(head) + output + late
    _remember(caller, execution, text)
    content: list[types.ContentBlock] = [types.TextContent(text=shown), *pictures.content]
    return types.CallToolResult(
        content=content,
        is_error=execution.state in _FAILED and not pictures.content,
        _meta={
            "kernelexec/execution": execution.id,
            "kernelexec/state": execution.state.value,
            "kernelexec/execution_count": execution.execution_count,
        },
    )


def _seen_already(text: Transcript, since: int, execution: Execution) -> list[str]:
    if not since:
        return []
    what = "New output since your last reply about it" if text.settled_end > since else "No new output"
    return [f"{what}; all of it: {how_to_read(execution.id, 0)}"]


def _printed(text: Transcript, execution: Execution) -> list[str]:
    return [f"All that the installer printed: {how_to_read(execution.id, 0)}"] if text.end else []


def _remember(caller: Caller, execution: Execution, text: Transcript) -> None:
    """What has been shown of a run that goes on. Of one that ended, who asks again is shown all."""
    if execution.is_final:
        caller.seen.pop(execution.id, None)
    else:
        caller.seen[execution.id] = text.settled_end


def said(text: str) -> types.CallToolResult:
    """A reply in words."""
    return types.CallToolResult(content=[types.TextContent(text=plain(text))])


def failure(what: str) -> types.CallToolResult:
    """The reply to a call that could not be served; nothing was run."""
    return types.CallToolResult(content=[types.TextContent(text=plain(what))], is_error=True)
