"""The generated notebook in Jupyter, in a real browser, on the assistant's live kernel."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Browser

from tests.real.conftest import Connect
from tests.real.home import Home, eventually
from tests.real.jupyter import JupyterServer, NotebookPage


def test_jupyterlab_opens_the_notebook_with_its_environment_without_asking(
    connect: Connect, home: Home, jupyter: Callable[..., JupyterServer], browser: Browser
) -> None:
    client = connect(home)
    client.execute("x = 41")
    notebook = home.storage / f"{client.config()['session']}-1.ipynb"
    eventually(notebook.exists)
    server = jupyter(home, home.storage)

    page = NotebookPage(browser, server.address(notebook.name))
    page.wait_for_kernel()
    page.append("x + 1")
    page.run(-1)
    page.expect_output(-1, "42")
