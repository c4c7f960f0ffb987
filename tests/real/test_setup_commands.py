"""`kernelexec doctor` and `kernelexec kernelspecs`, as a person types them; the doctor for an assistant."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.real.conftest import Connect
from tests.real.home import Home
from tests.real.test_environments import make_venv
from tests.real.wheels import make_wheel


@pytest.fixture
def own_jupyter(home: Home, tmp_path: Path) -> Home:
    """A home whose kernelspecs are its own."""
    home.environ["JUPYTER_DATA_DIR"] = str(tmp_path / "jupyter")
    return home


def listed(home: Home) -> dict[str, dict[str, str]]:
    answer = home.command("kernelspecs", "list", "--json")
    assert answer.returncode == 0, answer.stderr
    return {spec["name"]: spec for spec in json.loads(answer.stdout)}


def test_a_kernelspec_is_installed_listed_found_stale_and_removed(own_jupyter: Home, tmp_path: Path) -> None:
    home = own_jupyter
    venv = make_venv(tmp_path / "my words")
    installed = home.command("kernelspecs", "install", "--venv", str(venv))
    assert installed.returncode == 0, installed.stderr
    assert installed.stdout.startswith("kernelexec-my_words: 'my_words (venv")
    assert listed(home)["kernelexec-my_words"]["ipykernel"] == "lent"
    assert home.command("doctor").returncode == 0

    shutil.rmtree(venv)
    assert "is gone" in listed(home)["kernelexec-my_words"]["problem"]
    ill = home.command("doctor")
    assert ill.returncode == 1
    assert ill.stdout.startswith("1 problem found.")
    assert "mend: kernelexec kernelspecs remove kernelexec-my_words" in ill.stdout
    assert home.command("kernelspecs", "remove", "--stale").stdout == "removed: kernelexec-my_words\n"
    assert "kernelexec-my_words" not in listed(home)
    assert home.command("doctor").returncode == 0


def test_only_kernelspecs_of_our_own_are_removed(own_jupyter: Home, tmp_path: Path) -> None:
    theirs = tmp_path / "jupyter" / "kernels" / "theirs"
    theirs.mkdir(parents=True)
    (theirs / "kernel.json").write_text("{}")
    for name in ("theirs", "kernelexec-nothing", "../kernels/theirs", ""):
        answer = own_jupyter.command("kernelspecs", "remove", name)
        assert answer.returncode == 1
        assert "no kernelspec of kernelexec" in answer.stderr
    assert theirs.exists()
    assert own_jupyter.command("kernelspecs", "remove").returncode == 2


def test_an_environment_that_does_not_exist_is_no_kernelspec(own_jupyter: Home) -> None:
    answer = own_jupyter.command("kernelspecs", "install", "--venv", "/nowhere")
    assert answer.returncode == 1
    assert "-m venv /nowhere" in answer.stderr
    assert listed(own_jupyter) == {}


def test_ipykernel_is_put_into_an_environment_on_request(own_jupyter: Home, tmp_path: Path) -> None:
    home = own_jupyter
    make_wheel(tmp_path / "shelf", "ipykernel", "7.9")  # of PyPI's whole closure none is needed to see it
    home.environ |= {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(tmp_path / "shelf"), "UV_NO_CACHE": "1"}
    venv = make_venv(tmp_path / "words")
    answer = home.command("kernelspecs", "install", "--venv", str(venv), "--with-ipykernel")
    assert answer.returncode == 0, answer.stderr
    assert "installed ipykernel 7.9 (with uv pip)" in answer.stderr
    site = venv / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
    assert (site / "ipykernel.py").exists()


def test_the_doctor_can_be_asked_by_the_assistant_also_when_nothing_runs(
    connect: Connect, own_jupyter: Home
) -> None:
    home = own_jupyter
    well = connect(home).call("diagnose_setup", {})
    assert "ok       hub          version" in well.text
    assert "environment  plain (venv" in well.text
    other = make_venv(home.path / "other")
    client = connect(home)
    client.call("configure_environment", {"type": "venv", "venv_path": str(other)})
    assert "environment  other (venv" in client.call("diagnose_setup", {}).text
    ill = connect(home, VENV_PATH="/nowhere").call("diagnose_setup", {})
    assert (
        "problem  environment  There is no virtual environment at /nowhere: the folder does not exist."
        in ill.text
    )
    assert not ill.is_error  # it did what it was asked to
