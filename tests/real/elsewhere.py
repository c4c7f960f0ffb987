"""A kernel provisioner, as somebody's package brings it: test_provisioners.py copies it into an environment.

Its kernels are nobody's children and work in a folder of their own; of each it keeps a pid and its ports.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from typing import Any

from jupyter_client.provisioning import KernelProvisionerBase
from traitlets import Unicode

_CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
_START = """
import os, sys
folder, file = sys.argv[1:]
pid = os.fork()
if pid:
    print(pid, flush=True)
    os._exit(0)
os.setsid()
null = os.open(os.devnull, os.O_RDWR)
for number in (0, 1, 2):
    os.dup2(null, number)
os.chdir(folder)
os.execv(sys.executable, [sys.executable, "-m", "ipykernel_launcher", "-f", file])
"""


class Elsewhere(KernelProvisionerBase):  # type: ignore[misc]
    folder = Unicode("", config=True)
    pid = 0

    @property
    def has_process(self) -> bool:
        return self.pid > 0

    async def pre_launch(self, **options: Any) -> dict[str, Any]:
        if os.path.exists(os.path.join(self.folder, "full")):
            raise RuntimeError("no machine is free")
        return {"cmd": [], **await super().pre_launch(**options)}

    async def launch_kernel(self, cmd: list[str], **options: Any) -> Any:
        key = secrets.token_hex(8)
        info = {
            "transport": "tcp",
            "ip": "127.0.0.1",
            "signature_scheme": "hmac-sha256",
            **{f"{name}_port": port for name, port in zip(_CHANNELS, _free_ports(), strict=True)},
        }
        file = os.path.join(self.folder, f"{self.kernel_id}.json")
        _write(file, json.dumps({**info, "key": key}))
        environ = {name: value for name, value in os.environ.items() if not name.startswith("JPY_")}
        start = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _START,
            self.folder,
            file,
            stdout=subprocess.PIPE,
            env={**environ, "ELSEWHERE": "yes"},
        )
        self.pid = int((await start.communicate())[0])
        self.connection_info = {**info, "key": key.encode()}
        _write(os.path.join(self.folder, "started"), f"{self.pid}\n", "a")
        return self.connection_info

    async def poll(self) -> int | None:
        if os.path.exists(os.path.join(self.folder, "unreachable")):
            return 0  # as others do that cannot ask
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    async def wait(self) -> int | None:
        while await self.poll() is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        return 0

    async def send_signal(self, signum: int) -> None:
        os.kill(self.pid, signum)

    async def kill(self, restart: bool = False) -> None:
        await self.send_signal(signal.SIGKILL)

    async def terminate(self, restart: bool = False) -> None:
        await self.send_signal(signal.SIGTERM)

    async def cleanup(self, restart: bool = False) -> None:
        os.unlink(os.path.join(self.folder, f"{self.kernel_id}.json"))

    async def get_provisioner_info(self) -> dict[str, Any]:
        return {**await super().get_provisioner_info(), "pid": self.pid}

    async def load_provisioner_info(self, provisioner_info: dict[str, Any]) -> None:
        await super().load_provisioner_info(provisioner_info)
        self.pid = provisioner_info["pid"]


def _free_ports() -> list[int]:
    held = [socket.socket() for _ in _CHANNELS]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _write(file: str, text: str, mode: str = "w") -> None:
    with open(file, mode) as out:
        out.write(text)
