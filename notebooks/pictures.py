"""Makes the pictures of the README: the tour's notebook in JupyterLab, on the live kernel.

    python -m notebooks.pictures        # or: make pictures

The real server, kernel, JupyterLab and browser, in a home that is thrown away. Needs what the tests
need, Chromium too.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, expect

from tests.real.clients import Client, official_client
from tests.real.home import COMMAND, Home, eventually
from tests.real.jupyter import (
    PATIENCE_MS,
    NotebookPage,
    chromium,
    jupyter_server,
    keep_jupyterlab_calm,
)
from tests.real.terminal import Terminal

HERE = Path(__file__).parent
DEMO = HERE.parent / ".demo" / "venv"
WIDTH, HEIGHT = 1000, 1000
MARK = "# by the person, on the assistant's kernel\n"
NEWS = "measured.island.value_counts()"
WORK = """import time

means = []
for number in range(1, 21):
    means.append(measured.sample(frac=1, replace=True).body_mass_g.mean())
    print(f"sample {number} of 20: {means[-1]:.1f} g", flush=True)
    time.sleep(1)
"""


def main() -> None:
    with (
        the_tour() as home,
        start_blocking_portal() as portal,
        official_client(portal, home, KERNELEXEC_SESSION="tour") as assistant,
        chromium() as browser,
    ):
        with jupyterlab(home) as address:
            picture_of_the_notebook(browser, address)
            picture_of_the_work(browser, address, assistant)
        notebook = Path(assistant.config()["notebook"])
        with jupyter_server(home, notebook.parent) as server:
            picture_of_a_change_on_disk(browser, server.address(notebook.name), assistant)


@contextmanager
def the_tour() -> Iterator[Home]:
    """A home in which `kernelexec try` was run, whose kernel is alive."""
    with tempfile.TemporaryDirectory(prefix="kernelexec-pictures-") as place:
        path, data = Path(place, "me"), Path(place, "data")
        path.mkdir()
        data.mkdir()
        home = Home(path, data, DEMO, CODE_STORAGE_DIR=str(path / "analyses"))
        try:
            subprocess.run(
                [COMMAND, "try"], env=home.environ, cwd=path, check=True, stdout=subprocess.DEVNULL
            )
            yield home
        finally:
            home.close()


@contextmanager
def jupyterlab(home: Home) -> Iterator[str]:
    """`kernelexec lab`; the address that it prints."""
    keep_jupyterlab_calm(home)
    terminal = Terminal(home, COMMAND, "lab", "--no-browser")
    try:
        yield terminal.wait_for(r"http://\S+token=\w+")[0]
    finally:
        terminal.close()


def opened(browser: Browser, address: str, height: int = HEIGHT) -> NotebookPage:
    page = NotebookPage(browser, address)
    page.page.set_viewport_size({"width": WIDTH, "height": height})
    if page.page.locator(".jp-FileBrowser").is_visible():
        page.page.keyboard.press("ControlOrMeta+B")  # which makes room for the toolbar's indicator
    page.wait_for_kernel()
    return page


def add_the_persons_cell(page: NotebookPage) -> None:
    page.append(f"{MARK}measured.shape")
    page.run(-1)
    page.expect_output(-1, "(342, 8)")


def picture_of_the_notebook(browser: Browser, address: str) -> None:
    """The end of the notebook, and below it what the person asks of the assistant's variables."""
    page = opened(browser, address)
    add_the_persons_cell(page)
    page.cells.last.evaluate("cell => cell.scrollIntoView({block: 'end'})")
    page.page.screenshot(path=HERE / "palmer-penguins.png")
    page.close()


def picture_of_a_change_on_disk(browser: Browser, address: str, assistant: Client) -> None:
    """The person has a cell that is not saved, the assistant runs another one, the person saves."""
    page = opened(browser, address, 620)
    add_the_persons_cell(page)
    run_and_record(assistant)
    page.save()
    expect(page.dialog).to_be_visible(timeout=PATIENCE_MS)
    page.page.screenshot(path=HERE / "changed-on-disk.png")
    page.page.get_by_role("button", name="Revert").click()
    page.expect_output(-1, "Biscoe")
    page.close()


def picture_of_the_work(browser: Browser, address: str, assistant: Client) -> None:
    """The assistant's cell runs, below the person's own, and its output comes."""
    page = opened(browser, address, 620)
    add_the_persons_cell(page)
    running = assistant.start(WORK, filename="bootstrap")
    page.wait_for_kernel("busy")
    expect(page.cells.last.locator("pre").last).to_contain_text("3 of 20", timeout=PATIENCE_MS)
    page.cells.last.evaluate("cell => cell.scrollIntoView({block: 'end'})")
    page.page.screenshot(path=HERE / "at-work.png")
    running.result(60)
    page.close()


def run_and_record(assistant: Client) -> None:
    notebook = Path(assistant.config()["notebook"])
    before = notebook.read_bytes()
    assistant.execute(NEWS, filename="islands")
    eventually(lambda: notebook.read_bytes() != before)


if __name__ == "__main__":
    main()
