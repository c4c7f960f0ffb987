"""jupyter-server-documents, which replaces jupyter-collaboration's rooms: as without our extension."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from kernelexec.commands import live_extension
from tests.real.clients import Client
from tests.real.home import Home, eventually
from tests.real.jupyter import PATIENCE_MS, JupyterServer, NotebookPage, jupyter_server


@pytest.fixture(scope="module")
def server(shared_home: Home, place: Path) -> Iterator[JupyterServer]:
    """JupyterLab with it, from the package registry; skipped where that cannot be reached."""
    prefix = place / "server-documents"
    subprocess.run([sys.executable, "-m", "uv", "venv", "-q", prefix], check=True)
    install = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "install",
        "-q",
        "--compile-bytecode",
        "--python",
        prefix / "bin" / "python",
    ]
    installed = subprocess.run(
        [*install, "jupyterlab>=4.4,<5", "jupyter-server-documents"], capture_output=True, check=False
    )
    if installed.returncode:
        pytest.skip("jupyter-server-documents cannot be installed here")
    config = shared_home.path / "jupyter-config"
    config.mkdir()
    (config / "jupyter_server_config.py").write_text(live_extension.config())
    shared_home.storage.mkdir(parents=True, exist_ok=True)
    command = (str(prefix / "bin" / "python"), "-m", "jupyterlab")
    with jupyter_server(
        shared_home, shared_home.storage, command, options=(), JUPYTER_CONFIG_PATH=str(config)
    ) as server:
        yield server


@pytest.mark.timeout(300)
def test_the_assistants_cells_appear_and_the_persons_stay(
    own_client: Client, shared_home: Home, server: JupyterServer, browser: Browser
) -> None:
    session = own_client.execute("'one'").session
    path = shared_home.storage / f"{session}-1.ipynb"
    eventually(path.exists)
    page = NotebookPage(browser, server.address(path.name))
    assert own_client.execute("'two'").state == "OK"
    expect(page.cells).to_have_count(2, timeout=PATIENCE_MS)
    page.append("'by the person'")
    eventually(lambda: "by the person" in path.read_text())
    assert own_client.execute("'three'").state == "OK"
    expect(page.cells).to_have_count(4, timeout=2 * PATIENCE_MS)
    found = ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]
    assert found == ["'one'", "'two'", "'by the person'", "'three'"]
    assert page.dialog.count() == 0
    page.close()
