"""A JupyterHub with its proxy: a person's own server, reached with a token of the hub's."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest

from tests.real.clients import Client
from tests.real.conftest import Connect
from tests.real.home import Home, eventually, until
from tests.remote import main_job
from tests.remote.servers import TOKEN, free_port
from tests.remote.wire_cutter import WireCutter

pytestmark = pytest.mark.timeout(300)
_INSTALLED = Path(__file__).parents[2] / ".remote"
_CONFIG = """c = get_config()
c.JupyterHub.bind_url = 'http://127.0.0.1:{port}'
c.JupyterHub.hub_bind_url = 'http://127.0.0.1:{hub}'
c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:{api}'
c.ConfigurableHTTPProxy.command = ['{proxy}']
c.JupyterHub.authenticator_class = 'dummy'
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = 'simple'
c.SimpleLocalProcessSpawner.home_dir_template = '{home}/{{username}}'
c.Spawner.cmd = ['{bin}/jupyterhub-singleuser']
c.Spawner.args = ['--allow-root']
c.Spawner.ip = '127.0.0.1'
c.Spawner.pre_spawn_hook = lambda spawner: spawner.user.name == 'bea' and spawner.args.extend([
    '--MappingKernelManager.cull_idle_timeout=3', '--MappingKernelManager.cull_interval=1',
    '--MappingKernelManager.cull_connected=True'])
c.Spawner.environment = {{'PATH': '{bin}:/usr/local/bin:/usr/bin:/bin'}}
c.JupyterHub.services = [{{'name': 'tests', 'api_token': '{token}'}}]
c.JupyterHub.load_roles = [{{'name': 'tests', 'services': ['tests'],
                            'scopes': ['admin:users', 'admin:servers', 'admin:server_state',
                                       'access:servers', 'list:users']}}]
"""


class JupyterHub:
    """One, with the server of a user called ada, which runs. bea's kernels are ended when they are idle."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._bin, proxy = _INSTALLED / "hub" / "bin", _INSTALLED / "npm/node_modules/.bin"
        self.port = free_port()
        config = folder / "config.py"
        config.write_text(
            _CONFIG.format(
                port=self.port,
                hub=free_port(),
                api=free_port(),
                proxy=proxy / "configurable-http-proxy",
                home=folder / "home",
                bin=self._bin,
                token=TOKEN,
            )
        )
        self._log = folder / "hub.log"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [self._bin / "jupyterhub", "-f", config],
                cwd=folder,
                env={"PATH": f"{self._bin}:/usr/local/bin:/usr/bin:/bin", "HOME": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def begin(self) -> None:
        eventually(lambda: "version" in (self._api("GET", "/") or ()), 60)
        self.start()

    @property
    def url(self) -> str:
        return self.url_of("ada")

    def url_of(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/user/{name}"

    def start(self, name: str = "ada") -> None:
        """A person's server; who is not known yet is from now on."""
        self._api("POST", f"/users/{name}")
        self._api("POST", f"/users/{name}/server")
        eventually(lambda: self._server(name).get("ready"), 60)

    def stop(self) -> None:
        self._api("DELETE", "/users/ada/server")
        eventually(lambda: not self._server("ada"), 60)

    def kill_server(self) -> None:
        """That of ada, with its kernels, as the system's OOM killer does."""
        server = psutil.Process(self._server("ada")["state"]["pid"])
        family = [server, *server.children(recursive=True)]
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()

    def _server(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._api("GET", f"/users/{name}").get("servers", {}).get("", {})
        return found

    def _api(self, method: str, path: str) -> Any:
        request = Request(
            f"http://127.0.0.1:{self.port}/hub/api{path}",
            b"{}" if method == "POST" else None,
            {"Authorization": f"token {TOKEN}"},
            method=method,
        )
        try:
            with urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"{}")
        except HTTPError as error:
            return {"status": error.code}
        except OSError:
            assert self.process.poll() is None, self._log.read_text()
            return None

    def close(self) -> None:
        print(self._log.read_text()[-3000:])
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.process.pid).children(recursive=True)
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
            for each in family:
                with suppress(psutil.NoSuchProcess):
                    each.kill()


@pytest.fixture(scope="module")
def jupyterhub(place: Path) -> Iterator[JupyterHub]:
    if not (_INSTALLED / "hub/bin/jupyterhub").exists() or shutil.which("node") is None:
        pytest.skip("make servers installs it, and it needs node")
    hub = JupyterHub(place / "jupyterhub")
    try:
        hub.begin()
        yield hub
    finally:
        hub.close()


def hub_client(connect: Connect, home: Home, url: str, token: str = TOKEN) -> Client:
    settings = {"ENV_TYPE": "gateway", "GATEWAY_URL": url, "JUPYTER_TOKEN": token}
    return connect(home, home.project("far"), **settings)


def test_the_whole_main_job_through_the_hub_s_proxy(
    connect: Connect, home: Home, jupyterhub: JupyterHub, tmp_path: Path
) -> None:
    cutter = WireCutter(jupyterhub.port)
    url = jupyterhub.url.replace(str(jupyterhub.port), str(cutter.port))
    main_job.whole(lambda: hub_client(connect, home, url), home, cutter, tmp_path)
    cutter.close()


def test_each_refusal_has_its_words(connect: Connect, home: Home, jupyterhub: JupyterHub) -> None:
    refused = hub_client(connect, home, jupyterhub.url, "not-this-one").execute("1")
    assert "does not accept the token" in refused.text, refused.text
    nowhere = hub_client(connect, home, jupyterhub.url.replace("/user/ada", "/nowhere")).execute("1")
    assert "There is no Jupyter server at" in nowhere.text or "log in" in nowhere.text, nowhere.text


def test_a_server_that_the_hub_stops_and_starts_again_is_told_and_so_is_the_loss(
    connect: Connect, home: Home, jupyterhub: JupyterHub
) -> None:
    ours = hub_client(connect, home, jupyterhub.url)
    assert ours.execute("x = 6 * 7", wait_seconds=50).state == "OK"
    jupyterhub.stop()
    eventually(lambda: "is down: " in home.log())
    told = ours.execute("x", wait_seconds=5)
    assert "is not running (424)" in told.text, told.text
    jupyterhub.start()
    again = ours.wait_for(told.id, wait_seconds=50)
    assert again.state in ("NOT RUN", "DIED"), again.text
    assert "its server does not know it any more" in again.text
    assert ours.execute("'x' in dir()", wait_seconds=50).block("result") == "False"


def test_a_server_that_is_killed_in_the_midst_of_a_run_is_told(
    connect: Connect, home: Home, jupyterhub: JupyterHub, tmp_path: Path
) -> None:
    """The hub notices by itself, and starts none anew: that the person does."""
    ours = hub_client(connect, home, jupyterhub.url)
    begun = tmp_path / "begun"
    running = ours.execute(until(tmp_path / "never", begun), wait_seconds=0)
    eventually(begun.exists)
    jupyterhub.kill_server()
    eventually(lambda: "is down: " in home.log())
    told = ours.wait_for(running.id, wait_seconds=1)
    assert "not known whether the run goes on" in told.text, told.text
    jupyterhub.stop()
    jupyterhub.start()
    ended = ours.wait_for(running.id, wait_seconds=50)
    assert ended.state == "DIED", ended.text
    assert ours.execute("6 * 7", wait_seconds=50).block("result") == "42"


def test_a_long_run_is_not_culled_and_an_idle_kernel_is(
    connect: Connect, home: Home, jupyterhub: JupyterHub
) -> None:
    ours = hub_client(connect, home, jupyterhub.url_of("bea"))
    jupyterhub.start("bea")  # her kernels are ended after 3 seconds
    busy = ours.execute("import time; time.sleep(8); 'not culled'", wait_seconds=50)
    assert busy.block("result") == "'not culled'", busy.text
    eventually(lambda: "idle for too long" in ours.call("list_kernels", {}).text)
    told = ours.execute("1")
    assert told.state == "NOT RUN", told.text
    assert "idle for too long" in told.text
