"""Jupyter servers as somebody else runs them: their own home, their own port, a token."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil

from tests.real.home import eventually
from tests.remote.machines import Machine
from tests.remote.wire_cutter import WireCutter

TOKEN = "s3cret-token-of-these-tests-0123456789"
_START_SECONDS = 90.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass(frozen=True)
class Program:
    """A kind of server: how it is started. In the words, PORT, WORK and TOKEN stand for what they say."""

    words: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    status: str = "status"  # what of its REST interface it answers once it is up


JUPYTER_SERVER = Program(
    (
        *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port=PORT",
        "--ServerApp.port_retries=0",
        "--ServerApp.root_dir=WORK",
        "--IdentityProvider.token=TOKEN",
    )
)


class KernelServer:
    """A server on loopback; it can be killed, stopped and started again at the same address."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        program: Program = JUPYTER_SERVER,
        certificate: Path | None = None,
        path: str = "",
        machine: Machine | None = None,
    ) -> None:
        """`certificate`: it speaks TLS with that (PEM, with its key beside it as `.key`).

        `path`: of its base address, which options have told it.

        `machine`: on whose loopback it listens; from this one it is reached by its `wire`.
        """
        self._program = program
        self._entering = () if machine is None else machine.entering
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        self.port = free_port()
        self.wire = None if machine is None else WireCutter(self.port, machine.connection)
        self.url = f"http://127.0.0.1:{self.wire.port if self.wire else self.port}{path}"
        self._options = options
        self._trust: ssl.SSLContext | None = None
        if certificate is not None:
            self.url = f"https://127.0.0.1:{self.port}{path}"
            self._trust = ssl.create_default_context(cafile=certificate)
            key = certificate.with_suffix(".key")
            self._options += (f"--ServerApp.certfile={certificate}", f"--ServerApp.keyfile={key}")
        self._log = folder / "server.log"
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        settings = {name: str(self.folder / name.lower()) for name in _PLACES}
        environ = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(self.folder), **settings}
        environ.update(self._program.environ)
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [*self._entering, *map(self._filled, self._program.words), *self._options],
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
                return self.api(self._program.status) is not None
            return False

        eventually(answers, _START_SECONDS)
        return process

    def _filled(self, word: str) -> str:
        for name, value in (("PORT", str(self.port)), ("WORK", str(self.work)), ("TOKEN", TOKEN)):
            word = word.replace(name, value)
        return word

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def api(self, path: str, method: str = "GET", body: object = None) -> Any:
        """The answer of the server's REST interface; None where it knows no such thing."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}/api/{path}", data, {"Authorization": f"token {TOKEN}"}, method=method)
        try:
            with urlopen(request, timeout=30, context=self._trust) as answer:
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
        if self.wire is not None:
            self.wire.close()

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
