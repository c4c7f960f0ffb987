"""Kernels on real servers, each server in a home of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.real.clients import Client
from tests.real.conftest import (  # noqa: F401 - fixtures
    Connect,
    connect,
    data_home,
    home,
    new_home,
    place,
    portal,
    shared_home,
    venv,
)
from tests.real.home import Home
from tests.remote.servers import TOKEN, KernelServer


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., KernelServer]]:
    """`start_server("--option=value")`: a jupyter_server that ends with the test."""
    with ExitStack() as servers:

        def started(*options: str) -> KernelServer:
            server = KernelServer(tmp_path / f"server-{len(list(tmp_path.iterdir()))}", *options)
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
