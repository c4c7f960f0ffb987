"""Runs that end well although an error is shown, and a program that ends itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.real.clients import Client
from tests.real.conftest import Connect
from tests.real.home import Home


@pytest.fixture
def client(connect: Connect, shared_home: Home) -> Client:
    return connect(shared_home)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("open('fails.py', 'w').write('raise ValueError(1)')\n%run fails.py", "ValueError"),
        ("open('exits.py', 'w').write('raise SystemExit(3)')\n%run exits.py", "SystemExit"),
        ("%%capture\nraise RuntimeError('captured')", "RuntimeError"),
        ("get_ipython().run_cell('1/0'); print('and on')", "ZeroDivisionError"),
    ],
)
def test_a_run_that_ends_well_names_the_error_that_it_shows(client: Client, code: str, error: str) -> None:
    reply = client.execute(code)
    assert reply.verdict.startswith(f"OK: {reply.id} ran in ")
    assert f", but showed an error: {error}; saved as " in reply.verdict
    assert f"ok, but {error}"[:24] in client.call("list_executions", {}).text.splitlines()[-1]
    assert ", but" not in client.execute("'next'").verdict
    again = client.wait_for(reply.id)
    assert f", but showed an error: {error}; saved as " in again.verdict


def test_a_program_that_ends_itself_well_is_replayed_and_exported(
    connect: Connect, shared_home: Home
) -> None:
    client = connect(shared_home, KERNELEXEC_SESSION="exits")
    reply = client.execute("import sys\nkept = 5\nsys.exit(0)\nkept = 6")
    assert reply.state == "OK"
    assert "no error" in reply.text
    assert "[error]" not in reply.text
    assert client.execute("open('zero.py', 'w').write('raise SystemExit(0)')\n%run zero.py").state == "OK"
    assert client.execute("sys.exit('wrong')").verdict.endswith(".py")
    assert client.execute("kept").block("result") == "5"
    notebook = Path(client.config()["notebook"])
    exported = shared_home.command(
        "export", str(notebook), "--output", str(shared_home.path / "handed.ipynb")
    )
    assert exported.returncode == 0, exported.stderr
    cells = json.loads((shared_home.path / "handed.ipynb").read_text())["cells"]
    assert len(cells) == 3
    assert "sys.exit(0)" in "".join(cells[0]["source"])
    assert "error" not in {output["output_type"] for output in cells[0]["outputs"]}
    replay = client.call("restart_kernel", {"replay": True})
    assert replay.state == "OK", replay.text
    assert client.execute("kept").block("result") == "5"
