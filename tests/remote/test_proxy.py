"""A Jupyter server behind a real nginx: TLS of an own authority, a subpath, time limits, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.real.clients import Client
from tests.real.home import Home, eventually, until
from tests.remote import main_job
from tests.remote.nginx import PATH, Proxy, nginx
from tests.remote.servers import KernelServer
from tests.remote.wire_cutter import WireCutter

pytestmark = pytest.mark.timeout(300)
Use = Callable[..., Client]


@pytest.fixture
def server(start_server: Callable[..., KernelServer]) -> KernelServer:
    return start_server(f"--ServerApp.base_url={PATH}", path=PATH)


def test_the_whole_main_job_through_tls_and_below_a_path(
    use: Use, home: Home, server: KernelServer, tmp_path: Path
) -> None:
    with nginx(tmp_path / "nginx", server.port) as proxy:
        cutter = WireCutter(proxy.port)
        url = f"https://127.0.0.1:{cutter.port}{PATH}"
        trust = str(proxy.certificate)
        main_job.whole(
            lambda: use(home, server, GATEWAY_URL=url, GATEWAY_CA_FILE=trust), home, cutter, tmp_path
        )
        cutter.close()


def test_a_proxy_s_time_limit_ends_no_run(use: Use, home: Home, server: KernelServer, tmp_path: Path) -> None:
    """It closes a connection on which nothing came for a second."""
    with nginx(tmp_path / "nginx", server.port, timeout="1s") as proxy:
        client = through(use, home, server, proxy)
        gate, begun = tmp_path / "gate", tmp_path / "begun"
        running = client.execute(f"{until(gate, begun)}6 * 7", wait_seconds=0)
        eventually(begun.exists)
        eventually(lambda: home.log().count("is up again") >= 2)
        gate.write_text("")
        assert client.wait_for(running.id, wait_seconds=40).block("result") == "42"


def test_each_refusal_of_a_proxy_has_its_words(
    use: Use, home: Home, server: KernelServer, tmp_path: Path
) -> None:
    with nginx(tmp_path / "nginx", server.port) as proxy:
        told = use(home, server, GATEWAY_URL=f"https://127.0.0.1:{proxy.port}{PATH}").execute("1")
        assert "is not trusted" in told.text, told.text
        told = use(home, server, GATEWAY_URL=proxy.redirecting).execute("1")
        assert f"redirects to https://127.0.0.1:{proxy.port}{PATH}" in told.text, told.text
        found = use(home, server, GATEWAY_URL=proxy.without_upgrade).call("diagnose_setup", {})
        assert "does not pass the Upgrade header" in found.text, found.text
        client = through(use, home, server, proxy)
        assert client.execute("x = 1", wait_seconds=50).state == "OK"
        server.kill()
        eventually(lambda: "is down: " in home.log())
        told = client.execute("x", wait_seconds=2)
        assert "does not reach the server (502)" in told.text, told.text
        server.start_again()
        told = client.wait_for(told.id, wait_seconds=50)
        assert "its server does not know it any more" in told.text, told.text


def through(use: Use, home: Home, server: KernelServer, proxy: Proxy) -> Client:
    url = f"https://127.0.0.1:{proxy.port}{PATH}"
    return use(home, server, GATEWAY_URL=url, GATEWAY_CA_FILE=str(proxy.certificate))
