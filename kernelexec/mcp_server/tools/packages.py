"""install_dependencies and check_installed_packages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import mcp_types as types
from pydantic import Field

from kernelexec.environments.packages import Package, Packages
from kernelexec.environments.requirements import Requirement, read_requirement, read_requirements
from kernelexec.errors import BadRequest
from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.tools.arguments import Arguments, SessionName, WaitSeconds
from kernelexec.mcp_server.tools.base import Tool, said_of_session, session_for, wait_for_end
from kernelexec.model.environment import Environment
from kernelexec.session.installation import Installation

_MOST_PACKAGES = 200  # in one call


class InstallDependencies(Arguments):
    packages: Annotated[
        list[str],
        Field(
            min_length=1,
            max_length=_MOST_PACKAGES,
            description="For example ['numpy', 'pandas>=2.2', 'httpx[http2]'].",
        ),
    ]
    session: SessionName = None
    wait_seconds: WaitSeconds = None


class CheckInstalledPackages(Arguments):
    packages: Annotated[
        list[str],
        Field(
            min_length=1,
            max_length=_MOST_PACKAGES,
            description="For example ['scikit-learn', 'cv2', 'numpy>=2'].",
        ),
    ]
    session: SessionName = None


async def _install_dependencies(call: Call, arguments: InstallDependencies) -> types.CallToolResult:
    requirements = read_requirements(arguments.packages)  # its errors come before anything is started
    session = await session_for(call, arguments.session, arguments.wait_seconds)
    place = call.hub.place_of(call.caller, session.environment)
    execution = session.perform(Installation(place, requirements), call.caller.identity, call.asked)
    return await wait_for_end(call, session, execution, arguments.wait_seconds)


async def _check_installed_packages(call: Call, arguments: CheckInstalledPackages) -> types.CallToolResult:
    asked = [_name_and_versions(text) for text in arguments.packages]
    session = await session_for(call, arguments.session)
    environment = session.environment
    packages = Packages(environment, call.caller.environ)
    found = await packages.look_up(list(dict.fromkeys(requirement.name for requirement in asked)))
    lines = [_described(requirement, found[requirement.name]) for requirement in asked]
    missing = [requirement.name for requirement in asked if not found[requirement.name]]
    text = "\n".join([_verdict(environment, len(asked) - len(missing), missing), *lines])
    return said_of_session(call, session, text)


def _name_and_versions(text: str) -> Requirement:
    if all(part.isidentifier() for part in text.split(".")):  # a module, which may begin with "_"
        return Requirement(text)
    try:
        return read_requirement(text)
    except ValueError as error:
        raise BadRequest(
            f"{text[:200]!r} is not the name of a package or module: {error}.",
            "Give names as they are installed or imported: scikit-learn, sklearn, google.cloud.storage.",
        ) from None


def _verdict(environment: Environment, installed: int, missing: Sequence[str]) -> str:
    where = f"in {environment.label} ({environment.location})"
    if not missing:
        return f"Installed {where}: all {installed}." if installed > 1 else f"Installed {where}."
    verdict = f"Not installed {where}: {', '.join(missing)}."
    return f"{verdict} Installed: {installed}." if installed else verdict


def _described(requirement: Requirement, found: Sequence[Package]) -> str:
    if not found:
        return f"{requirement.name}: not installed"
    return f"{requirement.name}: {'; '.join(_one(requirement, package) for package in found)}"


def _one(requirement: Requirement, package: Package) -> str:
    version = package.version or "of unknown version"
    match package.kind:
        case "python":
            part = "" if package.name == "Python" else "part of "
            return f"{part}Python {version}, in {package.location}"
        case "module":
            return f"a module that belongs to no package, {package.location}"
        case "conda":
            return f"{version}, a conda package (none of Python's), in {package.location}"
    text = version if package.module is None else f"{package.name} {version}"
    if not requirement.is_met_by(version):
        text += f", which is not {','.join(requirement.versions)}"
    text += f", {'editable, from' if package.editable else 'in'} {package.location}"
    return text if package.whole else f"{text}; only half installed (its metadata is gone): install it again"


INSTALL_DEPENDENCIES = Tool(
    name="install_dependencies",
    title="Install packages",
    description=(
        "Install packages into your code's environment, with its own installer (conda, uv or pip): use "
        "this instead of !pip or !conda. Names with an optional version; no URLs, paths or options. The "
        "running kernel can import them; the reply says if it needs a restart. What takes longer than "
        "wait_seconds goes on: wait_for_execution."
    ),
    arguments=InstallDependencies,
    run=_install_dependencies,
)

CHECK_INSTALLED_PACKAGES = Tool(
    name="check_installed_packages",
    title="Check installed packages",
    description=(
        "Which of these packages or modules are installed in your environment, in what version and where. "
        "Fast: nothing is imported, no kernel is started."
    ),
    arguments=CheckInstalledPackages,
    run=_check_installed_packages,
)
