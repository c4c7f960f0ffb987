"""What `kernelexec setup` writes, and the plugin, read by the real clients."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.clients.libraries import INSTALLED
from tests.real.home import COMMAND, Home

PROGRAMS = INSTALLED / "node_modules" / ".bin"


def run(home: Home, cwd: Path, *command: str) -> str:
    environ = {
        **home.environ,
        "PATH": f"{PROGRAMS}:{Path(COMMAND).parent}:/usr/bin:/bin",
        "NO_COLOR": "1",
        "CODEX_HOME": str(home.path / ".codex"),
    }
    done = subprocess.run(
        command, env=environ, cwd=cwd, capture_output=True, text=True, timeout=110, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "command", "said"),
    [
        ("claude-code", ["claude", "mcp", "list"], "Connected"),
        ("codex", ["codex", "mcp", "list"], "enabled"),
        ("gemini", ["gemini", "mcp", "list"], "Connected"),
    ],
)
def test_a_client_reads_what_was_written_for_the_user(
    home: Home, name: str, command: list[str], said: str
) -> None:
    project = home.project("sales")
    (home.path / ".gemini").mkdir()
    trusted = '{\n  // mine\n  "security": {"folderTrust": {"enabled": false}}\n}\n'
    (home.path / ".gemini" / "settings.json").write_text(trusted)
    wrote = run(home, project, COMMAND, "setup", name, "--scope", "user", "--no-check", "--yes")
    assert "written" in wrote, wrote
    listed = run(home, project, *command)
    (line,) = [line for line in listed.splitlines() if "kernelexec" in line and COMMAND in line]
    assert said in line
    run(home, project, COMMAND, "setup", name, "--scope", "user", "--remove", "--yes")
    assert COMMAND not in run(home, project, *command)


def test_codex_reads_a_projects_file_once_it_trusts_the_project(home: Home) -> None:
    project = home.project("sales")
    run(home, project, COMMAND, "setup", "codex", "--no-check", "--yes")
    assert COMMAND not in run(home, project, "codex", "mcp", "list")
    folder = home.path / ".codex"
    os.makedirs(folder, exist_ok=True)
    (folder / "config.toml").write_text(f'[projects."{project}"]\ntrust_level = "trusted"\n')
    assert COMMAND in run(home, project, "codex", "mcp", "list")


REPOSITORY = str(Path(__file__).parents[2])


def test_the_plugin_is_valid_and_starts_the_server_in_claude_code(home: Home) -> None:
    project = home.project("sales")
    for what in (REPOSITORY, f"{REPOSITORY}/plugins/kernelexec"):
        assert "Validation passed" in run(home, project, "claude", "plugin", "validate", what)
    run(home, project, "claude", "plugin", "marketplace", "add", REPOSITORY)
    run(home, project, "claude", "plugin", "install", "kernelexec@kernelexec")
    assert "Connected" in run(home, project, "claude", "mcp", "list")
    assert "Skills (1)" in run(home, project, "claude", "plugin", "details", "kernelexec")


def test_the_plugin_is_installed_by_codex(home: Home) -> None:
    project = home.project("sales")
    (home.path / ".codex").mkdir()
    run(home, project, "codex", "plugin", "marketplace", "add", REPOSITORY)
    run(home, project, "codex", "plugin", "add", "kernelexec@kernelexec")
    assert "enabled" in run(home, project, "codex", "mcp", "list")
