"""An ipykernel for environments that have none, copied from distributions that a test makes up."""

from __future__ import annotations

import asyncio
import compileall
import contextlib
import csv
import sys
import threading
from pathlib import Path

import pytest

from kernelexec.environments.borrowed import borrow_ipykernel
from kernelexec.environments.probe import own_abi
from kernelexec.errors import EnvironmentUnusable
from kernelexec.model.environment import Interpreter
from tests.fakes import run


def interpreter(abi: str | None = None, ipykernel: str | None = None) -> Interpreter:
    return Interpreter(Path("/v/bin/python"), Path("/v"), (3, 12, 1), abi or own_abi(), ipykernel)


def distribution(
    folder: Path, name: str, files: dict[str, str], requires: list[str], version: str = "1.0"
) -> None:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(content)
    listed = [*files, f"{info.name}/METADATA", f"{info.name}/RECORD", "gone.py"]
    with (info / "RECORD").open("w", newline="") as record:
        csv.writer(record).writerows([[file, "", ""] for file in listed])


@pytest.fixture(autouse=True)
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ipykernel 99 that needs a traitlets, which needs it back, and others only elsewhere."""
    folder = tmp_path / "site-packages"
    outside = {"../bin/jupyter-kernel": "#!/bin/sh"}
    own = {"ipykernel/__init__.py": "import traitlets_99\n", "ipykernel/data.json": "{}"}
    needs = [
        "traitlets_99>=1",
        "colorama_99; sys_platform == 'win32'",
        "pytest_99; extra == 'test'",
    ]
    distribution(folder, "ipykernel", {**own, **outside}, needs, version="99.0")
    distribution(folder, "Traitlets_99", {"traitlets_99.py": "x = 1\n"}, ["ipykernel"])
    monkeypatch.syspath_prepend(folder)
    return folder


def borrow(data_dir: Path, said: list[str] | None = None) -> Path:
    return run(borrow_ipykernel(data_dir, interpreter(), (said if said is not None else []).append))


def test_the_folder_holds_ipykernel_and_what_it_needs_here_and_nothing_else(tmp_path: Path) -> None:
    folder = borrow(tmp_path / "data")
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {file for file in files if "__pycache__" not in file} == {
        "ipykernel/__init__.py",
        "ipykernel/data.json",
        "ipykernel-99.0.dist-info/METADATA",
        "ipykernel-99.0.dist-info/RECORD",
        "traitlets_99.py",
        "Traitlets_99-1.0.dist-info/METADATA",
        "Traitlets_99-1.0.dist-info/RECORD",
    }
    assert folder.parent == tmp_path / "data" / "ipykernel"
    assert not (folder.parent / "bin").exists()


def test_everything_in_it_is_compiled(tmp_path: Path) -> None:
    folder = borrow(tmp_path)
    tag = sys.implementation.cache_tag
    assert (folder / "__pycache__" / f"traitlets_99.{tag}.pyc").is_file()
    assert (folder / "ipykernel" / "__pycache__" / f"__init__.{tag}.pyc").is_file()


def test_it_is_made_once_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    folder = borrow(tmp_path, said)
    assert len(said) == 1
    (folder / "mark").touch()
    assert borrow(tmp_path, said) == folder
    assert len(said) == 1
    assert (folder / "mark").exists()


def test_another_version_gets_a_folder_of_its_own(tmp_path: Path, made_up: Path) -> None:
    before = borrow(tmp_path)
    metadata = made_up / "ipykernel-99.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("99.0", "99.1"))
    assert borrow(tmp_path) != before


@pytest.mark.parametrize(
    ("ipykernel", "told"), [(None, "has no ipykernel"), ("5.1.0", "has ipykernel 5.1.0, which is too old")]
)
def test_for_another_python_there_is_none_and_the_command_that_helps_is_told(
    tmp_path: Path, ipykernel: str | None, told: str
) -> None:
    other = interpreter(".cpython-39-x.so", ipykernel)
    with pytest.raises(EnvironmentUnusable, match=told) as refused:
        run(borrow_ipykernel(tmp_path, other, lambda text: None))
    assert "/v/bin/python -m pip install" in refused.value.next_step
    assert list(tmp_path.glob("ipykernel*")) == []


def test_a_half_made_folder_of_a_hub_that_was_killed_is_not_used(tmp_path: Path) -> None:
    whole = {path.name for path in borrow(tmp_path / "a").iterdir()}
    folder = borrow(tmp_path / "b")
    name = folder.name
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    half = folder.with_name(f"{name}.12345")
    half.mkdir()
    assert {path.name for path in borrow(tmp_path / "b").iterdir()} == whole


def test_two_environments_that_need_it_in_the_same_moment_both_get_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)
    compile_dir = compileall.compile_dir

    def together(*arguments: object, **options: object) -> bool:
        with contextlib.suppress(threading.BrokenBarrierError):  # only one of them makes it: as good
            both.wait(0.5)
        return bool(compile_dir(*arguments, **options))  # type: ignore[arg-type]

    monkeypatch.setattr(compileall, "compile_dir", together)

    async def test() -> list[Path]:
        wanted = [borrow_ipykernel(tmp_path, interpreter(), lambda text: None) for _ in range(2)]
        return list(await asyncio.gather(*wanted))

    first, second = run(test())
    assert first == second
    assert (first / "ipykernel" / "__init__.py").is_file()
    assert (first / "traitlets_99.py").is_file()
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_a_data_directory_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(EnvironmentUnusable, match="data"):
        borrow(tmp_path / "data")
