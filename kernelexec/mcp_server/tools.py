"""The tools: their schemas, their descriptions for a model that has never seen them, their work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import mcp_types as types
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from kernelexec.caller import Caller
from kernelexec.errors import BadRequest, KernelexecError
from kernelexec.hub import Hub
from kernelexec.mcp_server import render
from kernelexec.mcp_server.config_text import describe
from kernelexec.model.execution import Execution
from kernelexec.model.naming import parse_execution_id
from kernelexec.model.text import plain
from kernelexec.session import Session, Submission

CODE_LIMIT = 5_000_000  # characters; more is data, which belongs in a file

Report = Callable[[str], Awaitable[None]]


def _fits(code: str) -> str:
    if len(code) > CODE_LIMIT:
        raise ValueError(
            f"{len(code):,} characters is more than the limit of {CODE_LIMIT:,}; "
            "put data into a file and read it"
        )
    return code


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number of seconds, not true or false")  # pydantic takes true for 1
    return value


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


_WaitSeconds = Annotated[
    Annotated[float, Field(ge=0), BeforeValidator(_no_boolean)] | None,
    Field(description="How long to wait for the end before replying (default 45); then the run goes on."),
]
_SessionName = Annotated[
    str | None,
    Field(
        max_length=200,
        description="Another session, with its own variables. Leave out for your project's.",
    ),
]


class ExecuteCode(_Arguments):
    code: Annotated[str, AfterValidator(_fits), Field(description="Python code, as in a notebook cell.")]
    filename: Annotated[
        str | None, Field(max_length=1000, description="A label for the saved .py file, e.g. 'load_data'.")
    ] = None
    session: _SessionName = None
    note: Annotated[
        str | None,
        Field(
            max_length=100_000, description="Markdown put above the cell in the notebook: what this is for."
        ),
    ] = None
    wait_seconds: _WaitSeconds = None
    max_seconds: Annotated[
        Annotated[float, Field(gt=0), BeforeValidator(_no_boolean)] | None,
        Field(description="Interrupt the run after this time (default: never)."),
    ] = None


class WaitForExecution(_Arguments):
    execution_id: Annotated[str, Field(max_length=300, description="For example 'main@default/7'.")]
    wait_seconds: _WaitSeconds = None


class GetEnvironmentConfig(_Arguments):
    pass


@dataclass(frozen=True)
class Call:
    """One call of a tool."""

    hub: Hub
    caller: Caller
    report: Report  # sends a progress notification, where the client asked for them


@dataclass(frozen=True)
class Tool:
    name: str
    title: str
    description: str
    arguments: type[_Arguments]
    run: Callable[[Call, Any], Awaitable[types.CallToolResult]]
    read_only: bool

    def definition(self) -> types.Tool:
        return types.Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=_schema(self.arguments),
            annotations=types.ToolAnnotations(
                read_only_hint=self.read_only,
                destructive_hint=not self.read_only,
                idempotent_hint=self.read_only,
                open_world_hint=not self.read_only,
            ),
        )


async def call_tool(call: Call, name: str, arguments: dict[str, Any]) -> types.CallToolResult:
    """Run a tool; whatever is wrong with the call becomes a reply that says so."""
    tool = TOOLS.get(name)
    if tool is None:
        return render.failure(f"There is no tool {name!r}. The tools are: {', '.join(TOOLS)}.")
    try:
        return await tool.run(call, tool.arguments.model_validate(arguments))
    except ValidationError as error:
        return render.failure(f"{name} was not run, its arguments are wrong.\n{_problems(error, tool)}")
    except KernelexecError as error:
        return render.failure(f"{name} was not run. {error}")


async def _execute_code(call: Call, arguments: ExecuteCode) -> types.CallToolResult:
    _encodable(arguments.code)
    config = call.caller.config()
    session = await _session(call, arguments.session)
    submission = Submission(
        code=arguments.code,
        label=arguments.filename,
        note=arguments.note,
        max_seconds=arguments.max_seconds,
        environ=call.caller.environ,
    )
    execution = session.submit(submission)
    seconds = config.wait_seconds if arguments.wait_seconds is None else arguments.wait_seconds
    return await _wait(call, session, execution, min(seconds, config.longest_wait_seconds))


async def _wait_for_execution(call: Call, arguments: WaitForExecution) -> types.CallToolResult:
    parsed = parse_execution_id(arguments.execution_id)
    if parsed is None:
        raise BadRequest(
            f"{arguments.execution_id!r} is not an execution id.",
            "An id looks like main@default/7; each reply of execute_code begins with one.",
        )
    config = call.caller.config()
    session = call.hub.find(call.caller, parsed[0])
    if session is None and call.hub.has_journal(call.caller, parsed[0]):
        session = await _session(call, parsed[0])
    if session is None:
        raise BadRequest(
            f"There is no session {parsed[0]} in {config.storage_dir}.",
            f"Sessions there: {call.hub.listed(config)}.",
        )
    seconds = config.wait_seconds if arguments.wait_seconds is None else arguments.wait_seconds
    execution = session.executions.get(parsed[1])
    return await _wait(call, session, execution, min(seconds, config.longest_wait_seconds))


async def _get_environment_config(call: Call, arguments: GetEnvironmentConfig) -> types.CallToolResult:
    session = await _session(call, None)
    return types.CallToolResult(content=[types.TextContent(text=plain(describe(call.caller, session)))])


async def _session(call: Call, name: str | None) -> Session:
    loop = asyncio.get_running_loop()
    reports: set[asyncio.Task[None]] = set()

    def progress(text: str) -> None:
        task = loop.create_task(_report(call, text))
        reports.add(task)
        task.add_done_callback(reports.discard)

    limit = call.caller.config().longest_wait_seconds
    finding = asyncio.ensure_future(call.hub.session_of(call.caller, name, progress))
    done, _ = await asyncio.wait({finding}, timeout=limit)
    if not done:
        finding.add_done_callback(lambda task: task.cancelled() or task.exception())
        raise BadRequest(
            "The environment is still being prepared, which goes on.", "Call again in some seconds."
        )
    return finding.result()


async def _report(call: Call, text: str) -> None:
    await call.report(plain(text))


async def _wait(call: Call, session: Session, execution: Execution, seconds: float) -> types.CallToolResult:
    try:
        await session.executions.wait(execution, seconds)
    except asyncio.CancelledError:
        # The SDK cancels for a client's cancel, which is meant for the run, and for the end of the
        # connection or of the hub, which is not: who disappears does not stop what was started.
        if not call.caller.gone and not call.hub.closing:
            await asyncio.shield(session.cancel(execution, "Cancelled by the client."))
        raise
    return render.execution_result(execution, session, call.caller)


def _encodable(code: str) -> None:
    try:
        code.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(
            f"The code has a character that UTF-8 cannot encode (position {error.start}, a lone surrogate).",
            "Write it as an escape, for example '\\ud800', inside a string.",
        ) from None


def _problems(error: ValidationError, tool: Tool) -> str:
    lines = [f"- {'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors()]
    fields = ", ".join(
        name if field.is_required() else f"{name}?" for name, field in tool.arguments.model_fields.items()
    )
    return "\n".join([*lines, f"{tool.name} takes: {fields or 'no arguments'}."])


def _schema(arguments: type[_Arguments]) -> dict[str, Any]:
    """The JSON schema without what no model reads: titles, `anyOf` null and null defaults."""
    schema = arguments.model_json_schema()
    properties = {}
    for name, given in schema.get("properties", {}).items():
        field = {key: value for key, value in given.items() if key not in ("title", "default", "anyOf")}
        field |= next((option for option in given.get("anyOf", ()) if option.get("type") != "null"), {})
        field.pop("maxLength", None)
        properties[name] = field
    required = schema.get("required", [])
    return {
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            name="execute_code",
            title="Run Python code",
            description=(
                "Run Python code in a persistent Jupyter kernel, in the user's own environment. Variables, "
                "imports and functions stay for later calls, also after a restart of this client, so do not "
                "repeat earlier code. Use it like a notebook cell: the value of the last expression, prints, "
                "errors and plots come back; top-level await, %magics and !commands work. The first line of "
                "the reply is the verdict; text on stderr alone is not an error. A run that takes longer "
                "than wait_seconds goes on; get its end with wait_for_execution. Every call is kept as a "
                ".py file and as a cell of a notebook."
            ),
            arguments=ExecuteCode,
            run=_execute_code,
            read_only=False,
        ),
        Tool(
            name="wait_for_execution",
            title="Wait for a run",
            description=(
                "Wait for the end of a run that execute_code left running (its reply began with RUNNING or "
                "QUEUED), or read the outcome of any earlier one. Runs nothing."
            ),
            arguments=WaitForExecution,
            run=_wait_for_execution,
            read_only=True,
        ),
        Tool(
            name="get_environment_config",
            title="Show environment and session",
            description=(
                "Which Python environment and session your code runs in: interpreter, versions, kernel "
                "state, working directory, where scripts and the notebook are kept."
            ),
            arguments=GetEnvironmentConfig,
            run=_get_environment_config,
            read_only=True,
        ),
    )
}
