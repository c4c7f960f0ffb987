"""Somebody else's kernelspecs: how they are found and started."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from kernelexec.environments.foreign import ForeignKernel
from kernelexec.environments.jupyter_paths import find_kernelspec, kernelspecs
from kernelexec.environments.kernelspec import command
from kernelexec.environments.languages import script_extension
from kernelexec.environments.source import Places
from kernelexec.errors import EnvironmentUnusable
from kernelexec.model.environment import Environment
from tests.fakes import run


def write(folder: Path, name: str, **fields: Any) -> Path:
    place = folder / "kernels" / name
    place.mkdir(parents=True)
    spec = {"argv": [sys.executable, "-c", "", "{connection_file}"], "display_name": name, "language": "bash"}
    (place / "kernel.json").write_text(json.dumps({**spec, **fields}))
    return place


def prepared(folder: Path, home: Path, **environ: str) -> Environment:
    places = Places({"HOME": str(home), "PATH": os.environ["PATH"], **environ})
    return run(ForeignKernel(folder.name, folder).prepare(places, lambda text: None))


def test_a_kernel_that_is_not_pythons_is_started_as_it_is_under_our_keeper(tmp_path: Path) -> None:
    argv = ["sh", "{resource_dir}/run", "{connection_file}", "{unknown}"]
    folder = write(tmp_path, "shell", argv=argv, env={"A": "$HOME/a"}, interrupt_mode="message")
    found = prepared(folder, tmp_path)
    assert found.argv[1:] == (f"{folder}/run", "{connection_file}", "{unknown}")
    assert Path(found.argv[0]).name == "sh"
    assert found.argv[0].startswith("/")
    assert (found.interpreter, found.runs, found.extension) == (None, "bash", ".sh")
    assert (found.interrupts, found.is_ours, found.is_python) == ("message", False, False)
    assert found.variables == (("A", "$HOME/a"),)
    words = command(found, Path("/l/launcher.py"), "OPTIONS")
    assert words[1:6] == ["-I", "-S", "/l/launcher.py", "OPTIONS", "--exec"]
    assert tuple(words[6:]) == found.argv
    assert found.transport == "tcp"


@pytest.mark.parametrize(
    "wanted", [{"provisioner_name": "ssh-provisioner", "config": {"host": "gpu"}}, "ssh-provisioner"]
)
def test_a_kernelspec_is_refused_whose_provisioner_nobody_has(tmp_path: Path, wanted: Any) -> None:
    folder = write(tmp_path, "gpu", metadata={"kernel_provisioner": wanted})
    with pytest.raises(EnvironmentUnusable, match="provisioner 'ssh-provisioner', and no Python"):
        prepared(folder, tmp_path)


@pytest.mark.parametrize("wanted", [{"provisioner_name": "local-provisioner"}, {}, None])
def test_the_provisioner_of_this_machine_is_no_other(tmp_path: Path, wanted: Any) -> None:
    argv = ["sh", "run", "{connection_file}"]
    folder = write(tmp_path, "here", argv=argv, metadata={"kernel_provisioner": wanted})
    assert prepared(folder, tmp_path).runs == "bash"


def test_an_ipykernel_of_the_usual_kind_is_started_through_our_launcher(tmp_path: Path) -> None:
    argv = [
        sys.executable,
        "-Xfrozen_modules=off",
        "-m",
        "ipykernel_launcher",
        "-f",
        "{connection_file}",
        "--debug",
    ]
    found = prepared(write(tmp_path, "mine", argv=argv, language="python"), tmp_path)
    assert found.interpreter is not None
    assert found.interrupts == "named"
    assert found.argv[:2] == (sys.executable, "-Xfrozen_modules=off")
    assert found.argv[2].endswith("/launcher.py")
    assert found.argv[3:] == ("-f", "{connection_file}", "--debug")
    words = command(found, Path("/l/launcher.py"), "OPTIONS")
    assert words[3:5] == ["OPTIONS", "-f"]
    assert found.transport == "ipc"


@pytest.mark.parametrize(
    "argv",
    [
        [sys.executable, "-m", "other_kernel", "-f", "{connection_file}"],
        [sys.executable, "-X", "dev", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        [sys.executable, "-c", "-m", "ipykernel_launcher", "{connection_file}"],
    ],
)
def test_a_python_kernel_of_another_kind_is_left_as_it_is(tmp_path: Path, argv: list[str]) -> None:
    found = prepared(write(tmp_path, "odd", argv=argv, language="python"), tmp_path)
    assert found.argv == tuple(argv)
    assert found.interrupts == "signal"
    assert found.extension == ".py"


@pytest.mark.parametrize(
    ("code", "transport"),
    [
        ("from ipykernel.kernelbase import Kernel", "ipc"),
        ("from metakernel import MetaKernel", "ipc"),
        ("from zmq import Context", "tcp"),  # it makes its sockets itself
    ],
)
@pytest.mark.parametrize("file", ["odd.py", "odd/__init__.py", "odd/kernel.py"])
def test_a_python_kernel_has_sockets_that_others_cannot_read_where_its_library_takes_them(
    tmp_path: Path, code: str, transport: str, file: str
) -> None:
    (tmp_path / "code" / "odd").mkdir(parents=True)
    if file != "odd.py":
        (tmp_path / "code" / "odd" / "__init__.py").touch()
    (tmp_path / "code" / file).write_text(code)
    argv = [sys.executable, "-m", "odd", "-f", "{connection_file}"]
    folder = write(tmp_path, "odd", argv=argv, env={"PYTHONPATH": str(tmp_path / "code")})
    assert prepared(folder, tmp_path).transport == transport


def test_a_python_kernel_in_a_file_has_sockets_that_others_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("from ipykernel.kernelbase import Kernel")
    argv = [sys.executable, str(tmp_path / "own.py"), "{connection_file}"]
    assert prepared(write(tmp_path, "own", argv=argv), tmp_path).transport == "ipc"


def test_a_bare_python_is_that_of_the_prefix_that_holds_the_kernelspec(tmp_path: Path) -> None:
    prefix = tmp_path / "env"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "python").symlink_to(sys.executable)
    folder = write(prefix / "share" / "jupyter", "python3", argv=["python", "-m", "x", "{connection_file}"])
    assert prepared(folder, tmp_path).argv[0] == str(prefix / "bin" / "python")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"argv": 5}', '{"argv": []}', '{"argv": ["x"], "env": 1}']
)
def test_a_kernelspec_that_is_none_is_told(tmp_path: Path, content: str) -> None:
    folder = write(tmp_path, "bad")
    (folder / "kernel.json").write_text(content)
    with pytest.raises(EnvironmentUnusable, match=r"kernel\.json"):
        prepared(folder, tmp_path)


def test_kernelspecs_are_found_where_jupyter_looks_and_the_first_of_a_name_counts(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "PATH": "", "JUPYTER_PATH": f"{tmp_path}/a:{tmp_path}/b"}
    environ["VIRTUAL_ENV"] = str(tmp_path / "venv")
    first = write(tmp_path / "a", "Same")
    write(tmp_path / "b", "same")
    user = write(tmp_path / ".local" / "share" / "jupyter", "user")
    inside = write(tmp_path / "venv" / "share" / "jupyter", "inside")
    found = kernelspecs(environ)
    assert (found["same"], found["user"], found["inside"]) == (first, user, inside)
    assert find_kernelspec("SAME", environ) == first
    with pytest.raises(EnvironmentUnusable, match="no Jupyter kernelspec called 'sane'") as refused:
        find_kernelspec("sane", environ)
    assert "Did you mean same" in refused.value.next_step


@pytest.mark.parametrize(
    ("language", "extension"),
    [("R", ".r"), ("C++17", ".cpp"), ("bash", ".sh"), ("klingon", ".txt"), ("", ".txt")],
)
def test_a_script_has_its_languages_extension(language: str, extension: str) -> None:
    assert script_extension(language) == extension
