"""Every command that a message recommends is tried in the state in which it is recommended.

The commands are collected from the code. One that the table below does not have fails here: it is to be
tried, in a test of this module or in another one's, which the table names.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from kernelexec.commands import cli
from kernelexec.environments import catalog
from kernelexec.environments.conda import Conda as CondaPrefix
from kernelexec.environments.installers import python_installer
from kernelexec.environments.probe import bare, probe
from kernelexec.environments.remedies import install_command
from kernelexec.environments.requirements import Requirement
from kernelexec.environments.uv_project import uv_project
from kernelexec.environments.venv import Venv
from kernelexec.errors import EnvironmentUnusable
from kernelexec.hub.examination import examine
from kernelexec.model.environment import Interpreter
from tests.fakes import run
from tests.hub.test_examination import HUB, make_venv
from tests.real.conda.tool import Conda, made_conda
from tests.real.wheels import make_wheel

ROOT = Path(__file__).parents[1]
_PYTHON = Path(sys._base_executable)  # type: ignore[attr-defined]
_UV = Path(sys.executable).with_name("uv")

# What a person could type. {} stands for what the code fills in.
_COMMAND = re.compile(
    r"""(?<![\w/.-])(?:
        kernelexec\ (?:-|\{|ps|stop|input|rebuild|export|gc|lab|try|run\b(?!s)|doctor|setup|kernelspecs)
      | (?:python[\d.]*|\{\})\ -m\ \w | pip3?\ install | pipx\ \w | uvx?\ (?:pip|venv|add|sync|tool|run|--)
      | (?:conda|mamba|micromamba)\ (?:create|install|activate) | chmod\ [\du]
      | (?:rm|mv|cp|ln|kill|chown|export|sudo|source|apt|apt-get|npm|curl)\ (?:-|[A-Z]|\{|/|install)
    ).*?(?=[ ]{4}|[ ]\(|[,;.:][ ]|[`)\n]|$)""",
    re.VERBOSE | re.DOTALL,
)

_NONE = "no recommendation: "

# The tests that try them; of this module where no file is named.
_EXAMINED = "test_what_the_doctor_recommends_mends_what_it_has_found"
_CONDA = "test_what_is_recommended_for_a_conda_environment_mends_it"
_INSTALLED = "test_what_installs_packages_fits_the_environment"
_REMEDIES = (
    "environments/test_remedies.py::"
    "test_what_is_recommended_for_a_virtual_environment_mends_it_and_touches_nothing_else"
)
_PS = "real/test_command_line.py::test_ps_shows_sessions_kernels_and_the_log"
_STOP_ALL = "real/test_command_line.py::test_stop_all_ends_every_kernel_and_the_hub"
_STOP = "real/test_command_line.py::test_stop_ends_one_kernel_and_no_other"
_STOP_LOST = "real/test_strays.py::test_a_kernel_that_nobody_can_reach_is_told_listed_and_stoppable"
_EXTRA = "environments/test_extras.py::test_what_came_from_a_clone_or_a_wheel_comes_from_there_again"
_REBUILT = "commands/test_rebuild.py::test_a_missing_notebook_is_made_again_byte_for_byte"
_REBUILT_BESIDE = "commands/test_rebuild.py::test_a_notebook_that_is_there_stays_and_the_new_one_is_beside_it"
_NEXT = "real/test_tour.py::test_the_tour_ends_with_commands_that_work_as_they_are_printed"
_UNDERSTOOD = "test_a_command_of_kernelexecs_own_is_understood"
_PASSWORD = "real/test_control.py::test_a_password_goes_past_the_assistant_and_is_recorded_nowhere"
_UV_ADD = "test_what_is_recommended_for_a_uv_project_adds_the_package"

# By module: the commands, each as often as texts name it, and the test that tries it in that state.
TRIED: dict[str, list[tuple[str, str]]] = {
    "bridge/far_link.py": [
        ("export HOME;;", "no recommendation: a script"),
    ],
    "bridge/rendezvous.py": [
        ("kernelexec {} {} {}", "no recommendation: the line with which a bridge says who it is"),
    ],
    "commands/cli.py": [
        ("kernelexec {}", "no recommendation: --version"),
    ],
    "__main__.py": [
        ("kernelexec --help", "no recommendation: argparse's own"),
        ("kernelexec lab", _UNDERSTOOD),
        ("kernelexec setup", _UNDERSTOOD),
    ],
    "commands/clients/check.py": [
        ("kernelexec setup {}", _UNDERSTOOD),
    ],
    "commands/clients/entry.py": [
        ("uv tool install {}", _EXTRA),
    ],
    "commands/clients/known.py": [
        ("kernelexec setup --print claude-desktop", _UNDERSTOOD),
    ],
    "commands/completion.py": [
        ("kernelexec -f -a '(__kernelexec", "no recommendation: a script"),
    ],
    "commands/console.py": [
        ("kernelexec ps", _PS),
    ],
    "commands/doctor.py": [
        (
            "kernelexec ps",
            "real/test_via_command.py::test_what_is_asked_while_the_link_is_down_is_answered_with_that",
        ),
        ("kernelexec ps", _PS),
        ("kernelexec stop --all", _STOP_ALL),
        ("kernelexec stop {}", _STOP_LOST),
    ],
    "commands/export.py": [
        ("kernelexec rebuild {}", _REBUILT_BESIDE),
        ("kernelexec rebuild {}", _REBUILT),
        ("kernelexec rebuild {}", _REBUILT_BESIDE),
    ],
    "commands/gc.py": [
        ("kernelexec stop SESSION", "real/test_folders.py::test_gc_removes_what_a_living_hub_has_open"),
    ],
    "commands/host.py": [
        ("kernelexec --host HOST lab", "remote/test_ssh_host.py::test_a_jupyterlab_there_is_reached_here"),
        ("kernelexec --host {}", "no recommendation: where it is used"),
        ("kernelexec {} to {}", "no recommendation: what is done"),
    ],
    "commands/lab_sessions.py": [
        (
            "kernelexec lab",
            "commands/test_jupyterlab.py::test_an_ambiguous_name_is_refused_with_commands_that_are_not",
        ),
        ("kernelexec ps", _PS),
    ],
    "commands/kernelspecs.py": [
        ("kernelexec kernelspecs list", _UNDERSTOOD),
    ],
    "commands/run.py": [
        ("kernelexec run --cwd DIRECTORY ...", _UNDERSTOOD),
        ("kernelexec stop {}", _STOP),
        (
            "kernelexec run --succeeded {}",
            "real/test_folders.py::test_run_can_leave_out_what_failed_or_go_on_after_it",
        ),
    ],
    "commands/sessions.py": [
        ("kernelexec stop {}", _STOP_LOST),
        (
            "kernelexec stop {}",
            "real/test_command_line.py::test_stop_takes_a_name_that_is_clear_and_asks_about_one_that_is_not",
        ),
    ],
    "commands/setup.py": [
        ("kernelexec doctor says more.", _UNDERSTOOD),
    ],
    "commands/tour.py": [
        ("export {}", _NEXT),
    ],
    "daemon/admin.py": [
        ("kernelexec stop --all.", "no recommendation: what was done"),
        ("kernelexec stop.", "no recommendation: what was done"),
    ],
    "environments/borrowed.py": [
        ("conda install -p {} 'ipykernel>=6.29'", _INSTALLED),
    ],
    "environments/conda.py": [
        ("conda install -p {} python", _CONDA),
        ("conda create -p {} python", _CONDA),
        ("conda create -p {} python", _CONDA),
        ("conda create -p {} python", _CONDA),
        ("conda install -p {} --force-reinstall python", _CONDA),
    ],
    "environments/default.py": [
        ("{} -m venv {}:", "no recommendation: what was tried"),
    ],
    "environments/extras.py": [
        ("pipx inject kernelexec {}", _EXTRA),
        ("uv pip install --python {} {}", _EXTRA),
        ("uv tool install {}", _EXTRA),
        ("uvx --from {} kernelexec{}", _EXTRA),
        ("{} -m pip install {}", _EXTRA),
    ],
    "environments/gateway.py": [
        ("kernelexec stop --all", _STOP_ALL),
    ],
    "environments/packages.py": [
        ("pip install NAME", "remote/test_jupyter_server.py::test_packages_are_installed_by_code"),
    ],
    "environments/installers.py": [
        ("{} -m ensurepip", _INSTALLED),
        ("uv pip", "no recommendation: a name"),
    ],
    "environments/inventory.py": [
        (
            "uv sync --project {}",
            "environments/test_remedies.py::test_what_is_recommended_for_a_uv_project_makes_its_environment",
        ),
    ],
    "kernels/programs.py": [
        ("kernelexec stop --all", _STOP_ALL),
    ],
    "environments/remedies.py": [
        ("mv {} {} && {} {}", _REMEDIES),
        ("rm {}", _REMEDIES),
        ("{} -m ensurepip && {} -m pip install {}", _INSTALLED),
        ("{} -m pip install {}{}", _INSTALLED),
        ("{} -m venv", _REMEDIES),
        ("pip install --python {} {}{}", _INSTALLED),
    ],
    "environments/uv_project.py": [
        ("uv add {}", _UV_ADD),
        ("uv add --project {} {}", _UV_ADD),
        ("uv sync", _UV_ADD),
    ],
    "environments/uv_venv.py": [
        ("uv venv", _REMEDIES),
        ("uv venv --allow-existing", _REMEDIES),
    ],
    "environments/venv.py": [
        ("python3 -m venv", _REMEDIES),
    ],
    "hub/examination.py": [
        ("chmod 700 {}", _EXAMINED),
        ("chmod u+rwx {}", _EXAMINED),
        ("export JUPYTER_PATH={} before JupyterLab is started", _EXAMINED),
        (
            "kernelexec --host {} doctor",
            "remote/test_ssh_host.py::test_the_doctor_asks_the_host_that_a_client_is_configured_with",
        ),
        ("kernelexec kernelspecs remove {}", _EXAMINED),
        ("kernelexec rebuild {}", _EXAMINED),
        ("kernelexec {}", "no recommendation: a version"),
        ("rm -r {}", _EXAMINED),
        ("rm -r {}", _EXAMINED),
        ("rm {}", _EXAMINED),
    ],
    "mcp_server/prompts.py": [
        ("kernelexec export NOTEBOOK", _UNDERSTOOD),
    ],
    "hub/lost_kernels.py": [
        ("kernelexec stop {}", _STOP_LOST),
    ],
    "model/charts.py": [
        ("kernelexec lab", "no recommendation: where a chart can be seen"),
    ],
    "mcp_server/faults.py": [
        ("kernelexec ps names it", _PS),
        ("kernelexec ps names it", _PS),
    ],
    "mcp_server/render/kernels_text.py": [
        ("kernelexec ps", _PS),
    ],
    "mcp_server/render/verdict.py": [
        ("kill -CONT", "real/test_control.py::test_a_stopped_kernel_is_stopped_and_not_dead"),
        ("kernelexec input {}", _PASSWORD),
    ],
    "mcp_server/tools/doctor.py": [
        ("kernelexec stop KERNEL", _STOP_LOST),
    ],
    "mcp_server/tools/kernels.py": [
        ("kernelexec input {}", _PASSWORD),
    ],
    "paths.py": [
        ("rm {}", _EXAMINED),
    ],
    "recording/journal.py": [
        (
            "kernelexec stop --all",
            "real/test_recommended_states.py::test_a_session_that_another_hub_has_is_free_once_that_was_ended_as_recommended",
        ),
        (
            "kernelexec stop {}",
            "real/test_recommended_states.py::test_a_session_whose_storage_directory_was_moved_is_free_once_it_was_ended_as_recommended",
        ),
    ],
    "recording/recorder.py": [
        (
            "kernelexec stop {}",
            "real/test_recommended_states.py::test_a_session_whose_journal_was_deleted_begins_anew_once_it_was_ended_as_recommended",
        ),
    ],
    "session/queue.py": [
        ("kernelexec ps names it", _PS),
    ],
    "session/session.py": [
        ("kernelexec stop", "no recommendation: what was done"),
    ],
}


def texts(tree: ast.AST) -> Iterator[str]:
    """The strings of a module but for its docstrings; an f-string is one, with {} for what it fills in."""
    documents = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
            waiting += [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str) and id(node) not in documents:
                yield node.value
        else:
            waiting += list(ast.iter_child_nodes(node))


def recommended() -> dict[str, list[str]]:
    """By module, the commands that its texts name."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "kernelexec").rglob("*.py")):
        named = [
            each[0].strip() for text in texts(ast.parse(path.read_text())) for each in _COMMAND.finditer(text)
        ]
        if named:
            found[str(path.relative_to(ROOT / "kernelexec"))] = sorted(named)
    return found


def test_every_command_that_a_text_names_is_in_the_table() -> None:
    assert recommended() == {module: sorted(each for each, _ in table) for module, table in TRIED.items()}


def test_every_test_that_the_table_names_is_there() -> None:
    for named in {test for table in TRIED.values() for _, test in table}:
        if not named.startswith(_NONE):
            file, _, test = named.rpartition("::")
            path = ROOT / "tests" / file if file else Path(__file__)
            assert f"def {test}(" in path.read_text(), named


# --- kernelexec's own ----------------------------------------------------------------------


def own_commands() -> list[str]:
    """As a person types them, with something that a name could be where the code fills one in."""
    named = {each for table in TRIED.values() for each, test in table if not test.startswith(_NONE)}
    commands = (each.removeprefix("kernelexec ") for each in named if each.startswith("kernelexec "))
    return sorted({_AFTERWARDS.sub("", each).replace("setup {}", "setup codex") for each in commands})


_AFTERWARDS = re.compile(r" (?:says more.?|shows it|names it|ends (?:it|all kernels).*|or .*)$")


@pytest.mark.parametrize("command", own_commands())
def test_a_command_of_kernelexecs_own_is_understood(command: str) -> None:
    typed = shlex.split(command.replace("{}", "'a name@b'"))
    assert callable(cli.parser().parse_args(typed + ["a folder"] * (typed in (["run"], ["lab"]))).run)


# --- environments --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def conda() -> Conda:
    return made_conda()


def is_missing(folder: Path, conda: Conda) -> None:
    pass


def is_empty(folder: Path, conda: Conda) -> None:
    folder.mkdir()


def is_a_project(folder: Path, conda: Conda) -> None:
    folder.mkdir()
    (folder / "analysis.py").write_text("precious")


def has_no_python(folder: Path, conda: Conda) -> None:
    conda.create(folder, "activate-demo")


def has_a_broken_python(folder: Path, conda: Conda) -> None:
    conda.create(folder)
    python = (folder / "bin" / "python").resolve()
    python.unlink()
    python.write_text("no program")
    python.chmod(0o755)


@pytest.mark.parametrize("broken", [is_missing, is_empty, is_a_project, has_no_python, has_a_broken_python])
def test_what_is_recommended_for_a_conda_environment_mends_it(
    tmp_path: Path, conda: Conda, broken: Callable[[Path, Conda], None]
) -> None:
    environ = {
        "HOME": str(tmp_path / "home of ann"),
        "PATH": f"{conda.command.parent}:/usr/bin:/bin",
        "CONDA_ALWAYS_YES": "true",  # what the person answers
    }
    folder = tmp_path / "my words"
    broken(folder, conda)
    precious = list(folder.glob("analysis.py"))
    with pytest.raises(EnvironmentUnusable) as refused:
        run(CondaPrefix(folder).find(environ, lambda text: None))
    command, _, rest = refused.value.next_step.partition(": ")[2].partition("    ")
    follow(command, environ)
    place = rest.partition("and set CONDA_ENV_NAME=")[2] or folder
    found = run(CondaPrefix(Path(place)).find(environ, lambda text: None))
    assert os.path.samefile(found.interpreter.prefix, place)
    assert [file.read_text() for file in precious] == ["precious"] * len(precious)


def follow(command: str, environ: Mapping[str, str], cwd: Path | None = None) -> None:
    """Type it in a shell."""
    done = subprocess.run(
        ["sh", "-c", command], env=environ, cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.fixture
def index(tmp_path: Path) -> dict[str, str]:
    """What has installers take their packages from a folder, which has kx-words."""
    wheels = tmp_path / "wheels"
    make_wheel(wheels, "kx-words", "1.0")
    return {
        "HOME": str(tmp_path),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(wheels),
        "UV_OFFLINE": "1",
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_PYTHON": str(_PYTHON),
    }


def interpreter_in(folder: Path, environ: Mapping[str, str]) -> Interpreter:
    return run(probe(folder / "bin" / "python", bare(environ)))


@pytest.mark.parametrize("has_pip", [True, False])
@pytest.mark.parametrize("has_uv", [True, False])
def test_what_installs_packages_fits_the_environment(
    tmp_path: Path, index: dict[str, str], monkeypatch: pytest.MonkeyPatch, has_pip: bool, has_uv: bool
) -> None:
    folder, programs = tmp_path / "my env's", tmp_path / "programs"
    subprocess.run([_PYTHON, "-m", "venv", *(() if has_pip else ("--without-pip",)), folder], check=True)
    programs.mkdir()
    if has_uv:
        (programs / "uv").symlink_to(_UV)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")  # beside which uv is found, too
    environ = {**index, "PATH": f"{programs}:/usr/bin:/bin"}
    follow(install_command(interpreter_in(folder, environ), ["kx-words>=1"], environ), environ)
    follow(install_command(interpreter_in(folder, environ), ["kx-words"], environ, again=True), environ)
    subprocess.run([folder / "bin" / "python", "-c", "import kx_words"], check=True)


def test_who_has_neither_pip_nor_uv_gets_pip_as_recommended(
    tmp_path: Path, index: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bare"
    subprocess.run([_PYTHON, "-m", "venv", "--without-pip", folder], check=True)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    environ = {**index, "PATH": "/usr/bin:/bin"}
    with pytest.raises(EnvironmentUnusable) as refused:
        python_installer(interpreter_in(folder, environ), False, environ)
    follow(refused.value.next_step.removeprefix("Run: ").partition("    ")[0], environ)
    subprocess.run([folder / "bin" / "python", "-m", "pip", "--version"], check=True, capture_output=True)


@pytest.mark.parametrize("is_member", [False, True])
def test_what_is_recommended_for_a_uv_project_adds_the_package(
    tmp_path: Path, index: dict[str, str], is_member: bool
) -> None:
    root = tmp_path / "a project"
    member = root / "part" if is_member else root
    member.mkdir(parents=True)
    (member / "pyproject.toml").write_text(
        '[project]\nname = "ours"\nversion = "1"\nrequires-python = ">=3.8"\n'
    )
    if is_member:
        (root / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["part"]\n')
    environ = {**index, "PATH": f"{_UV.parent}:/usr/bin:/bin"}
    follow("uv sync", environ, root)
    project = uv_project(root / ".venv", environ, prefers_uv=True)
    assert project is not None
    requirements = [Requirement("kx-words", (), (">=1",))]
    advice = project.advice_on(root / ".venv", requirements, {"kx-words": "1.0"})
    assert advice is not None
    follow(advice[advice.index("uv add") :], environ, member if is_member else tmp_path)
    added = uv_project(root / ".venv", environ, prefers_uv=True)
    assert added is not None
    assert added.advice_on(root / ".venv", requirements, {"kx-words": "1.0"}) is None


# --- the doctor ----------------------------------------------------------------------------


def is_open_to_others(home: Path, environ: dict[str, str]) -> None:
    (home / "run").mkdir(mode=0o755)


def is_a_file(home: Path, environ: dict[str, str]) -> None:
    (home / "run").touch()


def is_a_kernelspec_of_nothing(home: Path, environ: dict[str, str]) -> None:
    venv = make_venv(home / "gone")
    run(catalog.prepare(Venv(venv), environ, lambda _: None))
    shutil.rmtree(venv)


def is_half_made(home: Path, environ: dict[str, str]) -> None:
    environ["XDG_DATA_HOME"] = str(home / "data")
    (home / "data" / "kernelexec" / "ipykernel" / "cpython-312-abc.xyz").mkdir(parents=True)


def is_looked_for_elsewhere(home: Path, environ: dict[str, str]) -> None:
    """A jupyter that looks where it is told, and else somewhere else."""
    folder = home / "programs"
    folder.mkdir()
    said = '{\\"data\\": [\\"${JUPYTER_PATH:-/elsewhere}\\"]}'
    (folder / "jupyter").write_text(f'#!/bin/sh\necho "{said}"\n')
    (folder / "jupyter").chmod(0o755)
    environ["PATH"] = f"{folder}:{environ['PATH']}"


def must_not_be_written(home: Path, environ: dict[str, str]) -> None:
    environ["CODE_STORAGE_DIR"] = str(home / "my data")
    (home / "my data").mkdir(mode=0o500)


@pytest.mark.parametrize(
    "broken",
    [
        is_open_to_others,
        is_a_file,
        is_a_kernelspec_of_nothing,
        is_half_made,
        is_looked_for_elsewhere,
        pytest.param(
            must_not_be_written,
            marks=pytest.mark.skipif("os.getuid() == 0", reason="root may write anywhere"),
        ),
    ],
)
def test_what_the_doctor_recommends_mends_what_it_has_found(
    tmp_path: Path, broken: Callable[[Path, dict[str, str]], None]
) -> None:
    environ = {
        "HOME": str(tmp_path),
        "PATH": without_jupyter(tmp_path),
        "JUPYTER_DATA_DIR": str(tmp_path / "jupyter"),
        "KERNELEXEC_RUNTIME_DIR": str(tmp_path / "run"),
    }
    broken(tmp_path, environ)
    (problem,) = [finding for finding in run(examine(environ, str(tmp_path), HUB)) if finding.mend]
    command = re.split(r" \(|, or | before ", problem.mend)[0]
    if command.startswith("export "):
        name, _, value = command.removeprefix("export ").partition("=")
        environ[name] = shlex.split(value)[0]
    else:
        follow(command, environ)
    assert [finding for finding in run(examine(environ, str(tmp_path), HUB)) if finding.mend] == []


def without_jupyter(home: Path) -> str:
    """A PATH with kernelexec, and without the jupyter that is installed beside it."""
    folder = home / "bin"
    folder.mkdir()
    (folder / "kernelexec").symlink_to(Path(sys.executable).with_name("kernelexec"))
    return f"{folder}:/usr/bin:/bin"
