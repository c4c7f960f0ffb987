"""What a reply says to do about an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelexec.kernels.kernel import Reply
from kernelexec.mcp_server.render.hints import hints_on
from tests.fakes import Answer, FakeStarter, Run, caller, failing, ran, run, session_in


def hint_on(storage: Path, answer: Answer, code: str = "x") -> str:
    """The hint in the reply to a run with this end, of a caller that works in `storage`/project."""
    found: list[str] = []

    async def test() -> None:
        async with session_in(storage, FakeStarter([answer])) as session:
            execution = await ran(session, code)
            someone = caller(storage)
            someone.cwd = str(storage / "project")
            found.extend(await hints_on(execution, session, someone))

    run(test())
    return "\n".join(found)


def raising(name: str, text: str) -> Answer:
    """Fails with an exception that the kernel shows."""
    return failing(name, text, [f"{name}: {text}"])


MODULES = [
    ("No module named 'cv2'", "import cv2", 'install_dependencies(packages=["opencv-python-headless"])'),
    (
        "No module named 'polars'",
        "",
        'called so, too: install_dependencies(packages=["polars"])',
    ),
    ("No module named 'numpy.nothere'", "", 'check_installed_packages(packages=["numpy"])'),
    ("No module named 'google'", "import google.cloud.storage as s", '(packages=["google-cloud-storage"])'),
    ("No module named 'google'", "from google.cloud import bigquery", '(packages=["google-cloud-bigquery"])'),
    ("No module named 'google'", "__import__('google')", "Several packages bring a part of google"),
    (
        "No module named 'distutils'",
        "",
        'since 3.12; a package has it: install_dependencies(packages=["set',
    ),
    ("No module named 'tkinter'", "", "no package has it"),
]


@pytest.mark.parametrize(("text", "code", "hint"), MODULES)
def test_a_module_that_is_missing_is_said_with_what_brings_it(
    tmp_path: Path, text: str, code: str, hint: str
) -> None:
    assert hint in hint_on(tmp_path, raising("ModuleNotFoundError", text), code)


IMPORTS = [
    ("Missing optional dependency 'openpyxl'. Use pip or conda to install openpyxl.", '["openpyxl"]'),
    ("lxml not found, please install it: pip install lxml.", '["lxml"]'),
    ("Run `pip install -U 'dask[dataframe]'`", '["dask[dataframe]"]'),
    ("libGL.so.1: cannot open shared object file: No such file or directory", '["opencv-python-headless"]'),
    ("cannot import name 'storage' from 'google.cloud' (unknown location)", '["google-cloud-storage"]'),
]


@pytest.mark.parametrize(("text", "packages"), IMPORTS)
def test_what_a_library_wants_is_said_with_the_tool_that_installs_it(
    tmp_path: Path, text: str, packages: str
) -> None:
    assert f"install_dependencies(packages={packages})" in hint_on(tmp_path, raising("ImportError", text))


def test_of_other_errors_of_an_import_nothing_is_said(tmp_path: Path) -> None:
    text = "cannot import name 'nothere' from 'numpy' (/site-packages/numpy/__init__.py)"
    assert hint_on(tmp_path, raising("ImportError", text)) == ""


@pytest.mark.parametrize("place", ["project", "project/src", "project/tools"])
def test_a_module_of_the_users_own_is_not_to_be_installed(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "helpers.py").touch()
    hint = hint_on(tmp_path, raising("ModuleNotFoundError", "No module named 'helpers'"))
    assert f"helpers is in {tmp_path / place}" in hint
    assert f"sys.path.insert(0, '{tmp_path / place}')" in hint
    assert "install" not in hint


def test_a_file_that_hides_a_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").touch()
    text = "No module named 'yaml.nodes'; 'yaml' is not a package"
    hint = hint_on(tmp_path, raising("ModuleNotFoundError", text))
    assert f"{tmp_path / 'yaml.py'} hides the package yaml" in hint


def test_an_environment_that_has_the_module_is_named(tmp_path: Path) -> None:
    venv = tmp_path / "project" / ".venv"
    (venv / "lib" / "python3.12" / "site-packages" / "polars").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text("version = 3.12.1\n")
    hint = hint_on(tmp_path, raising("ModuleNotFoundError", "No module named 'polars'"))
    assert f'configure_environment(type="venv", venv_path="{venv}")' in hint


def test_an_exit_is_said_to_have_ended_the_cell_only(tmp_path: Path) -> None:
    assert hint_on(tmp_path, raising("SystemExit", "3")) == (
        "That ended the cell, not the kernel: variables are kept."
    )
    assert "sys.argv" in hint_on(tmp_path / "other", usage)


async def usage(kernel_run: Run) -> Reply:
    """What argparse does without the arguments that it needs."""
    kernel_run.busy()
    kernel_run.print("usage: ipykernel_launcher [-h] --n N\n", "stderr")
    reply = kernel_run.error("SystemExit", "2", ["SystemExit: 2"])
    kernel_run.idle()
    return reply
