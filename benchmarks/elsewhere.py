"""What a kernel elsewhere costs, beside the same thing at home in one run: each way that this machine has.

    .venv/bin/python -m benchmarks.elsewhere [NAME ...] [--calls 50]

home     a kernel of this machine
server   one of a Jupyter server, over its websocket
via      one at the end of ssh (KERNELEXEC_VIA); needs root and sshd, for a second user
host     the hub and all else at the end of ssh (KERNELEXEC_HOST); needs the same
box      one in a container (KERNELEXEC_VIA="podman exec -i NAME"); needs the image of `make container`
slurm    one in a Slurm job (KERNELEXEC_VIA=slurm); needs root and Slurm's Debian packages

All through an MCP client. start: the first result of a new kernel in an environment that is prepared; call:
the median of `x = x + 1; x`; bare: the same through a websocket of the server's with nothing of ours around
it, which acknowledges each message at once as ours does (else it takes 45 ms); 50 MB: printed in lines of 100
bytes; interrupt: until it is answered; death: of a run that kills its kernel, until that is told; relink: the
link is killed, until the next call is answered.

50 MB are 500,000 prints, one of 50 is one print of 50 MB. 30 November 2026, two processors, quiet:

               start        bare        call       50 MB   one of 50   interrupt       death      relink
    home    156.8 ms                  3.1 ms  3,603.2 ms    194.8 ms     71.0 ms     50.2 ms
    server  775.8 ms      4.1 ms      5.2 ms  3,335.9 ms    809.1 ms     61.2 ms  1,470.9 ms     73.5 ms
    host    143.9 ms                  3.6 ms  2,667.5 ms    232.4 ms     47.7 ms     47.5 ms    224.0 ms
    via     350.2 ms                  3.3 ms  2,989.9 ms    322.9 ms     72.6 ms     64.3 ms    500.8 ms

29 November 2026, with a load of 10 at the beginning and 16 at the end, so only what lies side by side can be
compared; at home again after the last, which shows by how much:

               start        call       50 MB   interrupt       death      relink
    home      939 ms       20 ms   18,252 ms      126 ms      111 ms
    server  2,031 ms       78 ms   21,155 ms      242 ms    1,387 ms      132 ms
    via     2,909 ms       36 ms   34,184 ms      609 ms      183 ms    1,512 ms
    host    1,245 ms       19 ms   21,087 ms      160 ms      166 ms      849 ms
    slurm   2,366 ms       64 ms   32,864 ms      240 ms    3,235 ms      960 ms
    home    1,546 ms       37 ms   25,684 ms      284 ms      169 ms
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
import websockets
from anyio.from_thread import BlockingPortal, start_blocking_portal

from kernelexec.kernels.websocket_frames import V1, frames_for
from kernelexec.kernels.wire import Wire
from tests.container.test_container import ENGINE, IMAGE, engine, has_image
from tests.real.clients import Client, official_client
from tests.real.home import Home
from tests.remote.main_job import prints_fifty_megabytes, to_its_end
from tests.remote.servers import TOKEN, KernelServer
from tests.remote.slurm import slurm
from tests.remote.sshd import far_host
from tests.remote.wire_cutter import WireCutter

_SHOWN = ("start", "bare", "call", "50 MB", "one of 50", "interrupt", "death", "relink")
_WAIT = 50.0


@dataclass(frozen=True)
class Way:
    """How a client is configured, and how its link is cut; None: it has none."""

    settings: dict[str, str] = field(default_factory=dict)
    cut: Callable[[Home], object] | None = None
    path: str = ""
    bare: Callable[[int], float] | None = None  # seconds of a call without us, the median of so many


@contextmanager
def at_home() -> Iterator[Way]:
    yield Way({"VENV_PATH": sys.prefix})


@contextmanager
def on_a_server() -> Iterator[Way]:
    with tempfile.TemporaryDirectory(prefix="kxserver") as folder:
        server = KernelServer(Path(folder, "server"))
        cutter = WireCutter(server.port)
        url = f"http://127.0.0.1:{cutter.port}"
        settings = {"ENV_TYPE": "gateway", "GATEWAY_URL": url, "JUPYTER_TOKEN": TOKEN, "VENV_PATH": ""}
        try:
            yield Way(settings, lambda _: cutter.cut(), bare=partial(bare_call, server))
        finally:
            cutter.close()
            with redirect_stdout(None):  # its log, for tests
                server.close()


def bare_call(server: KernelServer, calls: int) -> float:
    """Seconds, the median."""
    return asyncio.run(_bare_call(server, calls))


async def _bare_call(server: KernelServer, calls: int) -> float:
    kernel = server.api("kernels", "POST", {})["id"]
    address = f"ws{server.url.removeprefix('http')}/api/kernels/{kernel}/channels"
    token = {"Authorization": f"token {TOKEN}"}
    wire, packing = Wire(""), frames_for(V1)
    took = []
    async with websockets.connect(
        address, additional_headers=token, subprotocols=[websockets.Subprotocol(V1)], compression=None
    ) as socket:
        for code in ["x = 0", *["x = x + 1; x"] * calls]:
            began = time.perf_counter()
            msg_id, (_, _, *frames) = wire.pack("execute_request", {"code": code, "silent": False})
            await socket.send(packing.pack("shell", frames))
            missing = {"reply", "idle"}
            while missing:
                message = packing.unpack(await socket.recv())
                await socket.pong()
                if message.parent_id == msg_id:
                    missing -= {message.type.removeprefix("execute_"), message.content.get("execution_state")}
            took.append(time.perf_counter() - began)
    server.api(f"kernels/{kernel}", "DELETE")
    return statistics.median(took[1:])


@contextmanager
def over_ssh(variable: str) -> Iterator[Way]:
    with far_host() as far:
        done = far.run(
            ". ./.profile; .local/bin/uv venv -q e && .local/bin/uv pip install -q -p e ipykernel"
            if variable == "KERNELEXEC_VIA"
            else "true"
        )
        assert done.returncode == 0, done.stderr
        if variable == "KERNELEXEC_HOST":
            done = far.install()
            assert done.returncode == 0, done.stderr
        venv = "~/e" if variable == "KERNELEXEC_VIA" else ""
        kind = "" if venv else "default"
        yield Way(
            {variable: far.command, "VENV_PATH": venv, "ENV_TYPE": kind}, lambda home: end(home, "ssh ")
        )


@contextmanager
def in_a_container() -> Iterator[Way]:
    if not has_image():
        pytest.skip(f"no image {IMAGE}: make container")
    name = f"kx-{uuid4().hex[:8]}"
    engine("run", "-d", "--rm", "--name", name, "--entrypoint", "tini", IMAGE, "--", "sleep", "infinity")
    into = f"{ENGINE} exec -i {name}"
    try:
        settings = {"KERNELEXEC_VIA": into, "ENV_TYPE": "", "VENV_PATH": "/opt/environment"}
        yield Way(settings, lambda home: end(home, " exec -i "))
    finally:
        engine("rm", "--force", "--time", "0", name)


@contextmanager
def in_a_job() -> Iterator[Way]:
    with redirect_stdout(sys.stderr), slurm() as cluster:
        settings = {"KERNELEXEC_VIA": "slurm --mem=900 -n1", "ENV_TYPE": "", "VENV_PATH": sys.prefix}
        yield Way(settings, lambda home: end(home, "srun "), cluster.path)


WAYS = {
    "home": at_home,
    "server": on_a_server,
    "via": lambda: over_ssh("KERNELEXEC_VIA"),
    "host": lambda: over_ssh("KERNELEXEC_HOST"),
    "box": in_a_container,
    "slurm": in_a_job,
}


def end(home: Home, program: str) -> None:
    """Kill what holds the link."""
    held = [pid for pid, line in home.processes().items() if program in f"{line} ".replace("/", " ")[:200]]
    assert held
    for pid in held:
        psutil.Process(pid).kill()


def seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def measure(connect: Callable[[str], Client], home: Home, way: Way, calls: int) -> dict[str, float]:
    """In seconds."""
    warm = connect("warm")
    first = warm.execute("1", wait_seconds=_WAIT)
    assert first.state == "OK", first.text
    client, found = connect("measured"), {}
    found["start"] = seconds(lambda: client.execute("x = 0", wait_seconds=_WAIT))
    found["call"] = statistics.median(seconds(lambda: client.execute("x = x + 1; x")) for _ in range(calls))
    if way.bare is not None:
        found["bare"] = way.bare(calls)
    found["50 MB"] = seconds(lambda: prints_fifty_megabytes(client, reads=not host_keeps(way)))
    found["one of 50"] = seconds(lambda: prints_at_once(client))
    running = client.execute("import time; time.sleep(600)", wait_seconds=1)
    found["interrupt"] = seconds(lambda: client.call("interrupt_kernel", {"session": running.session}))
    if way.cut is not None:
        way.cut(home)
        found["relink"] = seconds(lambda: client.execute("x", wait_seconds=_WAIT))
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    found["death"] = seconds(lambda: client.execute(kill, wait_seconds=_WAIT))
    for each in (client, warm):
        for session in {first.session, running.session}:
            each.call("stop_kernel", {"session": session})
    return found


def prints_at_once(client: Client) -> None:
    reply = to_its_end(client, client.execute("print('x' * 50_000_000)", wait_seconds=_WAIT))
    assert reply.state == "OK", reply.text[:3000]


def host_keeps(way: Way) -> bool:
    """Whether what is kept is the other user's."""
    return "KERNELEXEC_HOST" in way.settings


def one(name: str, calls: int, portal: BlockingPortal, data_home: Path) -> dict[str, float]:
    with WAYS[name]() as way:
        place = Path(tempfile.mkdtemp(prefix="kxhome-"))
        home = Home(place, data_home, Path(sys.prefix))
        if way.path:
            home.environ["PATH"] = way.path
        try:
            with open_clients(portal, home, way) as connect:
                return measure(connect, home, way, calls)
        finally:
            home.close()
            shutil.rmtree(place)


@contextmanager
def open_clients(portal: BlockingPortal, home: Home, way: Way) -> Iterator[Callable[[str], Client]]:
    with ExitStack() as clients:
        yield lambda session: clients.enter_context(
            official_client(portal, home, home.project("p"), KERNELEXEC_SESSION=session, **way.settings)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="A kernel elsewhere, beside one at home.")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(WAYS)}; all by default")
    parser.add_argument("--calls", type=int, default=50)
    options = parser.parse_args()
    print(f"{'':8}" + "".join(f"{each:>12}" for each in _SHOWN), flush=True)
    with start_blocking_portal() as portal, tempfile.TemporaryDirectory(prefix="kxdata-") as data:
        for name in options.names or WAYS:
            try:
                found = one(name, options.calls, portal, Path(data))
            except pytest.skip.Exception as why:
                print(f"{name:8}  not measured: {why}", flush=True)
                continue
            told = [f"{found[each] * 1e3:,.1f} ms" if each in found else "" for each in _SHOWN]
            print(f"{name:8}" + "".join(f"{each:>12}" for each in told), flush=True)


if __name__ == "__main__":
    main()
