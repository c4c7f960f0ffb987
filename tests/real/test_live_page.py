"""The assistant at work in a notebook that is open in JupyterLab as a shared model."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Locator, expect

from kernelexec import paths
from tests.real.clients import Client
from tests.real.home import Home, eventually, until
from tests.real.jupyter import PATIENCE_MS, JupyterServer, NotebookPage, jupyter_server

EXTENSION = Path(paths.kernelspec_templates(), "jupyter_extension")


@dataclass
class Desk:
    """The assistant, its notebook, and the page in which the person has it open."""

    client: Client
    path: Path
    server: JupyterServer
    page: NotebookPage

    def cell(self, source: str) -> Locator:
        return self.page.cells.filter(has=self.page.page.locator(".cm-content", has_text=source))

    def prompt(self, source: str) -> Locator:
        return self.cell(source).locator(".jp-InputPrompt").first

    def output(self, source: str) -> Locator:
        return self.cell(source).locator(".jp-OutputArea-output")

    def sources(self) -> list[str]:
        """The cells on disk; none while JupyterLab is writing them."""
        try:
            return ["".join(cell["source"]) for cell in json.loads(self.path.read_text())["cells"]]
        except ValueError:
            return []


@pytest.fixture(scope="module")
def server(shared_home: Home) -> Iterator[JupyterServer]:
    shared_home.storage.mkdir(parents=True, exist_ok=True)
    config = shared_home.path / "jupyter-config"
    config.mkdir()
    (config / "jupyter_server_config.py").write_text(
        f"import sys\nsys.path.append({str(EXTENSION)!r})\n"
        "c.ServerApp.jpserver_extensions.update({'kernelexec_live': True})\n"
    )
    with jupyter_server(
        shared_home, shared_home.storage, options=(), JUPYTER_CONFIG_PATH=str(config)
    ) as server:
        yield server


@pytest.fixture
def desk(own_client: Client, shared_home: Home, server: JupyterServer, browser: Browser) -> Iterator[Desk]:
    session = own_client.execute("'one'").session
    path = shared_home.storage / f"{session}-1.ipynb"
    eventually(lambda: path.exists() and "'one'" in path.read_text())
    page = NotebookPage(browser, server.address(path.name, interface=f"lab/workspaces/{uuid4().hex}/tree"))
    eventually(lambda: f"{path.name} is open in a page" in shared_home.log())
    yield Desk(own_client, path, server, page)
    page.close()


def test_a_cell_appears_as_it_begins_and_its_output_as_it_comes(desk: Desk, tmp_path: Path) -> None:
    gates = [tmp_path / "first", tmp_path / "second"]
    code = f"print('begun')\n{until(gates[0])}print('more')\n{until(gates[1])}print('done')"
    running = desk.client.start(code)
    expect(desk.output("begun")).to_have_text("begun\n", timeout=PATIENCE_MS)
    expect(desk.prompt("begun")).to_have_text("[*]:")
    gates[0].touch()
    expect(desk.output("begun")).to_have_text("begun\nmore\n", timeout=PATIENCE_MS)
    gates[1].touch()
    expect(desk.output("begun")).to_have_text("begun\nmore\ndone\n", timeout=PATIENCE_MS)
    assert running.result(30).state == "OK"
    expect(desk.prompt("begun")).to_have_text("[2]:")
    eventually(lambda: desk.sources()[-1:] == [code])
    time.sleep(2)  # as long as JupyterLab takes to look at the file
    assert desk.page.dialog.count() == 0
