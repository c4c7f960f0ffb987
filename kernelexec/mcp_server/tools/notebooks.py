"""A notebook of the user's: open_notebook, read_cells, edit_notebook, run_cells."""

from __future__ import annotations

from typing import Annotated, Literal

import mcp_types as types
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from kernelexec.errors import BadRequest
from kernelexec.mcp_server import render
from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.render import cells_text
from kernelexec.mcp_server.render.images import pictures_of
from kernelexec.mcp_server.tools.arguments import Arguments, WaitSeconds
from kernelexec.mcp_server.tools.base import Tool, count_as_seen, news_of, prepared, session_for, wait_for_end
from kernelexec.mcp_server.tools.code import fits
from kernelexec.model.text import plain
from kernelexec.recording.notebook_operations import Operation
from kernelexec.recording.notebook_text import NotebookText
from kernelexec.session.cell_runs import CellRun
from kernelexec.session.opened import Opened
from kernelexec.session.session import Session
from kernelexec.session.submission import Submission

_MOST_OPERATIONS = 500
_MOST_IDS = 10_000


def _as_list(given: object) -> object:
    return [given] if isinstance(given, str) else given


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"a lone surrogate at position {error.start} is no character") from None
    return fits(text)


_Text = Annotated[str, AfterValidator(_encodable)]
Ids = Annotated[list[str], BeforeValidator(_as_list)]
NotebookSession = Annotated[
    str | None, Field(max_length=200, description="Default: of the notebook that you opened last.")
]


class OpenNotebook(Arguments):
    path: Annotated[
        str,
        Field(max_length=4_000, description="Of the .ipynb: whole, or relative to your project."),
    ]
    session: Annotated[
        str | None,
        Field(max_length=200, description="Name of its session; default: after the notebook."),
    ] = None


class ReadCells(Arguments):
    ids: Annotated[
        Ids | None, Field(max_length=_MOST_IDS, description="Cells to read whole; default: the outline.")
    ] = None
    pattern: Annotated[
        str | None, Field(max_length=1_000, description="Only cells with this text (a regular expression).")
    ] = None
    outputs: Annotated[bool, Field(description="With what they show; default false.")] = False
    session: NotebookSession = None


class CellOperation(BaseModel):
    """One operation, as models write it."""

    model_config = ConfigDict(extra="ignore")
    op: Literal["insert", "edit", "delete", "move", "convert", "clear_outputs"]
    id: str = ""
    after: str | None = None
    source: _Text = ""
    old: str = ""
    new: _Text = ""
    kind: str = ""


class EditNotebook(Arguments):
    operations: Annotated[
        list[CellOperation],
        Field(
            min_length=1,
            max_length=_MOST_OPERATIONS,
            description="insert: source, after (a cell's id; '' is the top), kind (code, markdown, raw). "
            "edit: id, old (text that is there once), new. move: id, after. convert: id, kind. delete, "
            "clear_outputs: id.",
        ),
    ]
    session: NotebookSession = None


class RunCells(Arguments):
    ids: Annotated[
        Ids,
        Field(
            min_length=1,
            max_length=_MOST_IDS,
            description="Ids, or 'all', 'above:ID' (those before it), 'below:ID' (it and those after).",
        ),
    ]
    session: NotebookSession = None
    stop_on_error: Annotated[bool, Field(description="Default true.")] = True
    wait_seconds: WaitSeconds = None


async def _open_notebook(call: Call, arguments: OpenNotebook) -> types.CallToolResult:
    call.caller.config()  # its errors come before anything is opened
    session, found = await prepared(
        call,
        lambda progress: call.hub.open_notebook(call.caller, arguments.path, arguments.session, progress),
    )
    call.concerns(session)
    opened = _opened(session)
    now = await opened.read()
    _seen(call, opened, now)
    await opened.looks_kept()
    head = cells_text.opened(session, found, now, call.caller.surroundings(session).directory)
    return _said(call, session, "\n".join([*head, *cells_text.outline(now, _states(session))]))


async def _read_cells(call: Call, arguments: ReadCells) -> types.CallToolResult:
    session, opened = await _session_with_notebook(call, arguments.session)
    now = await opened.read()
    news = _seen(call, opened, now)
    head = cells_text.news(news)
    if arguments.ids is None and not arguments.outputs:
        text = cells_text.outline(now, _states(session), arguments.pattern)
        return _said(call, session, "\n".join([cells_text.title(opened.path, now), *head, *text]))
    wanted = await opened.chosen(arguments.ids or ["all"])
    shown = cells_text.whole(wanted, arguments.pattern, outputs=arguments.outputs)
    pictures = await pictures_of(shown.pieces, opened.path.name, session.recorder.storage_dir)
    notes = [f"Pictures: {note}." for note in pictures.notes]
    reply = _said(call, session, "\n".join([cells_text.title(opened.path, now), *head, *notes, *shown.lines]))
    return types.CallToolResult(content=[*reply.content, *pictures.content])


async def _edit_notebook(call: Call, arguments: EditNotebook) -> types.CallToolResult:
    session, opened = await _session_with_notebook(call, arguments.session)
    operations = [Operation(**each.model_dump()) for each in arguments.operations]
    before = opened.look_of(call.caller.id)
    try:
        done, news = await opened.edit(call.caller.id, operations)
    finally:  # a refusal tells what is there, too
        count_as_seen(call, opened, before)
    lines = [f"DONE: {len(done)} of {len(done)} in {opened.path}; nothing was run.", *cells_text.news(news)]
    return _said(call, session, "\n".join([*lines, *(f"- {each}" for each in done)]))


async def _run_cells(call: Call, arguments: RunCells) -> types.CallToolResult:
    session, opened = await _session_with_notebook(call, arguments.session)
    await call.hub.admit(call.caller, session)
    chosen = [CellRun.of(cell) for cell in await opened.chosen(arguments.ids) if cell.kind == "code"]
    cells = [cell for cell in chosen if cell.source.strip()]
    if not cells:
        raise BadRequest("None of these cells has code; nothing was run.", "read_cells shows what there is.")
    asked = Submission(
        code="",
        surroundings=call.caller.surroundings(session),
        caller=call.caller.identity,
        asked=call.asked,
    )
    execution = opened.run(cells, asked, stop_on_error=arguments.stop_on_error)
    return await wait_for_end(call, session, execution, arguments.wait_seconds)


async def _session_with_notebook(call: Call, name: str | None) -> tuple[Session, Opened]:
    call.caller.config()
    session = await session_for(call, name)
    return session, _opened(session)


def _opened(session: Session) -> Opened:
    if session.opened is None:
        raise BadRequest(f"{session.id} works in no notebook of the user's.", "open_notebook opens one.")
    return session.opened


def _seen(call: Call, opened: Opened, now: NotebookText) -> list[str]:
    """The news of the notebook, which count as told unless the reply does not reach its caller."""
    before = opened.look_of(call.caller.id)
    news = opened.seen(call.caller.id, now)
    count_as_seen(call, opened, before)
    return news


def _states(session: Session) -> dict[str, str]:
    """What is going on in which cell."""
    return {each.cell: each.state.value for each in session.executions.open if each.cell is not None}


def _said(call: Call, session: Session, text: str) -> types.CallToolResult:
    problem = session.recorder.notebook_problem
    if problem:
        first, _, rest = text.partition("\n")
        text = (
            f"{first}\nNews: the notebook cannot be written ({problem}); the journal has everything.\n{rest}"
        )
    return render.said(plain(news_of(call, session).told_with(text)))


OPEN_NOTEBOOK = Tool(
    name="open_notebook",
    title="Open the user's notebook",
    description=(
        "Work in an .ipynb of the user's (made where it is missing): in its kernel, its directory, with its "
        "cells. Replies with an outline. Then calls without `session`, execute_code too, are for it."
    ),
    arguments=OpenNotebook,
    run=_open_notebook,
)
READ_CELLS = Tool(
    name="read_cells",
    title="Read cells of the opened notebook",
    description="Its outline, or cells with their outputs; and what the user changed meanwhile.",
    arguments=ReadCells,
    run=_read_cells,
)
EDIT_NOTEBOOK = Tool(
    name="edit_notebook",
    title="Edit cells of the opened notebook",
    description=(
        "Change cells by id: all operations or none, and nothing that the user changed since you saw it."
    ),
    arguments=EditNotebook,
    run=_edit_notebook,
)
RUN_CELLS = Tool(
    name="run_cells",
    title="Run cells of the opened notebook",
    description="Run cells in order, as execute_code runs code; their outputs go into the cells.",
    arguments=RunCells,
    run=_run_cells,
)
