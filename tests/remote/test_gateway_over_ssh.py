"""Enterprise Gateway with kernels that it starts on another machine by ssh (DistributedProcessProxy)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.real.clients import Client
from tests.real.home import Home, eventually
from tests.remote import main_job
from tests.remote.machines import Machines
from tests.remote.node import INSTALLED, Node, gate
from tests.remote.servers import KernelServer, Program

pytestmark = pytest.mark.timeout(300)
_PROXY = "enterprise_gateway.services.processproxies.distributed.DistributedProcessProxy"
_KEEPS = (  # sessions of kernels over its own end
    "--EnterpriseGatewayApp.availability_mode=standalone",
    "--FileKernelSessionManager.enable_persistence=True",
    "--FileKernelSessionManager.persistence_root=WORK",
)


@pytest.fixture
def started(machines: Machines, node: Node, tmp_path: Path) -> Iterator[Callable[..., KernelServer]]:
    """`started("--option=value")`: a gateway that ends with the test, as its kernels do."""
    command = INSTALLED / "eg" / "bin" / "jupyter-enterprisegateway"
    if not command.exists():
        pytest.skip("make servers installs it")
    folder = tmp_path / "gateway"
    config = {"class_name": _PROXY, "config": {"remote_hosts": machines.node.address}}
    node.write_kernelspec(folder / "jupyter_data_dir" / "kernels" / "far", {"process_proxy": config})
    node.far.admit(folder)
    servers = []

    def start(*options: str) -> KernelServer:
        words = (
            str(command),
            "--EnterpriseGatewayApp.ip=127.0.0.1",
            "--EnterpriseGatewayApp.port=PORT",
            "--EnterpriseGatewayApp.port_retries=0",
            "--EnterpriseGatewayApp.auth_token=TOKEN",
            *options,
        )
        environ = {
            "EG_UNAUTHORIZED_USERS": "nobody",  # tests run as root
            "EG_REMOTE_USER": node.far.name,
            "EG_RESPONSE_IP": machines.gateway.address,
            "EG_KERNEL_LOG_DIR": str(node.far.home),
        }
        program = Program(words, environ, status="kernelspecs")
        servers.append(KernelServer(folder, program=program, machine=machines.gateway))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
    node.kill_kernels()
    print(node.logs())


@pytest.fixture
def over_ssh(use: Callable[..., Client], home: Home) -> Callable[[KernelServer], Client]:
    return lambda server: use(home, server, GATEWAY_KERNEL="far")


Over = Callable[[KernelServer], Client]
Started = Callable[..., KernelServer]


def test_the_whole_main_job_on_another_machine(
    over_ssh: Over, started: Started, home: Home, node: Node
) -> None:
    server = started()
    assert server.wire is not None
    client = over_ssh(server)
    first = client.execute("import getpass; getpass.getuser()", wait_seconds=50)
    assert first.block("result") == f"'{node.far.name}'", first.text
    assert f"Code reads and writes in {node.far.home} on kxnode" in first.text
    main_job.whole(partial(over_ssh, server), home, server.wire, node.folder("whole"))
    last = client.execute("x = 1", wait_seconds=50)
    assert not client.call("restart_kernel", {"session": last.session}).is_error
    assert "NameError" in client.execute("x", wait_seconds=50).verdict
    client.call("stop_kernel", {"session": last.session})
    eventually(lambda: not node.kernels())


def test_a_kernel_that_is_killed_on_its_machine_is_told_as_that(
    over_ssh: Over, started: Started, node: Node
) -> None:
    client = over_ssh(started())
    begun = client.execute("kept = 1", wait_seconds=50)
    running = client.execute("import time; time.sleep(600)", wait_seconds=1)
    node.kill_kernels()
    died = client.wait_for(running.id, wait_seconds=50)
    assert died.state == "DIED", died.text
    assert "its server says that its process ended, and has started another in its place" in died.text
    again = client.execute("'kept' in dir()", wait_seconds=50)
    assert (again.state, again.block("result")) == ("OK", "False"), again.text
    client.call("stop_kernel", {"session": begun.session})
    eventually(lambda: not node.kernels())


def test_a_gateway_that_is_killed_and_keeps_no_sessions_has_lost_its_kernel(
    over_ssh: Over, started: Started, node: Node
) -> None:
    server = started()
    client = over_ssh(server)
    assert client.execute("x = 1", wait_seconds=50).state == "OK"
    server.kill()
    server.start_again()
    told = client.execute("x", wait_seconds=50)
    assert told.state in ("NOT RUN", "DIED"), told.text
    assert "its server does not know it any more" in told.text
    assert client.execute("'x' in dir()", wait_seconds=50).block("result") == "False"


def test_a_run_outlives_a_gateway_that_keeps_sessions(
    over_ssh: Over, started: Started, home: Home, node: Node
) -> None:
    server = started(*_KEEPS)
    client = over_ssh(server)
    assert client.execute("x = 6 * 7", wait_seconds=50).state == "OK"
    code, begun, let_go = gate(node.folder("kept"))
    running = client.execute(f"print('before')\n{code}print('after')\nx", wait_seconds=0)
    eventually(begun.exists)
    server.kill()
    eventually(lambda: "is down: " in home.log())
    told = client.wait_for(running.id, wait_seconds=0)
    assert "not known whether the run goes on" in told.text, told.text
    let_go()
    server.start_again()
    ended = main_job.to_its_end(client, client.wait_for(running.id, wait_seconds=50))
    assert (ended.state, ended.block("stdout")) == ("OK", "before\nafter"), ended.text
    assert ended.block("result") == "42"
    assert client.execute("x + 1", wait_seconds=50).block("result") == "43"
    client.call("stop_kernel", {"session": running.session})
    eventually(lambda: not node.kernels())


def test_a_long_run_is_not_culled_and_of_an_idle_kernel_that_is_the_next_call_tells(
    over_ssh: Over, started: Started, node: Node
) -> None:
    """The gateway ends it without a word, on an open connection."""
    server = started(
        "--RemoteMappingKernelManager.cull_idle_timeout=3",
        "--RemoteMappingKernelManager.cull_interval=1",
        "--RemoteMappingKernelManager.cull_connected=True",
    )
    client = over_ssh(server)
    busy = client.execute("import time; time.sleep(8); 'not culled'", wait_seconds=50)
    assert busy.block("result") == "'not culled'", busy.text
    eventually(lambda: not node.kernels())
    told = client.execute("1", wait_seconds=50)
    assert told.state == "DIED", told.text
    assert "idle for too long" in told.text


def test_a_kernel_that_its_gateway_cannot_reach_is_ended_for_it_and_that_is_told_as_its_word(
    over_ssh: Over, started: Started, node: Node, machines: Machines
) -> None:
    """It takes a cable that is out for the kernel's end, at once."""
    client = over_ssh(started())
    code, begun, _ = gate(node.folder("cable"))
    running = client.execute(code, wait_seconds=0)
    eventually(begun.exists)
    with machines.parted():
        ended = main_job.to_its_end(client, client.wait_for(running.id, wait_seconds=50))
    assert ended.state == "DIED", ended.text
    assert "its server says that its process ended" in ended.text
    again = client.execute("6 * 7", wait_seconds=50)
    assert (again.state, again.block("result")) == ("OK", "42"), again.text


def test_what_a_gateway_says_of_a_machine_that_it_cannot_enter_is_told(
    over_ssh: Over, started: Started
) -> None:
    server = started()
    (server.folder / ".ssh" / "known_hosts").unlink()
    told = over_ssh(server).execute("1", wait_seconds=50)
    assert told.state == "NOT RUN", told.text
    assert "Failed to authenticate SSHClient" in told.text, told.text
    assert "token" not in told.text
