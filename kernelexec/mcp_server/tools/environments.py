"""get_environment_config, configure_environment, list_environments: where code runs."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Literal

import mcp_types as types
from pydantic import Field

from kernelexec.config import ENVIRONMENT_VARIABLES, EnvironmentChoice, environment_choice
from kernelexec.environments import gateway
from kernelexec.environments.inventory import Listed, existing, inventory, near
from kernelexec.errors import BadRequest, EnvironmentUnusable, KernelFailed
from kernelexec.hub.chosen_environments import CHOSEN
from kernelexec.mcp_server import render
from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.render import config_text
from kernelexec.mcp_server.tools.arguments import Arguments
from kernelexec.mcp_server.tools.base import Tool, prepared, said_of_session, session_for
from kernelexec.model.text import plain

# By type of environment: the argument that names one.
_ARGUMENTS = {
    "conda": "conda_name",
    "venv": "venv_path",
    "venv-uv": "uv_venv_path",
    "kernelspec": "kernel_name",
    "existing": "kernel_name",
    "default": "",
}

_KIND_OF = {variable: kind for kind, variable in ENVIRONMENT_VARIABLES.items() if kind in _ARGUMENTS}
_VARIABLES = re.compile(rf"\b(?:{'|'.join(_KIND_OF)})\b")


class GetEnvironmentConfig(Arguments):
    pass


class ListEnvironments(Arguments):
    pass


class ConfigureEnvironment(Arguments):
    type: Annotated[
        Literal["conda", "venv", "venv-uv", "kernelspec", "existing", "default"],
        Field(description="The kind."),
    ]
    conda_name: Annotated[
        str | None, Field(max_length=4000, description="For conda: its name, or its path.")
    ] = None
    venv_path: Annotated[str | None, Field(max_length=4000, description="For venv: its folder.")] = None
    uv_venv_path: Annotated[str | None, Field(max_length=4000, description="For venv-uv: its folder.")] = None
    kernel_name: Annotated[
        str | None,
        Field(
            max_length=4000,
            description="For kernelspec: its name; existing: a running kernel's id or notebook.",
        ),
    ] = None


async def _get_environment_config(call: Call, arguments: GetEnvironmentConfig) -> types.CallToolResult:
    choice = call.hub.choice_of(call.caller)
    try:
        session = await session_for(call, None)
    except EnvironmentUnusable as error:
        text = config_text.describe_unusable(call.caller, choice, error)
        return types.CallToolResult(content=[types.TextContent(text=plain(text))], is_error=True)
    allowed = call.hub.allowed_in(session.environment)
    return said_of_session(call, session, config_text.describe(call.caller, choice, session, allowed))


async def _configure_environment(call: Call, arguments: ConfigureEnvironment) -> types.CallToolResult:
    choice = _choice(call, arguments)
    before = config_text.in_short(call.hub.choice_of(call.caller), call.caller.environment)
    running = call.hub.kernels_of(call.caller)
    call.begun = (
        "while the environment was being tried, which goes on: get_environment_config shows which is chosen."
    )
    try:
        environment = await prepared(call, lambda progress: call.hub.configure(call.caller, choice, progress))
    except (EnvironmentUnusable, KernelFailed) as error:
        told = "There are:" in error.next_step  # by who looked for it
        others = "" if told else near(choice.kind, choice.value, await _inventory(call))
        next_steps = (_in_arguments(error.next_step), others, f"Unchanged: {before}")
        raise EnvironmentUnusable(
            _in_arguments(error.what), "\n".join(part for part in next_steps if part)
        ) from error
    call.caller.take_notices()  # they were about the environment before
    session = await session_for(call, None)
    return render.said(config_text.describe_change(before, choice, environment, session, running))


def _in_arguments(text: str) -> str:
    """What an error advises, in the tool's own words: it names variables of the configuration elsewhere."""
    return _VARIABLES.sub(lambda found: _ARGUMENTS[_KIND_OF[found[0]]], text)


async def _list_environments(call: Call, arguments: ListEnvironments) -> types.CallToolResult:
    found = await _inventory(call)
    choice = call.hub.choice_of(call.caller)
    return render.said(config_text.describe_inventory(found, choice, call.caller.environment))


async def _inventory(call: Call) -> list[Listed]:
    config = call.caller.config()
    environ = call.caller.environ
    found = asyncio.to_thread(inventory, environ, [config.client_dir, config.storage_dir])
    running = asyncio.to_thread(existing, environ)
    return [*await found, *await running, *await gateway.listed(environ)]


def _choice(call: Call, arguments: ConfigureEnvironment) -> EnvironmentChoice:
    wanted = _ARGUMENTS[arguments.type]
    named = {name: getattr(arguments, name) for name in _ARGUMENTS.values() if name}
    given = {name: value for name, value in named.items() if value}
    if not given and arguments.type in ("default", "existing"):  # the only kernel that runs, if one does
        return EnvironmentChoice(arguments.type, origin=CHOSEN)
    if list(given) != [wanted]:
        need = f"needs {wanted}" if wanted else "takes no other argument"
        unwanted = ", ".join(name for name in given if name != wanted)
        raise BadRequest(
            f"The environment is unchanged: type={arguments.type!r} {need}"
            + (f", and not {unwanted}." if unwanted else "."),
            'For example configure_environment(type="venv", venv_path="/home/me/envs/analysis"). '
            "list_environments shows what there is.",
        )
    config = call.caller.config()
    return environment_choice(arguments.type, given[wanted], CHOSEN, call.caller.environ, config.client_dir)


GET_ENVIRONMENT_CONFIG = Tool(
    name="get_environment_config",
    title="Show environment and session",
    description=(
        "Which environment and session your code runs in: interpreter, versions, kernel, working "
        "directory, where scripts and the notebook are kept."
    ),
    arguments=GetEnvironmentConfig,
    run=_get_environment_config,
)

CONFIGURE_ENVIRONMENT = Tool(
    name="configure_environment",
    title="Choose the environment",
    description=(
        "Run your code in another environment from now on, also after restarts. It has a session and "
        "variables of its own; the kernel of the environment before runs on and can be returned to. Only "
        "what exists and starts is accepted."
    ),
    arguments=ConfigureEnvironment,
    run=_configure_environment,
)

LIST_ENVIRONMENTS = Tool(
    name="list_environments",
    title="List environments",
    description=(
        "What configure_environment can choose: conda and virtual environments near your directory, uv "
        "projects, Jupyter kernelspecs; with versions."
    ),
    arguments=ListEnvironments,
    run=_list_environments,
)
