"""Waiting for an execution as long as a call may: progress is told, and what the code asks is answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.person import Answer, NoAnswer
from kernelexec.model.execution import Execution, Kind, Question, State
from kernelexec.model.quantities import readable_seconds
from kernelexec.model.text import plain
from kernelexec.recording.journal import now
from kernelexec.session.session import Session

_log = logging.getLogger(__name__)

_QUIET_SECONDS = 0.5  # most calls end before: nothing is told of those
_PAUSE_SECONDS = 0.3  # between two progress notifications
_KEEP_ALIVE_SECONDS = 5.0  # some clients give up after 60 s without progress
_LINE = 200  # characters


async def wait(call: Call, session: Session, execution: Execution, seconds: float) -> None:
    """Until the execution has ended, or asks what nobody here answers, or this time is over.

    Where nobody answered though a person was asked, the call's notes say so.

    Raises:
        CallAgain: the client is to ask the person.
    """
    clock = _Clock(seconds)
    if await session.executions.wait(execution, min(seconds, _QUIET_SECONDS)) and not execution.question:
        return
    telling = asyncio.create_task(_tell(call, session, execution))
    looking = asyncio.create_task(session.stillness(execution, clock.left()))
    try:
        while True:
            await session.executions.wait(execution, clock.left())
            if not execution.question or not await _ask(call, session, execution, clock):
                return
    finally:
        telling.cancel()
        looking.cancel()
        if looking.done() and not (execution.is_final or execution.question or execution.interrupt):
            call.notes += _found(looking)


def _found(looking: asyncio.Task[str | None]) -> list[str]:
    """What a look at the run has found; that it failed must not cost the reply."""
    if looking.exception() is not None:
        _log.error("a look at a run that goes on has failed", exc_info=looking.exception())
        return []
    still = looking.result()
    return [] if still is None else [still]


class _Clock:
    """The time that a call has, without what its client does not count."""

    def __init__(self, seconds: float) -> None:
        self._deadline = self._now() + seconds

    def left(self) -> float:
        return max(self._deadline - self._now(), 0.0)

    @contextmanager
    def standing_still(self, longest: float) -> Iterator[None]:
        """While a form is open, for so long at most."""
        began = self._now()
        try:
            yield
        finally:
            self._deadline += min(self._now() - began, longest)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


async def _ask(call: Call, session: Session, execution: Execution, clock: _Clock) -> bool:
    """Whether what the code asks has been answered, here or elsewhere."""
    question = execution.question
    if question is None:
        return True
    if question.is_secret or not clock.left():
        return False
    with clock.standing_still(call.patience.form):
        answer = await _asked(call, session, execution, question, clock.left() + call.patience.form)
    if execution.question is not question:
        return True
    if isinstance(answer, Answer):
        session.answer(execution, answer.text)
        return True
    if answer.why:
        call.notes.append(f"{answer.why}; send_input answers, also with an empty text.")
    return False


async def _asked(
    call: Call, session: Session, execution: Execution, question: Question, seconds: float
) -> Answer | NoAnswer:
    """What comes of asking the person, unless the question is answered elsewhere, or this time is over."""
    asked = asyncio.create_task(call.person.ask(execution, question))
    elsewhere = asyncio.create_task(session.executions.wait_for_answer(execution, seconds))
    try:
        await asyncio.wait({asked, elsewhere}, return_when=asyncio.FIRST_COMPLETED)
        if asked.done():
            return asked.result()
        time = readable_seconds(seconds)
        return NoAnswer(f"The person was asked, and has not answered within {time}; the form has expired")
    finally:
        for task in (asked, elsewhere):
            task.cancel()
            task.add_done_callback(lambda done: done.cancelled() or done.exception())


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
