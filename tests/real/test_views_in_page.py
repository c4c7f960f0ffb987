"""Charts and widgets of the session's environment, shown by `kernelexec lab`, whose own has none of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.real.conftest import Connect
from tests.real.home import COMMAND, Home, eventually
from tests.real.jupyter import PATIENCE_MS, NotebookPage, keep_jupyterlab_calm
from tests.real.terminal import Terminal
from tests.real.test_charts import FIGURE
from tests.real.test_foreign_kernels import uv_venv
from tests.real.test_live_page import address

SLIDER = "import ipywidgets\nslider = ipywidgets.IntSlider(value=7, description='rows')\nslider"
STYLED = (
    "class Styled:\n"
    "    def _repr_html_(self):\n"
    "        style = '<style>#T_1 td {color: rgb(1, 2, 3)}</style>'\n"
    "        return style + '<table id=\"T_1\"><tr><td>red</td></tr></table>'\n"
    "Styled()"
)  # as pandas' Styler makes it


@pytest.fixture(scope="module")
def viewers(place: Path) -> Path:
    return uv_venv(place / "viewers", "plotly", "ipywidgets")


def is_signed(path: Path, home: Home) -> bool:
    """Whether that home's JupyterLab trusts the notebook."""
    program = (
        "import sys, nbformat, nbformat.sign as sign\n"
        "sys.exit(not sign.NotebookNotary().check_signature(nbformat.read(sys.argv[1], 4)))"
    )
    command = [sys.executable, "-c", program, path]
    return subprocess.run(command, env=home.environ, check=False).returncode == 0


@pytest.fixture
def lab(connect: Connect, shared_home: Home, viewers: Path) -> Iterator[tuple[Terminal, Path]]:
    """`kernelexec lab` on a session that has shown one of each, and its notebook."""
    client = connect(shared_home, VENV_PATH=str(viewers), KERNELEXEC_SESSION="views")
    # Not Altair: its page gets the viewer from the internet, and JupyterLab 4.6 has none for its format.
    for code in (f"{FIGURE}figure", SLIDER, STYLED):
        shown = client.execute(code)
        assert shown.state == "OK", shown.text
    path = shared_home.storage / f"{client.execute('1').session}-1.ipynb"
    eventually(lambda: path.exists() and "Styled()" in path.read_text())
    eventually(lambda: is_signed(path, shared_home))  # some seconds after it was written
    keep_jupyterlab_calm(shared_home)
    terminal = Terminal(shared_home, COMMAND, "lab", "views", "--no-browser")
    terminal.wait_for(r"http://\S+token=\w+")
    yield terminal, path
    terminal.close()
    print(terminal.text)


def test_what_the_assistant_shows_is_shown_in_the_page(lab: tuple[Terminal, Path], browser: Browser) -> None:
    page = NotebookPage(browser, address(*lab))
    try:
        for shown in (".js-plotly-plot .bars", "#T_1 td"):
            expect(page.cells.locator(shown).first).to_be_visible(timeout=PATIENCE_MS)
        expect(page.cells.locator("#T_1 td")).to_have_css("color", "rgb(1, 2, 3)")
        slider = page.cells.locator(".widget-slider")
        expect(slider.locator(".widget-readout")).to_have_text("7", timeout=PATIENCE_MS)
        expect(slider.locator(".widget-label")).to_have_text("rows")
    finally:
        page.close()
