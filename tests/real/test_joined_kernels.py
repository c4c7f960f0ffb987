"""A kernel that the person's own Jupyter started: an assistant joins it, and leaves it alone."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from tests.real.clients import Client
from tests.real.conftest import Connect
from tests.real.home import Home, eventually, until
from tests.real.jupyter import JupyterServer
from tests.real.test_opened_notebook import code, shown, write

Jupyter = Callable[..., JupyterServer]


class Theirs:
    """The person's notebook, open in their Jupyter on a kernel that this started."""

    def __init__(self, server: JupyterServer, notebook: Path) -> None:
        self.server = server
        self.notebook = notebook
        session = server.api("sessions", "POST", self._asked("python3"))
        self.kernel_id = str(session["kernel"]["id"])
        self.client = BlockingKernelClient(connection_file=str(self.connection_file))
        self.client.load_connection_file()
        self.client.start_channels(hb=False)  # on a busy machine a second without a beat is no death
        self.client.wait_for_ready(timeout=60)

    def _asked(self, kernelspec: str) -> dict[str, Any]:
        path = str(self.notebook.relative_to(self.server.folder))
        kernel = {"name": kernelspec}
        return {"path": path, "name": self.notebook.name, "type": "notebook", "kernel": kernel}

    @property
    def connection_file(self) -> Path:
        return self.server.runtime / f"kernel-{self.kernel_id}.json"

    @property
    def pid(self) -> int:
        words = str(self.connection_file)
        [pid] = [
            each.pid for each in psutil.process_iter(["cmdline"]) if words in (each.info["cmdline"] or ())
        ]
        return int(pid)

    def run(self, source: str) -> str:
        """What the person's own cell printed."""
        printed: list[str] = []

        def take(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])

        reply = self.client.execute_interactive(source, output_hook=take, timeout=60)
        assert reply["content"]["status"] == "ok", reply
        return "".join(printed)

    def restart(self) -> None:
        self.server.api(f"kernels/{self.kernel_id}/restart", "POST")

    def close(self) -> None:
        self.client.stop_channels()


@contextmanager
def opened_by_the_person(server: JupyterServer, notebook: Path) -> Iterator[Theirs]:
    theirs = Theirs(server, notebook)
    try:
        yield theirs
    finally:
        theirs.close()


@pytest.fixture
def project(home: Home) -> Path:
    return home.project("sales")


@pytest.fixture
def theirs(home: Home, project: Path, jupyter: Jupyter) -> Iterator[Theirs]:
    notebook = write(project / "analysis.ipynb", code("one", "rows = 41"), code("two", "print(rows + 1)"))
    with opened_by_the_person(jupyter(home, project), notebook) as theirs:
        theirs.run("rows = 41")
        yield theirs


@pytest.fixture
def person(connect: Connect, home: Home, project: Path, theirs: Theirs) -> Client:
    return connect(home, project, JUPYTER_RUNTIME_DIR=str(theirs.server.runtime))


def test_a_notebook_that_is_open_in_the_persons_jupyter_is_opened_on_the_kernel_that_runs_there(
    person: Client, theirs: Theirs
) -> None:
    opened = person.call("open_notebook", {"path": "analysis.ipynb"}).text
    assert "the user's own, with all its variables: you are joined to it" in opened, opened

    ran = person.call("run_cells", {"ids": ["two"]})
    assert (ran.state, ran.block("stdout")) == ("OK", "42"), ran.text
    assert f"\nWorking directory: {theirs.notebook.parent}." in ran.text, ran.text
    eventually(lambda: shown(theirs.notebook, "two") == "42\n")
    person.execute("found = rows * 2")
    assert theirs.run("print(found)") == "82\n"

    theirs.run("rows = 7")
    told = person.call("run_cells", {"ids": ["two"]})
    assert told.block("stdout") == "8"
    assert "cells were run by another client (the user in JupyterLab, for example)" in told.text, told.text


def test_a_joined_kernel_is_neither_stopped_nor_restarted_nor_ended_with_the_hub(
    person: Client, theirs: Theirs, home: Home
) -> None:
    session = re.search(r"session (\S+)", person.call("open_notebook", {"path": "analysis.ipynb"}).text)
    assert session is not None
    pid = theirs.pid
    for tool in ("stop_kernel", "restart_kernel"):
        refused = person.call(tool, {"session": session[1]})
        assert "is the user's own" in refused.text, refused.text
        assert refused.is_error
    stopped = home.command("stop", session[1])
    assert (stopped.returncode, "is the user's own" in stopped.stderr) == (2, True), stopped
    assert "the user's own" in person.call("list_kernels", {}).text

    home.end_hub(signal.SIGKILL)
    again = person.execute("rows")
    assert again.block("result") == "41", again.text
    left = home.command("stop", "--all")
    assert f"left as they are, because they are your Jupyter's: {session[1]}" in left.stdout, left
    eventually(lambda: not home.hubs())
    assert theirs.run("print(rows)") == "41\n"
    assert theirs.pid == pid


def test_a_run_in_a_joined_kernel_outlives_its_hub(
    person: Client, theirs: Theirs, home: Home, tmp_path: Path
) -> None:
    person.call("open_notebook", {"path": "analysis.ipynb"})
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    running = person.execute(f"{until(gate, begun)}\nprint('done')", wait_seconds=1)
    assert running.state == "RUNNING", running.text
    eventually(begun.exists)
    home.end_hub(signal.SIGKILL)
    eventually(lambda: person.wait_for(running.id, wait_seconds=0).state == "RUNNING")  # found again
    gate.touch()
    assert person.wait_for(running.id).block("stdout") == "done"


def test_an_interrupt_ends_a_run_of_the_assistants_and_not_the_kernel(
    person: Client, theirs: Theirs, tmp_path: Path
) -> None:
    person.call("open_notebook", {"path": "analysis.ipynb"})
    begun = tmp_path / "begun"
    running = person.start(until(tmp_path / "never", begun))
    eventually(begun.exists)
    assert person.call("interrupt_kernel", {}).state == "INTERRUPTED"
    assert running.result(60).state == "INTERRUPTED"
    assert theirs.run("print(rows)") == "41\n"


def test_a_restart_in_the_persons_jupyter_is_told_and_the_next_kernel_is_joined(
    person: Client, theirs: Theirs
) -> None:
    person.call("open_notebook", {"path": "analysis.ipynb"})
    person.execute("mine = 1")
    theirs.restart()
    refused = eventually(lambda: _not_running(person.execute("mine")))
    assert "it was restarted by who started it (the user, in Jupyter)" in refused, refused
    again = person.execute("'mine' in globals()")
    assert again.block("result") == "False", again.text


def test_a_replay_that_is_offered_after_a_restart_runs_in_the_persons_next_kernel(
    person: Client, theirs: Theirs
) -> None:
    person.call("open_notebook", {"path": "analysis.ipynb"})
    session = person.execute("mine = 1").session
    person.execute("more = mine + 1")
    theirs.restart()
    refused = eventually(lambda: _not_running(person.execute("mine")))
    theirs.run("theirs = 5")  # in the next one, which has joined or will
    assert person.execute("theirs").block("result") == "5"
    offered = re.search(r"restart_kernel\(session=\"(.+?)\", replay=true(?:, generation=(\d+))?\)", refused)
    assert offered, refused
    arguments = {"session": offered[1], "replay": True}
    if offered[2]:
        assert "in the one that runs now" in refused
        arguments["generation"] = int(offered[2])
    pid = theirs.pid
    replayed = person.call("restart_kernel", arguments)
    assert replayed.state == "OK", replayed.text
    assert person.execute("more, theirs").block("result") == "(2, 5)"
    assert theirs.pid == pid
    assert offered[1] == session
    present = person.call("restart_kernel", {"session": session, "generation": 2})
    assert present.is_error
    assert "the user's own" in present.text
    theirs.run("theirs")


def test_a_joined_kernel_that_is_killed_is_told_as_dead_and_nothing_is_started_in_its_place(
    person: Client, theirs: Theirs
) -> None:
    person.call("open_notebook", {"path": "analysis.ipynb"})
    died = person.start("import time; print('now', flush=True); time.sleep(600)")
    eventually(lambda: "busy" in person.call("list_kernels", {}).text)
    os.kill(theirs.pid, signal.SIGKILL)
    assert died.result(60).state == "DIED"
    theirs.server.api(f"kernels/{theirs.kernel_id}", "DELETE")
    after = person.execute("1")
    assert "No Jupyter server of the user's runs a kernel for" in after.text, after.text


def test_a_running_kernel_is_chosen_as_an_environment_by_its_id(
    person: Client, theirs: Theirs, home: Home
) -> None:
    listed = person.call("list_environments", {}).text
    assert f"{theirs.kernel_id}: {theirs.notebook} at {theirs.server.url}" in listed, listed
    chosen = person.call("configure_environment", {"type": "existing", "kernel_name": theirs.kernel_id[:8]})
    assert not chosen.is_error, chosen.text
    assert person.execute("rows").block("result") == "41"
    assert "best effort" in person.config()["interrupts"]
    unknown = person.call("configure_environment", {"type": "existing", "kernel_name": "no-such"})
    assert theirs.kernel_id in unknown.text, unknown.text
    assert unknown.is_error
    journals = "".join(path.read_text() for path in home.storage.rglob("*.jsonl"))
    assert '"key"' not in journals  # what its messages are signed with


def test_a_joined_kernel_is_not_stopped_for_being_idle(
    connect: Connect, home: Home, project: Path, theirs: Theirs
) -> None:
    runtime = str(theirs.server.runtime)
    client = connect(home, project, JUPYTER_RUNTIME_DIR=runtime, KERNELEXEC_KERNEL_IDLE_SECONDS="1")
    client.call("open_notebook", {"path": "analysis.ipynb"})
    client.execute("mine = 1")
    own = client.execute("mine = 1", session="own")
    ended = r"own@\S+: no kernel"
    eventually(lambda: re.search(ended, client.call("list_kernels", {}).text))  # the same limit ends it
    assert own.state == "OK"
    assert client.execute("mine").block("result") == "1"


def _not_running(reply: Any) -> str:
    """The reply's text if it was refused because of what happened before."""
    return str(reply.text) if reply.state == "NOT RUN" else ""
