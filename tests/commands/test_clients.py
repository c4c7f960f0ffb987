"""Clients' files: where they are, what is written into them, and what stays."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from kernelexec.commands.clients.config_file import ConfigFile, in_form
from kernelexec.commands.clients.entry import new_entry, placed, started
from kernelexec.commands.clients.known import CLIENTS, found, named
from kernelexec.errors import BadRequest

CODEX, CLAUDE, CURSOR = CLIENTS["codex"], CLIENTS["claude-code"], CLIENTS["cursor"]
ENTRY: dict[str, Any] = {"command": "/x/kernelexec", "env": {"VENV_PATH": "/v"}}


def test_each_client_has_a_file_of_the_users(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    paths = [client.path("user", environ, tmp_path / "p") for client in CLIENTS.values()]
    assert all(path.is_relative_to(tmp_path) for path in paths)
    assert len(set(paths)) == len(CLIENTS) == 8


def test_a_client_is_found_by_its_program_its_folder_or_its_file(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
    project = tmp_path / "p"
    project.mkdir()
    assert found(environ, project) == []
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "codex"
    program.touch()
    program.chmod(0o755)
    (tmp_path / ".codeium" / "windsurf").mkdir(parents=True)
    (project / ".mcp.json").touch()
    assert [client.name for client in found(environ, project)] == ["claude-code", "codex", "windsurf"]


def test_an_unknown_client_and_a_scope_that_it_has_not_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no client that kernelexec knows"):
        named(["claude"])
    with pytest.raises(BadRequest, match="no file of the project scope"):
        CLIENTS["windsurf"].path("project", {"HOME": "/h"}, tmp_path)


TOML = """# mine
model = "x"   # the best

[mcp_servers.other]   # theirs
command = "o"

[profiles.a]
x = 1
"""


def test_codex_keeps_comments_order_and_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(TOML)
    changed = ConfigFile(CODEX, path).with_entry({**ENTRY, "tool_timeout_sec": 300})
    assert changed.replace(_added(TOML, changed), "") == TOML
    path.write_text(changed)
    assert ConfigFile(CODEX, path).entry == {**ENTRY, "tool_timeout_sec": 300}
    assert ConfigFile(CODEX, path).without_entry() == TOML


def _added(before: str, after: str) -> str:
    start = next(at for at in range(len(after)) if before[at : at + 1] != after[at])
    return after[start : start + len(after) - len(before)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[mcp_servers]\n",
        "mcp_servers = {}\n",
        'mcp_servers.other.command = "o"\n',
        '[mcp_servers.other]\ncommand = "o"\n[a]\n[mcp_servers.third]\ncommand = "t"\n',
        '[mcp_servers.kernelexec]\ncommand = "old"\nargs = ["x"]\nenabled = false # why\n'
        '[mcp_servers.kernelexec.env]\nMINE = "1"\nCONDA_ENV_NAME = "c"\n',
    ],
    ids=["empty", "header", "inline", "dotted", "out of order", "older"],
)
def test_any_way_to_write_codexs_servers_takes_an_entry(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    file = ConfigFile(CODEX, path)
    others = {name: entry for name, entry in file.servers.items() if name != "kernelexec"}
    path.write_text(file.with_entry(ENTRY, without=["CONDA_ENV_NAME"]))
    after = ConfigFile(CODEX, path)
    assert after.entry is not None
    assert after.entry["command"] == "/x/kernelexec"
    assert after.entry["env"] == {**({"MINE": "1"} if "MINE" in text else {}), "VENV_PATH": "/v"}
    assert {name: entry for name, entry in after.servers.items() if name != "kernelexec"} == others
    assert "# why" in path.read_text() or "# why" not in text


def test_of_an_older_entry_what_the_person_added_stays(tmp_path: Path) -> None:
    path = tmp_path / ".mcp.json"
    path.write_text(
        '{"mcpServers": {"kernelexec": {\n  "command": "old", // mine\n  "disabled": true,\n'
        '  "env": {"CODE_STORAGE_DIR": "/s", "CONDA_ENV_NAME": "c"}}}}'
    )
    path.write_text(ConfigFile(CLAUDE, path).with_entry(ENTRY, without=["CONDA_ENV_NAME", "VENV_PATH"]))
    assert ConfigFile(CLAUDE, path).entry == {
        "command": "/x/kernelexec",
        "disabled": True,
        "env": {"CODE_STORAGE_DIR": "/s", "VENV_PATH": "/v"},
    }
    assert "// mine" in path.read_text()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"mcpServers": '),
        ("a.json", '{"mcpServers": 3}'),
        ("a.toml", "x = = 1"),
        ("a.toml", "mcp_servers = 3"),
    ],
)
def test_a_broken_file_is_told_and_left_alone(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    client = CODEX if name.endswith("toml") else CLAUDE
    with pytest.raises(BadRequest, match="cannot be"):
        ConfigFile(client, path).with_entry(ENTRY)
    assert path.read_text() == text


def test_a_file_is_replaced_as_private_as_it_was_through_its_link_and_kept_beside(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "claude.json"
    real.parent.mkdir()
    real.write_text('{"token": "secret"}')
    real.chmod(0o600)
    path = tmp_path / ".claude.json"
    path.symlink_to(real)
    file = ConfigFile(CLAUDE, path)
    backup = file.write(file.with_entry(ENTRY))
    assert path.is_symlink()
    assert json.loads(real.read_text())["token"] == "secret"
    assert backup is not None
    assert backup.read_text() == '{"token": "secret"}'
    assert {stat.S_IMODE(each.stat().st_mode) for each in (real, backup)} == {0o600}


def test_a_file_that_somebody_changed_meanwhile_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / ".mcp.json"
    file = ConfigFile(CLAUDE, path)
    path.write_text('{"theirs": 1}')
    with pytest.raises(BadRequest, match="changed meanwhile"):
        file.write(file.with_entry(ENTRY))
    assert path.read_text() == '{"theirs": 1}'


def test_our_entries_are_known_by_name_or_by_command(tmp_path: Path) -> None:
    path = tmp_path / ".mcp.json"
    servers = {
        "kernelexec": {"command": "anything"},
        "mine": {"command": "/opt/bin/kernelexec"},
        "by-uvx": {"command": "uvx", "args": ["kernelexec"]},
        "by-python": {"command": "python", "args": ["-m", "kernelexec"]},
        "other": {"command": "npx", "args": ["-y", "other"]},
        "remote": {"url": "https://example.org"},
    }
    path.write_text(json.dumps({"mcpServers": servers}))
    assert set(ConfigFile(CLAUDE, path).entries()) == set(servers) - {"other", "remote"}


def test_a_server_gets_what_its_client_hands_on_and_its_entry_names(tmp_path: Path) -> None:
    environ = {"HOME": "/h", "PATH": "/mine/bin", "SHELL": "sh", "VIRTUAL_ENV": "/v", "X": "x"}
    entry = {
        "command": "${X}/kernelexec",
        "args": ["${NOT:-d}"],
        "env": {"A": "${env:X}", "B": "${NOT}", "C": "${workspaceFolder}/s"},
    }
    server = started(CLAUDE, entry, environ, tmp_path)
    assert server.command == "x/kernelexec"
    assert server.arguments == ("d",)
    named = {"A": "x", "B": "${NOT}", "C": f"{tmp_path}/s"}
    assert server.environ == {"HOME": "/h", "PATH": "/mine/bin", "SHELL": "sh", **named}
    assert server.cwd == tmp_path
    from_the_desktop = started(CURSOR, entry, environ, tmp_path)
    assert "/mine/bin" not in from_the_desktop.environ["PATH"]
    assert from_the_desktop.cwd == Path("/h")


def test_a_project_is_named_to_a_client_that_does_not_start_there(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    project = tmp_path / "sales"
    assert placed(CURSOR, "project", project, environ) == {
        "KERNELEXEC_CWD": str(project),
        "KERNELEXEC_SESSION": "sales",
    }
    assert placed(CURSOR, "user", project, environ) == placed(CLAUDE, "project", project, environ) == {}


def test_codex_is_told_not_to_ask_unless_the_person_wants_it_to() -> None:
    assert new_entry(CODEX, ["k"], {}, approve=True)["default_tools_approval_mode"] == "approve"
    assert "default_tools_approval_mode" not in new_entry(CODEX, ["k"], {}, approve=False)


@pytest.mark.parametrize("client", CLIENTS.values(), ids=lambda client: client.name)
def test_an_entry_to_be_copied_is_read_back_as_it_is(client: Any, tmp_path: Path) -> None:
    path = tmp_path / client.path("user", {"HOME": "/h"}, tmp_path).name
    path.write_text(in_form(client, path, ENTRY))
    assert ConfigFile(client, path).entry == ENTRY
