"""The main job on each kind of server that people run, as far as `make servers` has installed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.clients import Client
from tests.real.home import Home
from tests.remote import main_job
from tests.remote.servers import KernelServer, Program
from tests.remote.wire_cutter import WireCutter

pytestmark = pytest.mark.timeout(300)
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


def test_the_whole_main_job_is_the_same_on_each(
    use: Callable[..., Client], home: Home, server: KernelServer, tmp_path: Path
) -> None:
    cutter = WireCutter(server.port)
    url = f"http://127.0.0.1:{cutter.port}"
    main_job.whole(lambda: use(home, server, GATEWAY_URL=url), home, cutter, tmp_path)
    client = use(home, server, GATEWAY_URL=url)
    last = client.execute("x = 1", wait_seconds=50)
    assert not client.call("restart_kernel", {"session": last.session}).is_error
    assert "NameError" in client.execute("x", wait_seconds=50).verdict
    cutter.close()
