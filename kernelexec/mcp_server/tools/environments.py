"""get_environment_config: where code runs."""

from __future__ import annotations

import mcp_types as types

from kernelexec.mcp_server.config_text import describe
from kernelexec.mcp_server.tools.base import Arguments, Call, Tool, session_for
from kernelexec.model.text import plain


class GetEnvironmentConfig(Arguments):
    pass


async def _get_environment_config(call: Call, arguments: GetEnvironmentConfig) -> types.CallToolResult:
    session = await session_for(call, None)
    return types.CallToolResult(content=[types.TextContent(text=plain(describe(call.caller, session)))])


GET_ENVIRONMENT_CONFIG = Tool(
    name="get_environment_config",
    title="Show environment and session",
    description=(
        "Which Python environment and session your code runs in: interpreter, versions, kernel "
        "state, working directory, where scripts and the notebook are kept."
    ),
    arguments=GetEnvironmentConfig,
    run=_get_environment_config,
    read_only=True,
)
