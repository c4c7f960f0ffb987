"""Real hubs, kernels and clients, each test or module in a home of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Protocol

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from playwright.sync_api import Browser

from tests.journals import replayed
from tests.real.clients import Client, RawClient, official_client
from tests.real.conda.tool import Conda, made_conda
from tests.real.home import Home
from tests.real.jupyter import JupyterServer, chromium, jupyter_server

_own = count(1)  # project directories of single tests

# What a shell starts in the background ignores Control-C, and so would each program that is started here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Connect(Protocol):
    """`connect(home, cwd, VARIABLE=...)`: an official client, closed at the test's end."""

    def __call__(self, home: Home, cwd: Path | None = None, **environ: str) -> Client: ...


class ConnectRaw(Protocol):
    """The same for the crude client, which has already been initialized."""

    def __call__(self, home: Home, cwd: Path | None = None, **environ: str) -> RawClient: ...


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    """Where the official clients' event loop runs, so that tests can be plain functions."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A folder for this run of the tests, with a name that is easy to read in replies."""
    path = Path(tempfile.mkdtemp(prefix="kxtest-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def venv(place: Path) -> Path:
    """A virtual environment without any package, so also without ipykernel."""
    path = place / "plain"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", path], check=True)
    return path


@pytest.fixture(scope="session")
def data_home(place: Path) -> Path:
    """An XDG_DATA_HOME that is shared, because copying ipykernel into it takes seconds."""
    path = place / "data"
    path.mkdir()
    return path


@pytest.fixture(scope="session")
def conda() -> Conda:
    """A real conda with a channel of its own: python, pip, kx-words 1.0 and 2.0, kx-tool, activate-demo."""
    return made_conda()


@pytest.fixture(scope="session")
def conda_prefix(conda: Conda, place: Path) -> Path:
    """A conda environment with Python and pip, which nobody may change."""
    return conda.create(place / "conda environment")


@contextmanager
def _home(place: Path, data_home: Path, venv: Path, **environ: str) -> Iterator[Home]:
    path = Path(tempfile.mkdtemp(prefix="home-", dir=place))
    home = Home(path, data_home, venv, **environ)
    yield home
    said = home.log()
    left = home.close()
    assert not left, "left behind:\n" + "\n".join(left) + f"\nhub.log:\n{home.log()}"
    assert home.may_log_tracebacks or "Traceback" not in said, said
    if not home.breaks_journals:
        for journal in home.path.rglob(".kernelexec/*.jsonl"):
            replayed(journal)
    shutil.rmtree(home.path)


@pytest.fixture
def new_home(place: Path, data_home: Path, venv: Path) -> Iterator[Callable[..., Home]]:
    """`new_home(VARIABLE=...)`: homes that end with the test."""
    with ExitStack() as homes:
        yield lambda **environ: homes.enter_context(_home(place, data_home, venv, **environ))


@pytest.fixture
def home(new_home: Callable[..., Home]) -> Home:
    """A home of the test's own, in which nothing runs yet."""
    return new_home()


@pytest.fixture(scope="module")
def shared_home(place: Path, data_home: Path, venv: Path) -> Iterator[Home]:
    """A home for all tests of a module that do not end each other's hubs and kernels."""
    with _home(place, data_home, venv) as home:
        yield home


@pytest.fixture
def connect(portal: BlockingPortal) -> Iterator[Connect]:
    with ExitStack() as clients:
        opened = partial(official_client, portal)
        yield lambda home, cwd=None, **environ: clients.enter_context(opened(home, cwd, **environ))


@pytest.fixture
def connect_raw() -> Iterator[ConnectRaw]:
    with ExitStack() as clients:

        def connected(home: Home, cwd: Path | None = None, **environ: str) -> RawClient:
            client = clients.enter_context(RawClient(home, cwd, **environ))
            client.initialize()
            return client

        yield connected


@pytest.fixture
def client(connect: Connect, shared_home: Home) -> Client:
    """A client in the shared home, whose session the whole module shares."""
    return connect(shared_home)


@pytest.fixture
def own_client(connect: Connect, shared_home: Home) -> Client:
    """A client in the shared home that works in a project, and so has a session, of the test's own."""
    return connect(shared_home, shared_home.project(f"own-{next(_own)}"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser; the test is skipped where there is none, and fails in CI.

    Not for the whole session: while Playwright runs, no other event loop can in this thread.
    """
    with chromium() as browser:
        yield browser


@pytest.fixture
def jupyter() -> Iterator[Callable[..., JupyterServer]]:
    """`jupyter(home, folder)`: a JupyterLab without kernelexec's help, which ends with the test."""
    with ExitStack() as servers:
        yield lambda home, folder, command=(), **environ: servers.enter_context(
            jupyter_server(home, folder, command, **environ)
        )
