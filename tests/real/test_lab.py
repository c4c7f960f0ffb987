"""The generated notebook in Jupyter, in a real browser, on the assistant's live kernel."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen
from uuid import uuid4

import psutil
import pytest
from anyio.from_thread import BlockingPortal
from playwright.sync_api import Browser, expect

from tests.real.clients import Client, official_client
from tests.real.home import COMMAND, Home, eventually, until
from tests.real.jupyter import PATIENCE_MS, NotebookPage, jupyter_server, keep_jupyterlab_calm
from tests.real.terminal import Terminal

INTERFACES = {"jupyterlab": "lab/tree", "notebook": "notebooks"}  # where they open a file


@pytest.fixture(scope="module")
def assistant(portal: BlockingPortal, shared_home: Home) -> Iterator[Client]:
    with official_client(portal, shared_home) as client:
        client.execute("x = 41", filename="load")
        eventually(notebook_of(client).exists)
        yield client


@pytest.fixture(scope="module")
def lab(shared_home: Home, assistant: Client) -> Iterator[Terminal]:
    """`kernelexec lab` in a terminal."""
    keep_jupyterlab_calm(shared_home)
    terminal = Terminal(shared_home, COMMAND, "lab", "--no-browser")
    yield terminal
    terminal.close()
    print(terminal.text)  # for who looks at a failure


@pytest.fixture
def page(browser: Browser, lab: Terminal) -> Iterator[NotebookPage]:
    """The assistant's notebook, opened at the address that the terminal shows."""
    address = lab.wait_for(r"(http://[^/]+)/\S+token=(\w+)")
    page = NotebookPage(browser, address[0])
    eventually(lambda: is_connected(address[1], address[2]))  # "idle" is shown before, too
    page.wait_for_kernel()
    yield page
    page.close()


def is_connected(server: str, token: str) -> bool:
    """Whether a page is connected to a kernel."""
    try:
        with urlopen(f"{server}/api/kernels?token={token}", timeout=30) as answer:
            return any(kernel["connections"] for kernel in json.load(answer))
    except HTTPError:  # it cannot list a kernel that is being started
        return False


def notebook_of(client: Client) -> Path:
    return Path(client.config()["notebook"])


def test_the_notebook_opens_on_the_live_kernel_and_both_see_the_others_changes(
    page: NotebookPage, assistant: Client
) -> None:
    page.append("x + 1")
    page.run(-1)
    page.expect_output(-1, "42")
    page.write(0, "x = 500  # by the person")
    page.run(0)
    page.wait_until_ran(0)
    assert assistant.execute("x").block("result") == "500"


def test_the_list_of_files_shows_a_notebooks_name_with_its_number(
    page: NotebookPage, assistant: Client
) -> None:
    other = notebook_of(assistant).with_name("penguins@analysis-12.ipynb")
    other.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    page.page.get_by_role("button", name=re.compile("Refresh")).first.click()
    name = page.page.locator(".jp-DirListing-itemText", has_text="@analysis").first
    expect(name).to_be_visible(timeout=PATIENCE_MS)
    assert name.evaluate("shown => shown.scrollWidth <= shown.clientWidth"), name.bounding_box()
    other.unlink()


def test_the_indicator_shows_the_assistants_runs(
    page: NotebookPage, assistant: Client, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    running = assistant.start(until(gate))
    page.wait_for_kernel("busy")
    gate.touch()
    assert running.result(30).state == "OK"
    page.wait_for_kernel("idle")


def test_the_interrupt_button_ends_the_assistants_run_and_the_assistant_is_told(
    page: NotebookPage, assistant: Client
) -> None:
    running = assistant.start("import time; time.sleep(60)")
    page.wait_for_kernel("busy")
    page.press("notebook:interrupt-kernel")
    reply = running.result(30)
    assert reply.state == "INTERRUPTED"
    assert "by the person, from Jupyter" in reply.text
    assert assistant.execute("x").state == "OK"


def test_the_interrupt_button_ends_the_persons_own_cell(page: NotebookPage, assistant: Client) -> None:
    page.append("import time; time.sleep(60)")
    page.run(-1)
    page.wait_for_kernel("busy")
    assert "busy by another client" in assistant.call("list_kernels", {}).text
    page.press("notebook:interrupt-kernel")
    page.expect_output(-1, "KeyboardInterrupt")
    page.wait_for_kernel("idle")


def test_the_restart_button_starts_the_next_generation_and_the_assistant_is_told(
    page: NotebookPage, assistant: Client
) -> None:
    assistant.execute("import os; before = os.getpid()")
    page.press("notebook:restart-kernel")
    page.accept()
    page.append("'before' in globals()")
    page.run(-1)
    page.expect_output(-1, "False")
    reply = assistant.execute("before")
    assert reply.state == "NOT RUN"
    assert "it was restarted by the person, from Jupyter" in reply.text
    page.append("shared = 'by the person'")
    page.run(-1)
    page.wait_until_ran(-1)
    assert assistant.execute("shared").block("result") == "'by the person'"


def test_a_restart_while_the_assistants_run_goes_on_and_others_wait_runs_none_of_them(
    page: NotebookPage, assistant: Client
) -> None:
    running = assistant.start("ran = ['first']; import time; time.sleep(60)")
    page.wait_for_kernel("busy")
    waiting = [assistant.start(f"unseen = {n}") for n in range(2)]
    eventually(lambda: "waiting to be run: 2" in assistant.call("list_kernels", {}).text)
    page.press("notebook:restart-kernel")
    page.accept()
    assert "it was restarted by the person, from Jupyter" in running.result(30).text
    assert [reply.result(30).state for reply in waiting] == ["NOT RUN"] * 2
    page.wait_for_kernel()
    page.append("sorted({'ran', 'unseen'} & set(globals()))")
    page.run(-1)
    page.expect_output(-1, "[]")


def test_the_interrupt_button_does_nothing_to_the_run_that_begins_next(
    page: NotebookPage, assistant: Client
) -> None:
    assistant.execute("import time")
    page.wait_for_kernel()
    with page.page.expect_response(re.compile("/interrupt")):
        page.press("notebook:interrupt-kernel")
    assert assistant.execute("time.sleep(0.4); 'whole'").block("result") == "'whole'"


def test_when_the_kernel_is_killed_the_page_gets_the_next_generation_and_the_assistant_is_told(
    page: NotebookPage, assistant: Client
) -> None:
    pid = int(assistant.execute("import os; x = 1; os.getpid()").block("result"))
    page.append("os.getpid()")
    page.run(-1)
    page.expect_output(-1, str(pid))  # the page is joined to it
    os.kill(pid, signal.SIGKILL)
    expect(page.dialog).to_contain_text("restart automatically", timeout=PATIENCE_MS)
    page.accept()
    reply = assistant.execute("x = 2")
    assert reply.state == "NOT RUN"
    assert "SIGKILL" in reply.text
    shared = assistant.execute("import os; os.getpid()").block("result")
    assert int(shared) != pid
    page.append("os.getpid()")
    page.run(-1)
    page.expect_output(-1, shared)


def test_closing_the_page_and_shutting_its_kernel_down_leaves_the_kernel_alive(
    browser: Browser, lab: Terminal, assistant: Client, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    before = assistant.execute("import os; os.getpid()").block("result")
    page = NotebookPage(browser, lab.wait_for(r"http://\S+token=\w+")[0])
    page.wait_for_kernel()
    running = assistant.start(until(gate) + "'to the end'")
    page.wait_for_kernel("busy")
    page.choose("Kernel", "Shut Down Kernel")
    expect(page.page.locator(".jp-KernelName").first).to_contain_text("No Kernel", timeout=PATIENCE_MS)
    gate.touch()
    assert running.result(30).block("result") == "'to the end'"
    page.close()
    assert assistant.execute("os.getpid()").block("result") == before


def test_the_token_is_in_no_command_line_and_no_kernels_environment(
    lab: Terminal, assistant: Client, shared_home: Home
) -> None:
    token = lab.wait_for(r"token=(\w+)")[1]
    seen = []
    for process in psutil.Process(lab.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            seen.append(" ".join([*process.cmdline(), *process.environ().values()]))
    assert any("jupyter" in text for text in seen)
    assert not any(token in text for text in seen)
    assert token not in shared_home.log()
    assert "False" in assistant.execute(f"import os; {token!r} in str(os.environ)").text
    assert not (shared_home.runtime / "lab").stat().st_mode & 0o077


def test_control_c_ends_jupyterlab_and_the_kernel_lives_on(
    page: NotebookPage, lab: Terminal, assistant: Client, shared_home: Home, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    running = assistant.start(until(gate) + "x = 'still here'")
    page.wait_for_kernel("busy")
    lab.press_control_c()
    assert lab.process.wait(30) == 0
    gate.touch()
    assert running.result(30).state == "OK"
    assert assistant.execute("x").block("result") == "'still here'"
    assert list((shared_home.runtime / "lab").glob("token-*")) == []


# A Jupyter of the person's own


@pytest.fixture(scope="module")
def elsewhere(place: Path) -> Path:
    """The Python of another environment that has JupyterLab and Notebook, but not kernelexec."""
    prefix = place / "jupyter-environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", prefix], check=True)
    python = prefix / "bin" / "python"
    packages = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    # What is listed in a .pth file is not searched for others, so kernelexec's own editable one is not seen.
    Path(packages, "ours.pth").write_text(sysconfig.get_path("purelib"))
    for folder in ("share", "etc"):  # an extension's part in the page and its part in the server
        (prefix / folder).symlink_to(Path(sys.prefix, folder))
    tried = subprocess.run(
        [python, "-c", "import kernelexec.commands.cli"], cwd=place, capture_output=True, check=False
    )
    assert b"No module named 'kernelexec" in tried.stderr
    return python


@pytest.mark.parametrize("module", ["jupyterlab", "notebook"])
def test_a_jupyter_of_another_environment_opens_the_notebook_on_the_live_kernel_without_asking(
    assistant: Client,
    shared_home: Home,
    elsewhere: Path,
    browser: Browser,
    module: str,
) -> None:
    assistant.execute(f"x = 'of {module}'")
    notebook = notebook_of(assistant)
    # Its root is above, so the notebook is in a folder below.
    command = (str(elsewhere), "-m", module)
    with jupyter_server(shared_home, notebook.parent.parent, command) as server:
        path = f"{notebook.parent.name}/{notebook.name}"
        page = NotebookPage(browser, server.address(path, interface=INTERFACES[module]))
        page.append("x")
        page.run(-1)
        page.expect_output(-1, f"'of {module}'")
        assert page.dialog.count() == 0
        page.close()


def test_vs_code_connected_to_a_server_gets_the_live_kernel(assistant: Client, shared_home: Home) -> None:
    """It makes the session's name and path its own, so that two windows do not share a kernel."""
    notebook = notebook_of(assistant)
    assistant.execute("x = 'for VS Code'")
    kernel = json.loads(notebook.read_text())["metadata"]["kernelspec"]["name"]
    asked = {
        "path": f"{notebook.stem}-jvsc-{uuid4()}{uuid4()}.ipynb",
        "name": f"{notebook.stem}-{uuid4()}.ipynb",
        "type": "notebook",
        "kernel": {"name": kernel},
    }
    with jupyter_server(shared_home, notebook.parent) as server:
        session = server.api("sessions", "POST", asked)
        with server.client(session["kernel"]["id"]) as client:
            told: list[str] = []
            client.execute_interactive(
                "print(x)", output_hook=lambda said: told.append(said["content"].get("text", "")), timeout=60
            )
        server.api(f"sessions/{session['id']}", "DELETE")
    assert "for VS Code\n" in told
    assert assistant.execute("x").block("result") == "'for VS Code'"


def test_without_jupyterlab_the_command_says_how_to_install_it(shared_home: Home, venv: Path) -> None:
    nothing = shared_home.path / "nothing"
    (nothing / "jupyterlab").mkdir(parents=True)
    program = (
        "import sys, importlib.util as u; f = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'jupyterlab' else f(n, *a)\n"
        "from kernelexec.commands.cli import main; sys.exit(main(['lab']))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env=shared_home.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert "Install it with: " in answer.stderr
    assert "jupyterlab" in answer.stderr
    assert "jupyter-collaboration" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_kernelspec_that_the_notebook_names_is_found_by_programs_of_another_environment(
    assistant: Client, shared_home: Home, elsewhere: Path
) -> None:
    """It is what VS Code looks for."""
    metadata = json.loads(notebook_of(assistant).read_text())["metadata"]
    listed = subprocess.run(
        [elsewhere, "-m", "jupyter_client.kernelspecapp", "list", "--json"],
        env=shared_home.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    spec = json.loads(listed.stdout)["kernelspecs"][metadata["kernelspec"]["name"]]["spec"]
    assert spec["language"] == metadata["kernelspec"]["language"] == metadata["language_info"]["name"]
    assert spec["display_name"] == metadata["kernelspec"]["display_name"]
    assert os.access(spec["argv"][0], os.X_OK)
    assert Path(spec["argv"][1]).exists()
    assert "{connection_file}" in spec["argv"]


def test_the_restart_button_is_the_next_hubs_after_one_was_killed(
    portal: BlockingPortal, assistant: Client, shared_home: Home, browser: Browser
) -> None:
    """Last in this file: the client of the other tests ends with its hub."""
    notebook = notebook_of(assistant)
    assistant.execute("before = 1")
    with jupyter_server(shared_home, notebook.parent) as server:
        page = NotebookPage(browser, server.address(notebook.name))
        page.append("before")
        page.run(-1)
        page.expect_output(-1, "1")
        shared_home.end_hub(signal.SIGKILL)
        page.append("before + 1")
        page.run(-1)
        page.expect_output(-1, "2")  # the kernel needs no hub
        with official_client(portal, shared_home) as again:
            assert again.execute("before").block("result") == "1"
            page.press("notebook:restart-kernel")
            page.accept()
            page.append("'before' in globals()")
            page.run(-1)
            page.expect_output(-1, "False")
            reply = again.execute("before")
        assert reply.state == "NOT RUN"
        assert "it was restarted by the person, from Jupyter" in reply.text
        page.close()
