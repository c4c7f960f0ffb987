"""The commands that work on what a session has left, on the records of real kernels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.real.conftest import Connect
from tests.real.home import COMMAND, Home, eventually
from tests.real.terminal import Terminal


@pytest.fixture
def folder(connect: Connect, shared_home: Home, request: pytest.FixtureRequest) -> Path:
    """The folder of a session in which the second of four submissions failed."""
    project = shared_home.project(request.node.name)
    client = connect(shared_home, project)
    client.execute("values = [1, 2, 3]", filename="load", note="## Load")
    client.execute("vlaues", filename="mistake")
    client.execute("total = sum(values)\nprint('total', total)", filename="sum")
    folder = client.execute("total").script.parent
    assert [path.name for path in sorted(folder.iterdir())] == [
        "0001-load.py",
        "0002-mistake.py",
        "0003-sum.py",
        "0004.py",
    ]
    return folder


def sources(notebook: Path) -> list[str]:
    read: Any = nbformat.read(notebook, as_version=4)
    nbformat.validate(read)
    return [cell.source for cell in read.cells]


def test_run_stops_at_the_first_script_that_fails(folder: Path, shared_home: Home) -> None:
    answer = shared_home.command("run", str(folder))
    assert answer.returncode == 1
    assert "1 script ran well, 1 failed, 2 were not run" in answer.stdout
    assert f"failed: {folder / '0002-mistake.py'} (it did not succeed the first time either)" in answer.stdout
    assert f"kernelexec run --succeeded {folder}" in answer.stdout
    session = f"{folder.name.partition('@')[0]}-rerun@plain"
    states = {session["session"]: session["state"] for session in shared_home.status()["sessions"]}
    assert states[session] == "no kernel"


def test_run_gives_the_same_results_again_in_a_session_of_its_own(folder: Path, shared_home: Home) -> None:
    (folder / "0002-mistake.py").write_text("values.append(4)")  # mended by the person
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    answer = shared_home.command("run", str(folder), "--session", "again", "--keep-kernel")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "total 10" in answer.stdout
    assert "4 scripts ran well\n" in answer.stdout
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    notebook = folder.with_name("again@plain-1.ipynb")
    assert f"notebook: {notebook}" in answer.stdout
    expected = ["## Load", "values = [1, 2, 3]", "values.append(4)", before["0003-sum.py"].decode(), "total"]
    eventually(lambda: notebook.exists() and sources(notebook) == expected)
    states = {session["session"]: session["state"] for session in shared_home.status()["sessions"]}
    assert states["again@plain"] == "idle"
    assert shared_home.command("stop", "again@plain").returncode == 0
    repeated = shared_home.command("run", str(folder), "--session", "Again")
    assert repeated.returncode == 1
    assert "already" in repeated.stderr


def test_run_can_leave_out_what_failed_or_go_on_after_it(folder: Path, shared_home: Home) -> None:
    answer = shared_home.command("run", str(folder), "--succeeded")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "3 scripts ran well\n" in answer.stdout
    answer = shared_home.command("run", str(folder), "--keep-going")
    assert answer.returncode == 1
    assert "3 scripts ran well, 1 failed\n" in answer.stdout
    assert "-rerun-2" in answer.stdout


def test_scripts_without_a_journal_run_in_the_environment_of_the_settings(shared_home: Home) -> None:
    folder = shared_home.path / "steps"
    folder.mkdir()
    (folder / "0002-show.py").write_text("print('six', x)")
    (folder / "0001-set.py").write_bytes("# coding: utf-8\r\nx = 6  # ä\r\n".encode())
    (folder / "notes.py").write_text("raise SystemExit")
    answer = shared_home.command("run", str(folder))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "no journal" in answer.stdout
    assert "six 6" in answer.stdout
    copy = shared_home.storage / "steps-rerun@plain-1" / "0001-set.py"
    assert copy.read_bytes() == (folder / "0001-set.py").read_bytes()


@pytest.fixture
def asking(shared_home: Home, request: pytest.FixtureRequest) -> Iterator[Terminal]:
    """`kernelexec run` in a terminal, on a script that asks for a name and one that runs for ever."""
    folder = shared_home.path / request.node.name
    folder.mkdir()
    (folder / "0001-ask.py").write_text("name = input('your name')\nprint('hello', name)")
    (folder / "0002-wait.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(600)")
    terminal = Terminal(shared_home, COMMAND, "run", str(folder))
    yield terminal
    terminal.close()


def test_what_a_script_asks_is_asked_at_the_terminal_and_control_c_ends_all(
    asking: Terminal, shared_home: Home
) -> None:
    session = asking.wait_for(r"fresh session (\S+) ")[1]
    asking.wait_for("your name: ")
    asking.type("Ada\n")
    asking.wait_for("hello Ada")
    asking.wait_for("0002-wait.py\r\n(.*\r\n)*.*begun")
    asking.press_control_c()
    asking.wait_for("1 script ran well, 1 was not run")
    assert asking.process.wait(30) == 1
    states = {session["session"]: session["state"] for session in shared_home.status()["sessions"]}
    assert states[f"{session}@plain"] == "no kernel"


def test_a_question_without_a_terminal_is_a_failure(shared_home: Home) -> None:
    folder = shared_home.path / "question"
    folder.mkdir()
    (folder / "0001.py").write_text("input('your name')")
    answer = shared_home.command("run", str(folder), "--keep-going")
    assert answer.returncode == 1
    assert "WAITING FOR INPUT" in answer.stdout
    assert "your name" in answer.stdout


def test_gc_leaves_what_is_open_alone_and_removes_what_is_not(folder: Path, shared_home: Home) -> None:
    storage = folder.parent
    old = {}
    for name in (".kernelexec/old@plain.jsonl", "old@plain-1/outputs/0001.txt", "old@plain-1/0001.py"):
        path = old[name] = storage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
        os.utime(path, (1, 1))
    kept = [path for path in folder.rglob("*") if path.is_file()]
    answer = shared_home.command("gc", "--older-than", "1h")
    assert answer.returncode == 0, answer.stderr
    assert all(path.exists() for path in old.values())
    assert str(old["old@plain-1/outputs/0001.txt"]) in answer.stdout
    answer = shared_home.command("gc", "--older-than", "1h", "--yes")
    assert answer.returncode == 0, answer.stderr
    assert [name for name, path in old.items() if path.exists()] == ["old@plain-1/0001.py"]
    assert all(path.exists() for path in kept)


def test_gc_removes_what_a_living_hub_has_open(connect: Connect, home: Home) -> None:
    client = connect(home)
    runs, stopped = client.execute("1", session="runs"), client.execute("1", session="stopped")
    assert home.command("stop", stopped.session).returncode == 0
    journals = {path.name for path in home.storage.glob(".kernelexec/*.jsonl")}
    assert journals == {f"{runs.session}.jsonl", f"{stopped.session}.jsonl"}
    _as_if_unused(home)
    for path in home.storage.rglob("*"):
        os.utime(path, (1, 1))
    answer = home.command("gc", "--older-than", "1h", "--journals", "--yes")
    assert answer.returncode == 0, answer.stderr
    assert [path.name for path in home.storage.glob(".kernelexec/*.jsonl")] == [f"{runs.session}.jsonl"]
    assert home.command("stop", runs.session).returncode == 0  # what the message recommends for the other
    assert client.execute("2", session="stopped").state == "OK"


def _as_if_unused(home: Home) -> None:
    """What a hub does for `gc`, without the minute for which it waits."""
    asked = {"command": "release", "idle_seconds": 0}
    code = f"from kernelexec.commands.hub_client import ask_running; print(ask_running({asked}))"
    subprocess.run([sys.executable, "-c", code], env=home.environ, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("name", ["nothing", "nowhere"])
def test_a_folder_without_scripts_is_an_error(shared_home: Home, name: str) -> None:
    folder = shared_home.path / "nothing"
    folder.mkdir(exist_ok=True)
    answer = shared_home.command("run", str(shared_home.path / name))
    assert answer.returncode == 1
    assert "no scripts in" in answer.stderr or "not a folder" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_notebook_can_be_rebuilt_and_exported_while_its_kernel_runs(
    folder: Path, shared_home: Home
) -> None:
    notebook = folder.with_name(f"{folder.name}.ipynb")
    answer = shared_home.command("export", str(notebook))
    assert answer.returncode == 0, answer.stderr
    code = ["## Load", "values = [1, 2, 3]", "total = sum(values)\nprint('total', total)", "total"]
    assert sources(folder.with_name(f"{folder.name}.clean.ipynb")) == code
    before = json.loads(notebook.read_text())
    answer = shared_home.command("rebuild", str(notebook))
    assert answer.returncode == 0, answer.stderr
    assert json.loads(folder.with_name(f"{folder.name}.rebuilt.ipynb").read_text()) == before


def test_an_export_is_checked_in_a_fresh_kernel_and_says_what_differs(
    connect: Connect, shared_home: Home
) -> None:
    project = shared_home.project("checked")
    client = connect(shared_home, project)
    client.execute("import os\nvalues = [1, 2, 3]")
    client.execute("sum(values)")
    notebook = client.execute("object()").script.parent
    notebook = notebook.with_name(f"{notebook.name}.ipynb")
    eventually(lambda: notebook.exists() and "object()" in notebook.read_text())
    good = shared_home.command("export", str(notebook), "--check", "--force")
    assert good.returncode == 0, good.stdout + good.stderr
    assert "checked in a fresh kernel: 3 cells ran\nnothing differs\n" in good.stdout

    client.execute("os.getpid()")
    last = client.execute("import pathlib; print(pathlib.Path('once').read_text())")
    assert last.state == "ERROR"
    (project / "once").write_text("was here")
    assert client.execute("print(open('once').read())").state == "OK"
    (project / "once").unlink()
    eventually(lambda: "open('once')" in notebook.read_text())
    bad = shared_home.command("export", str(notebook), "--check", "--force")
    assert bad.returncode == 1, bad.stdout + bad.stderr
    assert "checked in a fresh kernel: 5 cells ran" in bad.stdout
    assert "(os.getpid()): " in bad.stdout
    assert "(print(open('once').read())): FileNotFoundError" in bad.stdout
    assert "nothing differs" not in bad.stdout
    states = {one["session"]: one["state"] for one in shared_home.status()["sessions"]}
    assert states.get("check@plain", "no kernel") == "no kernel"


def test_any_notebook_is_run_with_parameters_where_it_lies(shared_home: Home) -> None:
    folder = shared_home.project("reports")
    sources = ["region, rows = 'south', 1", "import os", "print(region, rows, os.getcwd())"]
    cells = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": source, "outputs": []}
        | {"execution_count": None}
        for n, source in enumerate(sources)
    ]
    cells[0]["metadata"] = {"tags": ["parameters"]}
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "report.ipynb").write_text(json.dumps(notebook))
    answer = shared_home.command(
        "run", str(folder / "report.ipynb"), "-p", "region=north east", "--parameter", "rows=[1, 2]"
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"north east [1, 2] {folder}" in answer.stdout
    assert "[2/4] parameters" in answer.stdout
    assert "4 scripts ran well" in answer.stdout
    elsewhere = shared_home.command(
        "run", str(folder / "report.ipynb"), "--cwd", str(shared_home.path), "--session", "there"
    )
    assert f"south 1 {shared_home.path}" in elsewhere.stdout
    assert shared_home.command("run", str(folder / "report.ipynb"), "-p", "1x=2").returncode == 1
