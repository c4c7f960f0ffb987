"""Kernels that a kernel provisioner starts: one of the tests' own, as somebody's package brings it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import psutil
import pytest

from tests.real.clients import Client, Reply
from tests.real.conftest import Connect
from tests.real.home import Home, eventually
from tests.real.test_control import call
from tests.real.test_foreign_kernels import uv_venv


@pytest.fixture(scope="module")
def elsewhere(place: Path) -> Path:
    """The folder in which the provisioner's kernels work; its package and kernelspec are in `venv` there."""
    folder = place / "elsewhere"
    folder.mkdir()
    venv = uv_venv(folder / "venv", "ipykernel")
    [packages] = venv.glob("lib/python3*/site-packages")
    shutil.copyfile(Path(__file__).with_name("elsewhere.py"), packages / "kx_elsewhere.py")
    info = packages / "kx_elsewhere-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kx-elsewhere\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[jupyter_client.kernel_provisioners]\nelsewhere = kx_elsewhere:Elsewhere\n"
    )
    write_kernelspec(venv / "share" / "jupyter" / "kernels" / "far", "elsewhere", folder=str(folder))
    return folder


def write_kernelspec(at: Path, provisioner: str, **config: str) -> None:
    at.mkdir(parents=True)
    spec = {
        "argv": ["/opt/far/bin/python", "-m", "ipykernel_launcher", "--id", "{kernel_id}"],
        "display_name": "Far away",
        "language": "python",
        "metadata": {"kernel_provisioner": {"provisioner_name": provisioner, "config": config}},
    }
    (at / "kernel.json").write_text(json.dumps(spec))


@pytest.fixture
def far(connect: Connect, shared_home: Home, elsewhere: Path, request: pytest.FixtureRequest) -> Client:
    return connect(shared_home, **settings(elsewhere, request.node.name))


def settings(elsewhere: Path, session: str) -> dict[str, str]:
    return {
        "ENV_TYPE": "",
        "VENV_PATH": "",
        "KERNEL_NAME": "far",
        "JUPYTER_PATH": str(elsewhere / "venv" / "share" / "jupyter"),
        "KERNELEXEC_SESSION": session[5:35].strip("_"),
    }


def pids(elsewhere: Path) -> list[int]:
    return [int(line) for line in (elsewhere / "started").read_text().split()]


def is_over(elsewhere: Path, pid: int) -> bool:
    """Whether the provisioner has ended that kernel, and cleared up after it."""
    cleared_up = not list(elsewhere.glob("*.json"))
    try:
        return cleared_up and psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return cleared_up


def relay_of(connection: str) -> psutil.Process:
    """The process that has the provisioner of a kernel, by a part of its command line."""
    [found] = [
        process
        for process in psutil.process_iter()
        if any(connection in word for word in words(process)) and "-c" in words(process)
    ]
    return found


def words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_the_main_job_in_a_kernel_that_a_provisioner_starts(
    far: Client, elsewhere: Path, connect: Connect, shared_home: Home, request: pytest.FixtureRequest
) -> None:
    first = far.execute("import os\nx = 20\nprint('hi')\nos.environ['ELSEWHERE'], os.getcwd(), os.getpid()")
    pid = pids(elsewhere)[-1]
    assert first.state == "OK", first.text
    assert "started by the provisioner 'elsewhere', maybe on another machine" in first.text
    assert f"Code reads and writes in {elsewhere} on {os.uname().nodename}" in first.text
    assert far.config()["interrupts"] == "reach only the run they are meant for"
    assert first.block("stdout") == "hi"
    assert first.block("result") == f"('yes', '{elsewhere}', {pid})"
    assert "x" in call(far, "list_variables").text
    again = connect(shared_home, **settings(elsewhere, request.node.name))
    assert again.execute("x + 1").block("result") == "21"
    assert again.execute("1 / 0").state == "ERROR"
    asks = again.execute("input('Name: ')")
    assert "Name:" in asks.text, asks.text
    call(again, "send_input", execution_id=asks.id, text="Ann")
    assert again.wait_for(asks.id).block("result") == "'Ann'"
    stopped = again.execute("import time\nfor n in range(600): time.sleep(0.1)", max_seconds=1)
    assert stopped.state == "INTERRUPTED", stopped.text
    assert again.execute("x").block("result") == "20"
    many = again.execute("for n in range(20000): print(n)")
    assert many.state == "OK", many.text
    call(again, "stop_kernel", session=first.session)
    eventually(lambda: is_over(elsewhere, pid), 10)


def test_its_death_is_told_and_the_next_one_is_the_provisioners_again(far: Client, elsewhere: Path) -> None:
    first = far.execute("y = 1")
    os.kill(pids(elsewhere)[-1], signal.SIGKILL)
    told = eventually(lambda: dead_in(far.execute("y")))
    assert "all variables are lost" in told, told
    assert "ended: its provisioner says that it has ended. All its" in told
    assert "The kernel's provisioner says that it has ended." in told
    assert far.execute("import os; os.environ['ELSEWHERE']").block("result") == "'yes'"
    call(far, "stop_kernel", session=first.session)


def test_a_kernel_that_lives_is_not_ended_for_its_provisioner_s_mistake(far: Client, elsewhere: Path) -> None:
    first = far.execute("x = 6 * 7")
    (elsewhere / "unreachable").touch()
    try:
        assert far.execute("import time; time.sleep(3); x").block("result") == "42"
        os.kill(pids(elsewhere)[-1], signal.SIGKILL)
        told = eventually(lambda: dead_in(far.execute("x")))
        assert "its provisioner says that it has ended" in told, told
    finally:
        (elsewhere / "unreachable").unlink()
    call(far, "stop_kernel", session=first.session)


def dead_in(reply: Reply) -> str:
    return "" if reply.state == "OK" else reply.text


def test_the_kernel_outlives_the_hub_and_the_process_that_has_its_provisioner(
    far: Client, elsewhere: Path, connect: Connect, shared_home: Home, request: pytest.FixtureRequest
) -> None:
    first = far.execute("kept = 1")
    pid = pids(elsewhere)[-1]
    shared_home.end_hub(signal.SIGKILL)
    client = connect(shared_home, **settings(elsewhere, request.node.name))
    assert client.execute("kept += 1; kept").block("result") == "2"
    relay = relay_of(connection_file(shared_home, request.node.name))
    relay.kill()
    eventually(lambda: not relay.is_running())
    assert client.execute("kept += 1; kept").block("result") == "3"
    assert pids(elsewhere)[-1] == pid
    call(client, "stop_kernel", session=first.session)
    eventually(lambda: is_over(elsewhere, pid), 10)


def test_a_run_whose_end_came_while_its_process_was_killed_is_told_with_all_its_output(
    far: Client, shared_home: Home, request: pytest.FixtureRequest
) -> None:
    first = far.execute("ran = 0")
    for outcome in ("1", "2"):
        relay = relay_of(connection_file(shared_home, request.node.name))
        ran = far.execute(killing(relay, 0.05 if outcome == "1" else 6), wait_seconds=1)
        ran = far.wait_for(ran.id)
        assert (ran.state, ran.block("result")) == ("OK", outcome), ran.text
        assert "before\nafter" in call(far, "read_output", execution_id=ran.id, offset=0).text
    call(far, "stop_kernel", session=first.session)


def killing(relay: psutil.Process, seconds: float) -> str:
    """Code that goes on for so long after its relay was killed; it counts its runs."""
    return (
        f"import os, time\nprint('before', flush=True)\nos.kill({relay.pid}, 9)\n"
        f"time.sleep({seconds})\nprint('after')\nran += 1\nran"
    )


def test_of_a_kernel_that_stays_what_it_is_such_an_end_is_told_as_missed(
    connect: Connect, shared_home: Home, elsewhere: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    startup = tmp_path / "profile_default" / "startup" / "old.py"
    startup.parent.mkdir(parents=True)
    startup.write_text("import ipykernel\nipykernel.version_info = (6, 28, 0)\n")
    client = connect(shared_home, **settings(elsewhere, request.node.name), IPYTHONDIR=str(tmp_path))
    first = client.execute("ran = 0")
    assert "Code reads and writes in" in first.text
    assert "best effort" in client.config()["interrupts"]
    relay = relay_of(connection_file(shared_home, request.node.name))
    missed = client.wait_for(client.execute(killing(relay, 0.05), wait_seconds=1).id)
    assert missed.state == "UNKNOWN", missed.text
    assert "down while it ran" in missed.text
    assert client.execute("ran").block("result") == "1"
    relay = relay_of(connection_file(shared_home, request.node.name))
    long = client.execute(killing(relay, 6), wait_seconds=1)
    assert client.wait_for(long.id).block("result") == "2"
    call(client, "stop_kernel", session=first.session)


def connection_file(home: Home, session: str) -> str:
    entries = home.path.glob(".local/state/kernelexec/kernels/*.json")
    [found] = [entry for entry in entries if session[5:35].strip("_") in entry.read_text()]
    return f"/{found.stem}/connection.json"


def test_what_a_provisioner_says_of_a_start_that_fails_is_told(far: Client, elsewhere: Path) -> None:
    (elsewhere / "full").touch()
    try:
        failed = far.execute("1")
    finally:
        (elsewhere / "full").unlink()
    assert failed.state != "OK"
    assert "no machine is free" in failed.text, failed.text
    second = far.execute("1 + 1")
    assert second.block("result") == "2"
    call(far, "stop_kernel", session=second.session)


def test_a_provisioner_that_is_nowhere_is_told_with_where_it_was_looked_for(
    connect: Connect, shared_home: Home, elsewhere: Path
) -> None:
    write_kernelspec(elsewhere / "venv" / "share" / "jupyter" / "kernels" / "nobody", "k8s")
    client = connect(shared_home, **{**settings(elsewhere, "nobody"), "KERNEL_NAME": "nobody"})
    refused = client.execute("1")
    assert refused.is_error
    assert "kernel provisioner 'k8s'" in refused.text, refused.text
    assert f"{elsewhere}/venv/bin/python (has only elsewhere, local-provisioner)" in refused.text
    assert "Install the package that brings it into the first of them" in refused.text
