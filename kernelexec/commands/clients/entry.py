"""What stands in a client's file about us, and what the client makes of it when it starts us."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelexec import paths
from kernelexec.commands.clients.known import Client
from kernelexec.environments.extras import is_of_uvx, itself
from kernelexec.errors import BadRequest
from kernelexec.model.naming import session_name

# ${VAR}, ${VAR:-default} (Claude Code, Gemini CLI), ${env:VAR}, ${workspaceFolder} (VS Code, Cursor).
_REFERENCE = re.compile(r"\$\{(?:env:)?(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")


@dataclass(frozen=True)
class Started:
    """A server as its client starts it."""

    command: str
    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    cwd: Path

    @property
    def program(self) -> str | None:
        """The command's whole path; None if that client does not find it."""
        return shutil.which(self.command, path=self.environ.get("PATH", ""))


def started(client: Client, entry: Mapping[str, Any], environ: Mapping[str, str], project: Path) -> Started:
    """What this client does with an entry, in this project."""

    def said(value: object) -> str:
        return _REFERENCE.sub(lambda found: _referred(found, environ, project), str(value))

    variables, arguments = entry.get("env"), entry.get("args")
    named = {name: said(value) for name, value in variables.items()} if isinstance(variables, Mapping) else {}
    cwd = Path(said(entry["cwd"])) if entry.get("cwd") else Path(paths.home(environ))
    if client.starts_in_project and not entry.get("cwd"):
        cwd = project
    return Started(
        said(entry.get("command", "")),
        tuple(map(said, arguments)) if isinstance(arguments, list) else (),
        {**client.bare_environment(environ), **named},
        cwd,
    )


def _referred(found: re.Match[str], environ: Mapping[str, str], project: Path) -> str:
    if found["name"] == "workspaceFolder":
        return str(project)
    return environ.get(found["name"], found["default"] if found["default"] is not None else found[0])


def new_entry(
    client: Client, command: Sequence[str], variables: Mapping[str, str], *, approve: bool
) -> dict[str, Any]:
    """What is to stand in the client's file."""
    first, *rest = command
    entry: dict[str, Any] = {"command": first, "args": rest, **client.needs}
    if not rest:
        del entry["args"]
    if approve:
        entry |= client.approval
    if variables:
        entry["env"] = dict(variables)
    return entry


def placed(client: Client, scope: str, project: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that tell a server of its project where the client does not start it there."""
    if scope != "project" or client.starts_in_project:
        return {}
    home = Path(os.path.realpath(paths.home(environ)))
    return {"KERNELEXEC_CWD": str(project), "KERNELEXEC_SESSION": session_name(project, home)}


def our_command() -> list[str]:
    """How any program can start this installation of kernelexec, with whole paths.

    Raises:
        BadRequest: it is one that will be swept away.
    """
    if is_of_uvx():
        raise BadRequest(
            f"uv's cache, {sys.prefix}, has this kernelexec, and may be cleaned at any time.",
            f"Install it (uv tool install {shlex.quote(itself())}), or give the command that starts it with "
            "--command.",
        )
    beside = Path(sys.executable).with_name("kernelexec")
    typed = Path(os.path.abspath(sys.argv[0]))
    for program in (typed, beside):
        if program.name == "kernelexec" and os.access(program, os.X_OK) and program.is_file():
            return [str(program)]
    return [sys.executable, "-m", "kernelexec"]
