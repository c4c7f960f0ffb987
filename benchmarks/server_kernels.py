"""A thousand kernels on a server: what each costs the hub, and how all come back after the network was away.

    .venv/bin/python -m benchmarks.server_kernels [--kernels 1000]

Our own kernels/servers and its links, in this process, with a fake server in another: it answers at once and
has no kernels to run, so what is measured is the client's side.

29 November 2026, two processors that others used, too (load 3): 4.3 ms of processor and 132 kB to start a
kernel, 0.3 ms a call, 4.6 % of a processor for a thousand that are idle. After the network was away for 0, 5
and 30 seconds, a thousand runs that waited for it were done 2.3, 1.8 and 2.1 seconds after it was back.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil

from kernelexec.kernels.host import Launch
from kernelexec.kernels.linked_kernel import LinkedKernel
from kernelexec.kernels.servers import ServerKernels

_AT_ONCE = 50
_IDLE_SECONDS = 66.0  # each is looked for once a minute


class Server:
    """The fake one, and what it says of itself."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kernels.fake_kernel_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def ask(self, order: str, **about: Any) -> Any:
        request = Request(f"{self.url}/fake/{order}", json.dumps(about).encode(), method="POST")
        with urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


def processor() -> float:
    return sum(psutil.Process().cpu_times()[:2])


def memory() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


async def all_of(count: int, each: Callable[[int], Awaitable[None]]) -> None:
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> None:
        async with room:
            await each(number)

    await asyncio.gather(*map(one, range(count)))


def show(what: str, told: str) -> None:
    print(f"{what:38} {told}", flush=True)


async def measure(server: Server, count: int) -> None:
    environ = {"ENV_TYPE": "gateway", "GATEWAY_URL": server.url, "JUPYTER_TOKEN": "t"}
    launch = Launch((), Path.cwd(), environ, kind="server", host=server.url, kernelspec="python3")
    host = ServerKernels()
    kernels: list[LinkedKernel] = []

    async def start(_: int) -> None:
        kernel = await host.start(launch, lambda message: None)
        await kernel.ready()
        kernels.append(kernel)

    async def call(number: int) -> None:
        await kernels[number].execute(*kernels[number].pack("1 + 1"))

    await start(0)  # imports, and the text of the programs that move in
    before, began, cpu = memory(), time.perf_counter(), processor()
    await all_of(count - 1, start)
    took, cpu, grown = time.perf_counter() - began, processor() - cpu, memory() - before
    show(
        f"start {count}",
        f"{took:.1f} s, {cpu / count * 1e3:.1f} ms of processor and {grown / count / 1e3:.0f} kB each",
    )
    began, cpu = time.perf_counter(), processor()
    await all_of(count, call)
    took, cpu = time.perf_counter() - began, processor() - cpu
    show("a call on each", f"{took:.2f} s, {cpu / count * 1e3:.2f} ms of processor each")
    said, cpu = server.ask("state"), processor()
    await asyncio.sleep(_IDLE_SECONDS)
    cpu, asked = processor() - cpu, server.ask("state")["requests"] - said["requests"]
    show("idle", f"{cpu / _IDLE_SECONDS:.1%} of a processor, {asked / _IDLE_SECONDS:.1f} requests a second")
    for away in (0.0, 5.0, 30.0):
        await storm(server, kernels, away)
    cpu = processor()
    await all_of(count, lambda number: end(kernels[number]))
    show("end all", f"{(processor() - cpu) / count * 1e3:.1f} ms of processor each")


async def end(kernel: LinkedKernel) -> None:
    await kernel.stop("the benchmark ends")


async def storm(server: Server, kernels: list[LinkedKernel], away: float) -> None:
    """All links drop at once, and none comes about for some time; each has a run that waits."""
    said = server.ask("faults", status=502 if away else 0)
    cpu, began = processor(), time.perf_counter()
    server.ask("drop")
    runs = [asyncio.ensure_future(kernel.execute(*kernel.pack("1 + 1"))) for kernel in kernels]
    await asyncio.sleep(away)
    waiting, tried = processor() - cpu, server.ask("state")["requests"] - said["requests"]
    server.ask("faults")
    back, cpu = time.perf_counter(), processor()
    await asyncio.gather(*runs)
    took = time.perf_counter() - back
    theirs = server.ask("state")["cpu"] - said["cpu"]
    told = f"all runs done {took:.1f} s after it is back; processor: {processor() - cpu:.1f} s"
    told += f", the server's {theirs:.1f} s"
    if away:
        told += f"; meanwhile {waiting / (back - began):.0%} of a processor, {tried} tries"
    show(f"dropped, away for {away:.0f} s", told)


def main() -> None:
    parser = argparse.ArgumentParser(description="Many kernels on one server.")
    parser.add_argument("--kernels", type=int, default=1000)
    options = parser.parse_args()
    logging.disable()  # each link that drops is told of
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 16_384), most))  # the server's, too
    server = Server()
    try:
        asyncio.run(measure(server, options.kernels))
    finally:
        server.close()


if __name__ == "__main__":
    main()
