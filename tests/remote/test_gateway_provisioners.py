"""Kernels that gateway_provisioners' DistributedProvisioner starts on another machine by ssh."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.real.clients import Client
from tests.real.conftest import Connect
from tests.real.home import Home, eventually
from tests.remote import main_job
from tests.remote.machines import Machines
from tests.remote.node import INSTALLED, Node, gate

pytestmark = pytest.mark.timeout(300)
Join = Callable[[], Client]


@pytest.fixture
def join(connect: Connect, home: Home, machines: Machines, node: Node, tmp_path: Path) -> Iterator[Join]:
    """`join()`: a client whose kernels the provisioner starts on the node; it runs on the gateway itself."""
    prefix = tmp_path / "provisioner"
    python = prefix / "bin" / "python"
    python.parent.mkdir(parents=True)
    words = [*machines.gateway.entering, str(INSTALLED / "gp" / "bin" / "python")]
    python.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    python.chmod(0o755)
    config = {"provisioner_name": "distributed-provisioner", "config": {"remote_hosts": [node.far.address]}}
    node.write_kernelspec(prefix / "share" / "jupyter" / "kernels" / "far", {"kernel_provisioner": config})
    node.far.admit(home.path)
    settings = {
        "ENV_TYPE": "",
        "VENV_PATH": "",
        "KERNEL_NAME": "far",
        "JUPYTER_PATH": str(prefix / "share" / "jupyter"),
        "KERNEL_USERNAME": node.far.name,  # it starts none for root
        "GP_REMOTE_USER": node.far.name,
        "GP_RESPONSE_IP": machines.gateway.address,
        "GP_KERNEL_LOG_DIR": str(node.far.home),
    }
    yield lambda: connect(home, home.project("far"), **settings)
    home.command("stop", "--all")
    node.kill_kernels()
    print(node.logs())


def relay(home: Home) -> psutil.Process:
    """The process that has the provisioner of the one kernel."""
    [pid] = [pid for pid, line in home.processes().items() if "import provisioned_relay" in line]
    return psutil.Process(pid)


def test_the_whole_main_job_on_another_machine(join: Join, home: Home, node: Node) -> None:
    client = join()
    first = client.execute("import getpass\nx = 6 * 7\nprint('hello')\ngetpass.getuser()", wait_seconds=50)
    assert (first.state, first.block("stdout")) == ("OK", "hello"), first.text
    assert first.block("result") == f"'{node.far.name}'"
    assert f"Code reads and writes in {node.far.home} on kxnode" in first.text
    assert client.config()["interrupts"] == "reach only the run they are meant for"
    main_job.asks_a_question(client)
    main_job.prints_fifty_megabytes(client)
    main_job.is_interrupted(client, node.folder("provisioned"))
    assert join().execute("x").block("result") == "42", "a second client meets the same kernel"
    home.end_hub(signal.SIGKILL)
    assert join().execute("x").block("result") == "42", "and one of the next hub"
    assert not client.call("restart_kernel", {"session": first.session}).is_error
    assert "NameError" in client.execute("x", wait_seconds=50).verdict
    died = client.execute("import os; os._exit(3)", wait_seconds=50)
    assert died.state == "DIED", died.text
    assert "its provisioner says that it has ended" in died.text
    again = client.execute("'x' in dir()", wait_seconds=50)
    assert (again.state, again.block("result")) == ("OK", "False"), again.text
    client.call("stop_kernel", {"session": first.session})
    eventually(lambda: not node.kernels())


def test_a_run_outlives_the_process_that_has_its_provisioner_and_the_hub(
    join: Join, home: Home, node: Node
) -> None:
    """The provisioner finds its kernel again by what it had said of it."""
    client = join()
    code, begun, let_go = gate(node.folder("relay"))
    running = client.execute(f"print('before')\n{code}print('after')\n6 * 7", wait_seconds=0)
    eventually(begun.exists)
    first = relay(home)
    first.kill()
    first.wait(10)
    home.end_hub(signal.SIGKILL)
    let_go()
    ended = main_job.to_its_end(client, client.wait_for(running.id, wait_seconds=50))
    assert (ended.state, ended.block("stdout")) == ("OK", "before\nafter"), ended.text
    assert ended.block("result") == "42"
    assert relay(home).pid != first.pid


def test_a_run_outlives_the_cable_between_the_machines(join: Join, machines: Machines, node: Node) -> None:
    client = join()
    code, begun, let_go = gate(node.folder("cable of a provisioner"))
    running = client.execute(f"print('before')\n{code}print('after')\n6 * 7", wait_seconds=0)
    eventually(begun.exists)
    with machines.parted():
        let_go()

        def told() -> bool:
            reply = client.wait_for(running.id, wait_seconds=0)
            assert reply.state == "RUNNING", reply.text
            return "The link to its kernel has been down since" in reply.text

        eventually(told)
        assert "Its machine does not answer" in client.call("list_kernels", {}).text
    ended = main_job.to_its_end(client, client.wait_for(running.id, wait_seconds=50))
    assert (ended.state, ended.block("stdout")) == ("OK", "before\nafter"), ended.text
    assert ended.block("result") == "42"
    eventually(lambda: "has been down" not in client.call("list_kernels", {}).text)


def test_a_machine_that_the_provisioner_cannot_enter_is_told(join: Join, home: Home) -> None:
    (home.path / ".ssh" / "known_hosts").unlink()
    told = join().execute("1", wait_seconds=50)
    assert told.state == "NOT RUN", told.text
    assert "Failed to authenticate SSHClient" in told.text
    assert "its provisioner says" not in told.text
