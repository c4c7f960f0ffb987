"""What a person does with a session from a shell: exec, wait, show, history, watch, vars, console."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.conftest import Connect
from tests.real.home import COMMAND, Home, eventually, until
from tests.real.terminal import Terminal


@pytest.fixture
def project(home: Home) -> Path:
    return home.project("sales")


class Shell:
    """A person's shell in the project."""

    def __init__(self, home: Home, cwd: Path) -> None:
        self.home, self.cwd = home, cwd

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments],
            env=self.home.environ,
            cwd=self.cwd,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        answer = self.run(*arguments, "--json")
        assert answer.stdout, answer.stderr
        return json.loads(answer.stdout)


@pytest.fixture
def shell(home: Home, project: Path) -> Shell:
    return Shell(home, project)


def test_code_is_run_in_the_assistants_session_and_its_verdict_is_the_exit_status(
    shell: Shell, connect: Connect, home: Home, project: Path
) -> None:
    connect(home, project).execute("kept = 41")
    done = shell.run("exec", "print('hello'); kept + 1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("OK: sales@plain/2 ran in ")
    assert done.stdout.endswith("[stdout]\nhello\n\n[result]\n42\n")
    failed = shell.run("exec", "1/0")
    assert failed.returncode == 1
    assert failed.stdout.startswith("ERROR: sales@plain/3 failed")
    # and the assistant is told of both
    assert "kernelexec" in connect(home, project).execute("kept").text


def test_a_file_of_the_project_runs_as_by_hand_and_standard_input_as_code(shell: Shell) -> None:
    (shell.cwd / "load.py").write_text("print(__file__)\n")
    assert str(shell.cwd / "load.py") in shell.run("exec", "load.py").stdout
    labelled = shell.json("exec", "load.py", "--name", "first look")
    assert labelled["script"].endswith("0002-first_look.py")
    assert "\n3" in shell.run("exec", "-", stdin="print(1 + 2)\n").stdout


def test_a_picture_is_saved_and_named(shell: Shell) -> None:
    code = (
        "import base64\nfrom IPython.display import Image, display\n"
        "display(Image(base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
        "awAAAABJRU5ErkJggg==')))"
    )
    said = shell.json("exec", code)
    (path,) = map(Path, said["pictures"])
    assert path.read_bytes().startswith(b"\x89PNG")
    assert str(path) in shell.run("show", said["execution"]).stdout


def test_what_is_detached_is_waited_for_and_shown_whole(shell: Shell, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    code = f"print('x' * 50_000)\n{until(gate)}print('end')"
    begun = shell.json("exec", "--detach", code)
    assert begun["state"] in ("RUNNING", "QUEUED")
    short = shell.run("wait", begun["execution"], "--seconds", "0.1")
    assert short.returncode == 3
    gate.touch()
    assert shell.run("wait", begun["execution"]).returncode == 0
    shown = shell.json("show", begun["execution"])
    assert shown["code"] == code
    assert shown["output"].count("x") == 50_000
    assert shown["output"].endswith("end")
    assert shell.run("show", "sales@plain/99").returncode == 1
    assert shell.run("show", "nonsense").returncode == 2


def test_what_happened_between_two_commands_is_told(shell: Shell, home: Home) -> None:
    assert "Kernel: new" in shell.run("exec", "kept = 1").stdout
    assert "Kernel:" not in shell.run("exec", "kept").stdout  # it knows that one
    assert home.command("stop", "sales@plain").returncode == 0
    refused = shell.run("exec", "kept")
    assert refused.returncode == 1
    assert refused.stdout.startswith("NOT RUN: ")
    assert "kept" in refused.stdout
    assert "NameError" in shell.run("exec", "kept").stdout


def test_history_and_variables_are_lists_for_programs(shell: Shell) -> None:
    shell.run("exec", "a = [1, 2]")
    shell.run("exec", "1/0")
    history = [each for each in shell.json("history") if each["execution"]]
    assert [(each["execution"], each["state"], each["error"]) for each in history] == [
        ("sales@plain/1", "ok", None),
        ("sales@plain/2", "error", "ZeroDivisionError"),
    ]
    (variable,) = shell.json("vars")["variables"]
    assert variable["name"] == "a"
    assert "ZeroDivisionError" in shell.run("history").stdout
    assert "list" in shell.run("vars").stdout


def test_a_run_is_interrupted_and_a_kernel_replaced(shell: Shell, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    shell.run("exec", "--detach", until(tmp_path / "never", begun))
    eventually(begun.exists)
    assert shell.run("interrupt").stdout.startswith("INTERRUPTED: ")
    assert shell.run("exec", "kept = 1").returncode == 0
    assert "no longer" not in shell.run("restart", "--replay").stderr
    assert "NameError" not in shell.run("exec", "kept").stdout
    bad = shell.run("install", "no such package!")
    assert bad.returncode == 1


def test_sessions_are_named_by_name_id_place_or_notebook(shell: Shell, home: Home, tmp_path: Path) -> None:
    shell.run("exec", "-s", "other", "kept = 1")
    notebook = home.storage / "other@plain-1.ipynb"
    eventually(notebook.exists)
    for name in ("other", "other@plain", f"{home.storage}:other@plain", str(notebook)):
        assert "kept" in shell.run("vars", name).stdout, name
    unknown = shell.run("history", "nosuch")
    assert unknown.returncode == 1
    assert "Sessions there: other@plain." in unknown.stderr


def test_a_shell_without_settings_takes_those_of_the_projects_client_file(
    shell: Shell, venv: Path, home: Home, tmp_path: Path
) -> None:
    storage = tmp_path / "analyses"
    env = {"VENV_PATH": str(venv), "CODE_STORAGE_DIR": str(storage), "KERNELEXEC_SESSION": "theirs"}
    entry = {"mcpServers": {"kernelexec": {"command": COMMAND, "env": env}}}
    (shell.cwd / ".mcp.json").write_text(json.dumps(entry))
    del home.environ["ENV_TYPE"], home.environ["VENV_PATH"]
    said = shell.json("exec", "1")
    assert said["execution"] == "theirs@plain/1"
    assert said["notebook"].startswith(str(storage))
    home.environ["CODE_STORAGE_DIR"] = str(tmp_path / "mine")
    home.environ["VENV_PATH"] = str(venv)
    assert shell.json("exec", "1")["execution"] == "sales@plain/1"


def test_a_notebook_of_the_persons_own_is_opened_and_worked_in(shell: Shell) -> None:
    notebook = shell.cwd / "mine.ipynb"
    notebook.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    opened = shell.run("open", "mine.ipynb", "-s", "mine")
    assert opened.returncode == 0, opened.stdout + opened.stderr
    assert shell.run("exec", "-s", "mine", "40 + 2").returncode == 0
    eventually(lambda: "40 + 2" in notebook.read_text())
    assert shell.run("open", "/etc/passwd").returncode == 1


def test_once_a_notebook_is_opened_every_command_in_the_directory_is_for_it(shell: Shell) -> None:
    shell.run("exec", "before = 1")
    assert shell.run("open", "mine.ipynb").returncode == 0
    shell.run("exec", "after = 2")
    assert [each["execution"] for each in shell.json("history") if each["execution"]] == ["mine@plain/1"]
    assert [each["name"] for each in shell.json("vars")["variables"]] == ["after"]
    assert "after" in shell.run("vars").stdout
    assert [each["name"] for each in shell.json("vars", "sales")["variables"]] == ["before"]


# --- at a terminal ---------------------------------------------------------------


@pytest.fixture
def terminals(home: Home) -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def test_the_person_watches_the_assistant_live(
    shell: Shell, connect: Connect, home: Home, terminals: list[Terminal], tmp_path: Path
) -> None:
    client = connect(home)
    client.execute("before = 1")
    terminal = Terminal(home, COMMAND, "watch", "main")
    terminals.append(terminal)
    terminal.wait_for("main@plain/1 ok")
    gate = tmp_path / "gate"
    call = client.start(f"print('now \\x1b]52;c;x\\x07')\n{until(gate)}1/0")
    terminal.wait_for("now ")
    assert "main@plain/2 ok" not in terminal.text
    gate.touch()
    call.result(30)
    terminal.wait_for("ZeroDivisionError")
    assert "\x1b]52" not in terminal.text  # what a program prints does not reach the person's clipboard
    terminal.press_control_c()
    assert terminal.process.wait(30) == 0


def test_at_a_terminal_output_comes_as_it_is_made_and_questions_are_asked(
    home: Home, terminals: list[Terminal], tmp_path: Path
) -> None:
    assert home.command("exec", "1").returncode == 0  # the first use of an environment takes its time
    gate = tmp_path / "gate"
    code = f"print('first')\n{until(gate)}n = input('Name? ')\nprint('hello', n)"
    terminal = Terminal(home, COMMAND, "exec", code)
    terminals.append(terminal)
    terminal.wait_for(r"\[stdout\]")
    gate.touch()
    terminal.wait_for(r"\x1b\[2KName\? ")
    terminal.type("Anna\n")
    terminal.wait_for("hello Anna")
    terminal.wait_for("OK: main@plain/2")
    assert terminal.process.wait(30) == 0


def test_control_c_interrupts_the_run(home: Home, terminals: list[Terminal], tmp_path: Path) -> None:
    assert home.command("exec", "1").returncode == 0
    begun = tmp_path / "begun"
    terminal = Terminal(home, COMMAND, "exec", until(tmp_path / "never", begun))
    terminals.append(terminal)
    eventually(begun.exists)
    terminal.press_control_c()
    assert terminal.process.wait(30) == 130
    eventually(lambda: home.status()["sessions"][0]["state"] == "idle")


def test_kernelexec_alone_says_what_it_is(home: Home, terminals: list[Terminal]) -> None:
    terminal = Terminal(home, COMMAND)
    terminals.append(terminal)
    terminal.wait_for("kernelexec setup")
    assert terminal.process.wait(30) == 0
    assert home.processes() == {}


def test_a_console_is_joined_to_the_live_kernel(
    shell: Shell, home: Home, terminals: list[Terminal], connect: Connect
) -> None:
    client = connect(home)
    client.execute("kept = 20_21")
    terminal = Terminal(home, COMMAND, "console", "main", TERM="dumb")
    terminals.append(terminal)
    terminal.wait_for(r"In ?\[")
    terminal.type("kept + 1\r")
    terminal.wait_for("2022")
    assert "kept + 1" in client.execute("kept").text  # and the assistant is told


# --- pipes, shells, time ---------------------------------------------------------


def test_a_pipe_that_is_closed_leaves_no_traceback(shell: Shell, home: Home) -> None:
    shell.run("exec", "print('x' * 200_000)")
    said = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{COMMAND} show sales@plain/1 | head -1"],
        env=home.environ,
        cwd=shell.cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert said.stderr == ""
    assert said.returncode in (0, 128 + signal.SIGPIPE)


def test_bash_completes_commands_options_and_sessions(shell: Shell, home: Home) -> None:
    shell.run("exec", "1")
    script = (
        f'eval "$({COMMAND} completion bash)"; kernelexec() {{ {COMMAND} "$@"; }}\n'
        'ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _kernelexec; echo "${COMPREPLY[*]}"; }\n'
        "ask kernelexec hi; ask kernelexec exec --de; ask kernelexec vars sa; ask kernelexec setup cur"
    )
    said = subprocess.run(
        ["bash", "-c", script],
        env=home.environ,
        cwd=shell.cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert said.stdout.split() == ["history", "--detach", "sales@plain", "cursor"], said.stderr


@pytest.mark.parametrize("arguments", [["ps"], ["history", "--help"], ["--version"], ["exec", "--help"]])
def test_what_is_asked_often_imports_nothing_that_takes_time(home: Home, arguments: list[str]) -> None:
    if arguments == ["ps"]:  # of a hub that runs; without one the processes are looked at
        assert home.command("exec", "1").returncode == 0
    program = (
        "import sys\nfrom kernelexec.commands import cli\n"
        f"try: cli.main({arguments!r})\nexcept SystemExit: pass\n"
        "heavy = 'mcp pydantic asyncio rich jupyter_client nbformat psutil zmq PIL tomlkit'.split()\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**home.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert said.stderr == "[]\n"
