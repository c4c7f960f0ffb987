"""Real servers, each in a home of its own, a host that is reached by ssh, and a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.real.clients import Client
from tests.real.conftest import (  # noqa: F401 - fixtures
    Connect,
    connect,
    connect_raw,
    data_home,
    home,
    new_home,
    place,
    portal,
    shared_home,
    venv,
)
from tests.real.home import Home
from tests.remote.machines import Machines, two_machines
from tests.remote.node import Node
from tests.remote.servers import TOKEN, KernelServer
from tests.remote.slurm import Slurm, slurm
from tests.remote.sshd import FarHost, far_host


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., KernelServer]]:
    """`start_server("--option=value")`: a jupyter_server that ends with the test."""
    with ExitStack() as servers:

        def started(*options: str, path: str = "") -> KernelServer:
            server = KernelServer(tmp_path / f"server-{len(list(tmp_path.iterdir()))}", *options, path=path)
            servers.callback(server.close)
            return server

        yield started


@pytest.fixture(scope="module")
def shared_server(place: Path) -> Iterator[KernelServer]:  # noqa: F811
    """A jupyter_server for all tests of a module that leave it as it is."""
    server = KernelServer(place / "shared server")
    yield server
    server.close()


@pytest.fixture
def use(connect: Connect) -> Callable[..., Client]:  # noqa: F811
    """`use(home, server, VARIABLE=...)`: a client whose kernels are the server's."""

    def client(home: Home, server: KernelServer, **environ: str) -> Client:  # noqa: F811
        settings = {"ENV_TYPE": "gateway", "GATEWAY_URL": server.url, "JUPYTER_TOKEN": TOKEN}
        return connect(home, home.project("far"), **{**settings, **environ})

    return client


@pytest.fixture(scope="session")
def bare_host() -> Iterator[FarHost]:
    """A host of ssh's, perhaps without kernelexec."""
    with far_host() as far:
        yield far


@pytest.fixture(scope="session")
def far(bare_host: FarHost) -> FarHost:
    """The same, with kernelexec."""
    done = bare_host.install("--lab")
    assert done.returncode == 0, done.stderr
    done = bare_host.run(".local/share/kernelexec/program/bin/kernelexec exec 1")  # makes an environment
    assert done.returncode == 0, done.stderr
    return bare_host


@pytest.fixture(scope="session")
def machines() -> Iterator[Machines]:
    """A gateway and a node, with a cable between them."""
    with two_machines() as machines:
        yield machines


@pytest.fixture(scope="session")
def node(machines: Machines) -> Iterator[Node]:
    """A host of ssh's with what the launchers of kernels need."""
    with far_host(machines.node) as far:
        yield Node(far)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Slurm]:
    """A Slurm of one node with two processors; who has jobs there ends them."""
    with slurm() as cluster:
        yield cluster
