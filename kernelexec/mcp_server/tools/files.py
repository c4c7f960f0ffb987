"""Files for long code: initialize_code_file, append_to_code_file, read_code_file, execute_code_file."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Annotated

import mcp_types as types
from pydantic import AfterValidator, Field

from kernelexec.errors import BadRequest
from kernelexec.mcp_server import render
from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.tools.arguments import (
    Arguments,
    Limit,
    MaxSeconds,
    SessionName,
    WaitSeconds,
    Whole,
    at_most,
)
from kernelexec.mcp_server.tools.base import Tool, session_to_run_in, wait_for_end
from kernelexec.mcp_server.tools.code import CODE_LIMIT, fits
from kernelexec.recording.code_files import CodeFiles
from kernelexec.session.submission import Submission

_LIMIT = 8_000  # characters in a reply
_LONGEST = 36_000  # as read_output
_MAYBE = "while the file was being written: read_code_file shows whether it was."
_RECORD = re.compile(r".+@.+-\d+")  # a generation's folder of scripts

FilePath = Annotated[
    str,
    Field(
        max_length=4_000,
        description="A whole path, or relative to your project or to the storage directory.",
    ),
]


class InitializeCodeFile(Arguments):
    content: Annotated[str, AfterValidator(fits), Field(description="The first part.")]
    filename: Annotated[
        str | None,
        Field(max_length=1_000, description="A label for its name, e.g. 'train_model'; no path."),
    ] = None


class AppendToCodeFile(Arguments):
    file_path: Annotated[str, Field(max_length=4_000, description="From initialize_code_file's reply.")]
    content: Annotated[str, AfterValidator(fits), Field(description="The next part; it begins a new line.")]


class ReadCodeFile(Arguments):
    file_path: FilePath
    offset: Annotated[Whole, Field(ge=0, description="The character to begin at; default 0.")] = 0
    limit: Annotated[
        Whole,
        Limit(),
        at_most(_LONGEST),
        Field(ge=1, description=f"How many characters: default {_LIMIT}, at most {_LONGEST}."),
    ] = _LIMIT


class ExecuteCodeFile(Arguments):
    file_path: FilePath
    session: SessionName = None
    wait_seconds: WaitSeconds = None
    max_seconds: MaxSeconds = None


def _files(call: Call) -> CodeFiles:
    """The caller's; nothing here waits for its environment."""
    own = call.caller.environment.extension if call.caller.environment else ".py"
    extensions = dict.fromkeys((own.lower(), ".py"))
    config = call.caller.config()
    project = config.client_dir if config.project else None
    # A relative path means what it means to code.
    return CodeFiles(config.storage_dir, tuple(extensions), project, config.kernel_dir() == project)


async def _initialize_code_file(call: Call, arguments: InitializeCodeFile) -> types.CallToolResult:
    call.begun = _MAYBE
    path = await asyncio.to_thread(_files(call).create, arguments.filename, arguments.content)
    return render.said(f"FILE MADE: {path} ({_size(arguments.content)}); {_not_run(path)}")


async def _append_to_code_file(call: Call, arguments: AppendToCodeFile) -> types.CallToolResult:
    files = _files(call)
    if any(_RECORD.fullmatch(part) for part in Path(arguments.file_path).parts[:-1]):
        raise BadRequest(
            f"{arguments.file_path} is the record of what was run, and stays as it is; nothing was written.",
            "Make a new file with initialize_code_file.",
        )
    call.begun = _MAYBE
    path, size = await asyncio.to_thread(files.append, arguments.file_path, arguments.content)
    return render.said(f"ADDED {_size(arguments.content)} to {path}, now {size:,} bytes; {_not_run(path)}")


async def _read_code_file(call: Call, arguments: ReadCodeFile) -> types.CallToolResult:
    path, text = await asyncio.to_thread(_files(call).read, arguments.file_path)
    start, limit = min(arguments.offset, len(text)), arguments.limit
    part = text[start : start + limit]
    if start + limit < len(text):
        part = part[: part.rfind("\n", limit // 2) + 1] or part
    end = start + len(part)
    head = f"FILE {path} ({_size(text)})"
    if start or end < len(text):
        head += f", characters {start:,} to {end:,}, from line {text.count(chr(10), 0, start) + 1:,}"
    if end < len(text):
        head += f"\nNext: read_code_file(file_path={str(path)!r}, offset={end})"
    return render.said(f"{head}\n\n{part}")


async def _execute_code_file(call: Call, arguments: ExecuteCodeFile) -> types.CallToolResult:
    path, code = await asyncio.to_thread(_files(call).read, arguments.file_path)
    if len(code) > CODE_LIMIT:
        raise BadRequest(f"{path} has {len(code):,} characters, more than the limit of {CODE_LIMIT:,}.")
    session = await session_to_run_in(call, arguments.session, arguments.wait_seconds)
    submission = Submission(
        code=code,
        label=path.name,
        source=_source(path, call.caller.config().storage_dir),
        max_seconds=arguments.max_seconds,
        surroundings=call.caller.surroundings(session),
        caller=call.caller.identity,
        asked=call.asked,
        came=call.came,
    )
    return await wait_for_end(call, session, session.submit(submission), arguments.wait_seconds)


def _source(path: Path, storage_dir: Path) -> str:
    """What the records call a file: by its path in their own folder, where it is in there."""
    return str(path.relative_to(storage_dir) if path.is_relative_to(storage_dir) else path)


def _size(text: str) -> str:
    lines = text.count("\n") + (not text.endswith("\n") and text != "")
    return (
        f"{lines:,} line{'' if lines == 1 else 's'}, {len(text):,} character{'' if len(text) == 1 else 's'}"
    )


def _not_run(path: Path) -> str:
    return (
        f"nothing was run.\nAdd more with append_to_code_file(file_path={str(path)!r}, content=...), run it "
        f"with execute_code_file(file_path={str(path)!r})."
    )


INITIALIZE_CODE_FILE = Tool(
    name="initialize_code_file",
    title="Begin a code file",
    description=(
        "Begin a file for code that is too long for one call, under a new name that the reply tells. Add "
        "the rest with append_to_code_file, then run it all with execute_code_file."
    ),
    arguments=InitializeCodeFile,
    run=_initialize_code_file,
)
APPEND_TO_CODE_FILE = Tool(
    name="append_to_code_file",
    title="Add to a code file",
    description="Add the next part of the code to a file that initialize_code_file made.",
    arguments=AppendToCodeFile,
    run=_append_to_code_file,
)
READ_CODE_FILE = Tool(
    name="read_code_file",
    title="Read a code file",
    description=(
        "Read a code file: one of your project, one that initialize_code_file made, or the saved code of an "
        "earlier run, whose path its reply named."
    ),
    arguments=ReadCodeFile,
    run=_read_code_file,
)
EXECUTE_CODE_FILE = Tool(
    name="execute_code_file",
    title="Run a code file",
    description=(
        "Run a code file, of your project too, as one submission, in execute_code's kernel, with its reply; "
        "its variables stay. Errors name the file and its line."
    ),
    arguments=ExecuteCodeFile,
    run=_execute_code_file,
)
