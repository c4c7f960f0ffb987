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
from tests.real.home import Home, eventually
from tests.remote.servers import TOKEN, free_port

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
c.Spawner.environment = {{'PATH': '{bin}:/usr/local/bin:/usr/bin:/bin'}}
c.JupyterHub.services = [{{'name': 'tests', 'api_token': '{token}'}}]
c.JupyterHub.load_roles = [{{'name': 'tests', 'services': ['tests'],
                            'scopes': ['admin:users', 'admin:servers', 'access:servers', 'list:users']}}]
"""


class JupyterHub:
    """One, with the server of a user called ada, which runs."""

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
        self._api("POST", "/users/ada")
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/user/ada"

    def start(self) -> None:
        self._api("POST", "/users/ada/server")
        eventually(lambda: self._api("GET", "/users/ada").get("servers", {}).get("", {}).get("ready"), 60)

    def stop(self) -> None:
        self._api("DELETE", "/users/ada/server")
        eventually(lambda: not self._api("GET", "/users/ada")["servers"], 60)

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


@pytest.fixture
def jupyterhub(tmp_path: Path) -> Iterator[JupyterHub]:
    if not (_INSTALLED / "hub/bin/jupyterhub").exists() or shutil.which("node") is None:
        pytest.skip("make servers installs it, and it needs node")
    hub = JupyterHub(tmp_path / "hub")
    try:
        hub.begin()
        yield hub
    finally:
        hub.close()


def test_the_person_s_server_is_used_through_the_hubs_proxy_and_each_refusal_has_its_words(
    connect: Connect, home: Home, jupyterhub: JupyterHub
) -> None:
    def client(token: str, url: str) -> Client:
        settings = {"ENV_TYPE": "gateway", "GATEWAY_URL": url, "JUPYTER_TOKEN": token}
        return connect(home, home.project("far"), **settings)

    ours = client(TOKEN, jupyterhub.url)
    assert ours.execute("x = 6 * 7; x", wait_seconds=50).block("result") == "42"
    many = ours.execute("for n in range(100_000): print(f'{n:099d}')", wait_seconds=50)
    file = Path(next(word for word in many.text.split() if "/outputs/" in word).strip(".,;:()"))
    assert file.read_text().splitlines() == [f"{n:099d}" for n in range(100_000)]
    assert ours.execute("x").block("result") == "42"
    refused = client("not-this-one", jupyterhub.url).execute("1")
    assert "does not accept the token" in refused.text, refused.text
    nowhere = client(TOKEN, jupyterhub.url.replace("/user/ada", "/nowhere")).execute("1")
    assert "There is no Jupyter server at" in nowhere.text or "log in" in nowhere.text, nowhere.text
    jupyterhub.stop()
    eventually(lambda: "is down: " in home.log())
    told = ours.execute("x", wait_seconds=5)
    assert "is not running (424)" in told.text, told.text
    jupyterhub.start()
    again = ours.wait_for(told.id, wait_seconds=50)
    assert again.state in ("NOT RUN", "DIED"), again.text
    assert "its server does not know it any more" in again.text
