"""A Jupyter server as the person runs one, and a real browser that looks at it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from tests.real.home import Home, eventually

TOKEN = "a-token-of-the-tests"
_START_SECONDS = 90.0  # a JupyterLab that was just installed, whose modules are compiled
PATIENCE_MS = 30_000  # for what takes a second on an idle machine
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--no-sandbox",  # tests run as root, too
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# What would come between the tests and what they look at, in JupyterLab's user settings.
# JupyterLab does not wait for the list of kernelspecs: it asks which to use if it has the notebook before, as
# on a busy machine or from a server that has just been started. Then the page is loaded again.
_LOADS = 3
_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false"},  # a question about Jupyter's news
    "notebook-extension/tracker": {
        "windowingMode": "none"
    },  # cells that are not on the page while out of sight
}


def keep_jupyterlab_calm(home: Home) -> None:
    """Write the user settings of this home's JupyterLab."""
    for name, settings in _SETTINGS.items():
        path = (
            home.path / ".jupyter" / "lab" / "user-settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium without a window; never one that Playwright would download."""
    program = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing, and in CI the browser's tests must run (.ci/run installs it)")
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        yield browser
        browser.close()


class JupyterServer:
    """JupyterLab (or Notebook) in some environment, for one home, serving one folder on loopback."""

    def __init__(
        self,
        home: Home,
        folder: Path,
        command: tuple[str, ...] = (),
        *,
        options: tuple[str, ...] = ("--YDocExtension.disable_rtc=True",),
        **environ: str,
    ) -> None:
        """`options`: without any, notebooks are shared as jupyter-collaboration does it."""
        keep_jupyterlab_calm(home)
        self.folder = folder
        self.runtime = home.path / "jupyter"
        self.runtime.mkdir(mode=0o700, exist_ok=True)
        self._log = home.path / "jupyter.log"
        arguments = (
            "--no-browser",
            "--allow-root",
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.port=0",
            f"--ServerApp.root_dir={folder}",
            "--ServerApp.shutdown_no_activity_timeout=600",  # should the tests be killed
            *options,
        )
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*(command or (sys.executable, "-m", "jupyterlab")), *arguments],
                env={
                    **home.environ,
                    "JUPYTER_TOKEN": TOKEN,
                    "JUPYTER_RUNTIME_DIR": str(self.runtime),
                    "PYTHONSAFEPATH": "1",
                    **environ,
                },
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        try:
            self.url = eventually(self._find_url, _START_SECONDS)
        except AssertionError:
            self.process.kill()
            raise
        eventually(self._answers)

    def _find_url(self) -> str:
        assert self.process.poll() is None, self.log
        described = self.runtime / f"jpserver-{self.process.pid}.json"
        try:
            return str(json.loads(described.read_text())["url"])
        except (OSError, ValueError):
            return ""

    def _answers(self) -> bool:
        try:
            self.api("status")
        except OSError:
            return False
        return True

    @property
    def log(self) -> str:
        return self._log.read_text()

    def api(self, path: str, method: str = "GET", body: object = None) -> Any:
        """The answer of the server's REST interface."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {TOKEN}"}
        request = Request(f"{self.url}api/{path}", data, headers, method=method)
        with urlopen(request, timeout=30) as answer:
            said = answer.read()
        return json.loads(said) if said else None

    def kernels(self) -> list[Any]:
        return list(self.api("kernels"))

    @contextmanager
    def kernel(self, kernelspec: str) -> Iterator[BlockingKernelClient]:
        """A kernel that the server starts itself from this kernelspec, as a new notebook's is, and ends."""
        id = self.api("kernels", "POST", {"name": kernelspec})["id"]
        try:
            with self.client(id) as client:
                yield client
        finally:
            self.api(f"kernels/{id}", "DELETE")

    @contextmanager
    def client(self, kernel: str) -> Iterator[BlockingKernelClient]:
        """Of a kernel that the server has, by its id."""
        client = BlockingKernelClient(connection_file=str(self.runtime / f"kernel-{kernel}.json"))
        client.load_connection_file()
        client.hb_channel.time_to_dead = 60  # on a busy machine a second without a beat is no death
        client.start_channels()
        try:
            client.wait_for_ready(timeout=60)
            yield client
        finally:
            client.stop_channels()

    def address(self, path: str, *, interface: str = "lab/tree") -> str:
        return f"{self.url}{interface}/{quote(path)}?token={TOKEN}"

    def close(self) -> None:
        """End it as the person does: its kernels are asked to shut down."""
        print(self.log)  # for who looks at a failure
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                kernels = psutil.Process(self.process.pid).children(recursive=True)
                for process in (*kernels, self.process):
                    process.kill()
                self.process.wait()
                if kernels:  # else it is Jupyter's own (see kernelexec_live.ending)
                    raise


@contextmanager
def jupyter_server(
    home: Home, folder: Path, command: tuple[str, ...] = (), **environ: Any
) -> Iterator[JupyterServer]:
    server = JupyterServer(home, folder, command, **environ)
    try:
        yield server
    finally:
        server.close()


class NotebookPage:
    """One notebook open in JupyterLab or Notebook 7, and what a person does with it."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.page: Page = browser.new_page(viewport={"width": 1200, "height": 900})
        self.page.set_default_timeout(PATIENCE_MS)
        for _ in range(_LOADS):
            self.page.goto(address)
            expect(self.cells.first).to_be_visible(timeout=PATIENCE_MS)
            has_kernel = self.page.locator(".jp-KernelName").filter(has_not_text="No Kernel")
            expect(has_kernel.or_(self.dialog).first).to_be_visible(timeout=PATIENCE_MS)
            if self.dialog.count() == 0:
                break

    @property
    def cells(self) -> Locator:
        return self.page.locator(".jp-Notebook .jp-CodeCell")

    @property
    def dialog(self) -> Locator:
        return self.page.locator(".jp-Dialog-content")

    def wait_for_kernel(self, status: str = "idle") -> None:
        """Wait until the indicator in the notebook's toolbar shows this status."""
        indicator = self.page.locator(f".jp-Notebook-ExecutionIndicator[data-status={status}]").first
        expect(indicator).to_be_visible(timeout=PATIENCE_MS)

    def _click(self, place: Locator) -> None:
        """Click, and where a dialog is in the way, fail with what it says."""
        try:
            place.click()
        except PlaywrightTimeoutError:
            assert self.dialog.count() == 0, self.dialog.first.inner_text()
            raise

    def write(self, number: int, code: str) -> None:
        """Replace what a cell holds; -1 is the last one."""
        self._click(self.cells.nth(number).locator(".cm-content"))
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.insert_text(code)

    def run(self, number: int) -> None:
        """Run a cell and leave it selected."""
        never_ran = re.compile(r"\[ \]:")
        prompt = self.cells.nth(number).locator(".jp-InputPrompt").first
        for _ in range(5):
            is_new = never_ran.search(prompt.inner_text()) is not None
            self._click(self.cells.nth(number).locator(".cm-content"))
            self.page.keyboard.press("ControlOrMeta+Enter")
            if not is_new:
                return
            try:
                expect(prompt).not_to_have_text(never_ran, timeout=PATIENCE_MS / 6)
                return
            except AssertionError:
                pass  # pressed before the page had its kernel, JupyterLab forgets it

    def append(self, code: str) -> None:
        """Add a cell at the end."""
        self._click(self.cells.last.locator(".jp-InputPrompt"))
        self.page.keyboard.press("Escape")
        before = self.cells.count()
        self.page.keyboard.press("b")
        expect(self.cells).to_have_count(before + 1)
        self.write(-1, code)

    def expect_output(self, number: int, text: str) -> None:
        expect(self.cells.nth(number).locator(".jp-OutputArea-output").first).to_contain_text(
            text, timeout=PATIENCE_MS
        )

    def wait_until_ran(self, number: int) -> None:
        """Wait until the cell has an execution count: it is neither new nor running."""
        prompt = self.cells.nth(number).locator(".jp-InputPrompt").first
        expect(prompt).to_have_text(re.compile(r"\[\d+\]"), timeout=PATIENCE_MS)

    def press(self, command: str) -> None:
        """Press a button of the notebook's toolbar, e.g. `notebook:interrupt-kernel`."""
        self.page.locator(f"[data-command='{command}']").first.click()

    def accept(self) -> None:
        """Press the button that a dialog proposes."""
        self.page.locator(".jp-Dialog-button.jp-mod-accept").last.click()

    def choose(self, menu: str, item: str) -> None:
        """Choose from the menu bar."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text=menu).first.click()
        self.page.locator(".lm-Menu-itemLabel", has_text=item).first.click()

    def save(self) -> None:
        self.page.keyboard.press("ControlOrMeta+S")

    def close(self) -> None:
        self.page.close()
