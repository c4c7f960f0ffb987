"""No kernel runs unseen: whatever is deleted under it, it is adopted, or listed and can be stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.real.clients import Client, RawClient
from tests.real.conftest import Connect
from tests.real.home import COMMAND, Home, eventually, until


def entry_of(home: Home) -> dict[str, Any]:
    (path,) = home.registry.glob("*.json")
    entry: dict[str, Any] = json.loads(path.read_text())
    return entry


def kernels(home: Home) -> list[int]:
    return [pid for pid, line in home.processes().items() if "--process-file" in line]


@pytest.fixture
def client(home: Home, connect: Connect) -> Client:
    client = connect(home)
    client.execute("kept = 'still'")
    return client


@pytest.mark.parametrize("what", ["entry", "damaged entry", "connection", "both"])
def test_a_kernel_whose_entry_or_connection_file_was_deleted_is_adopted(
    home: Home, client: Client, what: str
) -> None:
    entry = entry_of(home)
    path = home.registry / f"{entry['kernel_id']}.json"
    home.end_hub(signal.SIGKILL)
    if what == "damaged entry":
        path.write_text("{")
    if what in ("entry", "both"):
        path.unlink()
    if what in ("connection", "both"):
        Path(entry["directory"], "connection.json").unlink()
    assert client.execute("kept").block("result") == "'still'"
    assert entry_of(home)["kernel_id"] == entry["kernel_id"]
    assert Path(entry["directory"], "connection.json").exists()


@pytest.mark.parametrize("what", ["sockets", "directory", "directory and entry", "runtime directory"])
def test_a_kernel_that_nobody_can_reach_is_told_listed_and_stoppable(
    home: Home, client: Client, what: str
) -> None:
    gate = home.path / "gate"
    running = client.execute(until(gate), wait_seconds=0)
    entry = entry_of(home)
    home.end_hub(signal.SIGKILL)
    if what == "sockets":
        for path in Path(entry["directory"]).glob("s-*"):
            path.unlink()
    else:
        shutil.rmtree(home.runtime if what == "runtime directory" else entry["directory"])
    if "entry" in what:
        (home.registry / f"{entry['kernel_id']}.json").unlink()
    if what == "sockets":
        waited = client.wait_for(running.id, wait_seconds=1)
        assert waited.state == "UNKNOWN", waited.text
    else:
        waited = client.execute("kept")
        assert waited.state == "NOT RUN", waited.text
    assert f"kernelexec stop {entry['kernel_id']}" in waited.text
    # Told with the next kernel's first reply, which is the refusal where the next hub started it ahead.
    assert "generation 2" in waited.text + client.execute("1").text
    listed = home.command("ps").stdout
    assert f"kernelexec stop {entry['kernel_id']}" in listed, listed
    assert entry["kernel_id"] in client.call("list_kernels", {}).text
    assert entry["kernel_id"] in client.call("diagnose_setup", {}).text
    assert entry["kernel_pid"] in kernels(home), "what it runs goes on"
    stopped = home.command("stop", entry["kernel_id"])
    assert stopped.returncode == 0, stopped.stderr
    eventually(lambda: entry["kernel_pid"] not in kernels(home))
    assert home.status()["lost"] == []


def test_stop_all_ends_what_no_hub_and_no_entry_knows_of(home: Home, client: Client) -> None:
    entry = entry_of(home)
    home.end_hub(signal.SIGKILL)
    shutil.rmtree(entry["directory"])
    (home.registry / f"{entry['kernel_id']}.json").unlink()
    stopped = home.command("stop", "--all")
    assert entry["kernel_id"] in stopped.stdout
    eventually(lambda: not kernels(home))


def test_a_kernel_outlives_its_keeper_before_and_after_it_is_known(home: Home, client: Client) -> None:
    entry = entry_of(home)
    home.end_hub(signal.SIGKILL)
    os.kill(entry["keeper_pid"], signal.SIGKILL)
    path = home.registry / f"{entry['kernel_id']}.json"
    path.write_text(json.dumps({**entry, "kernel_pid": None, "kernel_identity": None}))
    assert client.execute("kept").block("result") == "'still'"


def test_a_kernel_that_was_started_for_nobody_is_ended(home: Home, client: Client) -> None:
    """Its hub was killed between its start and its entry in the registry."""
    client.call("restart_kernel", {})
    entry = entry_of(home)
    home.end_hub(signal.SIGKILL)
    (home.registry / f"{entry['kernel_id']}.json").unlink()
    Path(entry["directory"], "entry.json").unlink()
    client.execute("1")
    eventually(lambda: entry["kernel_pid"] not in kernels(home))
    assert home.status()["lost"] == []
    assert not Path(entry["directory"]).exists()


@pytest.mark.parametrize(
    "changes",
    [{"boot": "another", "host": "node7"}, {"pid_namespace": "pid:[1]", "host": "box"}],
    ids=["another machine", "another container"],
)
def test_a_kernel_elsewhere_is_neither_declared_dead_nor_cleared_up(
    home: Home, client: Client, changes: dict[str, Any]
) -> None:
    entry = entry_of(home)
    home.end_hub(signal.SIGKILL)
    path = home.registry / f"{entry['kernel_id']}.json"
    path.write_text(json.dumps({**entry, **changes}))
    not_run = client.execute("kept")
    assert not_run.state == "NOT RUN"
    assert "where this hub cannot reach it" in not_run.text
    assert str(changes["host"]) in not_run.text
    assert "generation 2" in client.execute("1").text
    assert path.exists()
    assert Path(entry["directory"]).is_dir()
    assert entry["kernel_pid"] in kernels(home)
    assert "stopped there only" in home.command("ps").stdout
    refused = home.command("stop", entry["kernel_id"])
    assert refused.returncode != 0
    assert entry["kernel_pid"] in kernels(home)
    path.write_text(json.dumps(entry))  # so that the test can end it
    home.command("stop", "--all")


@pytest.mark.skipif(os.getuid() != 0 or shutil.which("unshare") is None, reason="makes namespaces")
def test_a_container_with_the_same_home_has_a_hub_of_its_own_and_harms_nobody_elses(
    home: Home, client: Client
) -> None:
    outside = entry_of(home)["kernel_id"]
    inside = f"hostname box && mount -t tmpfs none {home.runtime} && exec {COMMAND}"
    box = [
        "unshare",
        "--uts",
        "--mount",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        "sh",
        "-c",
        inside,
    ]
    container = RawClient(home, command=box)
    try:
        container.initialize()
        assert container.execute("6 * 7", session="inside").block("result") == "42"
        assert "is in use by another kernelexec hub" in container.execute("kept").text
        listed = container.call("list_kernels").text
        assert f"kernel {outside} of main@plain (it runs on another container of this machine" in listed
    finally:
        container.process.kill()
        container.close()
    assert client.execute("kept").block("result") == "'still'"
    [theirs] = [path for path in home.registry.glob("*.json") if path.stem != outside]
    home.end_hub(signal.SIGKILL)
    assert client.execute("kept").block("result") == "'still'"
    assert theirs.exists(), "the hub here cannot know how it is there"
    theirs.unlink()
