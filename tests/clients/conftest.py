"""Each client once a module, in a project of its own: its tests share a session, and none needs another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from tests.clients.assistant import Assistant
from tests.clients.programs import CLIENTS, Client
from tests.real.conftest import data_home, home, new_home, place, shared_home, venv  # noqa: F401 - fixtures
from tests.real.home import Home

Opened = Callable[[Client], Assistant]


@pytest.fixture(scope="module")
def opened(shared_home: Home) -> Iterator[Opened]:  # noqa: F811 - the fixture
    """The client, started when it is first asked for."""
    assistants: dict[str, Assistant] = {}
    with ExitStack() as ends:

        def assistant(client: Client) -> Assistant:
            if client.name not in assistants:
                started = client.start(shared_home, shared_home.project(client.project))
                assistants[client.name] = ends.enter_context(closing(started))
            return assistants[client.name]

        yield assistant


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Client:
    found: Client = request.param
    return found


@pytest.fixture
def assistant(client: Client, opened: Opened) -> Assistant:
    return opened(client)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`client` is each of them, or those that a test's `only` mark wants."""
    if "client" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("only")
        wanted = [client for client in CLIENTS if only is None or only.args[0](client)]
        metafunc.parametrize("client", wanted, ids=[client.project for client in wanted], indirect=True)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "only(wanted): the clients for which `wanted(client)` is true")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One client after the other, so that not all of them run at once."""
    items.sort(key=_client_of)


def _client_of(item: pytest.Item) -> str:
    parameters = (
        item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    )
    client = parameters.get("client")
    return client.name if isinstance(client, Client) else "~"  # last, when the environment is prepared
