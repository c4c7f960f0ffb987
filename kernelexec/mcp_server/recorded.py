"""An execution by its id, from an open session or from the journal of one that is not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from kernelexec.errors import BadRequest, NotFound
from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.render.transcripts import transcript, transcript_of_record
from kernelexec.model.execution import Execution
from kernelexec.model.naming import parse_execution_id
from kernelexec.model.transcript import Transcript
from kernelexec.recording.history import load_execution
from kernelexec.recording.journal import ClosedJournal

ExecutionId = Annotated[
    str,
    Field(max_length=300, description="From a reply's first line, e.g. 'main@default/7'."),
]


@dataclass(frozen=True)
class Recorded:
    """An execution and all that it has shown."""

    execution: Execution
    transcript: Transcript
    storage_dir: Path  # where its files are


async def recorded_execution(call: Call, execution_id: str) -> Recorded:
    """The execution with this id, in the caller's storage directory. Opens no session.

    Raises:
        NotFound: there is none, and which there are.
    """
    session_id, number = session_and_number(execution_id)
    session = call.hub.find(call.caller, session_id)
    storage_dir = call.caller.config().storage_dir
    if session is not None:
        execution = await asyncio.to_thread(session.executions.get, number)
        text = await transcript(session, execution)
    else:
        execution = await asyncio.to_thread(_from_journal, call, session_id, number)
        text = await transcript_of_record(execution, storage_dir)
    return Recorded(execution, text, storage_dir)


def session_and_number(execution_id: str) -> tuple[str, int]:
    """The parts of an execution id.

    Raises:
        BadRequest: it is none.
    """
    parsed = parse_execution_id(execution_id)
    if parsed is None:
        raise BadRequest(
            f"{execution_id!r} is not an execution id.",
            "An id looks like main@default/7; each reply of execute_code begins with one, and "
            "list_executions lists them.",
        )
    return parsed


def no_such_session(call: Call, session_id: str) -> NotFound:
    """The error that says so, and which sessions there are."""
    config = call.caller.config()
    return NotFound(
        f"There is no session {session_id} in {config.storage_dir}.",
        f"Sessions there: {call.hub.listed(config)}.",
    )


def _from_journal(call: Call, session_id: str, number: int) -> Execution:
    config = call.caller.config()
    if not call.hub.has_journal(call.caller, session_id):
        raise no_such_session(call, session_id)
    journal = ClosedJournal(call.hub.journal_path(call.caller, session_id))
    execution = load_execution(journal, session_id, config.storage_dir, number)
    if execution is None:
        raise NotFound(f"There is no execution {session_id}/{number}.", "list_executions lists them.")
    return execution
