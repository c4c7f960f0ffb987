"""What it costs a person that the notebook's kernel is the assistant's: the relay, beside the kernel itself.

    make bench            # or: .venv/bin/python -m benchmarks.relay [--calls 500] [--starts 5]

direct  jupyter_client on the live kernel's own connection
relay   jupyter_client on a relay to the same kernel, as JupyterLab has it

A call is an execute_request, up to its reply and the kernel's idle. Calls alternate, so that a slow
minute of the machine hits both alike.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.real.test_launcher import TIMEOUT, Launched
from tests.real.test_relay import Live, is_relayed


def seconds_to_answer(start: Callable[[], Launched]) -> float:
    """From the start of the process to the first kernel_info_reply."""
    began = time.perf_counter()
    with start() as frontend:
        frontend.client.kernel_info(reply=True, timeout=TIMEOUT)
        return time.perf_counter() - began


def call(kernel: Launched) -> float:
    began = time.perf_counter()
    msg_id = kernel.send("x = 1")
    kernel.reply(msg_id)
    kernel.outputs(msg_id)
    return time.perf_counter() - began


def show(name: str, seconds: list[float]) -> None:
    seconds.sort()
    p99 = seconds[min(len(seconds) - 1, int(len(seconds) * 0.99))]
    print(f"{name:45} {statistics.median(seconds) * 1e3:8.2f} ms   p99 {p99 * 1e3:8.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description="What the relay adds.")
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--starts", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kxb", dir="/tmp") as place:
        live = Live(Path(place))
        try:
            measure(live, options.calls, options.starts)
        finally:
            live.close()


def measure(live: Live, calls: int, starts: int) -> None:
    joined: list[float] = []
    started: list[float] = []
    for _ in range(starts):
        joined.append(seconds_to_answer(lambda: live.frontend(connect=False)))
        started.append(seconds_to_answer(lambda: live.frontend("another@analysis-1.ipynb", connect=False)))
    show("relay: start → kernel_info_reply", joined)
    show("a new kernel: start → kernel_info_reply", started)
    with live.frontend() as frontend:
        assert is_relayed(frontend, live)
        direct: list[float] = []
        relayed: list[float] = []
        for _ in range(calls):
            direct.append(call(live.kernel))
            relayed.append(call(frontend))
        added = statistics.median(relayed) - statistics.median(direct)
        show("direct: call", direct)
        show("relay: call", relayed)
        print(f"{'the relay adds, in the median':45} {added * 1e3:8.2f} ms")


if __name__ == "__main__":
    main()
