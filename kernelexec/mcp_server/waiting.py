"""Waiting for an execution as long as a call may: progress is told, and what the code asks is answered."""

from __future__ import annotations

import asyncio

from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.person import first_answer, is_secret
from kernelexec.model.execution import Execution, Kind, State
from kernelexec.model.text import plain
from kernelexec.recording.journal import now
from kernelexec.session.session import Session

_QUIET_SECONDS = 0.5  # most calls end before: nothing is told of those
# What a model in a converter's strict mode sends for "left out" is 0: most runs have ended by then.
_AT_ONCE_SECONDS = 0.2
_PAUSE_SECONDS = 0.3  # between two progress notifications
_KEEP_ALIVE_SECONDS = 5.0  # some clients give up after 60 s without progress
_LINE = 200  # characters


async def wait(call: Call, session: Session, execution: Execution, seconds: float) -> None:
    """Until the execution has ended, or asks what nobody here answers, or this time is over.

    Raises:
        CallAgain: the client is to ask the person.
    """
    seconds = max(seconds, _AT_ONCE_SECONDS)
    deadline = asyncio.get_running_loop().time() + seconds
    if await session.executions.wait(execution, min(seconds, _QUIET_SECONDS)) and not execution.question:
        return
    telling = asyncio.create_task(_tell(call, session, execution))
    try:
        while True:
            left = deadline - asyncio.get_running_loop().time()
            await session.executions.wait(execution, max(left, 0))
            if not execution.question or not await _ask(call, session, execution, deadline):
                return
    finally:
        telling.cancel()


async def _ask(call: Call, session: Session, execution: Execution, deadline: float) -> bool:
    """Whether what the code asks has been answered, here or elsewhere."""
    question = execution.question
    if question is None:
        return True
    left = deadline - asyncio.get_running_loop().time()
    if is_secret(question) or left <= 0:
        return False
    asked = asyncio.create_task(call.person.ask(execution, question))
    answered = asyncio.create_task(session.executions.wait_for_answer(execution, left))
    answer = await first_answer(asked, answered)
    if execution.question is not question:
        return True
    if answer is None:
        return False
    session.answer(execution, answer)
    return True


async def _tell(call: Call, session: Session, execution: Execution) -> None:
    """Progress: the last line of output when there is more, and something every few seconds."""
    with session.executions.listening(execution) as heard:
        while not execution.is_final:
            await call.report(plain(_line(session, execution)))
            await asyncio.sleep(_PAUSE_SECONDS)
            try:
                await asyncio.wait_for(heard.wait(), _KEEP_ALIVE_SECONDS)
            except (asyncio.TimeoutError, TimeoutError):
                continue
            heard.clear()


def _line(session: Session, execution: Execution) -> str:
    if execution.state is State.QUEUED and execution.kind is Kind.INSTALL:
        return "waiting for another installation in this environment"
    if execution.state is State.QUEUED:
        first = session.current
        return f"waiting for {first.id}" if first else (session.status or "waiting")
    if execution.question:
        return f"waiting for input: {execution.question.prompt}"[:_LINE]
    lines = [line for line in plain(execution.last_text).splitlines() if line.strip()]
    if lines:
        return lines[-1][-_LINE:]
    began = execution.started or execution.submitted
    return f"running for {(now() - began).total_seconds():.0f} s, no output yet"
