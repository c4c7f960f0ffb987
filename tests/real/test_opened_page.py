"""A person's notebook in which both work at once, open in JupyterLab as a shared model."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Locator, expect

from kernelexec import paths
from tests.real.clients import Client
from tests.real.conftest import Connect
from tests.real.home import Home, eventually, until
from tests.real.jupyter import PATIENCE_MS, JupyterServer, NotebookPage, jupyter_server
from tests.real.test_opened_notebook import code, edit, markdown, sources, write

EXTENSION = Path(paths.kernelspec_templates(), "jupyter_extension")


@pytest.fixture(scope="module")
def project(shared_home: Home) -> Path:
    return shared_home.project("both")


@pytest.fixture(scope="module")
def server(shared_home: Home, project: Path) -> Iterator[JupyterServer]:
    config = shared_home.path / "jupyter-config"
    config.mkdir()
    (config / "jupyter_server_config.py").write_text(
        f"import sys\nsys.path.insert(0, {str(EXTENSION)!r})\n"
        "c.ServerApp.jpserver_extensions.update({'kernelexec_live': True})\n"
    )
    with jupyter_server(shared_home, project, options=(), JUPYTER_CONFIG_PATH=str(config)) as server:
        yield server


@pytest.fixture
def person(connect: Connect, shared_home: Home, project: Path) -> Client:
    return connect(shared_home, project)


def opened(path: Path, person: Client, server: JupyterServer, browser: Browser, home: Home) -> NotebookPage:
    """The page, once the hub knows that it has the notebook, whose kernel is the session's environment's."""
    made = person.call("open_notebook", {"path": f"made-{path.name}"})
    assert made.text.startswith("NOTEBOOK MADE"), made.text
    notebook = json.loads(path.read_text())
    notebook["metadata"] = json.loads(path.with_name(f"made-{path.name}").read_text())["metadata"]
    path.write_text(json.dumps(notebook, indent=1))
    person.call("open_notebook", {"path": path.name})
    page = NotebookPage(browser, server.address(path.name, interface=f"lab/workspaces/{uuid4().hex}/tree"))
    eventually(lambda: f"{path} is open in a page" in home.log())
    return page


def cell(page: NotebookPage, source: str) -> Locator:
    return page.cells.filter(has=page.page.locator(".cm-content", has_text=source))


def whole(path: Path) -> dict[str, Any]:
    """The notebook; one without a cell's fields while its server writes it, which it does in place."""
    try:
        return dict(json.loads(path.read_text()))
    except ValueError:
        return {"cells": [{}]}


def on_disk(path: Path) -> list[str]:
    try:
        return sources(path)
    except ValueError:
        return []


def test_edits_and_runs_of_the_assistant_appear_where_the_person_types(
    person: Client, project: Path, server: JupyterServer, browser: Browser, shared_home: Home
) -> None:
    path = write(project / "both.ipynb", markdown("m", "# Both"), code("a", "x = 20"), code("b", "x + 1"))
    page = opened(path, person, server, browser, shared_home)
    try:
        editor = cell(page, "x + 1").locator(".cm-content")
        editor.click()
        page.page.keyboard.press("End")
        page.page.keyboard.type(" + 100")
        done = edit(
            person,
            {"op": "edit", "id": "a", "old": "20", "new": "41"},
            {"op": "insert", "after": "a", "source": "between = 3"},
        )
        assert done.text.startswith("DONE: 2 of 2"), done.text
        page.page.keyboard.type(" + 1000")
        expect(cell(page, "x = 41")).to_have_count(1, timeout=PATIENCE_MS)
        expect(cell(page, "between = 3")).to_have_count(1)
        expect(editor).to_have_text("x + 1 + 100 + 1000")
        # Each key is a message of the page's, which this call might overtake.
        eventually(lambda: "+ 100 + 1000" in person.call("read_cells", {"ids": ["b"]}).text)
        ran = person.call("run_cells", {"ids": ["a", "b"]})
        assert ran.state == "OK", ran.text
        assert "1142" in ran.text  # what the person has typed, saved or not
        expect(cell(page, "1000").locator(".jp-OutputArea-output")).to_have_text("1142", timeout=PATIENCE_MS)
        eventually(lambda: on_disk(path) == ["# Both", "x = 41", "between = 3", "x + 1 + 100 + 1000"])
        time.sleep(2.5)  # as long as JupyterLab takes to look at the file
        assert page.dialog.count() == 0
        assert on_disk(path) == ["# Both", "x = 41", "between = 3", "x + 1 + 100 + 1000"]
    finally:
        page.close()


def test_a_running_cell_is_busy_in_the_page_and_its_output_comes_as_it_is_printed(
    person: Client, project: Path, server: JupyterServer, browser: Browser, shared_home: Home, tmp_path: Path
) -> None:
    first, last = tmp_path / "first", tmp_path / "last"
    source = f"{until(first)}print('begins', flush=True)\n{until(last)}print('ends')"
    path = write(project / "running.ipynb", code("a", source), code("b", "mine = 1"))
    page = opened(path, person, server, browser, shared_home)
    try:
        running = person.call("run_cells", {"ids": ["a"], "wait_seconds": 0})
        ours, prompt = cell(page, "begins"), cell(page, "begins").locator(".jp-InputPrompt").first
        expect(prompt).to_have_text("[*]:", timeout=PATIENCE_MS)
        first.touch()
        expect(ours.locator(".jp-OutputArea-output")).to_have_text("begins\n", timeout=PATIENCE_MS)
        expect(prompt).to_have_text("[*]:")
        cell(page, "mine = 1").locator(".cm-content").click()
        page.page.keyboard.press("End")
        page.page.keyboard.type("2")  # beside it
        last.touch()
        expect(ours.locator(".jp-OutputArea-output")).to_have_text("begins\nends\n", timeout=PATIENCE_MS)
        expect(prompt).to_have_text("[1]:", timeout=PATIENCE_MS)
        expect(cell(page, "mine = 12")).to_have_count(1)
        assert person.wait_for(running.id).state == "OK"
        assert page.dialog.count() == 0
    finally:
        page.close()


def test_what_waits_is_busy_in_the_page_and_is_as_before_where_it_is_cancelled(
    person: Client, project: Path, server: JupyterServer, browser: Browser, shared_home: Home, tmp_path: Path
) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    old = [{"output_type": "stream", "name": "stdout", "text": "old\n"}]
    path = write(
        project / "waiting.ipynb",
        code("a", f"a = 1\n{until(gate, begun)}"),
        code("b", "print('new')", old, 7),
    )
    page = opened(path, person, server, browser, shared_home)
    try:
        first = person.begin("run_cells", {"ids": ["a"]})
        eventually(begun.exists)
        again = person.begin("run_cells", {"ids": ["b"]})
        prompt = cell(page, "print('new')").locator(".jp-InputPrompt").first
        output = cell(page, "print('new')").locator(".jp-OutputArea-output")
        expect(prompt).to_have_text("[*]:", timeout=PATIENCE_MS)
        expect(output).to_have_text("old\n")
        added = person.begin("execute_code", {"code": "added = 1", "note": "Added"})
        expect(cell(page, "added = 1").locator(".jp-InputPrompt").first).to_have_text(
            "[*]:", timeout=PATIENCE_MS
        )
        again.cancel()
        added.cancel()
        expect(prompt).to_have_text("[7]:", timeout=PATIENCE_MS)
        expect(output).to_have_text("old\n")
        expect(cell(page, "added = 1")).to_have_count(0, timeout=PATIENCE_MS)
        kept = person.begin("execute_code", {"code": "kept = 1"})
        ours = cell(page, "kept = 1")
        expect(ours.locator(".jp-InputPrompt").first).to_have_text("[*]:", timeout=PATIENCE_MS)
        gate.touch()
        assert first.result(30).state == "OK"
        told = kept.result(30)
        assert told.state == "OK"
        assert "deleted" not in told.text, told.text
        expect(ours.locator(".jp-InputPrompt").first).to_have_text("[2]:", timeout=PATIENCE_MS)
        eventually(lambda: len(on_disk(path)) == 3)
        assert on_disk(path)[1:] == ["print('new')", "kept = 1"]
        assert page.dialog.count() == 0
    finally:
        page.close()


def test_what_the_person_types_is_told_before_it_is_saved_and_is_not_undone(
    person: Client, project: Path, server: JupyterServer, browser: Browser, shared_home: Home
) -> None:
    path = write(project / "typed.ipynb", code("a", "mine = 1"), code("b", "2"))
    page = opened(path, person, server, browser, shared_home)
    try:
        cell(page, "mine = 1").locator(".cm-content").click()
        page.page.keyboard.press("ControlOrMeta+a")
        page.page.keyboard.type("yours = 2")
        eventually(lambda: "yours = 2" in person.call("read_cells", {"ids": ["a"]}).text)
        page.page.keyboard.type("2")
        eventually(
            lambda: on_disk(path) == ["yours = 22", "2"]
        )  # the page has sent it, as it saves by itself
        refused = edit(person, {"op": "delete", "id": "a"})
        assert refused.is_error
        assert "yours = 22" in refused.text
        person.execute("3")
        expect(cell(page, "yours = 22")).to_have_count(1)
        expect(page.cells.filter(has_text="3")).to_have_count(1, timeout=PATIENCE_MS)
    finally:
        page.close()


def test_when_the_page_is_closed_the_file_is_written_again(
    person: Client, project: Path, server: JupyterServer, browser: Browser, shared_home: Home
) -> None:
    path = write(project / "closed.ipynb", code("a", "1"))
    page = opened(path, person, server, browser, shared_home)
    person.call("run_cells", {"ids": ["a"]})
    page.close()
    assert edit(person, {"op": "insert", "source": "2"}).text.startswith("DONE")
    eventually(lambda: on_disk(path) == ["1", "2"])
    assert json.loads(path.read_text())["cells"][0]["outputs"]


def test_cells_that_the_person_adds_above_and_a_reload_take_nothing_from_either_hand(
    person: Client, project: Path, server: JupyterServer, browser: Browser, shared_home: Home
) -> None:
    path = write(
        project / "drift.ipynb", code("a", "first = 1"), code("b", "second = 2"), code("c", "third = 3")
    )
    page = opened(path, person, server, browser, shared_home)
    try:
        person.call("read_cells", {})
        cell(page, "first = 1").locator(".jp-InputPrompt").first.click()
        page.page.keyboard.press("Escape")
        for number in range(2):  # the places of all that the assistant knows are others now
            page.page.keyboard.press("a")
            expect(page.cells).to_have_count(4 + number, timeout=PATIENCE_MS)
        page.page.keyboard.press("Enter")
        page.page.keyboard.type("above = 0")
        done = edit(
            person,
            {"op": "edit", "id": "b", "old": "2", "new": "22"},
            {"op": "insert", "after": "b", "source": "between = 25"},
        )
        assert done.text.startswith("DONE: 2 of 2"), done.text
        ran = person.call("run_cells", {"ids": ["b", "c"]})
        assert ran.state == "OK", ran.text
        expected = ["above = 0", "", "first = 1", "second = 22", "between = 25", "third = 3"]
        eventually(lambda: on_disk(path) == expected)
        page.page.reload()
        expect(page.cells).to_have_count(6, timeout=PATIENCE_MS)
        assert edit(person, {"op": "edit", "id": "c", "old": "3", "new": "33"}).text.startswith("DONE")
        expect(cell(page, "third = 33")).to_have_count(1, timeout=PATIENCE_MS)
        eventually(lambda: on_disk(path) == [*expected[:-1], "third = 33"])
        assert page.dialog.count() == 0
    finally:
        page.close()


def test_what_another_program_writes_below_an_open_page_is_shown_and_the_run_comes_to_its_cell(
    person: Client, project: Path, server: JupyterServer, browser: Browser, shared_home: Home, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    source = f"print('begins', flush=True)\n{until(gate)}print('ends')"
    path = write(project / "outside.ipynb", code("a", source), code("b", "mine = 1"))
    page = opened(path, person, server, browser, shared_home)
    try:
        running = person.begin("run_cells", {"ids": ["a"]})
        ours = cell(page, "begins").locator(".jp-OutputArea-output")
        expect(ours).to_have_text("begins\n", timeout=PATIENCE_MS)
        notebook = eventually(
            lambda: "begins" in str((found := whole(path))["cells"][0].get("outputs")) and found
        )
        notebook["cells"].insert(1, code("new", "theirs = 2"))
        new = path.with_suffix(".new")
        new.write_text(json.dumps(notebook, indent=2))
        new.replace(path)
        expect(cell(page, "theirs = 2")).to_have_count(1, timeout=PATIENCE_MS)
        gate.touch()
        ended = running.result(60)
        assert ended.state == "OK", ended.text
        expect(ours).to_have_text("begins\nends\n", timeout=PATIENCE_MS)
        expect(cell(page, "begins").locator(".jp-InputPrompt").first).to_have_text(
            "[1]:", timeout=PATIENCE_MS
        )
        eventually(lambda: on_disk(path) == [source, "theirs = 2", "mine = 1"])
        told = ended.text + person.call("read_cells", {}).text
        assert told.count("new: new (theirs = 2)") == 1, told
        assert page.dialog.count() == 0
    finally:
        page.close()


def test_a_file_that_is_deleted_below_an_open_page_is_told_and_the_page_goes_on(
    person: Client, project: Path, server: JupyterServer, browser: Browser, shared_home: Home
) -> None:
    path = write(project / "deleted.ipynb", code("a", "x = 20"), code("b", "x + 1"))
    page = opened(path, person, server, browser, shared_home)
    try:
        path.unlink()
        ran = person.call("run_cells", {"ids": ["a", "b"]})
        assert ran.state == "OK", ran.text
        expect(cell(page, "x + 1").locator(".jp-OutputArea-output")).to_have_text("21", timeout=PATIENCE_MS)
        cell(page, "x + 1").locator(".cm-content").click()
        page.page.keyboard.press("End")
        page.page.keyboard.type(" + 100")
        eventually(lambda: "x + 1 + 100" in person.call("read_cells", {"ids": ["b"]}).text)
        told = person.call("read_cells", {}).text
        assert "was moved or deleted, and the JupyterLab that has it open does not save it" in told, told
        assert "the journal has everything" in told
        assert not path.exists()
    finally:
        page.close()
