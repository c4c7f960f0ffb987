"""Jupyter servers as somebody else runs them: their own home, their own port, a token."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil

from tests.real.home import eventually

TOKEN = "s3cret-token-of-these-tests-0123456789"
_START_SECONDS = 90.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class KernelServer:
    """jupyter_server on loopback; it can be killed, stopped and started again at the same address."""

    def __init__(self, folder: Path, *options: str, base: str = "") -> None:
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{base}"
        self._options = (*options, *((f"--ServerApp.base_url={base}",) if base else ()))
        self._log = folder / "server.log"
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        settings = {name: str(self.folder / name.lower()) for name in _PLACES}
        environ = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(self.folder), **settings}
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
                    "--ServerApp.ip=127.0.0.1",
                    f"--ServerApp.port={self.port}",
                    "--ServerApp.port_retries=0",
                    f"--ServerApp.root_dir={self.work}",
                    f"--IdentityProvider.token={TOKEN}",
                    *self._options,
                ],
                env=environ,
                cwd=self.work,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

        def answers() -> bool:
            assert process.poll() is None, self.log
            with suppress(OSError):
                return bool(self.api("status", process=process))
            return False

        eventually(answers, _START_SECONDS)
        return process

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def api(self, path: str, method: str = "GET", body: object = None, process: object = None) -> Any:
        """The answer of the server's REST interface; None where it knows no such thing."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}/api/{path}", data, {"Authorization": f"token {TOKEN}"}, method=method)
        try:
            with urlopen(request, timeout=30) as answer:
                said = answer.read()
        except HTTPError as error:
            if error.code == 404:
                return None
            raise
        return json.loads(said) if said else {}

    def kernels(self) -> list[str]:
        return [str(kernel["id"]) for kernel in self.api("kernels")]

    def freeze(self) -> None:
        """It is there, and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As by the system's OOM killer; its kernels go with it."""
        self._end_all(signal.SIGKILL)

    def start_again(self) -> None:
        self.process = self._started()

    def close(self) -> None:
        print(self.log[-5000:])  # for who looks at a failure
        if self.process.poll() is None:
            self.thaw()
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        self._end_all(signal.SIGKILL)

    def _end_all(self, number: int) -> None:
        """With its kernels, which are in its session or in ones of their own."""
        if self.process.poll() is None:
            children = psutil.Process(self.process.pid).children(recursive=True)
            self.process.send_signal(number)
            self.process.wait(20)
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()


_PLACES = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
