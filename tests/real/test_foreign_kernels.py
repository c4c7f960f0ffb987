"""Kernels of somebody else's kernelspecs: bash, R, xeus-python, and an ipykernel that a person installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from tests.real.conftest import Connect
from tests.real.home import Home, eventually

_UV = str(Path(sys.executable).parent / "uv")


def uv_venv(folder: Path, *packages: str) -> Path:
    subprocess.run([_UV, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    install = [_UV, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python")]
    environ = {**os.environ, "TMPDIR": str(folder.parent)}  # it leaves a lock there for what it has to build
    subprocess.run([*install, *packages], check=True, env=environ)
    return folder


@pytest.fixture(scope="module")
def jupyter(place: Path) -> Path:
    """An environment as a person has it: ipykernel, bash_kernel, xeus-python and their kernelspecs."""
    prefix = uv_venv(place / "jupyter", "ipykernel", "bash_kernel", "xeus-python")
    python = str(prefix / "bin" / "python")
    subprocess.run([python, "-m", "bash_kernel.install", "--prefix", str(prefix)], check=True)
    own = ["--prefix", str(prefix), "--name", "mine", "--display-name", "My own", "--env", "MINE", "$HOME/x"]
    environ = {**os.environ, "TMPDIR": str(place)}  # it leaves a folder there
    subprocess.run([python, "-m", "ipykernel", "install", *own], check=True, capture_output=True, env=environ)
    return prefix


@pytest.fixture(scope="module")
def variables(jupyter: Path) -> dict[str, str]:
    return {"ENV_TYPE": "", "VENV_PATH": "", "JUPYTER_PATH": str(jupyter / "share" / "jupyter")}


def test_code_runs_in_a_kernel_that_is_not_pythons(
    connect: Connect, shared_home: Home, variables: dict[str, str]
) -> None:
    client = connect(shared_home, KERNEL_NAME="bash", **variables)
    assert client.execute("x=5; echo $((x + 1))").block("stdout") == "6"
    reply = client.execute("echo $x; ls /no/such/folder", filename="look", note="What is there")
    assert reply.verdict.startswith("ERROR: main@bash/2 failed after")
    assert "5" in reply.block("stdout")
    assert reply.script.name == "0002-look.sh"
    assert reply.script.read_text() == "echo $x; ls /no/such/folder"
    facts = client.config()
    assert facts["environment"] == "bash (kernelspec)"
    assert facts["runs"] == "bash"
    assert facts["kernelspec"].startswith("bash,")
    assert "best effort" in facts["interrupts"]
    assert facts["connection"] == "sockets that only you can open"  # it is written in Python

    def cells() -> list[dict[str, object]]:
        notebook = json.loads(Path(facts["notebook"]).read_text())
        assert notebook["metadata"]["kernelspec"] == {
            "display_name": "Bash",
            "language": "bash",
            "name": "bash",
        }
        assert notebook["metadata"]["language_info"]["file_extension"] == ".sh"
        return list(notebook["cells"])

    assert eventually(lambda: len(cells()) == 3)


def test_a_foreign_kernel_is_interrupted_and_goes_on(
    connect: Connect, shared_home: Home, variables: dict[str, str]
) -> None:
    client = connect(shared_home, KERNEL_NAME="bash", **variables)
    client.execute("kept=1")
    reply = client.execute("sleep 50", max_seconds=1, wait_seconds=20)
    assert reply.state in ("INTERRUPTED", "ERROR"), reply.text
    assert client.execute("echo $kept").block("stdout") == "1"


def test_the_death_of_a_foreign_kernel_is_told(
    connect: Connect, shared_home: Home, variables: dict[str, str]
) -> None:
    client = connect(shared_home, KERNEL_NAME="bash", **variables)
    client.execute("echo", session="mortal")
    reply = client.execute("kill -9 $PPID; sleep 30", session="mortal")
    assert reply.state == "DIED", reply.text
    assert "SIGKILL" in reply.text
    assert client.execute("echo again", session="mortal").block("stdout") == "again"


def test_what_a_foreign_kernel_drops_is_told(
    connect: Connect, shared_home: Home, variables: dict[str, str]
) -> None:
    client = connect(shared_home, KERNEL_NAME="bash", **variables)
    reply = client.execute("seq 1 20000", session="loud")
    journal = shared_home.storage / ".kernelexec" / f"{reply.session}.jsonl"
    outputs = [json.loads(line) for line in journal.read_text().splitlines() if '"event":"output"' in line]
    lines = "".join(output["content"]["text"] for output in outputs).split()
    assert reply.state == "OK", reply.text
    told = re.search(r"dropped up to ([\d,]+) messages", reply.text)
    missing = int(told[1].replace(",", "")) if told else 0
    assert 0 <= missing - (20000 - len(lines)) <= 20


def test_a_foreign_kernel_outlives_the_hub(
    connect: Connect, new_home: Callable[..., Home], variables: dict[str, str]
) -> None:
    home = new_home(KERNEL_NAME="bash", **variables)
    connect(home).execute("kept=1")
    home.end_hub(15)
    reply = connect(home).execute("echo $kept")
    assert reply.block("stdout") == "1"
    home.end_hub(9)
    assert connect(home).execute("echo $kept", max_seconds=30).block("stdout") == "1"


def test_a_python_kernel_that_is_not_ipykernel_does_the_whole_job(
    connect: Connect, shared_home: Home, variables: dict[str, str]
) -> None:
    client = connect(shared_home, KERNEL_NAME="xpython", **variables)
    assert client.execute("kept = 6\nkept + 1").block("result") == "7"
    assert client.execute("1 / 0").verdict.partition(" with ")[2].startswith("ZeroDivisionError;")
    reply = client.execute("import time; time.sleep(50)", max_seconds=0.5, wait_seconds=30)
    assert reply.state == "INTERRUPTED", reply.text  # by itself it would end
    asked = client.execute("print('hello', input('who? '))")
    assert asked.state == "WAITING FOR INPUT"
    said = client.call("send_input", {"execution_id": asked.id, "text": "you"}).block("stdout")
    assert said == "who? you\nhello you"
    assert "kept" in client.call("list_variables", {}).text
    assert client.config()["connection"].startswith("TCP")  # its library takes no path of our length
    assert client.execute("import os; os.kill(os.getpid(), 9)").state == "DIED"
    assert client.execute("kept").verdict.partition(" with ")[2].startswith("NameError;")


@pytest.mark.skipif(
    not os.environ.get("CI") and shutil.which("R", path="/usr/bin:/usr/local/bin") is None,
    reason="there is no R here (apt-get install r-cran-irkernel)",
)
def test_r_does_the_whole_job(connect: Connect, shared_home: Home, variables: dict[str, str]) -> None:
    client = connect(shared_home, KERNEL_NAME="ir", **variables)
    reply = client.execute("kept <- 6\nkept + 1")
    assert (reply.block("display"), reply.script.suffix) == ("[1] 7", ".r")
    reply = client.execute("print(kept)\nstop('boom')")
    assert (reply.state, reply.block("stdout")) == ("ERROR", "[1] 6")
    assert "boom" in reply.block("error")
    assert client.execute("Sys.sleep(50)", max_seconds=0.5, wait_seconds=30).state in ("INTERRUPTED", "ERROR")
    asked = client.execute("cat('hello', readline('who? '))")
    assert asked.state == "WAITING FOR INPUT"
    assert (
        client.call("send_input", {"execution_id": asked.id, "text": "you"}).block("stdout")
        == "who? you\nhello you"
    )
    assert len(client.execute("plot(1:10)").images) == 1
    told = client.call("list_variables", {})
    assert told.is_error
    assert "runs R" in told.text
    facts = client.config()
    assert client.execute("tools::pskill(Sys.getpid(), 9)").state == "DIED"
    assert "object 'kept' not found" in client.execute("kept").block("error")
    notebook = nbformat.read(facts["notebook"], 4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "ir"


def test_a_python_kernelspec_runs_as_it_says(
    connect: Connect, shared_home: Home, variables: dict[str, str], jupyter: Path
) -> None:
    client = connect(shared_home, KERNEL_NAME="mine", **variables)
    reply = client.execute("import os, sys\nprint(sys.prefix, os.environ['MINE'])")
    assert reply.block("stdout") == f"{jupyter} {shared_home.path}/x"
    assert reply.script.suffix == ".py"
    reply = client.execute("import time\ntime.sleep(50)", max_seconds=0.5)
    assert reply.state == "INTERRUPTED"
    facts = client.config()
    assert facts["interpreter"] == str(jupyter / "bin" / "python")
    assert facts["interrupts"] == "reach only the run they are meant for"
    lines = client.execute("for n in range(20000): print(n, flush=True)")
    assert lines.block("stdout").endswith("19999")


def test_an_unknown_kernelspec_is_refused_with_near_names(
    connect: Connect, shared_home: Home, variables: dict[str, str]
) -> None:
    reply = connect(shared_home, KERNEL_NAME="bsh", **variables).execute("echo")
    assert reply.is_error
    assert "no Jupyter kernelspec called 'bsh'" in reply.text
    assert "Did you mean bash" in reply.text
    assert "mine" in reply.text


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ('{"argv": ["/no/such/program", "{connection_file}"]}', "/no/such/program"),
        ('{"argv": ["cat"]}', "connection_file"),
        ("{", "cannot be read"),
        ('{"argv": ["false", "{connection_file}"], "language": "x"}', "exited with code 1"),
    ],
)
def test_a_kernelspec_that_starts_nothing_is_told(
    connect: Connect, shared_home: Home, tmp_path: Path, spec: str, told: str
) -> None:
    folder = tmp_path / "kernels" / "broken"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(spec)
    client = connect(
        shared_home, ENV_TYPE="kernelspec", KERNEL_NAME="broken", JUPYTER_PATH=str(tmp_path), VENV_PATH=""
    )
    reply = client.execute("1")
    assert reply.is_error
    assert told in reply.text
    assert "not run" in reply.text.lower()


def test_the_configuration_says_where_other_users_can_listen(
    connect: Connect, shared_home: Home, tmp_path: Path
) -> None:
    folder = tmp_path / "kernels" / "native"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text('{"argv": ["false", "{connection_file}"], "language": "x"}')
    variables = {"ENV_TYPE": "kernelspec", "KERNEL_NAME": "native", "JUPYTER_PATH": str(tmp_path)}
    facts = connect(shared_home, VENV_PATH="", **variables).config()
    assert facts["connection"] == "TCP on 127.0.0.1: other users of this machine can read the output"
