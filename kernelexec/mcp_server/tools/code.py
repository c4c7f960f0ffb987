"""execute_code."""

from __future__ import annotations

from typing import Annotated

import mcp_types as types
from pydantic import AfterValidator, Field

from kernelexec.errors import BadRequest
from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.tools.arguments import Arguments, MaxSeconds, SessionName, WaitSeconds
from kernelexec.mcp_server.tools.base import Tool, session_to_run_in, wait_for_end
from kernelexec.recording.cell_place import CellPlace
from kernelexec.session.session import Session
from kernelexec.session.submission import Submission

CODE_LIMIT = 5_000_000  # characters; more is data, which belongs in a file


def fits(code: str) -> str:
    """The code, if it is not too long; for pydantic."""
    if len(code) > CODE_LIMIT:
        raise ValueError(
            f"{len(code):,} characters is more than the limit of {CODE_LIMIT:,}; "
            "put data into a file and read it"
        )
    return code


class ExecuteCode(Arguments):
    code: Annotated[str, AfterValidator(fits), Field(description="As in a notebook cell.")]
    filename: Annotated[
        str | None,
        Field(max_length=1000, description="A label for the saved file, e.g. 'load_data'; no path."),
    ] = None
    session: SessionName = None
    note: Annotated[
        str | None,
        Field(max_length=100_000, description="Markdown above the notebook's cell: what this is for."),
    ] = None
    wait_seconds: WaitSeconds = None
    max_seconds: MaxSeconds = None
    after: Annotated[
        str | None,
        Field(max_length=200, description="In an opened notebook: the id of the cell before the new one."),
    ] = None


async def _execute_code(call: Call, arguments: ExecuteCode) -> types.CallToolResult:
    _encodable(arguments.code)
    call.caller.config()  # its errors come before a session is opened
    session = await session_to_run_in(call, arguments.session, arguments.wait_seconds)
    submission = Submission(
        code=arguments.code,
        label=arguments.filename,
        note=arguments.note,
        max_seconds=arguments.max_seconds,
        surroundings=call.caller.surroundings(session),
        caller=call.caller.identity,
        asked=call.asked,
        came=call.came,
        place=await _place(session, arguments.after),
    )
    return await wait_for_end(call, session, session.submit(submission), arguments.wait_seconds)


async def _place(session: Session, after: str | None) -> CellPlace | None:
    """Where the cell goes in the person's notebook, if the session works in one."""
    if session.opened is not None:
        return await session.opened.place_of_new(after)
    if after is not None:
        raise BadRequest(
            f"{session.id} works in no notebook of the user's, and has no cell {after!r}; nothing was run.",
            "Leave out `after`, or call open_notebook first.",
        )
    return None


def _encodable(code: str) -> None:
    try:
        code.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(
            f"The code has a character that UTF-8 cannot encode (position {error.start}, a lone surrogate).",
            "Write it as an escape, for example '\\ud800', inside a string.",
        ) from None


EXECUTE_CODE = Tool(
    name="execute_code",
    title="Run Python code",
    description=(
        "Run Python code in a persistent Jupyter kernel, in the user's own environment. Variables, "
        "imports and functions stay for later calls, also after a restart of this client: do not repeat "
        "earlier code. As in a notebook cell, the last expression's value, prints, errors and plots come "
        "back; top-level await, %magics and !commands work. Text on stderr alone is no error. A run that "
        "takes longer than wait_seconds goes on; get its end with wait_for_execution. Each call is kept "
        "as a .py file and as a notebook cell."
    ),
    arguments=ExecuteCode,
    run=_execute_code,
)
