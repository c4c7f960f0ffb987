"""What one session or client that keeps the hub busy costs the others, and the hub.

    make bench            # or: .venv/bin/python -m benchmarks.neighbours [NAME ...]

While one does its worst, another session's `1 + 1` is timed, over and over. `others wait` is the longest of
these, `hub` by how much its memory has grown at most and what of that is left two seconds later.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from benchmarks.latency import KERNELEXEC, Place, Run, client

_HANDSHAKE = [
    {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "neighbour", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
]
_UNREAD_SECONDS = 15.0

PRINTING = {
    "1 GB in 10 kB pieces": "for _ in range(100_000): print('x' * 9_999)",
    "1 GB in 200 MB pieces": "for _ in range(5): print('x' * 200_000_000)",
    "20,000 flushed lines": "for i in range(20_000): print(i, flush=True)",
    "one result of 200 MB": "'x' * 200_000_000",
    "one display of 60 MB of JSON": "display({'application/json': ['x' * 100] * 600_000}, raw=True)",
    "2,000 displays of 500 kB": "for i in range(2_000): display({'text/plain': 'x' * 500_000}, raw=True)",
    "2,000 updates of 500 kB": (
        "shown = display({'text/plain': ''}, raw=True, display_id=True)\n"
        "for i in range(2_000): shown.update({'text/plain': 'x' * 500_000}, raw=True)"
    ),
}
# Of a kernel that is not of our class, which splits no stream and puts no value into a file.
STOCK = {
    "stock kernel: a result of 200 MB": "'x' * 200_000_000",
    "stock kernel: 200 MB of lines": "print(('x' * 79 + '\\n') * 2_500_000)",
    "stock kernel: 60 MB of JSON": "display({'application/json': ['x' * 100] * 600_000}, raw=True)",
    "stock kernel: 200 displays of 5 MB": (
        "for i in range(200): display({'text/plain': 'x' * 5_000_000}, raw=True)"
    ),
    "stock kernel: 2,000 displays of 500 kB": (
        "for i in range(2_000): display({'text/plain': 'x' * 500_000}, raw=True)"
    ),
    "stock kernel: 20,000 displays of 2 kB": (
        "for i in range(20_000): display({'text/plain': 'x' * 2_000}, raw=True)"
    ),
    "stock kernel: an error of 50 MB": (
        "try: raise ValueError('x' * 50_000_000)\nexcept ValueError: get_ipython().showtraceback()"
    ),
}


async def _talk(place: Place, lines: list[bytes], *, reads: bool) -> None:
    """A client that sends this and reads the answers, or does not."""
    bridge = await asyncio.create_subprocess_exec(
        *KERNELEXEC,
        env=place.environ,
        cwd=place.project(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    assert bridge.stdin is not None
    assert bridge.stdout is not None
    for message in _HANDSHAKE:
        bridge.stdin.write(json.dumps(message).encode() + b"\n")
    await bridge.stdout.readline()
    answers = asyncio.ensure_future(
        _count(bridge.stdout, len(lines)) if reads else asyncio.sleep(_UNREAD_SECONDS)
    )
    for start in range(0, len(lines), 1_000):
        bridge.stdin.write(b"".join(lines[start : start + 1_000]))
        drained = asyncio.ensure_future(bridge.stdin.drain())
        await asyncio.wait({drained, answers}, return_when=asyncio.FIRST_COMPLETED)
        if answers.done():
            drained.cancel()
            break
    await answers
    bridge.kill()
    await bridge.wait()


async def _count(answers: asyncio.StreamReader, lines: int) -> None:
    for _ in range(lines):
        await answers.readline()


def _request(method: str, number: int) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method}).encode() + b"\n"


def talking(place: Place) -> dict[str, Callable[[], Awaitable[None]]]:
    broken = [b"{broken\n"] * 400_000
    pings = [_request("ping", number) for number in range(1, 400_001)]
    lists = [_request("tools/list", number) for number in range(1, 400_001)]
    return {
        "3 MB of broken lines": lambda: _talk(place, broken, reads=True),
        "3 MB of broken lines, unread": lambda: _talk(place, broken, reads=False),
        "20,000 pings": lambda: _talk(place, pings[:20_000], reads=True),
        "400,000 pings, unread": lambda: _talk(place, pings, reads=False),
        "400,000 tools/list, unread": lambda: _talk(place, lists, reads=False),
    }


def with_stock_kernel(place: Place) -> dict[str, str]:
    """The variables of a client whose kernel is ipykernel's own."""
    folder = place.root / "jupyter" / "kernels" / "stock"
    folder.mkdir(parents=True)
    # Not as ipykernel's own kernelspec has it, which our launcher would run.
    program = "from ipykernel.kernelapp import launch_new_instance as launch; launch()"
    argv = [sys.executable, "-c", program, "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "stock", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    chosen = {"ENV_TYPE": "kernelspec", "KERNEL_NAME": "stock", "JUPYTER_PATH": str(place.root / "jupyter")}
    return {**place.environ, **chosen}


def hub_of(place: Place) -> psutil.Process:
    """The hub of this place."""
    ours = place.environ["KERNELEXEC_RUNTIME_DIR"]
    for process in psutil.process_iter():
        try:
            is_hub = "kernelexec.daemon.process" in " ".join(process.cmdline())
            if is_hub and process.environ().get("KERNELEXEC_RUNTIME_DIR") == ours:
                return process
        except psutil.Error:
            continue
    raise ProcessLookupError("no hub")


async def beside(name: str, busy: Awaitable[object], other: Run, hub: psutil.Process) -> None:
    before = hub.memory_info().rss
    Path(f"/proc/{hub.pid}/clear_refs").write_text("5")  # the peak begins anew
    began = time.perf_counter()
    task = asyncio.ensure_future(busy)
    waits: list[float] = []
    while not task.done():
        asked = time.perf_counter()
        await other("1 + 1")
        waits.append(time.perf_counter() - asked)
    await task
    seconds = time.perf_counter() - began
    peak = int(Path(f"/proc/{hub.pid}/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
    await asyncio.sleep(2)
    left = hub.memory_info().rss
    median = statistics.median(waits)
    print(
        f"{name:30} {seconds:6.1f} s   others wait {max(waits):5.2f} s (median {median:5.3f})   hub "
        f"{(peak - before) / 1e6:+7.0f} MB, left {(left - before) / 1e6:+5.0f}   "
        f"load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description="What a bad neighbour costs.")
    parser.add_argument("names", nargs="*", help="parts of the names of those to measure; all by default")
    names = parser.parse_args().names
    place = Place()
    try:
        async with (
            client(KERNELEXEC, place.environ, place.project()) as (printer, _),
            client(KERNELEXEC, place.environ, place.project()) as (other, _),
            client(KERNELEXEC, with_stock_kernel(place), place.project()) as (stock, _),
        ):
            await printer("1")
            await stock("from IPython.display import display")
            await other("1")
            hub = hub_of(place)
            found: dict[str, Callable[[], Awaitable[object]]] = {
                **{name: (lambda code=code: printer(code)) for name, code in PRINTING.items()},
                **{name: (lambda code=code: stock(code)) for name, code in STOCK.items()},
                **talking(place),
            }
            for name, busy in found.items():
                if not names or any(part in name for part in names):
                    await beside(name, busy(), other, hub)
    finally:
        place.remove()


if __name__ == "__main__":
    asyncio.run(main())
