"""`kernelexec --in-process`: one process is the hub and serves the client that started it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real.clients import RawClient
from tests.real.conftest import ConnectRaw
from tests.real.home import COMMAND, PATIENCE_SECONDS, Home, eventually, until

IN_PROCESS = (COMMAND, "--in-process")


@contextmanager
def in_process(home: Home, cwd: Path | None = None, **environ: str) -> Iterator[RawClient]:
    with RawClient(home, cwd, IN_PROCESS, **environ) as client:
        client.initialize()
        yield client


def end_input(client: RawClient) -> None:
    assert client.process.stdin is not None
    client.process.stdin.close()


def hub_of(home: Home) -> int:
    return int(home.status()["hub"]["pid"])


def test_the_process_is_the_hub_and_its_client_gets_what_any_client_gets(home: Home) -> None:
    project = home.project("sales")
    with in_process(home, project, COLOUR="red") as client:
        reply = client.execute("import os; os.getcwd(), os.environ['COLOUR']")
        assert reply.session.startswith("sales@")
        assert reply.block("result") == repr((str(project), "red"))
        assert hub_of(home) == client.process.pid
        assert home.hubs() == [], "there is no second process"
        raised = client.execute("1/0")
        assert raised.is_error
        assert raised.state == "ERROR"


def test_others_join_it_and_it_stays_until_the_last_has_gone(home: Home) -> None:
    with in_process(home) as first, RawClient(home) as second:
        second.initialize()
        first.execute("x = 42")
        assert second.execute("x").block("result") == "42"
        end_input(first)
        assert second.execute("x + 1").block("result") == "43"
        assert hub_of(home) == first.process.pid
        second.close()
        assert first.process.wait(PATIENCE_SECONDS) == 0


def test_kernels_live_on_and_the_next_process_has_them(home: Home, connect_raw: ConnectRaw) -> None:
    with in_process(home) as client:
        client.execute("x = 42")
    with in_process(home) as client:
        assert client.execute("x").block("result") == "42"
    assert connect_raw(home).execute("x").block("result") == "42", "a hub of the usual kind has them, too"
    assert len(home.hubs()) == 1


def test_a_hub_that_is_there_is_joined(home: Home, connect_raw: ConnectRaw) -> None:
    connect_raw(home).execute("x = 42")
    hub = home.hub()
    with in_process(home) as client:
        assert client.execute("x").block("result") == "42"
        assert hub_of(home) == hub


def test_a_client_keeps_its_tools_when_its_hub_is_stopped(home: Home) -> None:
    with in_process(home) as client:
        client.execute("x = 42")
        assert home.command("stop", "--all").returncode == 0
        lost = client.execute("x")
        assert lost.state == "NOT RUN"
        assert "kernelexec stop" in lost.text
        assert client.execute("6 * 7").block("result") == "42"
        assert home.hub() != client.process.pid


def test_what_runs_when_its_client_goes_is_run_to_its_end_and_recorded(
    home: Home, connect_raw: ConnectRaw
) -> None:
    gate, begun = home.path / "gate", home.path / "begun"
    with in_process(home) as client:
        running = client.execute(f"{until(gate, begun)}print('done')", wait_seconds=0)
        eventually(begun.exists)
        end_input(client)
        with pytest.raises(subprocess.TimeoutExpired):
            client.process.wait(2)
        gate.touch()
        assert client.process.wait(PATIENCE_SECONDS) == 0
    reply = connect_raw(home).call("wait_for_execution", execution_id=running.id)
    assert reply.state == "OK"
    assert reply.block("stdout") == "done"


def test_what_waits_for_an_answer_does_not_keep_it(home: Home) -> None:
    with in_process(home) as client:
        assert client.execute("input('name?')").state == "WAITING FOR INPUT"
        end_input(client)
        assert client.process.wait(PATIENCE_SECONDS) == 0


def test_without_anybody_at_its_input_it_is_a_hub_until_it_is_stopped(
    home: Home, connect_raw: ConnectRaw
) -> None:
    hub = subprocess.Popen(IN_PROCESS, stdin=subprocess.DEVNULL, env=home.environ, cwd=home.path)
    try:
        eventually((home.runtime / "hub.sock").exists)
        client = connect_raw(home)
        assert client.execute("6 * 7").block("result") == "42"
        assert hub_of(home) == hub.pid
        client.close()
        with pytest.raises(subprocess.TimeoutExpired):
            hub.wait(1)
        hub.send_signal(signal.SIGTERM)
        assert hub.wait(PATIENCE_SECONDS) == 0
    finally:
        hub.kill()
        hub.wait()


def test_without_anybody_at_its_input_it_waits_for_the_hub_that_is_there(
    home: Home, connect_raw: ConnectRaw
) -> None:
    client = connect_raw(home)
    client.execute("x = 42")
    next_one = subprocess.Popen(IN_PROCESS, stdin=subprocess.DEVNULL, env=home.environ, cwd=home.path)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            next_one.wait(1)
        assert client.execute("x").block("result") == "42"
        home.command("stop", "--all")
        eventually(lambda: home.status().get("hub", {}).get("pid") == next_one.pid)
    finally:
        next_one.terminate()
        assert next_one.wait(PATIENCE_SECONDS) == 0


def test_a_signal_ends_it_although_its_client_is_there(home: Home) -> None:
    with in_process(home) as client:
        client.execute("x = 42")
        client.process.terminate()
        assert client.process.wait(PATIENCE_SECONDS) == 0
    with in_process(home) as client:
        assert client.execute("x").block("result") == "42"


def test_where_it_cannot_be_a_hub_its_client_is_told(home: Home) -> None:
    blocked = home.path / "blocked"
    blocked.write_text("")
    with RawClient(home, command=IN_PROCESS, KERNELEXEC_RUNTIME_DIR=str(blocked)) as client:
        request = client.begin("initialize", {})
        assert "cannot be used" in client.answer(request)["error"]["message"]
        assert client.process.wait(PATIENCE_SECONDS) == 1


def test_nothing_but_messages_comes_to_its_client(home: Home) -> None:
    """What other parts of the process print goes to the log: the client's pipe is no longer its output."""
    with in_process(home) as client:
        client.execute("1")
        output = os.readlink(f"/proc/{client.process.pid}/fd/1")
        assert output == str(home.path / ".local" / "state" / "kernelexec" / "hub.log")
        assert os.readlink(f"/proc/{client.process.pid}/fd/0") == os.devnull
