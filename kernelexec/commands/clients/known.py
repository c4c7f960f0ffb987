"""The clients that are known: where each keeps its MCP servers, in what form, and what it needs besides."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelexec import paths
from kernelexec.errors import BadRequest

SCOPES = ("project", "user")
# What a desktop hands to what it starts, where a shell's profile is not read.
_DESKTOP_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Client:
    """One client; `files` by scope, with {home} and the like."""

    name: str
    title: str
    files: Mapping[str, str]
    servers: tuple[str, ...]  # the names under which the servers are
    programs: tuple[str, ...]  # on PATH, where it is installed
    next_step: str
    of_a_project: str = ""  # what is to be known of a project's file
    needs: Mapping[str, Any] = field(default_factory=dict)  # of an entry, besides command and environment
    approval: Mapping[str, Any] = field(default_factory=dict)  # that lets tools run without being asked for
    is_in_terminal: bool = False  # it has the PATH of the person's shell
    starts_in_project: bool = False  # the server's working directory is the project

    def path(self, scope: str, environ: Mapping[str, str], project: Path) -> Path:
        """Its file.

        Raises:
            BadRequest: it has none of this scope.
        """
        if scope not in self.files:
            has = " or ".join(self.files)
            raise BadRequest(f"{self.title} has no file of the {scope} scope.", f"It has one of the {has}.")
        return Path(self.files[scope].format(project=project, **_places(environ)))

    def is_found(self, environ: Mapping[str, str], project: Path) -> bool:
        """Whether it seems to be used here: a program of it, its file, or the folder it keeps that in."""
        if any(shutil.which(program, path=environ.get("PATH", "")) for program in self.programs):
            return True
        home = Path(paths.home(environ))
        for scope in self.files:
            path = self.path(scope, environ, project)
            if path.exists() or (path.parent.is_dir() and path.parent not in (home, project)):
                return True
        return False

    def bare_environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """What a server gets of the person's variables, besides what its entry names."""
        kept = {name: environ[name] for name in ("LOGNAME", "SHELL", "TERM", "USER") if name in environ}
        path = environ.get("PATH", "") if self.is_in_terminal else _DESKTOP_PATH
        return {**kept, "HOME": paths.home(environ), "PATH": path}


def _places(environ: Mapping[str, str]) -> dict[str, str]:
    home = paths.home(environ)
    mac = os.path.join(home, "Library", "Application Support")
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    return {
        "home": home,
        "config": config,
        "application": mac if sys.platform == "darwin" else config,
        "claude": environ.get("CLAUDE_CONFIG_DIR") or home,
        "codex": environ.get("CODEX_HOME") or os.path.join(home, ".codex"),
    }


CLIENTS = {
    client.name: client
    for client in (
        Client(
            "claude-code",
            "Claude Code",
            {"project": "{project}/.mcp.json", "user": "{claude}/.claude.json"},
            ("mcpServers",),
            ("claude",),
            "Start `claude`.",
            "It asks once whether the project's servers may be used.",
            needs={"type": "stdio"},
            is_in_terminal=True,
            starts_in_project=True,
        ),
        Client(
            "claude-desktop",
            "Claude Desktop",
            {"user": "{application}/Claude/claude_desktop_config.json"},
            ("mcpServers",),
            ("claude-desktop",),
            "Quit Claude Desktop and start it again.",
        ),
        Client(
            "cursor",
            "Cursor",
            {"project": "{project}/.cursor/mcp.json", "user": "{home}/.cursor/mcp.json"},
            ("mcpServers",),
            ("cursor", "cursor-agent"),
            "In Cursor's settings, under MCP, switch kernelexec on.",
        ),
        Client(
            "vscode",
            "VS Code",
            {"project": "{project}/.vscode/mcp.json", "user": "{application}/Code/User/mcp.json"},
            ("servers",),
            ("code",),
            "Open the file in VS Code and press Start above the entry.",
            needs={"type": "stdio"},
            starts_in_project=True,
        ),
        Client(
            "codex",
            "Codex",
            {"project": "{project}/.codex/config.toml", "user": "{codex}/config.toml"},
            ("mcp_servers",),
            ("codex",),
            "Start `codex`.",
            "It reads the project's file once you have said that you trust the project.",
            needs={"tool_timeout_sec": 300},  # what kernelexec reckons with; versions differ in the default
            approval={"default_tools_approval_mode": "approve"},
            is_in_terminal=True,
            starts_in_project=True,
        ),
        Client(
            "gemini",
            "Gemini CLI",
            {"project": "{project}/.gemini/settings.json", "user": "{home}/.gemini/settings.json"},
            ("mcpServers",),
            ("gemini",),
            "Start `gemini`.",
            "It uses servers once you have said that you trust the folder.",
            needs={"timeout": 600_000},  # milliseconds
            is_in_terminal=True,
            starts_in_project=True,
        ),
        Client(
            "zed",
            "Zed",
            {"project": "{project}/.zed/settings.json", "user": "{config}/zed/settings.json"},
            ("context_servers",),
            ("zed", "zeditor"),
            "In Zed's agent panel, under settings, kernelexec's dot is green.",
            needs={"source": "custom"},
        ),
        Client(
            "windsurf",
            "Windsurf",
            {"user": "{home}/.codeium/windsurf/mcp_config.json"},
            ("mcpServers",),
            ("windsurf",),
            "In Windsurf's Cascade panel, press Refresh above the MCP servers.",
        ),
    )
}


def named(names: Sequence[str]) -> list[Client]:
    """The clients of these names.

    Raises:
        BadRequest: one is not known.
    """
    unknown = [name for name in names if name not in CLIENTS]
    if unknown:
        raise BadRequest(
            f"{unknown[0]!r} is no client that kernelexec knows.",
            f"There are: {', '.join(CLIENTS)}. Most others take the entry that this prints: "
            "kernelexec setup --print claude-desktop",
        )
    return [CLIENTS[name] for name in dict.fromkeys(names)]


def found(environ: Mapping[str, str], project: Path) -> list[Client]:
    """Those that seem to be used here."""
    return [client for client in CLIENTS.values() if client.is_found(environ, project)]
