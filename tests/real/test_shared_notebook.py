"""A notebook open in JupyterLab, worked in by the person, while the assistant adds cells to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import nbformat
import pytest
from playwright.sync_api import Browser, Response, expect

from tests.real.clients import Client
from tests.real.home import Home, eventually
from tests.real.jupyter import PATIENCE_MS, JupyterServer, NotebookPage, jupyter_server


@dataclass
class Desk:
    """The assistant, the person's page, and the notebook of both."""

    client: Client
    path: Path
    server: JupyterServer
    browser: Browser
    page: NotebookPage

    def add(self, *codes: str) -> None:
        """The assistant runs these, and they are in the notebook."""
        for code in codes:
            assert self.client.execute(code).state == "OK"
        self.expect_file(lambda found: codes[-1] in found)

    def sources(self) -> list[str]:
        """The cells on disk; none while JupyterLab is writing them."""
        try:
            return ["".join(cell["source"]) for cell in json.loads(self.path.read_text())["cells"]]
        except ValueError:
            return []

    def expect_file(self, condition: Callable[[list[str]], bool]) -> list[str]:
        eventually(lambda: condition(self.sources()))
        nbformat.validate(json.loads(self.path.read_text()))
        return self.sources()

    def save(self, answer: str | None) -> None:
        """Save in JupyterLab; it asks if the file has changed since it was loaded."""
        self.page.save()
        if answer is not None:
            expect(self.page.dialog).to_contain_text("has changed on disk", timeout=PATIENCE_MS)
            self.page.page.locator(".jp-Dialog-button", has_text=answer).click()
        expect(self.page.page.locator(".jp-Dialog")).to_have_count(0, timeout=PATIENCE_MS)

    def save_over(self) -> None:
        """Save in JupyterLab, and overwrite where it asks."""
        saved: list[str] = []

        def note(response: Response) -> None:
            if response.request.method == "PUT" and "/api/contents/" in response.url:
                saved.append(response.url)

        self.page.page.on("response", note)
        self.page.save()
        eventually(lambda: self.page.dialog.count() or saved)
        if not saved:
            self.page.page.locator(".jp-Dialog-button", has_text="Overwrite").click()
            eventually(lambda: self.page.dialog.count() == 0 and saved)
        self.page.page.remove_listener("response", note)

    def write_markdown(self, text: str) -> None:
        """The person adds a cell with words of their own at the end."""
        self.page.append(text)
        self.page.page.keyboard.press("Escape")
        self.page.page.keyboard.press("m")

    def delete(self, number: int) -> None:
        self.page.cells.nth(number).locator(".jp-InputPrompt").click()
        self.page.page.keyboard.press("Escape")
        self.page.page.keyboard.press("d")
        self.page.page.keyboard.press("d")

    def move_up(self, number: int) -> None:
        self.page.cells.nth(number).locator(".jp-InputPrompt").click()
        self.page.page.keyboard.press("Escape")
        self.page.page.keyboard.press("ControlOrMeta+Shift+ArrowUp")

    def reopen(self) -> None:
        """Look at it again, as another day."""
        self.page.close()
        self.page = _page(self.browser, self.server, self.path)


def _page(browser: Browser, server: JupyterServer, path: Path) -> NotebookPage:
    """In a workspace of its own: else JupyterLab opens again, as other tabs, what was open before."""
    workspace = f"lab/workspaces/{uuid4().hex}/tree"
    return NotebookPage(browser, server.address(path.name, interface=workspace))


@pytest.fixture(scope="module")
def server(shared_home: Home) -> Iterator[JupyterServer]:
    shared_home.storage.mkdir(parents=True, exist_ok=True)
    with jupyter_server(shared_home, shared_home.storage) as server:
        yield server


@pytest.fixture
def desk(own_client: Client, shared_home: Home, server: JupyterServer, browser: Browser) -> Iterator[Desk]:
    session = own_client.execute("'one'").session
    own_client.execute("'two'")
    path = shared_home.storage / f"{session}-1.ipynb"
    eventually(lambda: path.exists() and "'two'" in path.read_text())
    desk = Desk(own_client, path, server, browser, _page(browser, server, path))
    yield desk
    desk.page.close()


def test_overwrite_keeps_what_the_person_wrote_and_what_the_assistant_added(desk: Desk) -> None:
    desk.add("'three'", "'four'")
    desk.write_markdown("My own words.")
    desk.save("Overwrite")
    found = desk.expect_file(lambda found: len(found) == 5)
    assert found == ["'one'", "'two'", "My own words.", "'three'", "'four'"]
    desk.add("'five'")
    desk.save("Overwrite")  # again from a page that has never seen them
    found = desk.expect_file(lambda found: len(found) == 6 and found[-1] == "'five'")
    assert sorted(found) == sorted(["'one'", "'two'", "My own words.", "'three'", "'four'", "'five'"])


def test_revert_shows_the_assistants_cells_and_what_is_deleted_then_stays_deleted(desk: Desk) -> None:
    desk.add("'three'")
    desk.page.write(0, "'one, edited'")
    desk.save("Revert")
    expect(desk.page.cells).to_have_count(3, timeout=PATIENCE_MS)
    desk.delete(2)
    desk.delete(0)
    expect(desk.page.cells).to_have_count(1, timeout=PATIENCE_MS)
    desk.save(None)
    desk.expect_file(lambda found: found == ["'two'"])
    desk.add("'four'")
    assert desk.expect_file(lambda found: len(found) == 2) == ["'two'", "'four'"]
    desk.reopen()
    expect(desk.page.cells).to_have_count(2, timeout=PATIENCE_MS)


def test_moved_edited_cleared_and_run_again(desk: Desk) -> None:
    desk.move_up(1)
    desk.page.write(0, "'two, edited'")
    desk.page.choose("Edit", "Clear Outputs of All Cells")
    desk.page.cells.first.locator(".jp-InputPrompt").click()  # the menu had the keyboard
    desk.save(None)
    desk.expect_file(lambda found: found == ["'two, edited'", "'one'"])
    desk.add("'three'")
    cells: list[Any] = json.loads(desk.path.read_text())["cells"]
    assert ["".join(cell["source"]) for cell in cells] == ["'two, edited'", "'one'", "'three'"]
    assert [len(cell["outputs"]) for cell in cells] == [0, 0, 1]
    desk.reopen()
    desk.page.run(1)  # on the live kernel or one of its own, as JupyterLab is set up here
    desk.page.expect_output(1, "'one'")
    desk.add("'four'")
    desk.save("Overwrite")
    found = desk.expect_file(lambda found: len(found) == 4)
    assert found == ["'two, edited'", "'one'", "'three'", "'four'"]


def test_many_saves_while_cells_are_added_lose_nothing(desk: Desk) -> None:
    codes = [f"'added {number}'" for number in range(16)]
    for number, code in enumerate(codes):
        assert desk.client.execute(code).state == "OK"
        if number % 3 == 0:
            desk.write_markdown(f"words {number}")
            desk.save_over()
    words = [f"words {number}" for number in range(0, 16, 3)]
    found = desk.expect_file(lambda found: set(codes) <= set(found) and set(words) <= set(found))
    assert len(found) == len(set(found)) == 2 + len(codes) + len(words)
