"""What is no plain file stands where a record, a registry entry or a lock belongs: said, and nobody waits."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.real.conftest import Connect, ConnectRaw
from tests.real.home import Home, eventually

KINDS: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "folder": os.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
}
kinds = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def in_the_place_of(path: Path, make: Callable[[Path], None]) -> Path:
    """Put something else there; returns where what was there is now."""
    kept = path.with_name(path.name + ".kept")
    if os.path.lexists(path):
        path.rename(kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    return kept


@kinds
def test_in_the_place_of_a_journal(home: Home, connect: Connect, make: Callable[[Path], None]) -> None:
    client = connect(home)
    client.execute("1", session="well")
    journal = home.storage / ".kernelexec" / f"{client.execute('1', session='ill').session}.jsonl"
    home.command("stop", "--all")
    eventually(lambda: not home.hubs())
    kept = in_the_place_of(journal, make)
    refused = client.execute("2", session="ill")
    assert refused.is_error
    assert f"{journal} cannot be used: it is a" in refused.text
    assert "move it away" in refused.text
    client.execute("2", session="well")  # not run: its kernel was stopped
    assert client.execute("3", session="well").block("result") == "3"
    (os.rmdir if make is os.mkdir else os.unlink)(journal)
    kept.rename(journal)
    assert client.execute("4", session="ill").state == "NOT RUN"  # its past is there again
    assert client.execute("4", session="ill").block("result") == "4"


@kinds
def test_in_the_place_of_a_notebook_a_folder_of_scripts_and_outputs(
    home: Home, connect: Connect, make: Callable[[Path], None]
) -> None:
    client = connect(home)
    first = client.execute("1")
    notebook = home.storage / f"{first.session}-1.ipynb"
    eventually(notebook.exists)
    in_the_place_of(notebook, make)
    assert client.execute("2").block("result") == "2"
    eventually(notebook.is_file)  # the other thing was set aside
    assert list(home.storage.glob("*.unreadable-1.ipynb"))

    outputs = first.script.parent / "outputs"
    if make is not os.mkdir:  # a folder is what belongs there
        in_the_place_of(outputs, make)
        many = client.execute("print('x' * 12_000_000)")
        assert "could not be written to disk" in many.text
        outputs.unlink()
    else:
        in_the_place_of(outputs / "0003.txt", make)
        many = client.execute("print('x' * 12_000_000)")
        assert "it is a folder, not a plain file" in many.text
        shutil.rmtree(outputs)

    if make is not os.mkdir:
        in_the_place_of(first.script.parent, make)
        not_run = client.execute("print('never')")
        assert not_run.is_error, not_run.text
        assert "never" not in not_run.text
        assert client.execute("4", session="well").block("result") == "4"


@kinds
def test_in_the_place_of_a_registry_entry_and_of_settings(
    home: Home, connect: Connect, make: Callable[[Path], None]
) -> None:
    home.registry.mkdir(parents=True)
    make(home.registry / "12345678.json")
    project = home.project("p")
    make(project / "pyproject.toml")
    (home.path / ".conda").mkdir()
    make(home.path / ".condarc")
    make(home.path / ".conda" / "environments.txt")
    began = time.monotonic()
    client = connect(home, project)
    assert client.execute("1 + 1").block("result") == "2"
    assert not client.call("list_environments", {}).is_error
    assert time.monotonic() - began < 20
    (os.rmdir if make is os.mkdir else os.unlink)(home.registry / "12345678.json")


@pytest.mark.parametrize("name", ["hub.lock", "hub.sock"])
def test_a_folder_where_lock_or_socket_belongs_is_told(
    home: Home, connect_raw: ConnectRaw, name: str
) -> None:
    (home.runtime / name).mkdir()
    refused = home.command("ps")
    (home.runtime / name).rmdir()
    assert "Traceback" not in refused.stderr
    if name == "hub.sock":
        assert f"{home.runtime / name}, where the hub's socket belongs, is a folder." in refused.stderr
    assert connect_raw(home).execute("1 + 1").block("result") == "2"
