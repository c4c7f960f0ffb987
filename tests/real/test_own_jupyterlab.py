"""kernelexec installed beside a JupyterLab of the person's own, which has jupyter-collaboration."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.real.clients import Client
from tests.real.home import Home, eventually, until
from tests.real.jupyter import PATIENCE_MS, JupyterServer, NotebookPage, jupyter_server

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(shared_home: Home, place: Path) -> Iterator[JupyterServer]:
    """It has no setting that is ours; skipped where the package registry cannot be reached."""
    prefix = place / "own-jupyter"
    python = prefix / "bin" / "python"
    uv = (sys.executable, "-m", "uv")
    subprocess.run([*uv, "venv", "-q", prefix], check=True)
    installed = subprocess.run(
        [*uv, "pip", "install", "-q", "--compile-bytecode", "--python", python, f"{CHECKOUT}[lab]"],
        capture_output=True,
        check=False,
    )
    if installed.returncode:
        pytest.skip(f"kernelexec[lab] cannot be installed here: {installed.stderr.decode()}")
    shared_home.storage.mkdir(parents=True, exist_ok=True)
    command = (str(python), "-m", "jupyterlab")
    with jupyter_server(shared_home, shared_home.storage, command, options=()) as server:
        yield server


@pytest.mark.timeout(400)
def test_the_assistant_is_seen_at_work_without_a_setting(
    own_client: Client, shared_home: Home, server: JupyterServer, browser: Browser, tmp_path: Path
) -> None:
    session = own_client.execute("'one'").session
    path = shared_home.storage / f"{session}-1.ipynb"
    eventually(path.exists)
    page = NotebookPage(browser, server.address(path.name))
    eventually(lambda: f"{path.name} is open in a page" in shared_home.log())
    gate = tmp_path / "gate"
    running = own_client.start(f"print('begun')\n{until(gate)}")
    page.expect_output(-1, "begun")
    expect(page.cells.last.locator(".jp-InputPrompt").first).to_have_text("[*]:", timeout=PATIENCE_MS)
    gate.touch()
    assert running.result(30).state == "OK"
    page.wait_until_ran(-1)
    page.close()
