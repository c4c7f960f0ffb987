"""What a call costs when there have been many before it in the same kernel: nothing may grow with use.

    make bench            # or: .venv/bin/python -m benchmarks.growth [--calls 50000] [--windows 10]

For each window of calls the median latency, the processor time of hub and kernel for a call, and their
memory. Compare the last window with the first: processor times also on a machine that others use, latencies
only on a quiet one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from dataclasses import dataclass

import psutil

from benchmarks.latency import COUNT, KERNELEXEC, Place, Run, client
from benchmarks.neighbours import hub_of

_WARM_UP = 100  # calls


@dataclass(frozen=True)
class Window:
    latency: float  # seconds, the median
    cpu: dict[str, float]  # seconds for a call, by process
    memory: dict[str, int]  # bytes at its end

    def row(self, calls: int) -> str:
        parts = [
            f"{name} {self.cpu[name] * 1e3:6.3f} ms {self.memory[name] / 1e6:6.1f} MB" for name in self.cpu
        ]
        return f"{calls:7} calls   {self.latency * 1e3:7.2f} ms   " + "   ".join(parts)


def kernel_of(hub: psutil.Process) -> psutil.Process:
    """The one kernel of a hub: its keeper's child."""
    (keeper,) = hub.children()
    (kernel,) = keeper.children()
    return kernel


async def window(run: Run, calls: int, processes: dict[str, psutil.Process]) -> Window:
    before = {name: _cpu(process) for name, process in processes.items()}
    seconds = []
    for _ in range(calls):
        began = time.perf_counter()
        await run(COUNT)
        seconds.append(time.perf_counter() - began)
    return Window(
        statistics.median(seconds),
        {name: (_cpu(process) - before[name]) / calls for name, process in processes.items()},
        {name: process.memory_info().rss for name, process in processes.items()},
    )


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def main() -> None:
    parser = argparse.ArgumentParser(description="Whether a call's cost grows with use.")
    parser.add_argument("--calls", type=int, default=50_000)
    parser.add_argument("--windows", type=int, default=10)
    options = parser.parse_args()
    each = options.calls // options.windows
    place = Place()
    try:
        async with client(KERNELEXEC, place.environ, place.project()) as (run, _):
            await run("x = 0")
            for _ in range(_WARM_UP):
                await run(COUNT)
            hub = hub_of(place)
            processes = {"hub": hub, "kernel": kernel_of(hub)}
            found: list[Window] = []
            for number in range(options.windows):
                found.append(await window(run, each, processes))
                print(found[-1].row((number + 1) * each), f"  load {os.getloadavg()[0]:.1f}", flush=True)
        first, last = found[0], found[-1]
        print(f"\nlast / first: latency {last.latency / first.latency:.3f}", end="")
        for name in processes:
            grown = (last.memory[name] - first.memory[name]) / max(1, options.calls - each)
            print(f"   {name} {last.cpu[name] / first.cpu[name]:.3f}, {grown:+.0f} bytes a call", end="")
        print()
    finally:
        place.remove()


if __name__ == "__main__":
    asyncio.run(main())
