"""Kernelspecs, held against Jupyter's own reader."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from kernelexec.environments import kernelspec
from kernelexec.environments.kernelspec import find, install, install_launcher, kernel_variables
from kernelexec.environments.source import Found
from kernelexec.errors import EnvironmentUnusable, KernelFailed
from kernelexec.kernels import programs
from kernelexec.model.environment import Interpreter
from tests.fakes import environment

LAUNCHER = Path("/data/launcher/abc/launcher.py")


def found_in(prefix: Path, label: str | None = None) -> Found:
    """An environment on disk, as far as a kernelspec looks at one."""
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "python").touch()
    (prefix / "lib" / "python3.12" / "site-packages").mkdir(parents=True)
    (prefix / "pyvenv.cfg").touch()
    interpreter = Interpreter(prefix / "bin" / "python", prefix, (3, 12, 1), ".cpython-312.so", "7.1.0")
    variables = (("PATH", f"{prefix}/bin:${{PATH}}"), ("VIRTUAL_ENV", str(prefix)))
    return Found("venv", prefix, interpreter, label or prefix.name, variables, (prefix / "pyvenv.cfg",))


@pytest.fixture
def kernels(tmp_path: Path) -> Path:
    return tmp_path / "jupyter" / "kernels"


def test_jupyter_finds_the_kernelspec_and_can_start_it(tmp_path: Path, kernels: Path) -> None:
    made = install(found_in(tmp_path / "analysis"), kernels, LAUNCHER, None)
    spec = KernelSpecManager(kernel_dirs=[str(kernels)]).get_kernel_spec(made.kernelspec)
    assert spec.argv == list(made.argv)
    assert spec.argv[:2] == [str(tmp_path / "analysis/bin/python"), str(LAUNCHER)]
    assert "{connection_file}" in spec.argv
    assert spec.display_name == "analysis (venv, Python 3.12)" == made.display_name
    assert (spec.language, spec.interrupt_mode) == ("python", "signal")
    assert spec.env["VIRTUAL_ENV"] == str(tmp_path / "analysis")


def test_a_borrowed_ipykernel_is_an_argument_of_the_launcher(tmp_path: Path, kernels: Path) -> None:
    borrowed = tmp_path / "ipykernel"
    borrowed.mkdir()
    made = install(found_in(tmp_path / "analysis"), kernels, LAUNCHER, borrowed)
    assert made.argv[1:4] == (str(LAUNCHER), "--ipykernel", str(borrowed))
    assert find("venv", tmp_path / "analysis", kernels, LAUNCHER) == made


def test_what_was_installed_is_found_again_without_a_question(tmp_path: Path, kernels: Path) -> None:
    prefix = tmp_path / "analysis"
    assert find("venv", prefix, kernels, LAUNCHER) is None
    made = install(found_in(prefix), kernels, LAUNCHER, None)
    assert find("venv", prefix, kernels, LAUNCHER) == made
    assert find("venv", tmp_path / "other", kernels, LAUNCHER) is None


def upgrade_python(prefix: Path) -> None:
    os.utime(prefix / "bin" / "python", (1, 1))


def install_a_package(prefix: Path) -> None:
    (prefix / "lib/python3.12/site-packages/ipykernel").mkdir()
    os.utime(prefix / "lib/python3.12/site-packages", (1, 1))


def make_anew(prefix: Path) -> None:
    os.utime(prefix / "pyvenv.cfg", (1, 1))


def remove_python(prefix: Path) -> None:
    (prefix / "bin" / "python").unlink()


@pytest.mark.parametrize("change", [upgrade_python, install_a_package, make_anew, remove_python])
def test_an_environment_that_changed_is_looked_at_anew(tmp_path: Path, kernels: Path, change: Any) -> None:
    install(found_in(tmp_path / "analysis"), kernels, LAUNCHER, None)
    change(tmp_path / "analysis")
    assert find("venv", tmp_path / "analysis", kernels, LAUNCHER) is None


def test_a_new_launcher_makes_every_kernelspec_be_written_anew(tmp_path: Path, kernels: Path) -> None:
    install(found_in(tmp_path / "analysis"), kernels, LAUNCHER, None)
    assert find("venv", tmp_path / "analysis", kernels, Path("/data/launcher/def/launcher.py")) is None


def test_a_borrowed_ipykernel_that_vanished_is_noticed(tmp_path: Path, kernels: Path) -> None:
    borrowed = tmp_path / "ipykernel"
    borrowed.mkdir()
    install(found_in(tmp_path / "analysis"), kernels, LAUNCHER, borrowed)
    borrowed.rmdir()
    assert find("venv", tmp_path / "analysis", kernels, LAUNCHER) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"metadata": null}',
        b'{"metadata": {"kernelexec": []}}',
        b'{"metadata": {"kernelexec": {"format": 2}}}',
        b'{"metadata": {"kernelexec": {"format": 1, "identity": "IDENTITY"}}}',
        b'{"metadata": {"kernelexec": {"format": 1, "identity": "IDENTITY", "environment": []}}}',
    ],
)
def test_a_kernelspec_that_is_not_ours_is_no_answer(tmp_path: Path, kernels: Path, content: bytes) -> None:
    (kernels / "kernelexec-analysis").mkdir(parents=True)
    written = content.replace(b"IDENTITY", str(tmp_path / "analysis").encode())
    (kernels / "kernelexec-analysis" / "kernel.json").write_bytes(written)
    assert find("venv", tmp_path / "analysis", kernels, LAUNCHER) is None


def test_two_environments_of_one_name_get_kernelspecs_and_labels_of_their_own(
    tmp_path: Path, kernels: Path
) -> None:
    first = install(found_in(tmp_path / "a" / "analysis"), kernels, LAUNCHER, None)
    second = install(found_in(tmp_path / "b" / "analysis"), kernels, LAUNCHER, None)
    assert first.label == "analysis"
    assert re.fullmatch(r"analysis-[0-9a-f]{6}", second.label)
    assert first.kernelspec != second.kernelspec
    assert find("venv", tmp_path / "a" / "analysis", kernels, LAUNCHER) == first
    assert find("venv", tmp_path / "b" / "analysis", kernels, LAUNCHER) == second
    third = install(found_in(tmp_path / "c" / "Analysis"), kernels, LAUNCHER, None)
    assert len({first.kernelspec, second.kernelspec, third.kernelspec.lower()}) == 3


def test_the_same_environment_keeps_its_kernelspec(tmp_path: Path, kernels: Path) -> None:
    found = found_in(tmp_path / "analysis")
    first = install(found, kernels, LAUNCHER, None)
    assert install(found, kernels, LAUNCHER, None) == first
    assert [folder.name for folder in kernels.iterdir()] == ["kernelexec-analysis"]


@pytest.mark.parametrize("label", ["analysis", "Sales.2026", "données", "データ", "a" * 60])
def test_every_name_is_one_that_jupyter_takes(tmp_path: Path, kernels: Path, label: str) -> None:
    made = install(found_in(tmp_path / "e", label), kernels, LAUNCHER, None)
    assert re.fullmatch(r"[a-z0-9._\-]+", made.kernelspec)
    manager = KernelSpecManager(kernel_dirs=[str(kernels)], ensure_native_kernel=False)
    assert list(manager.find_kernel_specs()) == [made.kernelspec]
    assert find("venv", tmp_path / "e", kernels, LAUNCHER) == made


@pytest.mark.parametrize("folder", ["my env", 'it\'s "mine"', "a$HOME", "$$", "${label}", "x{y}", "data;id"])
def test_no_character_in_a_path_means_anything(tmp_path: Path, kernels: Path, folder: str) -> None:
    prefix = tmp_path / folder
    made = install(found_in(prefix, "odd"), kernels, LAUNCHER, None)
    assert made.argv[0] == str(prefix / "bin" / "python")
    assert find("venv", prefix, kernels, LAUNCHER) == made


def test_a_directory_that_cannot_be_written_is_told_with_what_to_do(tmp_path: Path, kernels: Path) -> None:
    kernels.parent.write_text("a file")
    with pytest.raises(EnvironmentUnusable, match="cannot be written") as refused:
        install(found_in(tmp_path / "analysis"), kernels, LAUNCHER, None)
    assert "JUPYTER_DATA_DIR" in refused.value.next_step


def test_no_temporary_file_is_left(tmp_path: Path, kernels: Path) -> None:
    install(found_in(tmp_path / "analysis"), kernels, LAUNCHER, None)
    names = [path.name for path in (kernels / "kernelexec-analysis").iterdir()]
    assert "kernel.json" in names
    assert not [name for name in names if name.startswith(".")]


def test_the_launcher_is_kept_under_its_hash(tmp_path: Path) -> None:
    launcher = install_launcher(tmp_path)
    assert launcher.is_file()
    assert launcher.parents[2] == tmp_path / "launcher"
    assert hashlib.sha256(launcher.read_bytes()).hexdigest()
    assert install_launcher(tmp_path) == launcher


def test_a_launcher_that_runs_is_never_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    templates = tmp_path / "templates"
    shutil.copytree(kernelspec.paths.kernelspec_templates(), templates)
    monkeypatch.setattr(kernelspec.paths, "kernelspec_templates", lambda: str(templates))
    before = install_launcher(tmp_path)
    content = before.read_bytes()
    for path in templates.glob("*/*.py"):
        path.write_bytes(path.read_bytes() + b"# another version\n")
    assert install_launcher(tmp_path) == before, "a hub stays with what it came with"
    programs._sources_in.cache_clear()  # the next hub
    after = install_launcher(tmp_path)
    assert after != before
    assert before.read_bytes() == content
    shutil.rmtree(templates)
    assert install_launcher(tmp_path / "more").is_file(), "an installation may be removed under a hub"
    programs._sources_in.cache_clear()
    with pytest.raises(KernelFailed, match="were removed while its hub runs"):
        install_launcher(tmp_path)


# --- the variables of a kernel -----------------------------------------------------------


def variables_of(prefix: str, environ: dict[str, str]) -> dict[str, str]:
    activation = (("PATH", f"{prefix}/bin:${{PATH}}"), ("VIRTUAL_ENV", prefix))
    return kernel_variables(environment(variables=activation), environ)


def test_a_kernel_gets_its_callers_variables_and_its_environments_activation() -> None:
    variables = variables_of("/v", {"PATH": "/usr/bin", "A": "$B ${PATH}", "VIRTUAL_ENV": "/other"})
    assert variables == {"PATH": "/v/bin:/usr/bin", "A": "$B ${PATH}", "VIRTUAL_ENV": "/v"}


@pytest.mark.parametrize(
    "name",
    ["KERNELEXEC_TOKEN", "KERNELEXEC_SESSION", "JPY_PARENT_PID", "JPY_SESSION_NAME", "PYTHONHOME"],
)
def test_a_kernel_gets_none_of_our_secrets_and_nothing_of_another_python(name: str) -> None:
    assert name not in variables_of("/v", {name: "x", "PATH": "/bin"})


def test_the_metadata_says_what_was_found_out(tmp_path: Path, kernels: Path) -> None:
    made = install(found_in(tmp_path / "analysis"), kernels, LAUNCHER, None)
    said = json.loads((kernels / made.kernelspec / "kernel.json").read_text())["metadata"]["kernelexec"]
    assert said["format"] == kernelspec.FORMAT
    assert said["identity"] == str(tmp_path / "analysis")
    assert said["environment"] == made.to_json()
