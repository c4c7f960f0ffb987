"""A person's notebook that other programs write while a session works in it: git, VS Code, nbstripout.

Nothing of the person's is lost, nothing of the assistant's is there twice, and each is told.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.real.clients import Client, Reply
from tests.real.conftest import Connect
from tests.real.home import Home, eventually, until
from tests.real.test_opened_notebook import cells, code, diff, edit, shown, sources, write

Notebook = dict[str, Any]


def read(path: Path) -> Notebook:
    notebook: Notebook = json.loads(path.read_text())
    return notebook


def in_place(path: Path, notebook: Notebook, **layout: Any) -> None:
    path.write_text(json.dumps(notebook, **(layout or {"indent": 1})))


def by_rename(path: Path, notebook: Notebook, **layout: Any) -> None:
    new = path.with_suffix(".new")
    in_place(new, notebook, **layout)
    os.replace(new, path)


def as_vs_code(path: Path, notebook: Notebook) -> None:
    """All of it anew, in the indentation that was there, its own order of members, and no line end."""
    order = ("cell_type", "execution_count", "id", "metadata", "outputs", "source")
    made = [{name: cell[name] for name in order if name in cell} for cell in notebook["cells"]]
    for cell in made:
        cell["metadata"] = {**cell["metadata"], "vscode": {"languageId": "python"}}
    path.write_text(json.dumps({**notebook, "cells": made}, indent=1, ensure_ascii=False))


def as_jupytext(path: Path, notebook: Notebook) -> None:
    """`--sync` after the script was edited: texts from there, outputs and ids from the notebook."""
    metadata = {**notebook["metadata"], "jupytext": {"formats": "ipynb,py:percent"}}
    by_rename(path, {**notebook, "metadata": metadata}, indent=1)


@pytest.fixture
def project(shared_home: Home, request: pytest.FixtureRequest) -> Path:
    return shared_home.project(re.sub(r"\W+", "-", request.node.name)[-60:])


@pytest.fixture
def person(connect: Connect, shared_home: Home, project: Path) -> Client:
    return connect(shared_home, project)


class Going:
    """A cell of the notebook that runs until it may end, and one that ran before."""

    def __init__(self, client: Client, path: Path, gate: Path) -> None:
        self.client, self.path, self._gate = client, path, gate
        self.source = f"print('begins', flush=True)\n{until(gate)}print('ends')"
        write(path, code("a", "x = 1\nx"), code("b", self.source), code("c", "mine = 1"))
        client.call("open_notebook", {"path": path.name})
        assert client.call("run_cells", {"ids": ["a"]}).state == "OK"
        self.execution = client.call("run_cells", {"ids": ["b"], "wait_seconds": 0}).id
        eventually(lambda: shown(path, "b") == "begins\n")

    def end(self) -> Reply:
        self._gate.touch()
        ended = self.client.wait_for(self.execution)
        assert ended.state == "OK", ended.text
        assert ended.block("stdout") in ("begins\nends", "ends"), ended.text  # what is new
        return ended


@pytest.fixture
def going(person: Client, project: Path, tmp_path: Path) -> Going:
    return Going(person, project / "n.ipynb", tmp_path / "gate")


@pytest.mark.parametrize("write_anew", [in_place, by_rename, as_vs_code, as_jupytext])
def test_an_edit_by_another_program_during_a_run_stays_and_the_run_comes_to_its_cell(
    going: Going, write_anew: Callable[[Path, Notebook], None]
) -> None:
    notebook = read(going.path)
    notebook["cells"][2]["source"] = ["mine = 2"]
    notebook["cells"].insert(0, code("new", "above = 1"))
    write_anew(going.path, notebook)
    written = going.path.read_bytes()
    told = going.end().text
    eventually(lambda: shown(going.path, "b") == "begins\nends\n")
    assert sources(going.path) == ["above = 1", "x = 1\nx", going.source, "mine = 2"]
    assert shown(going.path, "a") == "1"
    changed = [line[1:].strip() for line in diff(written, going.path.read_bytes())]
    assert set(changed) <= {
        '"execution_count": null,',
        '"execution_count": 2,',
        '"begins\\n"',
        '"begins\\n",',
        '"ends\\n"',
    }, "nothing else is written otherwise than that program did"
    more = going.client.call("read_cells", {}).text
    for news in ("new: new (above = 1)", "changed: c (mine = 2)"):
        assert (told + more).count(news) == 1, told + more


def test_outputs_that_nbstripout_takes_away_during_a_run_stay_away_and_its_new_ids_are_told(
    going: Going,
) -> None:
    notebook = read(going.path)
    for number, cell in enumerate(notebook["cells"]):
        cell |= {"id": str(number), "outputs": [], "execution_count": None}  # its default
    in_place(going.path, notebook)
    stripped = going.path.read_bytes()
    told = going.end().text
    more = going.client.call("read_cells", {}).text
    assert going.path.read_bytes() == stripped
    assert "new: 0 (x = 1 ...), 1 (" in told + more
    assert "deleted: a (x = 1 ...), b (" in told + more
    assert going.client.call("run_cells", {"ids": ["0"]}).state == "OK"
    eventually(lambda: shown(going.path, "0") == "1")


def test_a_checkout_of_an_older_version_is_told_and_nothing_of_the_assistants_comes_back(
    person: Client, project: Path
) -> None:
    path = write(project / "n.ipynb", code("a", "1"), code("b", "2"))
    committed = path.read_bytes()
    person.call("open_notebook", {"path": "n.ipynb"})
    edit(person, {"op": "edit", "id": "a", "old": "1", "new": "10"}, {"op": "insert", "source": "added = 3"})
    new = cells(path)[-1]["id"]
    assert person.call("run_cells", {"ids": ["a", new]}).state == "OK"
    eventually(lambda: shown(path, "a") == "10")
    new_file = path.with_suffix(".git")
    new_file.write_bytes(committed)
    os.replace(new_file, path)
    told = person.call("read_cells", {}).text
    assert "changed: a (1)" in told
    assert f"deleted: {new} (added = 3)" in told
    assert path.read_bytes() == committed
    assert "no cell" in person.call("run_cells", {"ids": [new]}).text
    person.execute("4")
    eventually(lambda: sources(path) in (["1", "4", "2"], ["1", "2", "4"]))


BROKEN = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "merged": lambda data: data.replace(b'"mine', b'\n<<<<<<< HEAD\n"mine', 1),
}


@pytest.mark.parametrize("how", list(BROKEN))
def test_what_is_no_notebook_any_more_is_left_alone_and_gets_the_run_when_it_is_mended(
    going: Going, how: str
) -> None:
    whole = going.path.read_bytes()
    broken = BROKEN[how](whole)
    going.path.write_bytes(broken)
    os.utime(going.path, (1, 1))  # no save of JupyterLab's that is under way
    told = going.end().text
    assert "cannot be worked in" in told, told
    refused = edit(going.client, {"op": "insert", "source": "1"})
    assert refused.is_error
    assert "cannot be worked in" in refused.text
    assert going.path.read_bytes() == broken
    going.path.write_bytes(whole)
    eventually(lambda: shown(going.path, "b") == "begins\nends\n")
    assert [cell["id"] for cell in cells(going.path)] == ["a", "b", "c"]
    assert "cannot be" not in going.client.call("read_cells", {}).text


def test_a_notebook_that_is_deleted_is_not_made_again_and_gets_the_run_when_it_is_back(going: Going) -> None:
    whole = going.path.read_bytes()
    going.path.unlink()
    told = going.end().text
    assert "is not there any more: it was moved or deleted" in told, told
    for refused in (
        edit(going.client, {"op": "insert", "source": "1"}),
        going.client.call("run_cells", {"ids": ["c"]}),
    ):
        assert refused.is_error
        assert "is not there any more" in refused.text
    assert not going.path.exists()
    going.path.write_bytes(whole)
    eventually(lambda: shown(going.path, "b") == "begins\nends\n")


def test_a_notebook_that_is_moved_is_opened_where_it_is_now_on_the_kernel_that_it_had(going: Going) -> None:
    moved = going.path.with_name("moved.ipynb")
    going.path.rename(moved)
    assert "is not there any more" in going.end().text
    assert not going.path.exists()
    session = going.client.call("list_kernels", {}).text
    name = re.search(r"(\S+@\S+)", session)
    assert name
    opened = going.client.call("open_notebook", {"path": "moved.ipynb", "session": name[1].strip(":,")})
    assert opened.text.startswith(f"OPENED: {moved}"), opened.text
    assert going.client.call("run_cells", {"ids": ["a"]}).state == "OK"
    assert going.client.execute("x, 'ours'").block("result") == "(1, 'ours')"
    eventually(lambda: len(cells(moved)) == 4)
    assert not going.path.exists()
