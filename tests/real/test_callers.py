"""Two clients and one kernel: each is told what it needs to know, by real hubs and kernels."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelexec.mcp_server.tools.base import OVERTAKEN_SECONDS
from tests.real.clients import Client
from tests.real.conftest import Connect, ConnectRaw
from tests.real.home import Home, eventually, until

GOES_ON = "import time\nfor _ in range(600): time.sleep(0.1)"


def pair(connect: Connect, home: Home, name: str) -> tuple[Client, Client]:
    project = home.project(name)
    return connect(home, project), connect(home, project)


def test_a_restart_by_another_client_is_told_before_anything_runs(
    connect: Connect, shared_home: Home
) -> None:
    ann, ben = pair(connect, shared_home, "restarted")
    ann.execute("shared = 1")
    assert "RESTARTED" in ben.call("restart_kernel", {}).text
    reply = ann.execute("shared")
    assert reply.state == "NOT RUN"
    assert "it was restarted on request (restart_kernel) by another client" in reply.text
    assert "All its variables are lost (shared)" in reply.text
    assert "generation 2" in reply.text
    assert ann.execute("'shared' in globals()").block("result") == "False"
    assert ben.execute("1").state == "OK", "who restarted it knows"


def test_a_stop_by_another_client_or_the_person_is_told_to_who_knew_the_kernel(
    connect: Connect, shared_home: Home
) -> None:
    ann, ben = pair(connect, shared_home, "stopped-by-others")
    ann.execute("shared = 1")
    session = ann.execute("1").session
    assert "STOPPED" in ben.call("stop_kernel", {"session": session}).text
    assert ann.execute("shared").state == "NOT RUN"
    ann.execute("again = 1")
    assert shared_home.command("stop", session).returncode == 0
    refused = ann.execute("again")
    assert refused.state == "NOT RUN"
    assert "kernelexec stop" in refused.text
    new = connect(shared_home, shared_home.project("stopped-by-others"))
    reply = new.execute("'again' in globals()")
    assert reply.state == "OK", "a client that knew no kernel has lost nothing"
    assert "kernelexec stop" in reply.text, "and learns why it is new"


def test_a_crash_that_one_client_was_told_of_is_told_to_the_other(
    connect: Connect, shared_home: Home
) -> None:
    ann, ben = pair(connect, shared_home, "crashed-by-another")
    ann.execute("shared = 1")
    assert ben.execute("import os\nos.kill(os.getpid(), 9)").state == "DIED"
    assert ben.execute("1").state == "OK", "it was told"
    reply = ann.execute("shared")
    assert reply.state == "NOT RUN"
    assert "SIGKILL" in reply.text
    assert ann.execute("1").state == "OK"


def test_who_looked_at_the_variables_knows_the_kernel(connect: Connect, shared_home: Home) -> None:
    ann, ben = pair(connect, shared_home, "looked")
    ben.execute("shared = 1")
    assert "shared" in ann.call("list_variables", {}).text
    ben.call("restart_kernel", {})
    assert ann.execute("shared").state == "NOT RUN"


def test_what_was_asked_together_is_refused_together(
    connect: Connect, connect_raw: ConnectRaw, shared_home: Home
) -> None:
    project = shared_home.project("together")
    ann, ben = connect_raw(shared_home, project), connect(shared_home, project)
    ann.execute("shared = 1")
    ben.call("restart_kernel", {})
    for _ in range(10):
        replies = [ann.reply(each) for each in ann.begin_together(*["shared"] * 3)]
        assert [reply.state for reply in replies] == ["NOT RUN"] * 3, [reply.verdict for reply in replies]
        assert ann.execute("shared = 2").state == "OK"
        ben.call("restart_kernel", {})


def test_a_wait_for_anothers_run_that_is_cancelled_does_not_interrupt_it(
    connect: Connect, connect_raw: ConnectRaw, shared_home: Home, tmp_path: Path
) -> None:
    project = shared_home.project("waits-for-anothers")
    ann, ben = connect_raw(shared_home, project), connect(shared_home, project)
    gate = tmp_path / "gate"
    running = ann.begin_execute(until(gate) + "'whole'")
    begun = eventually(
        lambda: next((s["running"] for s in shared_home.status()["sessions"] if s["running"]), None)
    )
    wait = ben.begin("wait_for_execution", {"execution_id": begun})
    wait.cancel()
    assert ben.call("list_variables", {}).text, "the cancel has been taken"
    gate.touch()
    assert ann.reply(running).block("result") == "'whole'"
    assert "your run" not in ben.execute("1").text


def test_what_another_client_ran_is_told_once(connect: Connect, shared_home: Home) -> None:
    ann, ben = pair(connect, shared_home, "news-of-runs")
    ann.execute("shared = 1")
    theirs = ben.execute("shared = 2")
    told = ann.execute("shared")
    assert "1 cell was run by another client (mcp) on this kernel, which may have changed" in told.text
    assert f"{theirs.id}: shared = 2" in told.text
    assert told.block("result") == "2"
    assert "another client" not in ann.execute("shared").text
    ben.execute("shared = 3")
    assert "shared = 3" in ann.call("list_variables", {}).text, "any reply about the session tells it"
    assert "another client" not in ann.execute("shared").text


def test_a_cancelled_run_is_told_with_the_next_reply(
    connect: Connect, shared_home: Home, tmp_path: Path
) -> None:
    ann, _ = pair(connect, shared_home, "cancelled-and-told")
    ann.execute("written = 0")
    begun = tmp_path / "begun"
    call = ann.start(f"written = 1\nopen({str(begun)!r}, 'w').close()\n{GOES_ON}")
    eventually(begun.exists)
    call.cancel()
    told = ann.execute("written")
    assert told.block("result") == "1"
    number = told.number - 1
    assert (
        f"your run {told.session}/{number}, whose reply you did not get (the call was cancelled)" in told.text
    )
    assert "was interrupted" in told.text
    assert "what it had done by then stays" in told.text
    assert "did not get" not in ann.execute("1").text, "once"


@pytest.fixture
def slow(tmp_path: Path, new_home: Callable[..., Home]) -> tuple[Home, Path, Path]:
    """A home whose environment's interpreter waits for a gate; the gate, and what tells that it waits."""
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    folder = tmp_path / "slow"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    python.rename(folder / "bin" / "python-itself")
    wait = f"#!/bin/sh\ntouch {begun}\nwhile [ ! -e {gate} ]; do sleep 0.05; done\n"
    python.write_text(f'{wait}exec {folder}/bin/python-itself "$@"\n')
    python.chmod(0o755)
    return new_home(VENV_PATH=str(folder)), gate, begun


@pytest.mark.parametrize(
    ("reason", "told"),
    [("Request timed out", "was given up by your client"), ("Esc", "was cancelled")],
)
def test_a_call_that_was_given_up_before_its_code_was_accepted_is_told_with_the_next_reply(
    connect_raw: ConnectRaw, slow: tuple[Home, Path, Path], reason: str, told: str
) -> None:
    home, gate, begun = slow
    client = connect_raw(home, home.project("given-up"))
    call = client.begin_execute("ran = 1\nmore = 2")
    eventually(begun.exists)
    client.send(
        {
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": {"requestId": call, "reason": reason},
        }
    )
    lists = client.call("list_kernels")
    assert f'Your call of execute_code ("ran = 1 ..."), whose reply you did not get, {told}' in lists.text
    assert "nothing of it was run" in lists.text
    gate.touch()
    assert "did not get" not in (reply := client.execute("'ran' in globals()")).text, "once"
    assert reply.block("result") == "False"


def test_a_call_that_was_given_up_while_its_kernel_was_starting_is_told_as_not_run(
    connect_raw: ConnectRaw, slow: tuple[Home, Path, Path]
) -> None:
    home, gate, begun = slow
    client = connect_raw(home, home.project("given-up-later"))
    gate.touch()
    client.call("get_environment_config")
    gate.unlink()
    begun.unlink()
    call = client.begin_execute("ran = 1")
    eventually(begun.exists)
    client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": call}})
    gate.touch()
    told = client.execute("'ran' in globals()")
    assert "whose reply you did not get (the call was cancelled), was not run" in told.text
    assert told.block("result") == "False"


def test_what_a_lost_connection_had_asked_for_is_told_to_the_next_of_the_same_client(
    connect_raw: ConnectRaw, slow: tuple[Home, Path, Path]
) -> None:
    home, gate, begun = slow
    client = connect_raw(home, home.project("lost"))
    client.begin_execute("ran = 1")
    eventually(begun.exists)
    client.kill()
    elsewhere = connect_raw(home, home.project("elsewhere"))
    assert "ran = 1" not in elsewhere.call("list_kernels").text
    again = connect_raw(home, home.project("lost"))
    eventually(lambda: "lost its connection before it was accepted" in again.call("list_kernels").text)
    gate.touch()
    assert again.execute("'ran' in globals()").block("result") == "False"


def test_a_restart_that_was_given_up_goes_on_and_is_told(
    connect_raw: ConnectRaw, shared_home: Home, tmp_path: Path
) -> None:
    ending = tmp_path / "ending"
    client = connect_raw(shared_home, shared_home.project("restart-given-up"))
    client.execute("x = 1")
    client.execute(
        "import atexit, time\n"
        "atexit.register(time.sleep, 1)\n"
        f"atexit.register(lambda: open({str(ending)!r}, 'w').close())"
    )
    call = client.begin("tools/call", {"name": "restart_kernel", "arguments": {}})
    eventually(ending.exists)
    client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": call}})
    told = client.call("list_kernels").text
    assert (
        "Your call of restart_kernel, whose reply you did not get, was cancelled while it was carried" in told
    )
    assert client.execute("'x' in globals()").text.count("'x'") <= 1
    assert client.execute("'x' in globals()").block("result") == "False"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("McpError: -32001: Request timed out", "your client gave up waiting for it"),
        ("The user pressed Esc", "the call was cancelled"),
    ],
)
def test_a_time_out_and_a_cancel_are_told_apart_by_the_clients_reason(
    connect_raw: ConnectRaw, shared_home: Home, tmp_path: Path, reason: str, told: str
) -> None:
    client = connect_raw(shared_home, shared_home.project(f"reason-{len(reason)}"))
    client.execute("1")
    begun = tmp_path / "begun"
    call = client.begin_execute(f"open({str(begun)!r}, 'w').close()\n{GOES_ON}")
    eventually(begun.exists)
    client.send(
        {
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": {"requestId": call, "reason": reason},
        }
    )
    reply = client.execute("1")
    assert told in reply.text, reply.text
    assert "was interrupted" in reply.text


def test_a_run_that_a_lost_connection_had_waited_for_is_told_when_the_client_comes_again(
    connect_raw: ConnectRaw, shared_home: Home, tmp_path: Path
) -> None:
    project = shared_home.project("cut-off")
    first = connect_raw(shared_home, project)
    first.execute("written = 0")
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    first.begin_execute(until(gate, begun) + "written = 1")
    eventually(begun.exists)
    first.kill()
    other = connect_raw(shared_home, project)
    gate.touch()
    reply = other.execute("written")
    assert reply.block("result") == "1"
    assert "a run of your client's connection before this one" in reply.text, reply.text
    assert "its effects stay" in reply.text
    assert "connection before" not in other.execute("1").text


def state_of(home: Home, session: str) -> dict[str, Any]:
    """What `kernelexec ps --json` says of a session."""
    return next(each for each in home.status()["sessions"] if each["session"] == session)


def test_a_client_that_gave_up_in_silence_is_told_with_its_next_call(
    connect_raw: ConnectRaw, shared_home: Home, tmp_path: Path
) -> None:
    """Some clients send no cancel when their own limit is over: that shows when the next call comes."""
    client = connect_raw(shared_home, shared_home.project("silent"))
    client.execute("written = 0")
    gate = tmp_path / "gate"
    client.begin_execute(until(gate) + "written = 1")
    eventually(lambda: state_of(shared_home, "silent@plain")["running"])
    opened = time.monotonic()
    eventually(lambda: time.monotonic() - opened > OVERTAKEN_SECONDS)
    second = client.begin_execute("written")
    eventually(lambda: state_of(shared_home, "silent@plain")["queued"])
    gate.touch()
    reply = client.reply(second)
    assert reply.block("result") == "1"
    assert "whose reply you may not have got (another call of yours came while it was open)" in reply.text


def test_a_run_under_way_when_hub_and_client_were_killed_is_told_by_the_next(
    connect_raw: ConnectRaw, home: Home
) -> None:
    first = connect_raw(home)
    first.execute("shared = 1")
    begun, gate = home.path / "begun", home.path / "gate"
    first.begin_execute(until(gate, begun) + "shared = 2")
    eventually(begun.exists)
    os.kill(home.hub(), signal.SIGSTOP)  # it does not see its client go
    first.kill()
    home.end_hub(signal.SIGKILL)
    second = connect_raw(home)
    gate.touch()
    reply = second.execute("shared")
    assert reply.block("result") == "2"
    assert "whose reply you may not have got (the hub was replaced)" in reply.text
    assert "its effects stay" in reply.text
    assert "hub was replaced" not in second.execute("1").text
