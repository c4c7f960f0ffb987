"""What every tool is made of: its arguments as a model reads them, its definition, what it waits for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import mcp_types as types

from kernelexec.environments.source import Progress
from kernelexec.errors import BadRequest
from kernelexec.mcp_server import render, waiting
from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.patience import Waits
from kernelexec.mcp_server.recorded import no_such_session, session_and_number
from kernelexec.mcp_server.render import cells_text
from kernelexec.mcp_server.render.news import News
from kernelexec.mcp_server.requests import Cancellation
from kernelexec.mcp_server.tools.arguments import WAIT_DESCRIPTION, Arguments
from kernelexec.mcp_server.tools.effects import EFFECTS
from kernelexec.model.execution import Execution
from kernelexec.model.text import plain
from kernelexec.recording.looks import Look
from kernelexec.session import steps
from kernelexec.session.opened import Opened
from kernelexec.session.session import Session

_log = logging.getLogger("kernelexec.trace")

T = TypeVar("T")
# Some clients give up without a cancel (the Python SDK 1.x, Gemini CLI) and call again: what was open for so
# long when another call came may have been given up. What a client asks in parallel comes at once.
OVERTAKEN_SECONDS = 4.0
_AT_LEAST_SECONDS = 2.0  # to find out what became of a run whose hub has ended
_TO_PREPARE_SECONDS = 1.0  # at least: an environment that was used before takes a tenth of that
_LOST_BECAUSE = {
    "cancelled": "cancelled",
    "timed_out": "timed out",
    "disconnected": "disconnected",
    "closing": "hub",
}
_MEANT_FOR_THE_RUN = {"cancelled": "Cancelled by the client.", "timed_out": "The client's call timed out."}


@dataclass(frozen=True)
class Tool:
    name: str
    title: str
    description: str
    arguments: type[Arguments]
    run: Callable[[Call, Any], Awaitable[types.CallToolResult]]

    @property
    def read_only(self) -> bool:
        return EFFECTS[self.name].read_only

    def definition(self, waits: Waits) -> types.Tool:
        """As a client gets it whose calls wait for so long."""
        schema = self.arguments.schema_for_models()
        if "wait_seconds" in schema["properties"]:
            said = WAIT_DESCRIPTION.format(default=waits.default, longest=waits.longest)
            schema["properties"]["wait_seconds"]["description"] = said
        return types.Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=schema,
            annotations=EFFECTS[self.name].annotations(),
        )


async def session_for(call: Call, name: str | None, wait_seconds: float | None = None) -> Session:
    """The session that a call is for, opened if need be; its environment's preparation reports progress.

    Raises:
        KernelexecError: there is none, and why; or it takes longer than the call waits, and goes on.
    """
    session = call.hub.session_known(call.caller, name)
    if session is None:
        session = await prepared(
            call, lambda progress: call.hub.session_of(call.caller, name, progress), wait_seconds
        )
    call.concerns(session)
    return session


async def session_to_run_in(call: Call, name: str | None, wait_seconds: float | None = None) -> Session:
    """As `session_for`, for a call that submits something.

    Raises:
        KernelexecError: as there; or the session may take no more.
    """
    session = await session_for(call, name, wait_seconds)
    if not call.asked.was_begun:  # else an earlier hub has taken it, perhaps
        await call.hub.admit(call.caller, session)
    return session


async def prepared(
    call: Call, work: Callable[[Progress], Coroutine[Any, Any, T]], wait_seconds: float | None = None
) -> T:
    """What comes of work that may have to prepare an environment first, which reports progress.

    Raises:
        KernelexecError: nothing, and why; or it takes longer than the call waits, and goes on.
    """
    loop = asyncio.get_running_loop()
    reports: set[asyncio.Task[None]] = set()
    said: list[str] = []

    def progress(text: str) -> None:
        said[:] = [plain(text)]
        task = loop.create_task(_report(call, text))
        reports.add(task)
        task.add_done_callback(reports.discard)

    asked = call.waits.default if wait_seconds is None else wait_seconds
    limit = max(_TO_PREPARE_SECONDS, min(asked, call.waits.longest))
    finding = asyncio.ensure_future(work(progress))
    # It goes on without its caller, too.
    finding.add_done_callback(lambda task: task.cancelled() or task.exception())
    done, _ = await asyncio.wait({finding}, timeout=limit)
    if not done:
        raise BadRequest(
            " ".join(["The environment is still being prepared, which goes on.", *said]),
            "Make the same call again in some seconds.",
        )
    return finding.result()


async def _report(call: Call, text: str) -> None:
    await call.report(plain(text))


def said_of_session(
    call: Call, session: Session, text: str, *, introduces: bool = False
) -> types.CallToolResult:
    """A reply about a session that is not about one of its executions, with what else its caller is to know.

    `introduces`: it says which kernel this is.
    """
    return render.said(news_of(call, session, introduces=introduces).told_with(text))


def news_of(call: Call, session: Session, *, introduces: bool = False) -> News:
    """What this caller is to know of a session besides; the reply has to carry it."""
    call.will_tell(session)
    telling = session.telling(call.caller.identity, introduces=introduces, reply=call.reply)
    return News(tuple(telling.notices), session.id if telling.lost_generations else None)


async def find_execution(call: Call, execution_id: str) -> tuple[Session, Execution]:
    """The execution with this id in the caller's storage directory, also one of long ago.

    Raises:
        BadRequest: there is none; says what there is.
    """
    session_id, number = session_and_number(execution_id)
    await call.hub.adopted(call.caller, session_id)
    session = call.hub.find(call.caller, session_id)
    if session is None and call.hub.has_journal(call.caller, session_id):
        session = await session_for(call, session_id)
    if session is None:
        raise no_such_session(call, session_id)
    return session, session.executions.get(number)


async def wait_for_end(
    call: Call,
    session: Session,
    execution: Execution,
    wait_seconds: float | None,
    offset: int | None = None,
) -> types.CallToolResult:
    """The reply once the execution has ended, or after `wait_seconds` while it goes on."""
    call.concerns(session, execution)
    if session.is_of(execution, call.caller.identity):
        call.on_undelivered(lambda: session.reply_lost(execution, call.caller.identity, _lost_because(call)))
    if execution.steps is not None:
        call.request.on_delivered(lambda at: _log_steps(execution))
    overtaken = call.caller.open_for(OVERTAKEN_SECONDS)
    with call.caller.opened(session, execution):
        await _wait_for_end(call, session, execution, wait_seconds)
    for other, earlier in overtaken:
        if other is session and earlier is not execution:
            session.reply_lost(earlier, call.caller.identity, "overtaken")
    return await reply_about(call, session, execution, offset)


def _log_steps(execution: Execution) -> None:
    """A reply about it was written."""
    reached = {**(execution.steps or {}), "told": time.monotonic()}
    _log.info("%s, %s: %s", execution.id, execution.state.value, steps.in_words(reached))


async def reply_about(
    call: Call, session: Session, execution: Execution, offset: int | None = None
) -> types.CallToolResult:
    """The reply about an execution as it is now; what it tells its caller is known once it was delivered."""
    call.will_tell(session)
    call.caller.is_told_question(execution)
    call.notes += await _news_of_notebook(call, session)
    return await render.execution_result(execution, session, call.caller, offset, call.reply)


async def _news_of_notebook(call: Call, session: Session) -> list[str]:
    """What others did in the notebook that the session works in, for a reply about one of its executions."""
    opened, caller = session.opened, call.caller.id
    if opened is None or call.caller.gone:
        return []
    before = opened.look_of(caller)
    try:
        told = await opened.news(caller)
    except BadRequest as error:
        return [f"News: {error.what}"]
    count_as_seen(call, opened, before)
    return cells_text.news(told)


def count_as_seen(call: Call, opened: Opened, before: Look | None) -> None:
    """The caller has seen of a notebook what it has now, if this call's reply reaches it; else `before`."""
    caller = call.caller.id
    look = opened.look_of(caller)
    call.on_undelivered(lambda: opened.put_look(caller, before))
    call.request.on_delivered(lambda at: opened.keep_look(caller, look))


async def _wait_for_end(
    call: Call, session: Session, execution: Execution, wait_seconds: float | None
) -> None:
    waits = call.waits
    asked = waits.default if wait_seconds is None else wait_seconds
    if call.request.waited is not None:  # for an earlier hub, which ended
        asked = min(asked, max(asked - call.request.waited, _AT_LEAST_SECONDS))
    # The environment's preparation is part of the call, whose client waits for so long and no longer.
    seconds = max(0.0, min(asked, waits.longest - (time.monotonic() - call.began)))
    try:
        await waiting.wait(call, session, execution, seconds)
    except asyncio.CancelledError:
        # A client's cancel is meant for the run; the end of the connection or of the hub is not: who
        # disappears does not stop what was started, nor does who only waits for another's run.
        why = _why_it_was_cancelled(call.cancellation())
        if why and session.is_of(execution, call.caller.identity):
            await asyncio.shield(session.cancel(execution, why))
        raise
    if asked > waits.longest and not execution.is_final and not execution.question:
        call.notes.append(f"Waited {waits.longest:g} s of wait_seconds={asked:g}: no call waits longer here.")


def _lost_because(call: Call) -> str:
    """Why the result of a call did not reach its client, in the word that a session knows."""
    cancellation = call.cancellation()
    return "disconnected" if cancellation is None else _LOST_BECAUSE[cancellation.kind]


def _why_it_was_cancelled(cancellation: Cancellation | None) -> str:
    """Why a run is to end with its call; empty if it is not."""
    if cancellation is None or cancellation.kind not in _MEANT_FOR_THE_RUN:
        return ""
    said = f' It said: "{cancellation.reason}"' if cancellation.reason else ""
    return f"{_MEANT_FOR_THE_RUN[cancellation.kind]}{said}"
