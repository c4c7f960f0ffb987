"""read_output and list_executions: what was shown, and what has been done so far. They run nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import mcp_types as types
from pydantic import Field

from kernelexec.errors import BadRequest
from kernelexec.mcp_server import render
from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.reading import Matches, find, read_part
from kernelexec.mcp_server.recorded import ExecutionId, recorded_execution
from kernelexec.mcp_server.render.body import how_to_read
from kernelexec.mcp_server.render.images import pictures_of
from kernelexec.mcp_server.render.news import News
from kernelexec.mcp_server.render.summary_text import describe_summaries
from kernelexec.mcp_server.tools.arguments import Arguments, ExistingSession, Limit, Whole, at_most
from kernelexec.mcp_server.tools.base import Tool, news_of, said_of_session, session_for
from kernelexec.model.execution import Execution
from kernelexec.model.text import plain
from kernelexec.model.transcript import Transcript
from kernelexec.recording.records import sessions_in
from kernelexec.recording.summaries import read_summaries

_LIMIT = 8_000  # characters of output in a reply, unless it is asked for more
_MOST_EXECUTIONS = 1_000  # in a reply
_LONGEST = 36_000  # with its headings below the 38,000 characters that Codex keeps of a reply


class ReadOutput(Arguments):
    execution_id: ExecutionId
    offset: Annotated[
        Whole,
        Field(description="The character to begin at; default 0. Negative: so many before the end."),
    ] = 0
    limit: Annotated[
        Whole,
        Limit(),
        at_most(_LONGEST),
        Field(ge=1, description=f"How many characters: default {_LIMIT}, at most {_LONGEST}."),
    ] = _LIMIT
    pattern: Annotated[
        str | None,
        Field(
            max_length=1_000,
            description="Only lines that match this regular expression (Python's), with number and position.",
        ),
    ] = None


class ListExecutions(Arguments):
    session: ExistingSession = None
    limit: Annotated[
        Whole,
        Limit(),
        at_most(_MOST_EXECUTIONS),
        Field(ge=1, description="How many of the last ones; default 30."),
    ] = 30


async def _read_output(call: Call, arguments: ReadOutput) -> types.CallToolResult:
    recorded = await recorded_execution(call, arguments.execution_id)
    execution, transcript, storage_dir = recorded.execution, recorded.transcript, recorded.storage_dir
    start = _start(transcript, arguments.offset, execution)
    if arguments.pattern is not None:
        matches = await find(transcript, storage_dir, arguments.pattern, start, arguments.limit)
        found = _found(execution, arguments.pattern, matches, storage_dir)
        return render.said(_news(call, execution).told_with(found))
    part = await asyncio.to_thread(read_part, transcript, storage_dir, start, arguments.limit)
    pieces = [p for p in transcript.pieces if p.end >= part.start and p.position < part.end]
    pictures = await pictures_of(pieces, execution.id, storage_dir)
    lines = [
        f"OUTPUT of {execution.id}, characters {part.start:,} to {part.end:,} of {transcript.end:,}; "
        f"{_what_became_of(execution)}",
        _what_comes_next(execution, part.end, transcript.end),
        *(f"Pictures: {note}." for note in pictures.notes),
    ]
    head = _news(call, execution).told_with("\n".join(filter(None, lines)))
    return types.CallToolResult(
        content=[types.TextContent(text=f"{plain(head)}\n\n{part.text}".rstrip("\n")), *pictures.content]
    )


def _news(call: Call, execution: Execution) -> News:
    """Of its session, if that is open; to be asked for when nothing can fail any more."""
    session = call.hub.find(call.caller, execution.session)
    return news_of(call, session) if session is not None else News()


def _start(transcript: Transcript, offset: int, execution: Execution) -> int:
    start = max(0, transcript.end + offset) if offset < 0 else offset
    if start > transcript.end:
        raise BadRequest(
            f"{execution.id} has shown {transcript.end:,} characters so far, there is nothing at {start:,}.",
            f"Its end: {how_to_read(execution.id, max(0, transcript.end - _LIMIT))}",
        )
    return start


def _what_became_of(execution: Execution) -> str:
    return f"its state: {execution.state.value}" if execution.is_final else "it is not over"


def _what_comes_next(execution: Execution, end: int, all_of_it: int) -> str:
    if end < all_of_it:
        return f"Next: {how_to_read(execution.id, end)}"
    if not execution.is_final:
        return f"That is all so far; later: {how_to_read(execution.id, end)}"
    return "" if all_of_it else "It has no output."


def _found(execution: Execution, pattern: str, matches: Matches, storage_dir: Path) -> str:
    count = len(matches.lines)
    lines = [
        f"FOUND {count:,} line{'' if count == 1 else 's'} with {pattern!r} in the output of {execution.id}; "
        f"{_what_became_of(execution)}"
    ]
    lines += [f"NOT SEARCHED: {storage_dir / file} cannot be read." for file in matches.missing]
    if matches.next_position is not None:
        why = "The time for one search is over" if matches.out_of_time else "There are more"
        more = how_to_read(execution.id, matches.next_position).removesuffix(")")
        lines.append(f"{why}; next: {more}, pattern={pattern!r})")
    if matches.lines:
        lines.append("Each with its line number and its position, for read_output's offset:")
    return "\n".join([*map(plain, lines), *(f"{m.number} ({m.position}): {m.text}" for m in matches.lines)])


async def _list_executions(call: Call, arguments: ListExecutions) -> types.CallToolResult:
    config = call.caller.config()
    session_id, path = await _journal_of(call, arguments.session)
    summaries = await asyncio.to_thread(read_summaries, path)
    session = call.hub.find(call.caller, session_id)
    current = session.current if session is not None else None
    text = describe_summaries(session_id, summaries, arguments.limit, current)
    others = [each for each in sessions_in(config.storage_dir) if each != session_id]
    if others:
        text += f"\nOther sessions in {config.storage_dir}: {', '.join(others)}."
    return render.said(text) if session is None else said_of_session(call, session, text)


async def _journal_of(call: Call, name: str | None) -> tuple[str, Path]:
    """Also of a session that is not open, or whose environment is gone."""
    if (
        name is not None
        and call.hub.find(call.caller, name) is None
        and call.hub.has_journal(call.caller, name)
    ):
        return name, call.hub.journal_path(call.caller, name)
    session = await session_for(call, name)
    return session.id, session.recorder.journal.path


READ_OUTPUT = Tool(
    name="read_output",
    title="Read or search a run's output",
    description=(
        "Read what a reply left out of a run's output, from the offset that it named, or search all of "
        "it. Works for running and earlier executions and for gigabytes; shows the pictures in the part."
    ),
    arguments=ReadOutput,
    run=_read_output,
)
LIST_EXECUTIONS = Tool(
    name="list_executions",
    title="List what has been done",
    description=(
        "What has been run in a session so far: number, outcome, duration, first line of code. Use it "
        "when you have lost track or begin a conversation about earlier work; read_output then shows what "
        "one printed, read_code_file what it was."
    ),
    arguments=ListExecutions,
    run=_list_executions,
)
