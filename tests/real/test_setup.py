"""`kernelexec setup`, and what the doctor then says of the clients' files."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.real.home import COMMAND, Home
from tests.real.terminal import Terminal


@pytest.fixture
def project(home: Home) -> Path:
    return home.project("sales")


def setup(home: Home, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        env=home.environ,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_a_client_is_set_up_and_tried_as_it_starts_the_server(home: Home, project: Path, venv: Path) -> None:
    done = setup(home, project, "setup", "claude-code", "codex", "--venv", str(venv), "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("it works, Python 3.") == 2
    assert f"in {venv} working in {project}" in done.stdout
    entry = json.loads((project / ".mcp.json").read_text())["mcpServers"]["kernelexec"]
    assert entry["command"] == COMMAND
    assert entry["env"]["VENV_PATH"] == str(venv)
    assert [s["state"] for s in home.status()["sessions"]] == ["no kernel"]

    again = setup(home, project, "setup", "claude-code", "--venv", str(venv), "--yes", "--json")
    (result,) = json.loads(again.stdout)
    assert result["wrote"] is False
    assert result["works"] is True

    removed = setup(home, project, "setup", "claude-code", "codex", "--remove", "--yes")
    assert removed.returncode == 0
    assert json.loads((project / ".mcp.json").read_text()) == {"mcpServers": {}}
    assert "kernelexec" not in (project / ".codex" / "config.toml").read_text()


def test_nothing_is_written_without_a_yes(home: Home, project: Path) -> None:
    done = setup(home, project, "setup", "claude-code")
    assert done.returncode == 1
    assert '+    "kernelexec": {' in done.stdout
    assert "nobody was there to say yes" in done.stdout
    printed = setup(home, project, "setup", "zed", "--print", "--default")
    assert json.loads(printed.stdout.partition("\n")[2])["context_servers"]["kernelexec"]["env"]["ENV_TYPE"]
    assert list(project.iterdir()) == []


def test_a_person_at_a_terminal_is_asked(home: Home, venv: Path) -> None:
    asked = (COMMAND, "setup", "cursor", "--venv", str(venv), "--no-check")
    path = home.path / ".cursor" / "mcp.json"  # in the home directory it is the user's
    for answer, is_there in (("\n", False), ("y\n", True)):
        terminal = Terminal(home, *asked)
        terminal.wait_for("Write it")
        terminal.type(answer)
        assert terminal.process.wait(60) == 0
        terminal.close()
        assert path.exists() is is_there


def test_what_does_not_work_is_told_and_the_doctor_tells_the_clients_from_the_shell(
    home: Home, project: Path, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    done = setup(home, project, "setup", "claude-code", "--venv", str(gone), "--yes")
    assert done.returncode == 1
    assert "it does not work" in done.stdout
    assert f"There is no virtual environment at {gone}" in done.stdout
    ill = setup(home, project, "doctor")
    assert ill.returncode == 1
    assert f"problem  claude-code  ~/projects/sales/.mcp.json: There is no virtual environment at {gone}" in (
        ill.stdout
    )
    assert "ok       environment" in ill.stdout  # the shell's

    (project / ".mcp.json").write_text('{"mcpServers": {"kernelexec": {"command": "kernelexec"}}}')
    ill = setup(home, project, "doctor")
    assert "its command, kernelexec, is not found" in ill.stdout
    assert "mend: kernelexec setup claude-code" in ill.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["claude"], "no client that kernelexec knows"),
        (["codex", "--set", "KERNELEXEC_WAIT_SECOND=3"], "KERNELEXEC_WAIT_SECONDS is one"),
        (["codex", "--set", "KERNELEXEC_WAIT_SECONDS=x"], "is not a number of seconds"),
        (["windsurf", "--scope", "project"], "no file of the project scope"),
    ],
)
def test_what_cannot_be_meant_is_refused(home: Home, project: Path, arguments: list[str], said: str) -> None:
    done = setup(home, project, "setup", *arguments, "--yes")
    assert done.returncode == 1
    assert said in done.stderr
    assert list(project.iterdir()) == []
