"""What a user waits for, beside what the parts cost without us, in one run.

    make bench            # or: .venv/bin/python benchmarks/latency.py [--rounds 10] [--calls 300]

raw        jupyter_client's AsyncKernelClient on a stock ipykernel, no MCP
noop       an MCP server in Python (the SDK's low-level one) whose only tool does nothing
kernelexec the real thing: bridge, hub, keeper, kernel, everything recorded

All with the interpreter that runs this file. Rounds are interleaved, so that a slow minute of the
machine hits everyone alike. Compare the ratios, not the milliseconds, between machines.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

COUNT = "x = x + 1 ; x"
KERNELEXEC = [sys.executable, "-m", "kernelexec"]
NOOP = """
import anyio
import mcp_types as t
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

async def tools(ctx, params):
    return t.ListToolsResult(tools=[t.Tool(name="execute_code", input_schema={"type": "object"})])

async def call(ctx, params):
    return t.CallToolResult(content=[t.TextContent(text="2")])

async def main():
    server = Server("noop", on_list_tools=tools, on_call_tool=call)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())

anyio.run(main)
"""

Run = Callable[[str], Awaitable[str]]


class Place:
    """A home, runtime and storage directory of our own."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="kxb", dir="/tmp"))
        self.projects = 0
        self.environ = {
            "HOME": str(self.root),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "KERNELEXEC_RUNTIME_DIR": str(self.root / "run"),
            "CODE_STORAGE_DIR": str(self.root / "storage"),
            "ENV_TYPE": "venv",
            "VENV_PATH": sys.prefix,
        }

    def project(self) -> Path:
        """A new client directory: a session of its own."""
        self.projects += 1
        path = self.root / f"project{self.projects}"
        path.mkdir()
        return path

    def stop(self) -> None:
        subprocess.run(
            [*KERNELEXEC, "stop", "--all"], env=self.environ, check=True, stdout=subprocess.DEVNULL
        )

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.root)


@asynccontextmanager
async def client(command: list[str], environ: dict[str, str], cwd: Path) -> AsyncIterator[tuple[Run, float]]:
    """A connected MCP client's execute_code, and the seconds until initialize was answered."""
    began = time.perf_counter()
    server = StdioServerParameters(command=command[0], args=command[1:], env=environ, cwd=str(cwd))
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        connected = time.perf_counter() - began

        async def run(code: str) -> str:
            result = await session.call_tool("execute_code", {"code": code})
            assert not result.is_error, result
            return "\n".join(block.text for block in result.content if block.type == "text")

        yield run, connected


@asynccontextmanager
async def raw_kernel() -> AsyncIterator[Run]:
    manager = AsyncKernelManager()
    await manager.start_kernel()
    kernel: AsyncKernelClient = manager.client()
    kernel.start_channels()
    await kernel.wait_for_ready()

    async def run(code: str) -> str:
        said: list[str] = []

        def hook(message: dict) -> None:
            if message["msg_type"] == "execute_result":
                said.append(message["content"]["data"]["text/plain"])

        await kernel.execute_interactive(code, output_hook=hook)
        return "".join(said)

    try:
        yield run
    finally:
        kernel.stop_channels()
        await manager.shutdown_kernel(now=True)


async def starts(place: Place, rounds: int) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {}

    def note(name: str, began: float) -> None:
        figures.setdefault(name, []).append(time.perf_counter() - began)

    for _ in range(rounds + 1):
        began = time.perf_counter()
        async with raw_kernel() as run:
            assert await run("1+1") == "2"
            note("raw: start → first result", began)
        async with client([sys.executable, "-c", NOOP], place.environ, place.root) as (_, connected):
            figures.setdefault("noop: start → initialize", []).append(connected)
        place.stop()
        cwd = place.project()
        began = time.perf_counter()
        async with client(KERNELEXEC, place.environ, cwd) as (run, _):
            assert "2" in await run("1+1")
            note("kernelexec: nothing running → first result", began)
            await run("kept = 12345")
        began = time.perf_counter()
        async with client(KERNELEXEC, place.environ, cwd) as (run, connected):
            figures.setdefault("kernelexec: warm hub, start → initialize", []).append(connected)
            assert "12345" in await run("kept")
            note("kernelexec: new client, existing kernel → first result", began)
        cwd = place.project()
        began = time.perf_counter()
        async with client(KERNELEXEC, place.environ, cwd) as (run, _):
            assert "2" in await run("1+1")
            note("kernelexec: warm hub, new kernel → first result", began)
    return {name: seconds[1:] for name, seconds in figures.items()}  # the first warms the page cache


async def calls(place: Place, count: int) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {}
    async with (
        raw_kernel() as raw,
        client([sys.executable, "-c", NOOP], place.environ, place.root) as (noop, _),
        client(KERNELEXEC, place.environ, place.project()) as (ours, _),
    ):
        runs = {"raw: call": raw, "noop: call": noop, "kernelexec: call": ours}
        for run in runs.values():
            await run("x = 0")
        for _ in range(count // 20):
            for name, run in runs.items():
                for _ in range(20):
                    began = time.perf_counter()
                    await run(COUNT)
                    figures.setdefault(name, []).append(time.perf_counter() - began)
    return {name: seconds[20:] for name, seconds in figures.items()}


async def together(place: Place, count: int, sessions: int = 8) -> dict[str, float]:
    """Calls a second of so many sessions at once, each of which makes its next call once it is answered."""

    async def rate(runs: list[Run]) -> float:
        async def use(run: Run) -> None:
            for _ in range(count):
                await run(COUNT)

        await asyncio.gather(*(run("x = 0") for run in runs))
        began = time.perf_counter()
        await asyncio.gather(*map(use, runs))
        return len(runs) * count / (time.perf_counter() - began)

    figures: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        raw = [await stack.enter_async_context(raw_kernel()) for _ in range(sessions)]
        ours = [
            (await stack.enter_async_context(client(KERNELEXEC, place.environ, place.project())))[0]
            for _ in range(sessions)
        ]
        for _ in range(3):
            for name, runs in (("raw", raw), ("kernelexec", ours)):
                figures.setdefault(name, []).append(await rate(runs))
    return {name: statistics.median(rates) for name, rates in figures.items()}


def show(figures: dict[str, list[float]], reference: str) -> None:
    base = statistics.median(figures[reference])
    for name, seconds in figures.items():
        seconds.sort()
        median = statistics.median(seconds)
        p90 = seconds[int(len(seconds) * 0.9)]
        print(f"{name:58} {median * 1e3:8.2f} ms   p90 {p90 * 1e3:8.2f} ms   {median / base:6.2f} x")


async def main() -> None:
    parser = argparse.ArgumentParser(description="Latency of kernelexec, side by side with its parts.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--calls", type=int, default=400)
    options = parser.parse_args()
    place = Place()
    try:
        print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}; medians; x: ratio to raw\n")
        show(await starts(place, options.rounds), "raw: start → first result")
        print()
        show(await calls(place, options.calls), "raw: call")
        print()
        rates = await together(place, options.calls // 4)
        for name, rate in rates.items():
            print(f"{name + ': 8 sessions at once':58} {rate:8.0f} calls/s {rate / rates['raw']:15.2f} x")
    finally:
        place.remove()


if __name__ == "__main__":
    asyncio.run(main())
