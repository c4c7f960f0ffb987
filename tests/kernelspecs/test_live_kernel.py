"""Which live kernel a notebook belongs to. Runs what runs in the user's interpreter, without a kernel."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from kernelexec import paths
from kernelexec.kernels import process
from kernelexec.kernels.registry import KernelEntry, Registry

KERNELSPECS = Path(__file__).parents[2] / "kernelspecs"
SESSION = "sales@analysis"


def load(program: str, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, KERNELSPECS / program / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


live_kernel = load("relay", "live_kernel")
launcher = load("launcher", "launcher")


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    folder = tmp_path / "storage"
    (folder / ".kernelexec").mkdir(parents=True)
    return folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def entry(storage: Path, tmp_path: Path) -> KernelEntry:
    """Of a kernel whose process is this one."""
    directory = tmp_path / "run" / "k" / "1234"
    directory.mkdir(parents=True)
    me = process.identity(os.getpid())
    assert me is not None
    return KernelEntry(
        kernel_id="1234",
        place={
            "directory": str(directory),
            "boot": process.boot_id(),
            "keeper_pid": os.getppid(),
            "keeper_identity": process.identity(os.getppid()) or "",
            "kernel_pid": os.getpid(),
            "kernel_identity": me,
        },
        started="2026-11-25T00:00:00+00:00",
        generation=2,
        session_name="sales",
        storage_dir=str(storage),
        kernel_dir=str(storage),
        project=None,
        environment={"label": "analysis", "prefix": sys.prefix},
    )


def changed(entry: KernelEntry, **changes: object) -> KernelEntry:
    """The entry with other fields, of its own or of its place."""
    place = {**entry.place, **{name: value for name, value in changes.items() if name in entry.place}}
    return replace(entry, place=place, **{name: v for name, v in changes.items() if name not in place})


@pytest.fixture
def registry(environ: dict[str, str]) -> Registry:
    return Registry(Path(paths.state_dir(environ), "kernels"))


def find(storage: Path, environ: dict[str, str], name: str = f"{SESSION}-2.ipynb", prefix: str = sys.prefix):
    return live_kernel.find(str(storage / name), prefix, environ)


def test_a_sessions_notebook_finds_the_sessions_kernel(storage, environ, entry, registry) -> None:
    registry.write(entry)
    found = find(storage, environ)
    assert (found.pid, found.directory, found.session) == (os.getpid(), entry.place["directory"], SESSION)


def test_a_notebook_of_any_generation_finds_it(storage, environ, entry, registry) -> None:
    registry.write(entry)
    assert find(storage, environ, f"{SESSION}-1.ipynb") is not None


@pytest.mark.parametrize("said", [None, 7, "relative", "/nowhere/at/all", ["/"], "/dev/null"])
def test_a_notebook_names_the_directory_of_its_kernel_only_if_that_is_there(storage, tmp_path, said) -> None:
    notebook = storage / f"{SESSION}-2.ipynb"
    notebook.write_text(json.dumps({"metadata": {"kernelexec": {"directory": said}}}))
    assert live_kernel.directory_named_in(str(notebook)) is None
    notebook.write_text(json.dumps({"metadata": {"kernelexec": {"directory": str(tmp_path)}}}))
    assert live_kernel.directory_named_in(str(notebook)) == str(tmp_path)
    for damaged in ("{", "[]", '{"metadata": {"kernelexec": 1}}'):
        notebook.write_text(damaged)
        assert live_kernel.directory_named_in(str(notebook)) is None


def test_a_renamed_notebook_finds_it_by_its_metadata(storage, environ, entry, registry) -> None:
    registry.write(entry)
    (storage / "mine.ipynb").write_text(json.dumps({"metadata": {"kernelexec": {"session": SESSION}}}))
    assert find(storage, environ, "mine.ipynb") is not None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "[" * 100_000, "{}", '{"metadata": {"kernelexec": {"session": ["x"]}}}', "\ud800"],
)
def test_a_notebook_that_names_no_session_finds_nothing(storage, environ, entry, registry, content) -> None:
    registry.write(entry)
    (storage / "mine.ipynb").write_text(content, errors="surrogatepass")
    assert find(storage, environ, "mine.ipynb") is None


@pytest.mark.parametrize(
    "name", ["sales@analysis-1-2.ipynb", "sales@analysis-.ipynb", "xsales@analysis-1.ipynb"]
)
def test_names_that_only_resemble_a_sessions_notebook_find_nothing(
    storage, environ, entry, registry, name
) -> None:
    registry.write(entry)
    assert find(storage, environ, name) is None


def test_the_same_name_in_another_folder_finds_nothing(storage, environ, entry, registry) -> None:
    registry.write(entry)
    assert find(storage.parent, environ) is None


def test_a_storage_directory_is_known_by_its_real_path(storage, environ, entry, registry, tmp_path) -> None:
    (tmp_path / "link").symlink_to(storage)
    registry.write(replace(entry, storage_dir=str(tmp_path / "link")))
    assert find(storage, environ) is not None


def test_another_environments_kernelspec_does_not_get_this_environments_kernel(
    storage, environ, entry, registry, tmp_path
) -> None:
    registry.write(entry)
    assert find(storage, environ, prefix=str(tmp_path)) is None


def test_dead_foreign_and_broken_entries_are_passed_over(storage, environ, entry, registry) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for number, wrong in enumerate(
        (
            {"boot": "another"},
            {"kernel_identity": "1"},
            {"kernel_pid": ended.pid},
            {"directory": entry.place["directory"] + "-gone"},
            {"environment": {}},
            {"storage_dir": None},
        )
    ):
        registry.write(changed(replace(entry, kernel_id=f"0{number}"), **wrong))
    (Path(paths.state_dir(environ)) / "kernels" / "00.json").write_text("{")
    assert find(storage, environ) is None
    registry.write(entry)
    assert find(storage, environ) is not None


def test_another_users_entry_is_passed_over(storage, environ, entry, registry, monkeypatch) -> None:
    registry.write(entry)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert find(storage, environ) is None


def test_without_a_registry_nothing_is_found(storage, environ) -> None:
    assert find(storage, environ) is None


def test_it_waits_for_a_kernel_that_is_being_started(storage, environ, entry, registry) -> None:
    registry.write(changed(entry, kernel_pid=None, kernel_identity=None))
    timer = threading.Timer(0.1, registry.write, [entry])
    timer.start()
    assert find(storage, environ).pid == os.getpid()
    timer.join()


@pytest.fixture
def hub(entry: KernelEntry, registry: Registry, tmp_path: Path) -> Iterator[list[dict]]:
    """A hub that replaces the kernel before it answers; what it was asked."""
    asked: list[dict] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(Path(entry.place["directory"]).parents[1] / "hub.sock"))
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile() as lines:
            asked.extend(json.loads(lines.readline()) for _ in range(2))
            (tmp_path / "new").mkdir()
            registry.write(changed(entry, directory=str(tmp_path / "new")))
            connection.sendall(b'kernelexec 1 ok 1.0\n{"generation": 3}\n')

    server = threading.Thread(target=serve)
    server.start()
    yield asked
    server.join(10)
    listener.close()


def test_a_hub_is_asked_so_that_a_kernel_that_is_being_replaced_is_not_joined(
    storage, environ, entry, registry, hub, tmp_path
) -> None:
    registry.write(entry)
    assert find(storage, environ).directory == str(tmp_path / "new")
    assert hub[0]["role"] == "admin"
    assert hub[1] == {"command": "attach", "session": SESSION, "storage_dir": str(storage), "generation": 2}


def test_refusals_of_the_hub_are_no_answers() -> None:
    for said in (
        b"",
        b"kernelexec 1 ok 1.0\n",
        b"kernelexec 1 retire 2\n{}\n",
        b'x y ok z\n{"error": "e"}\n',
    ):
        assert live_kernel.read_answer(said) is None
    assert live_kernel.read_answer(b'kernelexec 1 ok 1.0\n{"a": 1}\n') == {"a": 1}


UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.mark.parametrize("added", [f"-{UUID}", f"-jvsc-{UUID}{UUID}"])
def test_a_name_that_vs_code_has_made_its_own_is_the_notebooks(storage, added: str) -> None:
    as_opened = live_kernel.as_opened
    assert as_opened(str(storage / f"{SESSION}-1{added}.ipynb")) == str(storage / f"{SESSION}-1.ipynb")
    for other in (f"{SESSION}-1.ipynb", f"{added[1:]}.ipynb", f"{SESSION}-1{added}x.ipynb", "a-12.ipynb"):
        assert as_opened(str(storage / other)) == str(storage / other)
    (storage / f"mine{added}.ipynb").touch()  # somebody's who calls notebooks so
    assert as_opened(str(storage / f"mine{added}.ipynb")) == str(storage / f"mine{added}.ipynb")


# What the launcher asks first, without importing anything


def frontend_of(monkeypatch, name: str) -> str | None:
    monkeypatch.setenv("JPY_SESSION_NAME", name)
    return launcher.notebook_of_frontend()


def test_only_a_notebook_beside_a_sessions_records_is_looked_up(monkeypatch, storage, tmp_path) -> None:
    assert frontend_of(monkeypatch, str(storage / "a.ipynb")) == str(storage / "a.ipynb")
    assert frontend_of(monkeypatch, str(tmp_path / "a.ipynb")) is None
    assert frontend_of(monkeypatch, str(storage / "a.py")) is None
    assert frontend_of(monkeypatch, "") is None
    monkeypatch.delenv("JPY_SESSION_NAME")
    assert launcher.notebook_of_frontend() is None


def test_relative_paths_and_links_and_drives_lead_to_the_real_file(monkeypatch, storage, tmp_path) -> None:
    (tmp_path / "link").symlink_to(storage)
    assert frontend_of(monkeypatch, str(tmp_path / "link" / "a.ipynb")) == str(storage / "a.ipynb")
    assert frontend_of(monkeypatch, str(storage / "RTC:a.ipynb")) == str(storage / "a.ipynb")
    monkeypatch.chdir(storage)
    assert frontend_of(monkeypatch, "below/the/root/a.ipynb") == str(storage / "a.ipynb")
    assert frontend_of(monkeypatch, "a.ipynb") == str(storage / "a.ipynb")


# What it says a second time


@pytest.mark.parametrize("variables", [{}, {"XDG_STATE_HOME": "/x/state"}, {"XDG_STATE_HOME": "relative"}])
def test_the_state_directory_is_kernelexecs(variables: dict[str, str]) -> None:
    environ = {"HOME": "/home/me", **variables}
    assert live_kernel.state_dir(environ) == paths.state_dir(environ)


def test_processes_have_the_same_identity_for_the_relay_and_the_hub() -> None:
    assert live_kernel.identity(os.getpid()) == process.identity(os.getpid())
    assert live_kernel.boot_id() == process.boot_id()
