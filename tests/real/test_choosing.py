"""configure_environment and list_environments: other environments, and the way back."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelexec.config import ENVIRONMENT_VARIABLES
from tests.real.clients import Client, Reply
from tests.real.conftest import Connect
from tests.real.home import Home


def make_venv(path: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", path], check=True, capture_output=True)
    return path


def choose(client: Client, venv: Path | str) -> Reply:
    return client.call("configure_environment", {"type": "venv", "venv_path": str(venv)})


@pytest.fixture(scope="module")
def other(place: Path) -> Path:
    return make_venv(place / "other")


def test_another_environment_is_chosen_and_the_first_can_be_returned_to_with_its_variables(
    connect: Connect, home: Home, other: Path, venv: Path
) -> None:
    client = connect(home)
    assert client.execute("x = 'first'").session == "main@plain"
    reply = choose(client, other)
    assert reply.verdict.startswith("OK: your code now runs in other (venv), Python 3."), reply.text
    assert f"before: venv {venv} (because of VENV_PATH), Python 3." in reply.text
    assert f"now: venv {other} (because of configure_environment), Python 3." in reply.text
    assert f"{other}/bin/python" in reply.text
    assert "session: main@other" in reply.text
    assert 'session="main@plain"' in reply.text
    second = client.execute("import sys\nx = 'second'\nprint(sys.prefix)")
    assert (second.session, second.block("stdout")) == ("main@other", str(other))
    assert client.execute("x", session="main@plain").block("result") == "'first'"
    choose(client, venv)
    assert client.execute("x").block("result") == "'first'"
    assert client.execute("x", session="main@other").block("result") == "'second'"

    # Sessions of other environments are reached from a new client and a new hub as well.
    home.end_hub(15)
    assert connect(home).execute("x", session="main@other").block("result") == "'second'"
    home.command("stop", "--all")
    again = connect(home).execute("import sys\nprint(sys.prefix)", session="main@other")
    assert again.session == "main@other"
    assert "The one before ended: it was stopped" in again.text
    assert again.block("stdout") == str(other)
    unknown = connect(home).execute("1", session="main@nowhere")
    assert unknown.is_error
    assert "main@plain" in unknown.text


def test_a_choice_comes_back_for_the_same_client_in_the_same_directory_only(
    connect: Connect, home: Home, other: Path, venv: Path
) -> None:
    project, elsewhere = home.project("sales"), home.project("costs")
    choose(connect(home, project), other)
    reply = connect(home, project).execute("1")
    assert reply.session == "sales@other"
    assert f"Environment: venv {other}, as this client chose with configure_environment" in reply.text
    assert connect(home, elsewhere).execute("1").session == "costs@plain"
    home.command("stop", "--all")  # a new hub knows it too
    assert connect(home, project).config()["chosen by"] == "configure_environment"

    # A changed configuration is newer than the choice.
    third = make_venv(home.path / "third")
    client = connect(home, project, VENV_PATH=str(third))
    reply = client.execute("1")
    assert reply.session == "sales@third"
    assert "the configuration was changed" in reply.text
    assert connect(home, project).execute("1", session="new").session == "new@plain"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"type": "venv", "venv_path": "no/such/venv"}, "does not exist"),
        ({"type": "venv"}, "needs venv_path"),
        ({"type": "venv", "conda_name": "x"}, "needs venv_path, and not conda_name"),
        ({"type": "default", "venv_path": "x"}, "takes no other argument"),
        ({"type": "docker"}, "'conda', 'venv', 'venv-uv', 'kernelspec', 'existing' or 'default'"),
        ({"type": "conda", "conda_name": "x; id"}, "no conda environment called 'x; id'"),
        ({"type": "kernelspec", "kernel_name": "nope"}, "no Jupyter kernelspec called 'nope'"),
        ({"type": "venv", "venv_path": "a\0b"}, "NUL"),
    ],
)
def test_what_is_not_there_is_refused_and_changes_nothing(
    connect: Connect, shared_home: Home, arguments: dict[str, str], told: str
) -> None:
    client = connect(shared_home)
    reply = client.call("configure_environment", arguments)
    assert reply.is_error
    assert told in reply.text
    for variable in ENVIRONMENT_VARIABLES.values():
        assert variable not in reply.text.partition("Unchanged:")[0], "the tool has arguments, not variables"
    assert client.config()["environment"] == "plain (venv)"


def test_a_refusal_names_environments_that_are_called_alike(connect: Connect, home: Home, venv: Path) -> None:
    project = home.project("near")
    make_venv(project / "analysis-2026")
    make_venv(project / ".venv")
    client = connect(home, project)
    reply = choose(client, "analysis2026")
    assert reply.is_error
    assert f"There are, of type venv: {project}/analysis-2026" in reply.text
    assert f"Unchanged: venv {venv}" in reply.text
    assert choose(client, "analysis-2026").verdict.startswith("OK"), "relative to the client's directory"


def test_an_environment_whose_kernel_does_not_start_is_refused(
    connect: Connect, shared_home: Home, tmp_path: Path
) -> None:
    broken = make_venv(tmp_path / "broken")
    (site,) = broken.glob("lib/python*/site-packages")
    (site / "x.pth").write_text("import sys; '-I' in sys.orig_argv or sys.exit('broken on purpose')\n")
    client = connect(shared_home)
    reply = choose(client, broken)
    assert reply.is_error
    assert "broken on purpose" in reply.text
    assert "Unchanged" in reply.text
    assert client.execute("1").session == "main@plain"


def test_a_venv_in_the_clients_directory_is_used_and_named_in_the_first_reply(
    connect: Connect, new_home: Callable[..., Home]
) -> None:
    home = new_home(ENV_TYPE="", VENV_PATH="")
    project = home.project("sales")
    venv = make_venv(project / ".venv")
    client = connect(home, project)
    first = client.execute("import sys\nprint(sys.prefix)")
    assert first.block("stdout") == str(venv)
    assert first.session == "sales@sales"
    assert f"Environment: {venv}, found in your directory" in first.text
    assert "found in your directory" not in client.execute("1").text
    assert client.config()["chosen by"] == "the .venv in the client's directory"


def test_a_running_kernel_outlives_its_environment(connect: Connect, home: Home, tmp_path: Path) -> None:
    venv = make_venv(tmp_path / "mortal")
    client = connect(home, VENV_PATH=str(venv))
    client.execute("x = 1")
    shutil.move(venv, tmp_path / "moved")
    assert client.execute("x").block("result") == "1"
    later = connect(home, VENV_PATH=str(venv)).execute("x")
    assert later.block("result") == "1"
    assert "the environment is broken" in later.text
    home.command("stop", "--all")
    gone = connect(home, VENV_PATH=str(venv)).execute("x")
    assert gone.is_error
    assert "does not exist" in gone.text
    moved = connect(home, VENV_PATH=str(tmp_path / "moved")).execute("import sys\nprint(sys.prefix)")
    assert moved.block("stdout") == str(tmp_path / "moved")


def test_a_link_and_what_it_leads_to_are_one_environment(
    connect: Connect, shared_home: Home, tmp_path: Path
) -> None:
    venv = make_venv(tmp_path / "real")
    (tmp_path / "link").symlink_to(venv)
    first = connect(shared_home, VENV_PATH=str(venv))
    first.execute("x = 1")
    by_link = connect(shared_home, VENV_PATH=str(tmp_path / "link"))
    assert by_link.execute("x", session="main@real").block("result") == "1"


def test_a_program_of_another_machine_is_told(connect: Connect, shared_home: Home, tmp_path: Path) -> None:
    venv = make_venv(tmp_path / "foreign")
    (venv / "bin" / "python").unlink()
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00\x01\x00\x00\x00"  # AArch64
    (venv / "bin" / "python").write_bytes(header + bytes(100))
    (venv / "bin" / "python").chmod(0o755)
    reply = connect(shared_home, VENV_PATH=str(venv)).execute("1")
    assert reply.is_error
    assert "AArch64" in reply.text


def test_thirty_environments_are_listed_in_less_than_a_second(
    connect: Connect, home: Home, other: Path
) -> None:
    project = home.project("many")
    for number in range(30):
        copy = project / f"env{number:02d}"
        (copy / "bin").mkdir(parents=True)
        shutil.copy(other / "pyvenv.cfg", copy)
        (copy / "bin" / "python").symlink_to((other / "bin" / "python").resolve())
        (copy / "lib/python3.11/site-packages/ipykernel-7.0.0.dist-info").mkdir(parents=True)
    (project / "unsynced").mkdir()
    (project / "unsynced" / "uv.lock").touch()
    client = connect(home, project)
    client.tools()
    began = time.monotonic()
    reply = client.call("list_environments", {})
    seconds = time.monotonic() - began
    version = ".".join(map(str, sys.version_info[:3]))
    assert f"{project}/env07: Python {version}, ipykernel 7.0.0" in reply.text
    assert "uv sync" in reply.text
    assert seconds < 1, f"{seconds:.2f} s"
