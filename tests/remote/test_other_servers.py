"""The main job on each kind of server that people run, as far as `make servers` has installed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.clients import Client
from tests.real.home import Home, eventually, until
from tests.remote.servers import KernelServer, Program

_INSTALLED = Path(__file__).parents[2] / ".remote"  # an environment for each

_PROGRAMS = {
    "kernel gateway": (
        "kg",
        Program(
            (
                "jupyter-kernelgateway",
                "--KernelGatewayApp.ip=127.0.0.1",
                "--KernelGatewayApp.port=PORT",
                "--KernelGatewayApp.port_retries=0",
                "--KernelGatewayApp.auth_token=TOKEN",
            ),
            status="kernelspecs",
        ),
    ),
    "enterprise gateway": (
        "eg",
        Program(
            (
                "jupyter-enterprisegateway",
                "--EnterpriseGatewayApp.ip=127.0.0.1",
                "--EnterpriseGatewayApp.port=PORT",
                "--EnterpriseGatewayApp.port_retries=0",
                "--EnterpriseGatewayApp.auth_token=TOKEN",
            ),
            {"EG_PROHIBITED_UIDS": "", "EG_UNAUTHORIZED_USERS": "nobody"},  # tests may run as root
            status="kernelspecs",
        ),
    ),
    "jupyter-server-documents": (
        "jsd",
        Program(
            (
                *("jupyter-server", "--no-browser", "--allow-root"),
                "--ServerApp.ip=127.0.0.1",
                "--ServerApp.port=PORT",
                "--ServerApp.port_retries=0",
                "--ServerApp.root_dir=WORK",
                "--IdentityProvider.token=TOKEN",
            )
        ),
    ),
}


@pytest.fixture(params=_PROGRAMS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KernelServer]:
    folder, program = _PROGRAMS[request.param]
    command = _INSTALLED / folder / "bin" / program.words[0]
    if not command.exists():
        pytest.skip("make servers installs it")
    server = KernelServer(
        tmp_path / "server",
        program=Program((str(command), *program.words[1:]), program.environ, program.status),
    )
    yield server
    server.close()


def test_the_main_job_is_the_same_on_each(
    use: Callable[..., Client], home: Home, server: KernelServer, tmp_path: Path
) -> None:
    client = use(home, server)
    first = client.execute("x = 6 * 7\nprint('hello')\nx", wait_seconds=50)
    assert (first.state, first.block("stdout"), first.block("result")) == ("OK", "hello", "42"), first.text
    assert client.config()["interrupts"] == "reach only the run they are meant for"
    asked = client.execute("print(input('Name? ').upper())", wait_seconds=30)
    assert "ANN" in client.call("send_input", {"execution_id": asked.id, "text": "ann"}).text, asked.text
    many = client.execute("for n in range(100_000): print(f'{n:099d}')", wait_seconds=50)
    file = Path(next(word for word in many.text.split() if "/outputs/" in word).strip(".,;:()"))
    assert file.read_text().splitlines() == [f"{n:099d}" for n in range(100_000)]
    begun = tmp_path / "begun"
    running = client.execute(until(tmp_path / "never", begun), wait_seconds=0)
    eventually(begun.exists)
    assert client.call("interrupt_kernel", {"session": running.session}).state == "INTERRUPTED"
    assert client.execute("x").block("result") == "42"
    assert not client.call("restart_kernel", {"session": first.session}).is_error
    assert "NameError" in client.execute("x", wait_seconds=50).verdict
    died = client.execute("import os; os._exit(3)", wait_seconds=50)
    assert died.state == "DIED", died.text
    assert client.execute("1 + 1", wait_seconds=50).block("result") == "2"
