"""An ipykernel for environments that have none, copied from distributions that a test makes up."""

from __future__ import annotations

import asyncio
import compileall
import contextlib
import csv
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kernelexec.environments import borrowed
from kernelexec.environments.borrowed import borrow_ipykernel
from kernelexec.environments.probe import own_abi
from kernelexec.environments.source import Places
from kernelexec.errors import EnvironmentUnusable
from kernelexec.model.environment import Interpreter
from tests.fakes import run


def interpreter(abi: str | None = None, ipykernel: str | None = None) -> Interpreter:
    return Interpreter(Path("/v/bin/python"), Path("/v"), (3, 12, 1), abi or own_abi(), ipykernel)


def at(data_dir: Path) -> Places:
    """As for a user whose data is there."""
    places = Places({"HOME": str(data_dir), "PATH": ""})
    places.data_dir = data_dir
    return places


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
def nothing_remembered() -> Iterator[None]:
    borrowed._own_versions.cache_clear()
    yield
    borrowed._own_versions.cache_clear()


@pytest.fixture(autouse=True)
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An nbformat 99, and an ipykernel 99 that needs a traitlets, which needs it back, and more elsewhere."""
    folder = tmp_path / "site-packages"
    outside = {"../bin/jupyter-kernel": "#!/bin/sh"}
    own = {"ipykernel/__init__.py": "import traitlets_99\n", "ipykernel/data.json": "{}"}
    needs = [
        "traitlets_99>=1",
        "colorama_99; sys_platform == 'win32'",
        "pytest_99; extra == 'test'",
    ]
    distribution(folder, "ipykernel", {**own, **outside}, needs, version="99.0")
    distribution(folder, "nbformat", {"nbformat/__init__.py": ""}, ["Traitlets_99"], version="99.0")
    distribution(folder, "Traitlets_99", {"traitlets_99.py": "x = 1\n"}, ["ipykernel"])
    monkeypatch.syspath_prepend(folder)
    return folder


def borrow(data_dir: Path, said: list[str] | None = None) -> Path:
    return run(borrow_ipykernel(at(data_dir), interpreter(), (said if said is not None else []).append))


def test_the_folder_holds_ipykernel_and_what_it_needs_here_and_nothing_else(tmp_path: Path) -> None:
    folder = borrow(tmp_path / "data")
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {file for file in files if "__pycache__" not in file} == {
        "ipykernel/__init__.py",
        "ipykernel/data.json",
        "ipykernel-99.0.dist-info/METADATA",
        "ipykernel-99.0.dist-info/RECORD",
        "nbformat/__init__.py",
        "nbformat-99.0.dist-info/METADATA",
        "nbformat-99.0.dist-info/RECORD",
        "traitlets_99.py",
        "Traitlets_99-1.0.dist-info/METADATA",
        "Traitlets_99-1.0.dist-info/RECORD",
        "kernelexec.json",
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
    borrowed._own_versions.cache_clear()  # as in the next hub
    assert borrow(tmp_path) != before


@pytest.mark.parametrize(
    ("ipykernel", "told"), [(None, "has no ipykernel"), ("5.1.0", "has ipykernel 5.1.0, which is too old")]
)
def test_where_none_can_be_lent_the_command_that_helps_is_told(
    tmp_path: Path, ipykernel: str | None, told: str
) -> None:
    python, places = other_python(tmp_path, None)
    with pytest.raises(EnvironmentUnusable, match=told) as refused:
        run(borrow_ipykernel(places, replace(python, ipykernel=ipykernel), lambda text: None))
    assert "pip install" in refused.value.next_step
    assert str(python.executable) in refused.value.next_step
    assert list(tmp_path.glob("data/ipykernel/*")) == []


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
        wanted = [borrow_ipykernel(at(tmp_path), interpreter(), lambda text: None) for _ in range(2)]
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


def test_a_folder_of_which_something_was_deleted_is_made_anew(tmp_path: Path) -> None:
    folder = borrow(tmp_path)
    (folder / "traitlets_99.py").unlink()
    assert not borrowed.is_whole(folder)
    assert borrow(tmp_path) == folder
    assert (folder / "traitlets_99.py").is_file()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def other_python(tmp_path: Path, fetched: str | None) -> tuple[Interpreter, Places]:
    """A Python 3.9, and a uv that brings it this ipykernel, or fails."""
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    work = f'mkdir "$6/ipykernel"; echo {fetched} > "$6/ipykernel/version"; echo Installed 1 package'
    failure = "echo 'no route to host' >&2; exit 2"
    (tools / "uv").write_text(f'#!/bin/sh\ntest "$5" = --target || exit 9\n{work if fetched else failure}\n')
    (tools / "python").write_text("#!/bin/sh\nexit 0\n")
    for tool in ("uv", "python"):
        (tools / tool).chmod(0o755)
    python = Interpreter(tools / "python", tmp_path, (3, 9, 1), ".cpython-39-x.so", None)
    places = at(tmp_path / "data")
    places.environ = {"HOME": str(tmp_path), "PATH": f"{tools}:/usr/bin:/bin"}
    return python, places


def test_for_another_python_it_is_fetched_once(tmp_path: Path) -> None:
    python, places = other_python(tmp_path, "6.31")
    said: list[str] = []
    folder = run(borrow_ipykernel(places, python, said.append))
    assert folder.name.startswith("cpython-39-x-")
    assert (folder / "ipykernel" / "version").read_text() == "6.31\n"
    assert "Python 3.9" in said[0]
    assert "Installed 1 package" in said
    other_python(tmp_path, None)
    assert run(borrow_ipykernel(places, python, said.append)) == folder


def test_what_cannot_be_fetched_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    python, places = other_python(tmp_path, None)
    with pytest.raises(EnvironmentUnusable, match="no route to host") as refused:
        run(borrow_ipykernel(places, python, lambda text: None))
    assert "pip install" in refused.value.next_step
    assert list((tmp_path / "data" / "ipykernel").iterdir()) == []


def test_with_a_newer_kernelexec_a_newer_one_is_fetched_and_the_older_serves_until_then(
    tmp_path: Path, made_up: Path
) -> None:
    python, places = other_python(tmp_path, "6.31")
    older = run(borrow_ipykernel(places, python, lambda text: None))
    assert borrowed.is_current(older, places, python)
    metadata = made_up / "ipykernel-99.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("99.0", "99.1"))
    borrowed._own_versions.cache_clear()
    assert not borrowed.is_current(older, places, python)
    other_python(tmp_path, None)
    said: list[str] = []
    for _ in range(2):  # the second time it is not even tried
        assert run(borrow_ipykernel(places, python, said.append)) == older
    assert len([text for text in said if "Preparing" in text]) == 1
    assert borrowed.is_current(older, places, python)
    next((tmp_path / "data" / "ipykernel").glob("*.failed")).unlink()
    other_python(tmp_path, "6.32")
    newer = run(borrow_ipykernel(places, python, said.append))
    assert (newer / "ipykernel" / "version").read_text() == "6.32\n"
    assert older.is_dir(), "kernels may still run from it"
