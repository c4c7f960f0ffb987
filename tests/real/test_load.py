"""One session that keeps its hub busy, and the others beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import psutil
import pytest

from tests.real.clients import Client, Reply
from tests.real.home import Home

_LONGEST_WAIT = 1.0  # seconds, while a machine does nothing else; a busy one is given three times that
_ROOM = 150_000_000  # bytes that the hub may grow by


def watch(hub: int, running: Future[Reply], other: Client) -> tuple[list[float], int]:
    """How long another session's calls take meanwhile, and by how much the hub has grown at most."""
    process = psutil.Process(hub)
    before = process.memory_info().rss
    Path(f"/proc/{hub}/clear_refs").write_text("5")  # the peak begins anew
    waits: list[float] = []
    while not running.done():
        began = time.perf_counter()
        assert other.execute("1 + 1").block("result") == "2"
        waits.append(time.perf_counter() - began)
    status = Path(f"/proc/{hub}/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return waits, peak - before


@pytest.mark.parametrize(
    ("code", "size"),
    [
        ("for _ in range(30_000): print('x' * 9_999)", 300_000_000),
        ("for _ in range(3): print('x' * 100_000_000)", 300_000_003),
    ],
    ids=["small pieces", "large pieces"],
)
def test_others_are_answered_while_a_session_prints_hundreds_of_megabytes(
    connect: Callable[..., Client], shared_home: Home, code: str, size: int
) -> None:
    printer, other = (connect(shared_home, shared_home.project(f"load-{n}-{size}")) for n in range(2))
    printer.execute("1")
    other.execute("1")
    running = printer.start(code)
    waits, grown = watch(shared_home.hub(), running, other)
    reply = running.result()
    assert reply.state == "OK"
    assert reply.text.rstrip().endswith("x" * 100), "and not that a flush was given up"
    kept = shared_home.storage / f"{reply.session}-1" / "outputs" / f"{reply.number:04}.txt"
    assert kept.stat().st_size == size
    assert len(waits) > 3
    assert max(waits) < 3 * _LONGEST_WAIT
    assert sorted(waits)[len(waits) * 9 // 10] < _LONGEST_WAIT
    assert grown < _ROOM
