"""list_variables and list_kernels: what there is now. Neither waits for a running cell."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import mcp_types as types
from pydantic import Field

from kernelexec.errors import BadRequest
from kernelexec.mcp_server import render
from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.render.kernels_text import describe_kernels
from kernelexec.mcp_server.render.variables_text import describe_variables
from kernelexec.mcp_server.tools.arguments import Arguments, SessionName
from kernelexec.mcp_server.tools.base import Tool, said_of_session, session_for
from kernelexec.model.quantities import local_time
from kernelexec.session.session import Session

_MOST = 100  # variables in a reply
_SAMPLE_SECONDS = 0.2  # over which the use of the processor is measured


class ListVariables(Arguments):
    session: SessionName = None
    pattern: Annotated[
        str | None,
        Field(max_length=200, description="Part of a name, or like 'df*' with * and ?."),
    ] = None


class ListKernels(Arguments):
    pass


async def _list_variables(call: Call, arguments: ListVariables) -> types.CallToolResult:
    session = await session_for(call, arguments.session)
    if not session.environment.is_python:
        raise BadRequest(
            f"list_variables knows Python only, and {session.id} runs {session.environment.runs}.",
            "Ask with code of that language instead, through execute_code.",
        )
    kernel = session.kernel
    if kernel is None:
        why = "" if session.state == "no kernel" else f" ({session.state})"
        now = f"{session.id} has no kernel now{why}"
        return said_of_session(call, session, f"NO VARIABLES: {now}; the next execute_code starts one.")
    busy = session.current is not None
    found = await kernel.variables(arguments.pattern or "", _MOST, busy=busy)
    if kernel.died.done() and (found is None or found.is_old):
        cause = kernel.died.result().cause
        return said_of_session(
            call,
            session,
            f"NO VARIABLES: the kernel of {session.id} ended while it was asked ({cause}), and its variables "
            "are lost; the next execute_code starts a new one.",
        )
    if found is None:
        raise BadRequest(*_no_answer(session))
    return said_of_session(call, session, describe_variables(session, found, arguments.pattern))


def _no_answer(session: Session) -> tuple[str, str]:
    """Why there are none, and what to do."""
    over = "wait_for_execution tells when the run is over."
    doing = f"runs {session.current.id} and " if session.current else ""
    if session.kernel is not None and session.kernel.is_stopped:
        return f"The kernel of {session.id} is stopped (a signal or a debugger stopped its process).", over
    lost = session.kernel.lost if session.kernel is not None else None
    if lost is not None:
        since = f"has been down since {local_time(lost.since)}: {lost.why}"
        return (
            f"The link to the kernel of {session.id} {since} Its variables are not lost by that.",
            f"Ask again once it is up. {lost.next_step}".rstrip(),
        )
    busy = (
        f"The kernel of {session.id} {doing}does not answer: it is busy in native code, or cannot tell its "
        "variables while it runs. Its variables are not lost."
    )
    return busy, over


async def _list_kernels(call: Call, arguments: ListKernels) -> types.CallToolResult:
    config = call.caller.config()
    sessions = call.hub.sessions
    load = dict(zip(sessions, await asyncio.gather(*map(_load, sessions)), strict=True))
    # No news here: it is a glance at all sessions, which shows their state itself. Who took one must not be
    # taken for told what is lost in one of them, and have its next submission run in a kernel without it.
    return render.said(describe_kernels(load, config, call.hub.lost_kernels.all()))


async def _load(session: Session) -> float | None:
    """The processors that its kernel uses now; None: that is not known."""
    before, began = await _cpu_seconds(session), time.monotonic()
    if before is None:
        return None
    await asyncio.sleep(_SAMPLE_SECONDS)
    after = await _cpu_seconds(session)
    return None if after is None else max(0.0, (after - before) / (time.monotonic() - began))


async def _cpu_seconds(session: Session) -> float | None:
    kernel = session.kernel
    if kernel is None or kernel.where is None:
        return kernel.cpu_seconds() if kernel is not None else None
    if kernel.lost is not None:
        return None
    used = (await kernel.look("")).usage  # it alone can tell
    return used.cpu if used is not None else None


LIST_VARIABLES = Tool(
    name="list_variables",
    title="List variables",
    description=(
        "The variables of a session's Python kernel: name, type, shape or length, memory, a short "
        "preview; then modules, functions and classes. Works while a cell runs: use it instead of "
        "printing things."
    ),
    arguments=ListVariables,
    run=_list_variables,
)
LIST_KERNELS = Tool(
    name="list_kernels",
    title="List sessions and kernels",
    description=(
        "All sessions in your storage directory, with their kernels: environment, idle or busy and since "
        "when, memory, processor, notebook."
    ),
    arguments=ListKernels,
    run=_list_kernels,
)
