"""Clients that go, come again or cancel late, by real hubs and kernels: what they missed is told."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.real.clients import RawClient
from tests.real.conftest import Connect, ConnectRaw
from tests.real.home import Home, eventually, until


def cancel(client: RawClient, request: int) -> None:
    client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request}})


@pytest.mark.parametrize("order", [1, -1], ids=["first first", "last first"])
def test_a_loss_whose_replies_were_all_cancelled_late_is_told_again_before_anything_runs(
    connect_raw: ConnectRaw, shared_home: Home, order: int
) -> None:
    project = shared_home.project(f"late-{order}")
    ann, ben = connect_raw(shared_home, project), connect_raw(shared_home, project)
    ann.execute("shared = 1")
    ben.call("restart_kernel")
    asked = ann.begin_together("shared", "shared")
    assert [ann.reply(each).state for each in asked] == ["NOT RUN"] * 2
    for each in asked[::order]:
        cancel(ann, each)
    reply = ann.execute("shared")
    assert reply.state == "NOT RUN"
    assert "by another client (test). All its variables are lost (shared)" in reply.text
    assert ann.execute("1").state == "OK"


def test_a_client_that_comes_again_at_once_is_told_of_the_run_that_it_left(
    connect_raw: ConnectRaw, shared_home: Home, tmp_path: Path
) -> None:
    """The end of a connection is certain a second later only; until then its last words are awaited."""
    project = shared_home.project("again-at-once")
    first = connect_raw(shared_home, project)
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    first.begin_execute(until(gate, begun) + "written = 1")
    eventually(begun.exists)
    first.kill()
    second = connect_raw(shared_home, project)
    assert "connection before" not in second.call("list_variables").text, "its own is not over yet"
    journal = next(shared_home.path.rglob(".kernelexec/again-at-once@*.jsonl"))
    eventually(lambda: '"reply_lost"' in journal.read_text())
    gate.touch()
    reply = second.execute("written")
    assert reply.block("result") == "1"
    assert "a run of your client's connection before this one" in reply.text, reply.text
    assert "connection before" not in second.execute("1").text


def test_who_was_told_of_a_restart_is_not_told_that_its_variables_are_still_there(
    connect: Connect, shared_home: Home
) -> None:
    project = shared_home.project("which-kernel")
    ann, ben = connect(shared_home, project), connect(shared_home, project)
    ann.execute("shared = 1")
    ben.call("restart_kernel", {})
    assert "All its variables are lost (shared)" in ann.call("list_variables", {}).text
    reply = ann.execute("'shared' in globals()")
    assert reply.block("result") == "False"
    assert "No variables of earlier kernels are left" in reply.text
    assert "still there" not in reply.text
    new = connect(shared_home, project).execute("1")
    assert "none of the kernel before (it ended: it was restarted on request (restart_kernel))" in new.text


def test_of_a_kernel_that_nobody_has_used_since_the_hub_was_replaced_the_names_are_known(
    connect_raw: ConnectRaw, home: Home
) -> None:
    connect_raw(home).execute("shared = 1")
    home.end_hub(signal.SIGKILL)
    ann, ben = connect_raw(home), connect_raw(home)
    assert "shared" in ann.call("list_variables").text
    assert "all variables are lost (shared)" in ben.call("restart_kernel").text
    reply = ann.execute("shared")
    assert reply.state == "NOT RUN"
    assert "All its variables are lost (shared)" in reply.text
