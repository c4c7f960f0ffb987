"""`kernelexec ps` and `kernelexec stop`, as a person types them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.real.conftest import Connect, ConnectRaw
from tests.real.home import COMMAND, Home, eventually


def test_ps_without_a_hub_says_so_and_starts_none(home: Home) -> None:
    answer = home.command("ps")
    assert answer.returncode == 0
    assert "No hub is running" in answer.stdout
    assert home.status() == {}
    assert home.processes() == {}


def test_ps_shows_sessions_kernels_and_the_log(connect: Connect, home: Home) -> None:
    connect(home).execute("1")
    begun = home.path / "begun"
    busy = connect(home, home.project("busy"))
    busy.execute(f"open({str(begun)!r}, 'w').close()\nimport time\ntime.sleep(600)", wait_seconds=0)
    busy.execute("'queued'", wait_seconds=0)
    eventually(begun.exists)
    answer = home.command("ps")
    assert answer.returncode == 0
    lines = answer.stdout.splitlines()
    assert f"pid {home.hub()}" in lines[0]
    assert Path(lines[0].rpartition("log ")[2]).is_file()
    (idle,) = [line for line in lines if line.startswith("main@plain")]
    (running,) = [line for line in lines if line.startswith("busy@plain")]
    assert "idle" in idle
    assert "MB" in idle
    assert "main@plain-1.ipynb" in idle
    assert "busy (1), 1 queued" in running

    status = home.status()
    assert Path(status["hub"]["log"]).is_file()
    assert status["hub"]["pid"] == home.hub()
    sessions = {session["session"]: session for session in status["sessions"]}
    assert sessions["main@plain"]["state"] == "idle"
    assert sessions["main@plain"]["generation"] == 1
    assert sessions["main@plain"]["memory_mb"] > 10
    assert sessions["busy@plain"]["running"] == "busy@plain/1"
    assert sessions["busy@plain"]["queued"] == 1


def test_stop_ends_one_kernel_and_no_other(connect: Connect, home: Home) -> None:
    one, other = connect(home, home.project("one")), connect(home, home.project("other"))
    one.execute("1")
    other.execute("kept = 1")
    answer = home.command("stop", "one@plain")
    assert answer.returncode == 0
    assert answer.stdout == "stopped: one@plain\n"
    states = {session["session"]: session["state"] for session in home.status()["sessions"]}
    assert states == {"one@plain": "no kernel", "other@plain": "idle"}
    assert other.execute("kept").block("result") == "1"


def test_stop_takes_a_name_that_is_clear_and_asks_about_one_that_is_not(connect: Connect, home: Home) -> None:
    connect(home).execute("1")
    elsewhere = home.path / "elsewhere"
    connect(home, CODE_STORAGE_DIR=str(elsewhere)).execute("1")
    answer = home.command("stop", "main")
    assert answer.returncode == 2
    assert "ambiguous" in answer.stderr
    command = f"{elsewhere}:main@plain"
    assert f"kernelexec stop {command}" in answer.stderr
    assert home.command("stop", command).returncode == 0
    assert home.command("stop", "main").returncode == 0
    assert home.command("stop", "main").returncode == 2


def test_stop_of_an_unknown_session_names_those_that_run(connect: Connect, home: Home) -> None:
    connect(home).execute("kept = 1")
    answer = home.command("stop", "nosuch@plain")
    assert answer.returncode == 2
    assert "nosuch@plain" in answer.stderr
    assert "main@plain" in answer.stderr
    assert home.status()["sessions"][0]["state"] == "idle"


def test_stop_of_a_session_without_a_hub_is_an_error(home: Home) -> None:
    answer = home.command("stop", "main@plain")
    assert answer.returncode != 0, answer.stdout
    assert home.processes() == {}


def test_stop_ends_a_kernel_that_is_busy_and_its_run_is_told(connect: Connect, home: Home) -> None:
    client = connect(home)
    begun = home.path / "begun"
    call = client.start(f"open({str(begun)!r}, 'w').close()\nimport time\ntime.sleep(600)")
    eventually(begun.exists)
    assert home.command("stop", "main@plain").returncode == 0
    reply = call.result(30)
    assert reply.state == "DIED"
    assert "it was stopped" in reply.text


def test_stop_all_ends_every_kernel_and_the_hub(connect_raw: ConnectRaw, home: Home) -> None:
    first, second = connect_raw(home), connect_raw(home, home.project("second"))
    first.execute("import subprocess\nsubprocess.Popen(['sleep', '600'], start_new_session=True)")
    second.execute("1")
    answer = home.command("stop", "--all")
    assert answer.returncode == 0
    assert "main@plain" in answer.stdout
    assert "second@plain" in answer.stdout
    first.close()
    second.close()
    eventually(lambda: not home.processes(), 10)
    assert not (home.runtime / "hub.sock").exists()


def test_stop_all_without_anything_running_says_so(home: Home) -> None:
    answer = home.command("stop", "--all")
    assert answer.returncode == 0
    assert "nothing was running" in answer.stdout


def test_stop_all_ends_what_a_dead_hub_left(connect_raw: ConnectRaw, home: Home) -> None:
    client = connect_raw(home)
    client.execute("1")
    home.end_hub(signal.SIGKILL)
    client.close()
    assert home.processes()
    answer = home.command("stop", "--all")
    assert answer.returncode == 0
    assert "main@plain" in answer.stdout
    eventually(lambda: not home.processes(), 10)


def test_a_kernel_whose_keeper_was_killed_can_still_be_stopped(connect: Connect, home: Home) -> None:
    client = connect(home)
    parent = int(client.execute("import os\nos.getppid()").block("result"))
    assert "launcher.py" in home.processes()[parent]
    os.kill(parent, signal.SIGKILL)
    eventually(lambda: parent not in home.processes())
    assert home.command("stop", "--all").returncode == 0
    eventually(lambda: all(line.endswith(COMMAND) for line in home.processes().values()), 10)  # the bridge


def test_a_kernel_whose_keeper_and_hub_were_killed_is_not_left_behind(
    connect_raw: ConnectRaw, home: Home
) -> None:
    client = connect_raw(home)
    parent = int(client.execute("import os\nos.getppid()").block("result"))
    home.end_hub(signal.SIGKILL)
    os.kill(parent, signal.SIGKILL)
    eventually(lambda: parent not in home.processes())
    home.command("stop", "--all")
    client.close()
    eventually(lambda: not home.processes(), 10)


@pytest.mark.parametrize("arguments", [["nosuch"], ["stop"], ["stop", "a", "--all"], ["ps", "extra"]])
def test_a_wrong_command_is_answered_with_the_usage(home: Home, arguments: list[str]) -> None:
    answer = home.command(*arguments)
    assert answer.returncode == 2
    assert "usage" in answer.stderr


def test_help_and_version_need_no_hub(home: Home) -> None:
    assert home.command("--version").stdout.startswith("kernelexec ")
    assert "stop" in home.command("--help").stdout
    assert home.processes() == {}
