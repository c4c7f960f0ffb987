"""The assistant at work in a notebook that is open in JupyterLab as a shared model."""

from __future__ import annotations

import json
import re
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import nbformat
import psutil
import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.real.clients import Client
from tests.real.home import COMMAND, Home, eventually, until
from tests.real.jupyter import PATIENCE_MS, NotebookPage, keep_jupyterlab_calm
from tests.real.terminal import Terminal

# Each line that the code prints is the time at which it did; notes when the page shows it.
_WATCH = """source => {
  window.seen = {};
  new MutationObserver(() => {
    const now = Date.now() / 1000;
    for (const output of document.querySelectorAll('.jp-OutputArea-output pre')) {
      for (const line of output.textContent.split('\\n')) {
        if (/^\\d{10}\\.\\d+$/.test(line) && !(line in window.seen)) window.seen[line] = now - Number(line);
      }
    }
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""
# The longest time in which the page drew nothing.
_FRAMES = """() => {
  window.longest = 0;
  let last = performance.now();
  const draw = now => {
    window.longest = Math.max(window.longest, now - last);
    last = now;
    requestAnimationFrame(draw);
  };
  requestAnimationFrame(draw);
}"""


@dataclass
class Desk:
    """The assistant, its notebook, and the page in which the person has it open."""

    home: Home
    client: Client
    path: Path
    lab: Terminal
    page: NotebookPage

    def cell(self, source: str) -> Locator:
        return self.page.cells.filter(has=self.page.page.locator(".cm-content", has_text=source))

    def prompt(self, source: str) -> Locator:
        return self.cell(source).locator(".jp-InputPrompt").first

    def output(self, source: str) -> Locator:
        return self.cell(source).locator(".jp-OutputArea-output")

    def expect_output(self, source: str, text: str) -> None:
        expect(self.output(source)).to_have_text(text, timeout=PATIENCE_MS)

    def sources(self) -> list[str]:
        return ["".join(cell["source"]) for cell in self.cells()]

    def cells(self) -> list[dict[str, Any]]:
        """The cells on disk; none while JupyterLab is writing them."""
        try:
            notebook = json.loads(self.path.read_text())
        except ValueError:
            return []
        nbformat.validate(notebook)
        return list(notebook["cells"])

    def expect_file(self, condition: Callable[[list[str]], bool]) -> list[str]:
        eventually(lambda: condition(self.sources()))
        return self.sources()

    def opened(self) -> int:
        """How often the notebook was opened in a page."""
        return self.home.log().count(f"{self.path.name} is open in a page")


@pytest.fixture(scope="module")
def lab(shared_home: Home) -> Iterator[Terminal]:
    """`kernelexec lab` in a terminal, on the storage directory."""
    keep_jupyterlab_calm(shared_home)
    shared_home.storage.mkdir(parents=True, exist_ok=True)
    terminal = Terminal(shared_home, COMMAND, "lab", "--no-browser")
    terminal.wait_for(r"http://\S+token=\w+")
    yield terminal
    terminal.close()
    print(terminal.text)  # for who looks at a failure


def address(lab: Terminal, path: Path) -> str:
    """In a workspace of its own: else JupyterLab opens again, as other tabs, what was open before."""
    found = lab.wait_for(r"(http://[^/]+)/\S+token=(\w+)")
    return f"{found[1]}/lab/workspaces/{uuid4().hex}/tree/{path.name}?token={found[2]}"


@pytest.fixture
def desk(own_client: Client, shared_home: Home, lab: Terminal, browser: Browser) -> Iterator[Desk]:
    session = own_client.execute("'one'").session
    path = shared_home.storage / f"{session}-1.ipynb"
    eventually(lambda: path.exists() and "'one'" in path.read_text())
    desk = Desk(shared_home, own_client, path, lab, NotebookPage(browser, address(lab, path)))
    eventually(desk.opened)
    yield desk
    desk.page.close()


def test_a_cell_appears_as_it_begins_and_its_output_as_it_comes(desk: Desk, tmp_path: Path) -> None:
    gates = [tmp_path / "first", tmp_path / "second"]
    code = f"print('begun')\n{until(gates[0])}print('more')\n{until(gates[1])}print('done')"
    running = desk.client.start(code)
    desk.expect_output("begun", "begun\n")
    expect(desk.prompt("begun")).to_have_text("[*]:")
    gates[0].touch()
    desk.expect_output("begun", "begun\nmore\n")
    gates[1].touch()
    desk.expect_output("begun", "begun\nmore\ndone\n")
    assert running.result(30).state == "OK"
    expect(desk.prompt("begun")).to_have_text("[2]:")
    desk.expect_file(lambda found: found == ["'one'", code])
    assert desk.cells()[1]["execution_count"] == 2
    assert desk.cells()[1]["metadata"]["kernelexec"]["state"] == "ok"
    desk.page.page.wait_for_timeout(2000)  # as long as JupyterLab takes to look at the file
    assert desk.page.dialog.count() == 0
    assert "Out-of-band" not in desk.lab.text


def test_what_waits_for_its_turn_is_in_the_page_busy_and_goes_where_it_is_cancelled(
    desk: Desk, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    running = desk.client.start(f"print('begun')\n{until(gate)}")
    desk.expect_output("begun", "begun\n")
    waiting = desk.client.start("'waiting'")
    expect(desk.prompt("'waiting'")).to_have_text("[*]:", timeout=PATIENCE_MS)
    cancelled = desk.client.start("'cancelled'")
    expect(desk.prompt("'cancelled'")).to_have_text("[*]:", timeout=PATIENCE_MS)
    expect(desk.output("'waiting'")).to_have_count(0)
    desk.expect_file(lambda found: found[2:] == ["'waiting'", "'cancelled'"])
    cancelled.cancel()
    expect(desk.cell("'cancelled'")).to_have_count(0, timeout=PATIENCE_MS)
    expect(desk.prompt("'waiting'")).to_have_text("[*]:")
    gate.touch()
    assert running.result(30).state == "OK"
    assert waiting.result(30).state == "OK"
    expect(desk.prompt("'waiting'")).to_have_text("[3]:", timeout=PATIENCE_MS)
    desk.expect_file(lambda found: found[2:] == ["'waiting'"])
    assert [cell["metadata"]["kernelexec"]["state"] for cell in desk.cells()] == ["ok"] * 3
    assert desk.page.dialog.count() == 0


def test_output_is_visible_within_a_fifth_of_a_second(desk: Desk) -> None:
    desk.page.page.evaluate(_WATCH)
    code = "import time\nfor _ in range(30):\n    print(time.time(), flush=True)\n    time.sleep(0.2)"
    assert desk.client.execute(code).state == "OK"
    eventually(lambda: len(desk.page.page.evaluate("window.seen")) == 30)
    took = sorted(desk.page.page.evaluate("Object.values(window.seen)"))
    print("visible after", [round(1000 * seconds) for seconds in took], "ms")
    assert statistics.median(took) < 0.2


def test_a_thousand_lines_a_second_do_not_freeze_the_page(desk: Desk) -> None:
    desk.page.page.evaluate(_FRAMES)
    code = (
        "import time\nfor k in range(50):\n    for i in range(100): print('line', k, i, 'x' * 50, flush=1)\n"
        "    time.sleep(0.1)"
    )
    began = time.monotonic()
    assert desk.client.execute(code).state == "OK"
    ran = time.monotonic()
    expect(desk.output("line")).to_contain_text("line 49 99", timeout=PATIENCE_MS)
    print(f"ran {ran - began:.1f} s, shown {time.monotonic() - ran:.1f} s later")
    longest = desk.page.page.evaluate("window.longest")
    print("longest without a frame", round(longest), "ms")
    assert longest < 2000


def test_pictures_progress_bars_and_displays_that_change(desk: Desk, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    desk.client.start(
        "from IPython.display import display, HTML, SVG, clear_output\n"
        "import sys\n"
        "for i in range(101): sys.stdout.write(f'\\r{i:3}%|' + '#' * (i // 10)); sys.stdout.flush()\n"
        "handle = display(HTML('<b>first</b>'), display_id=True)\n"
        "handle.update(HTML('<b class=\"changed\">second</b>'))\n"
        'display(SVG(\'<svg xmlns="http://www.w3.org/2000/svg" width="9"><circle r="4"/></svg>\'))\n'
        + until(gate)
        + "clear_output(wait=True)\nprint('after')"
    )
    cell = desk.cell("handle")
    expect(cell.locator("pre").first).to_have_text("100%|##########", timeout=PATIENCE_MS)
    expect(cell.locator("b.changed")).to_have_text("second", timeout=PATIENCE_MS)
    expect(cell.locator(".jp-OutputArea-output svg circle, .jp-RenderedSVG img")).to_have_count(1)
    gate.touch()
    expect(desk.output("handle")).to_have_count(1, timeout=PATIENCE_MS)
    desk.expect_output("handle", "after\n")


def test_every_keystroke_stays_while_the_assistant_works_and_cells_keep_their_place(desk: Desk) -> None:
    running = desk.client.start(
        "import time\nfor i in range(40): print('tick', i, flush=True); time.sleep(0.1)"
    )
    expect(desk.output("tick")).to_contain_text("tick 0", timeout=PATIENCE_MS)
    desk.page.append("")
    text = "the person writes this, letter by letter, while output comes"
    desk.page.page.keyboard.type(text, delay=40)
    assert running.result(30).state == "OK"
    assert desk.client.execute("'after'").state == "OK"
    found = desk.expect_file(lambda found: len(found) == 4 and found[-1] == "'after'")
    assert found[0] == "'one'"
    assert "tick" in found[1]
    assert found[2] == text
    expect(desk.page.cells.nth(2).locator(".cm-content")).to_have_text(text)


def test_what_the_person_runs_there_runs_on_the_same_kernel(desk: Desk) -> None:
    desk.client.execute("x = 41")
    expect(desk.cell("x = 41")).to_have_count(1, timeout=PATIENCE_MS)
    desk.page.append("x + 1")
    desk.page.run(-1)
    desk.page.expect_output(-1, "42")
    desk.page.append("y = 'by the person'")
    desk.page.run(-1)
    desk.page.wait_until_ran(-1)
    assert desk.client.execute("y").block("result") == "'by the person'"
    found = desk.expect_file(lambda found: found[-1:] == ["y"])
    assert found == ["'one'", "x = 41", "x + 1", "y = 'by the person'", "y"]


def test_what_the_person_deletes_or_clears_stays_so(desk: Desk) -> None:
    for code in ("'two'", "'three'"):
        desk.client.execute(code)
    expect(desk.page.cells).to_have_count(3, timeout=PATIENCE_MS)
    desk.page.cells.nth(1).locator(".jp-InputPrompt").first.click()
    desk.page.page.keyboard.press("Escape")
    desk.page.page.keyboard.press("d")
    desk.page.page.keyboard.press("d")
    expect(desk.page.cells).to_have_count(2)
    desk.client.execute("'four'")
    desk.expect_file(lambda found: found == ["'one'", "'three'", "'four'"])


def test_a_page_that_is_closed_hands_the_notebook_back(desk: Desk, browser: Browser) -> None:
    desk.client.execute("'two'")
    desk.expect_file(lambda found: found == ["'one'", "'two'"])
    desk.page.close()
    desk.client.execute("'three'")  # JupyterLab keeps the room for a minute
    desk.expect_file(lambda found: found == ["'one'", "'two'", "'three'"])
    desk.page = NotebookPage(browser, address(desk.lab, desk.path))
    expect(desk.page.cells).to_have_count(3, timeout=PATIENCE_MS)
    desk.client.execute("'four'")
    expect(desk.page.cells).to_have_count(4, timeout=PATIENCE_MS)


# Killed


_TICKS = "import time\nfor i in range(30): print(f'tick {i};', end='', flush=True); time.sleep(0.1)"
_ALL_TICKS = "".join(f"tick {number};" for number in range(30))


def _ticks(desk: Desk) -> list[str]:
    """What the cells with ticks show, on disk."""
    found = [cell for cell in desk.cells() if "tick" in "".join(cell["source"])]
    return ["".join("".join(output["text"]) for output in cell["outputs"]) for cell in found]


def test_jupyterlab_that_is_killed_during_a_run_leaves_the_rest_to_the_file(
    own_client: Client, shared_home: Home, browser: Browser, lab: Terminal
) -> None:
    session = own_client.execute("'one'").session
    path = shared_home.storage / f"{session}-1.ipynb"
    eventually(path.exists)
    terminal = Terminal(shared_home, COMMAND, "lab", session, "--no-browser")
    desk = Desk(shared_home, own_client, path, terminal, NotebookPage(browser, address(terminal, path)))
    eventually(desk.opened)
    running = own_client.start(_TICKS)
    expect(desk.output("tick")).to_contain_text("tick 5;", timeout=PATIENCE_MS)
    for process in psutil.Process(terminal.process.pid).children():
        process.send_signal(signal.SIGKILL)
    assert running.result(30).state == "OK"
    assert own_client.execute("'after'").state == "OK"
    desk.expect_file(lambda found: found == ["'one'", _TICKS, "'after'"])
    eventually(lambda: _ticks(desk) == [_ALL_TICKS])
    assert desk.cells()[1]["execution_count"] == 2
    desk.page.close()
    terminal.close()
    page = desk.page = NotebookPage(browser, address(lab, path))  # by another server, which shows all of it
    expect(page.cells).to_have_count(3, timeout=PATIENCE_MS)
    desk.expect_output("tick", _ALL_TICKS)
    page.close()


def test_a_kernel_that_is_killed_ends_its_cell(desk: Desk) -> None:
    running = desk.client.start(f"{_TICKS}\nimport os; os.kill(os.getpid(), 9)")
    expect(desk.output("tick")).to_contain_text("tick 5;", timeout=PATIENCE_MS)
    assert running.result(30).state == "DIED"
    expect(desk.prompt("tick")).not_to_have_text("[*]:", timeout=PATIENCE_MS)
    desk.expect_file(lambda found: len(found) == 2)
    eventually(lambda: desk.cells()[1]["metadata"]["kernelexec"]["state"] == "died")
    assert _ticks(desk) == [_ALL_TICKS]


def test_a_hub_that_is_killed_during_a_run_is_followed_by_one_that_goes_on_in_the_page(desk: Desk) -> None:
    """Last in this file: the other tests' clients are of this hub."""
    running = desk.client.start(_TICKS)
    expect(desk.output("tick")).to_contain_text("tick 5;", timeout=PATIENCE_MS)
    desk.page.append("the person goes on")
    desk.home.end_hub(signal.SIGKILL)
    running.exception(60)
    reply = desk.client.execute("'after'")  # by the next hub
    assert reply.state == "OK"
    desk.expect_output("tick", _ALL_TICKS)
    expect(desk.prompt("tick")).to_have_text(re.compile(r"\[2\]:"), timeout=PATIENCE_MS)
    found = desk.expect_file(lambda found: found[-1:] == ["'after'"])
    assert found == ["'one'", _TICKS, "the person goes on", "'after'"]
    eventually(lambda: _ticks(desk) == [_ALL_TICKS])
