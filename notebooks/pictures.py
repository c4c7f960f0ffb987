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
from io import BytesIO
from pathlib import Path

from anyio.from_thread import start_blocking_portal
from PIL import Image
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
import matplotlib.pyplot as plt

means = []
for number in range(1, 41):
    means.append(measured.sample(frac=1, replace=True).body_mass_g.mean())
    print(f"\\rsample {number} of 40: {means[-1]:.0f} g", end="", flush=True)
    time.sleep(0.25)
plt.figure(figsize=(6, 2))
plt.hist(means, bins=12)
plt.show()"""
TYPED = "# the person types meanwhile\nmeasured.species.value_counts()"
FRAMES, FRAME_MS = 30, 500


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
    """A home in which `kernelexec try --keep` was run, whose kernel is alive."""
    with tempfile.TemporaryDirectory(prefix="kernelexec-pictures-") as place:
        path, data = Path(place, "me"), Path(place, "data")
        path.mkdir()
        data.mkdir()
        home = Home(path, data, DEMO, CODE_STORAGE_DIR=str(path / "analyses"))
        try:
            subprocess.run(
                [COMMAND, "try", "--keep"], env=home.environ, cwd=path, check=True, stdout=subprocess.DEVNULL
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
    """The assistant's cell runs and its output comes; the person types in another one meanwhile."""
    page = opened(browser, address, 720)
    page.append("")
    running = assistant.start(WORK, filename="bootstrap")
    page.wait_for_kernel("busy")
    page.cells.nth(-2).locator(".cm-content").click()
    frames: list[Image.Image] = []
    for start in range(0, 3 * FRAMES, 3):
        page.page.keyboard.insert_text(TYPED[start : start + 3])
        page.page.wait_for_timeout(FRAME_MS)
        page.cells.last.evaluate("cell => cell.scrollIntoView({block: 'end'})")
        shot = page.page.screenshot()
        if not running.done():
            (HERE / "at-work.png").write_bytes(shot)
        frames.append(Image.open(BytesIO(shot)).convert("RGB").quantize(64))
    assert running.result(60).state == "OK"
    frames[0].save(HERE / "at-work.gif", save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0)
    page.close()


def run_and_record(assistant: Client) -> None:
    notebook = Path(assistant.config()["notebook"])
    before = notebook.read_bytes()
    assistant.execute(NEWS, filename="islands")
    eventually(lambda: notebook.read_bytes() != before)


if __name__ == "__main__":
    main()
