"""interrupt_kernel, restart_kernel, stop_kernel, and send_input to what runs in one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import mcp_types as types
from pydantic import Field

from kernelexec.errors import BadRequest, KernelexecError, StorageFailed
from kernelexec.mcp_server import render
from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.person import Answer, Continuation
from kernelexec.mcp_server.recorded import ExecutionId
from kernelexec.mcp_server.tools.arguments import Arguments, ExistingSession, Limit, WaitSeconds, Whole
from kernelexec.mcp_server.tools.base import (
    Tool,
    find_execution,
    reply_about,
    said_of_session,
    session_for,
    wait_for_end,
)
from kernelexec.session.session import Session
from kernelexec.system_errors import in_words

T = TypeVar("T")
_INPUT_LIMIT = 1_000_000  # characters
_NOT_YET = (
    " The link to {} is down: the kernel goes on there until the link is back, and is ended then, whatever "
    "it runs by then."
)


class InterruptKernel(Arguments):
    session: ExistingSession = None


class RestartKernel(Arguments):
    session: ExistingSession = None
    replay: Annotated[bool, Field(description="Run again what had succeeded; default false.")] = False
    generation: Annotated[
        Annotated[Whole, Field(ge=1)] | None, Limit(), Field(description="Replay that of this kernel.")
    ] = None
    wait_seconds: WaitSeconds = None


class StopKernel(Arguments):
    session: Annotated[
        str, Field(max_length=200, description="Its name or id, e.g. 'main@default'; list_kernels has them.")
    ]


class SendInput(Arguments):
    execution_id: ExecutionId
    text: Annotated[
        str, Field(max_length=_INPUT_LIMIT, description="As a person would type it; may be empty.")
    ]
    wait_seconds: WaitSeconds = None


async def _interrupt_kernel(call: Call, arguments: InterruptKernel) -> types.CallToolResult:
    session = await _existing(call, arguments.session)
    call.begun = (
        f"when the interrupt had been asked for: list_executions shows what became of {session.id}'s."
    )
    execution = await session.interrupt("Interrupted on request (interrupt_kernel).")
    if execution is None:
        waiting = f", {session.queued} submissions wait" if session.queued else ""
        nothing = f"NOTHING TO INTERRUPT: {session.id} runs nothing now; {session.state}{waiting}."
        return said_of_session(call, session, nothing)
    return await reply_about(call, session, execution)


async def _restart_kernel(call: Call, arguments: RestartKernel) -> types.CallToolResult:
    session = await _existing(call, arguments.session)
    why = "it was restarted on request (restart_kernel)"
    had, lost = session.kernel is not None, session.generations.names.in_brackets()
    is_down = session.kernel is not None and session.kernel.lost is not None
    was_ended = "Its kernel was given up, as its link is down," if is_down else "Its kernel was ended,"
    not_yet = _NOT_YET.format(session.host).lstrip() + " " if is_down else ""
    ended = f"{was_ended} all variables are lost{lost}. {not_yet}" if had else "It had no kernel. "
    is_replay = arguments.replay or arguments.generation is not None
    surroundings = call.caller.surroundings(session)
    if not (is_replay and session.is_joined):
        session.refuse_to_end()
        await call.hub.look_ahead(session, surroundings)
    call.begun = f"while it was carried out, which goes on: list_kernels shows what {session.id} has."
    if is_replay:
        try:
            execution = await _to_its_end(
                session.replay(why, call.caller.environ, call.caller.identity, arguments.generation)
            )
        except StorageFailed as error:
            if session.kernel is not None or not had:
                raise
            return render.failure(
                f"NOT RESTARTED: {session.id}. {ended}Nothing was run again.\n{in_words(error)}"
            )
        if execution is not None:
            return await wait_for_end(call, session, execution, arguments.wait_seconds)
    session.refuse_to_end()
    restarting = asyncio.ensure_future(session.restart_kernel(why, surroundings, by=call.caller.identity))
    restarting.add_done_callback(lambda task: task.cancelled() or task.exception())  # it may go on alone
    limit = call.caller.config().longest_wait_seconds
    await asyncio.wait({restarting}, timeout=limit)
    if not restarting.done():
        return render.said(
            f"RESTARTING: {session.id}. {ended}The new one is still starting; submit code as usual."
        )
    try:
        restarting.result()
    except (KernelexecError, OSError) as error:
        return render.failure(
            f"NOT RESTARTED: {session.id}. {ended}The new one did not start.\n{in_words(error)}"
        )
    goes_on = session.recorder.goes_on_below_a_heading(session.generation)
    heading = ", with a heading where this kernel begins" if goes_on else ""
    again = "Nothing had succeeded that could be run again" if is_replay else "Nothing was run again"
    return said_of_session(
        call,
        session,
        f"RESTARTED: {session.id} has a new kernel, generation {session.generation}, without variables. "
        f"{ended}{again}.\nIts notebook: {session.notebook}{heading}.",
        introduces=True,
    )


async def _stop_kernel(call: Call, arguments: StopKernel) -> types.CallToolResult:
    session = await _existing(call, arguments.session)
    lost, notebook = session.generations.names.in_brackets(), session.notebook
    call.begun = f"while it was carried out, which goes on: list_kernels shows what {session.id} has."
    link_is_down = session.kernel is not None and session.kernel.lost is not None
    not_yet = _NOT_YET.format(session.host) if link_is_down else ""
    why = "it was stopped on request (stop_kernel)"
    if not await _to_its_end(session.stop_kernel(why, by=call.caller.identity)):
        nothing = f"NO KERNEL: {session.id} has no running kernel; nothing was stopped."
        return said_of_session(call, session, nothing)
    return said_of_session(
        call,
        session,
        f"STOPPED: the kernel of {session.id}. All its variables are lost{lost}. What is submitted next "
        f"starts a new one.{not_yet}\nIts notebook stays: {notebook}",
    )


async def _send_input(call: Call, arguments: SendInput) -> types.CallToolResult:
    session, execution = await find_execution(call, arguments.execution_id)
    if execution.question is not None and execution.question.password:
        raise BadRequest(
            f"{execution.id} asks for a password, which must not pass through you.",
            f"Ask the user to type it in a terminal: kernelexec input {execution.id}",
        )
    told = call.caller.told_questions.get(execution.id)
    call.caller.is_told_question(execution)  # also where it is refused: the error tells what is asked now
    session.answer(execution, arguments.text, to=told)
    return await wait_for_end(call, session, execution, arguments.wait_seconds)


async def go_on(call: Call, continuation: Continuation, wait_seconds: float | None) -> types.CallToolResult:
    """The rest of a call whose client has asked the person; the execution goes on, it is not run again."""
    session, execution = await find_execution(call, continuation.execution_id)
    if isinstance(continuation.answer, Answer):
        question = execution.question
        # Another one, where it was answered elsewhere meanwhile, or an earlier hub has given this answer.
        if question is not None and question.name == continuation.question:
            session.answer(execution, continuation.answer.text)
        else:
            call.notes.append("The person's answer came too late for what was asked, and was not used.")
    return await wait_for_end(call, session, execution, wait_seconds)


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """What comes of work that is not left half done, also where its client gives the call up."""
    working = asyncio.ensure_future(work)
    working.add_done_callback(lambda task: task.cancelled() or task.exception())
    return await asyncio.shield(working)


async def _existing(call: Call, name: str | None) -> Session:
    """An open session by its name or id; without one, the caller's own.

    Raises:
        BadRequest: there is none; says which there are.
    """
    if name is None:
        return await session_for(call, None)
    found = [s for s in call.hub.sessions_of(call.caller) if name in (s.id, s.name)]
    if len(found) > 1:
        own = call.caller.environment
        found = [s for s in found if own is not None and s.environment.identity == own.identity] or found
    if len(found) == 1:
        call.concerns(found[0])
        return found[0]
    ids = ", ".join(s.id for s in found) or call.hub.listed(call.caller.config())
    what = "is ambiguous" if found else "is not an open session"
    raise BadRequest(f"{name!r} {what} in {call.caller.config().storage_dir}.", f"Sessions: {ids}.")


INTERRUPT_KERNEL = Tool(
    name="interrupt_kernel",
    title="Interrupt what runs",
    description=(
        "Interrupt what a session's kernel runs, like Ctrl-C. Variables are kept, runs that wait stay "
        "queued. The reply says whether it stopped, or goes on and why."
    ),
    arguments=InterruptKernel,
    run=_interrupt_kernel,
)
RESTART_KERNEL = Tool(
    name="restart_kernel",
    title="Restart the kernel",
    description=(
        "End a session's kernel and start a new one: all variables are lost. With replay=true what had "
        "succeeded is run again in order, up to the first failure."
    ),
    arguments=RestartKernel,
    run=_restart_kernel,
)
STOP_KERNEL = Tool(
    name="stop_kernel",
    title="Stop a kernel",
    description="End a session's kernel, to free its memory. All its variables are lost; its files stay.",
    arguments=StopKernel,
    run=_stop_kernel,
)
SEND_INPUT = Tool(
    name="send_input",
    title="Answer input()",
    description=(
        "Answer what a run asks with input() or pdb (WAITING FOR INPUT), and wait for what comes next. "
        "Never for passwords."
    ),
    arguments=SendInput,
    run=_send_input,
)
