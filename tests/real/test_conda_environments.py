"""conda environments, made by a real conda, found and activated without one on PATH."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from tests.real.conda.tool import Conda
from tests.real.conftest import Connect
from tests.real.home import Home
from tests.real.jupyter import JupyterServer

# A quote breaks the Python that conda itself puts there (its _sysconfigdata), so none is here.
NAMES = ["data", "$(id); `x` données"]


@pytest.fixture(scope="module")
def environments(conda: Conda, place: Path) -> Path:
    """A folder of environments, two with Python and activation scripts, one empty."""
    folder = place / "envs of ann"
    for name in NAMES:
        conda.create(folder / name, "python", "activate-demo")
    conda.create(folder / "empty", "activate-demo")
    variable = ["env", "config", "vars", "set", "--prefix", str(folder / "data"), "KX_SET=by conda $HOME"]
    conda.run(*variable)
    return folder


@pytest.fixture
def conda_home(new_home: Callable[..., Home], conda: Conda, environments: Path) -> Home:
    """A home with ~/miniconda3, and environments where its .condarc says; conda is not on PATH."""
    home = new_home(ENV_TYPE="", VENV_PATH="")
    conda.install_as(home.path / "miniconda3")
    (home.path / ".condarc").write_text(f"channels: [x]\nenvs_dirs:\n  - {environments}\n")
    return home


LOOK = """
import os, subprocess, sys
print(sys.prefix)
for name in ("CONDA_PREFIX", "CONDA_DEFAULT_ENV", "DEMO_ACTIVATED", "DEMO_STATIC", "KX_SET"):
    print(os.environ.get(name))
print(os.environ["PATH"].split(":")[0])
"""


def test_an_environment_is_found_by_its_name_and_is_activated(
    connect: Connect, conda_home: Home, environments: Path
) -> None:
    client = connect(conda_home, CONDA_ENV_NAME="data")
    prefix = environments / "data"
    reply = client.execute(LOOK)
    said = [str(prefix)] * 2 + ["data", "yes:data", "from env_vars.d", "by conda $HOME", f"{prefix}/bin"]
    assert reply.block("stdout").splitlines() == said
    assert reply.session == "main@data"
    facts = client.config()
    assert facts["environment"] == "data (conda)"
    assert facts["chosen by"] == "CONDA_ENV_NAME"

    # JupyterLab, which activates nothing, starts the same.
    kernels = conda_home.data_home / "jupyter" / "kernels"
    spec = KernelSpecManager(kernel_dirs=[str(kernels)]).get_kernel_spec("kernelexec-data")
    assert spec.env["DEMO_ACTIVATED"] == "yes:data"
    assert spec.env["PATH"] == f"{prefix}/bin:${{PATH}}"
    assert spec.env["KX_SET"] == "by conda $$HOME"


def test_a_jupyterlab_of_another_environment_lists_and_starts_the_same_kernels(
    connect: Connect,
    conda_home: Home,
    environments: Path,
    venv: Path,
    jupyter: Callable[..., JupyterServer],
    tmp_path: Path,
) -> None:
    data = connect(conda_home, CONDA_ENV_NAME="data")
    plain = connect(conda_home, VENV_PATH=str(venv))
    server = jupyter(conda_home, tmp_path)
    for client, prefix in ((data, environments / "data"), (plain, venv)):
        expected = client.execute(LOOK).block("stdout")
        assert expected.splitlines()[0] == str(prefix)
        name = client.config()["kernelspec"].partition(",")[0]
        assert name in server.api("kernelspecs")["kernelspecs"]
        with server.kernel(name) as kernel:
            printed: list[str] = []
            kernel.execute_interactive(
                LOOK,
                timeout=60,
                output_hook=lambda message, to=printed: to.append(message["content"].get("text", "")),
            )
        assert "".join(printed).strip() == expected


def test_an_environment_may_have_any_name(connect: Connect, conda_home: Home, environments: Path) -> None:
    for name in (NAMES[1], str(environments / NAMES[1])):
        client = connect(conda_home, ENV_TYPE="conda", CONDA_ENV_NAME=name)
        reply = client.execute(LOOK)
        assert reply.block("stdout").splitlines()[0] == str(environments / NAMES[1])
        assert f"yes:{NAMES[1]}" in reply.block("stdout")


def test_an_unknown_name_is_refused_with_near_names_and_the_others_work(
    connect: Connect, conda_home: Home
) -> None:
    reply = connect(conda_home, CONDA_ENV_NAME="date").execute("1")
    assert reply.is_error
    assert "no conda environment called 'date'" in reply.text
    assert "Did you mean data" in reply.text
    reply = connect(conda_home, CONDA_ENV_NAME="data; touch /tmp/kx-pwned").execute("1")
    assert reply.is_error
    assert not Path("/tmp/kx-pwned").exists()
    assert connect(conda_home, CONDA_ENV_NAME="data").execute("1 + 1").block("result") == "2"


def test_an_environment_without_python_is_told_with_the_command_that_mends_it(
    connect: Connect, conda_home: Home, environments: Path
) -> None:
    reply = connect(conda_home, CONDA_ENV_NAME="empty").execute("1")
    assert reply.is_error
    assert "has no Python" in reply.text
    assert f"conda install -p '{environments / 'empty'}' python" in reply.text


def test_the_base_environment_is_found(connect: Connect, conda_home: Home, conda: Conda) -> None:
    client = connect(conda_home, CONDA_ENV_NAME="base")
    reply = client.execute("import sys, os\nprint(sys.prefix, os.environ['CONDA_DEFAULT_ENV'])")
    assert reply.block("stdout") == f"{conda_home.path}/miniconda3 base"
    assert reply.session == "main@base"


def test_nothing_is_written_into_a_conda_environment(
    connect: Connect, conda_home: Home, environments: Path
) -> None:
    def listing() -> set[str]:
        return {str(path) for path in (environments / "data").rglob("*") if "__pycache__" not in path.parts}

    before = listing()
    assert connect(conda_home, CONDA_ENV_NAME="data").execute("1 + 1").block("result") == "2"
    assert listing() == before


def test_list_environments_names_them(connect: Connect, conda_home: Home, environments: Path) -> None:
    reply = connect(conda_home).call("list_environments", {})
    assert not reply.is_error
    version = json.loads(
        subprocess.run(
            [environments / "data/bin/python", "-c", "import sys; print(list(sys.version_info[:3]))"],
            capture_output=True,
            check=True,
        ).stdout
    )
    assert f"data: Python {'.'.join(map(str, version))}, ipykernel lent by kernelexec" in reply.text
    assert "empty: it has no Python" in reply.text
    assert "base: " in reply.text
    assert NAMES[1] in reply.text


def test_a_changed_activation_counts_for_the_next_kernel_and_a_failing_one_is_told(
    connect: Connect, conda_home: Home, environments: Path
) -> None:
    prefix = environments / NAMES[1]
    client = connect(conda_home, CONDA_ENV_NAME=str(prefix))
    show = "import os\nprint(os.environ.get('LATER'), os.environ.get('LIST'))"
    first = client.execute(show)
    assert first.block("stdout") == "None None"
    script = prefix / "etc" / "conda" / "activate.d" / "a b.sh"
    script.write_text('echo noise\nexport LATER="it\'s $CONDA_DEFAULT_ENV"\nexport LIST=/x:$LIST\nfalse\n')
    conda_home.command("stop", first.session)
    client.execute("1")  # is told of the end
    reply = client.execute(show)
    assert reply.block("stdout") == f"it's {NAMES[1]} /x:", reply.text
    script.write_text("echo 'no licence' >&2\nexit 3\n")
    reply = connect(conda_home, CONDA_ENV_NAME=str(prefix), CODE_STORAGE_DIR="elsewhere").execute("1")
    assert reply.is_error
    assert "no licence" in reply.text
