"""One client's MCP connection, on the SDK's low-level server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError

from kernelexec import __version__
from kernelexec.config import DEFAULT_WAIT_SECONDS, LONGEST_WAIT_SECONDS
from kernelexec.errors import ConfigError, NotFound
from kernelexec.hub.caller import Caller
from kernelexec.hub.hub import Hub
from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.faults import protocol_error
from kernelexec.mcp_server.opening import INSTRUCTIONS, Opening, clients_name, where_code_runs
from kernelexec.mcp_server.patience import Patience, Waits, patience_of, waits_of
from kernelexec.mcp_server.person import CallAgain, Continuation, person_at
from kernelexec.mcp_server.prompts import get_prompt, list_prompts
from kernelexec.mcp_server.requests import Request
from kernelexec.mcp_server.resources import TEMPLATES, list_resources, read_resource
from kernelexec.mcp_server.stream import message_streams
from kernelexec.mcp_server.tools import call_tool, definitions

_WAITS = Waits(DEFAULT_WAIT_SECONDS, LONGEST_WAIT_SECONDS)


async def serve(
    hub: Hub,
    caller: Caller,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    begun: Mapping[types.RequestId, float],
    opening: Opening | None = None,
) -> None:
    """Serve one client until it closes its input. Its runs go on.

    `begun`: its requests that an earlier hub may have begun, by id, with the seconds that it has waited.
    `opening`: what it has said already.
    """

    def call(context: ServerRequestContext[Any], continuation: Continuation | None = None) -> Call:
        caller.client = _name_of_client(context)
        assert isinstance(context.request, Request)  # the stream gives each of them one
        return Call(
            hub,
            caller,
            _Progress(context).report,
            person_at(context, continuation),
            _patience(context),
            context.request,
        )

    async def list_tools(
        context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=_definitions(caller, _waits(caller, context)))

    async def on_call_tool(
        context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        continuation = Continuation.of(params)
        try:
            return await call_tool(
                call(context, continuation), params.name, params.arguments or {}, continuation
            )
        except CallAgain as again:
            return again.result

    async def on_list_resources(
        context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        asked = call(context)
        with _as_protocol_errors(asked, "resources/list"):
            return types.ListResourcesResult(resources=await list_resources(asked))

    async def on_list_templates(
        context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(resource_templates=TEMPLATES)

    async def on_read_resource(
        context: ServerRequestContext[Any], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        asked = call(context)
        with _as_protocol_errors(asked, "resources/read"):
            return types.ReadResourceResult(contents=[await read_resource(asked, params.uri)])

    server: Server[Any] = Server(
        "kernelexec",
        version=__version__,
        title="kernelexec",
        instructions=INSTRUCTIONS + where_code_runs(caller),
        on_list_tools=list_tools,
        on_call_tool=on_call_tool,
        on_list_resources=on_list_resources,
        on_list_resource_templates=on_list_templates,
        on_read_resource=on_read_resource,
        on_list_prompts=_on_list_prompts,
        on_get_prompt=_on_get_prompt,
    )
    server.middleware.clear()  # OpenTelemetry's: nobody collects its spans here, and each call pays
    streams = message_streams(reader, writer, caller.leave, begun, lambda: hub.closing, opening)
    async with streams as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


async def _on_list_prompts(
    context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
) -> types.ListPromptsResult:
    return types.ListPromptsResult(prompts=list_prompts())


async def _on_get_prompt(
    context: ServerRequestContext[Any], params: types.GetPromptRequestParams
) -> types.GetPromptResult:
    try:
        return get_prompt(params.name, params.arguments)
    except NotFound as error:
        raise MCPError(types.INVALID_PARAMS, str(error)) from error


def _definitions(caller: Caller, waits: Waits) -> list[types.Tool]:
    """The tools; execute_code's says where this caller's code runs, as not every model reads instructions."""
    where = where_code_runs(caller)
    return [
        tool.model_copy(update={"description": f"{tool.description}{where}"})
        if tool.name == "execute_code"
        else tool
        for tool in definitions(waits)
    ]


@contextmanager
def _as_protocol_errors(call: Call, what: str) -> Iterator[None]:
    """What goes wrong with a request that has no reply to say it in."""
    try:
        yield
    except (Exception, asyncio.CancelledError) as error:
        told = protocol_error(error, call, what)
        if told is None:
            raise
        raise told from error


def _name_of_client(context: ServerRequestContext[Any]) -> str:
    params = context.session.client_params
    return clients_name(params.client_info.name) if params is not None else ""


def _patience(context: ServerRequestContext[Any], *, asks: bool = False) -> Patience:
    """The client's in this call; `asks`: as if it asked for progress, as it does with each call."""
    params = context.session.client_params
    if params is None:
        return Patience()
    has_progress = asks or "progress_token" in (context.meta or {})
    return patience_of(params.client_info.name, params.client_info.version, has_progress=has_progress)


def _waits(caller: Caller, context: ServerRequestContext[Any]) -> Waits:
    try:
        return waits_of(caller.config(), _patience(context, asks=True))
    except ConfigError:  # which each call tells
        return _WAITS


class _Progress:
    """Progress notifications for one call; nothing where the client did not ask for them."""

    def __init__(self, context: ServerRequestContext[Any]) -> None:
        self._context = context
        self._sent = 0

    async def report(self, text: str) -> None:
        self._sent += 1
        await self._context.session.report_progress(self._sent, message=text)
