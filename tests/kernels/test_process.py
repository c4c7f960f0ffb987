"""Processes: real children, watched from outside as an adopted kernel is."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kernelexec.kernels.process import Process, boot_id, identity
from tests.fakes import run

_WAITING = "import sys; print(1, flush=True); sys.stdin.read()"


@contextmanager
def child(program: str = _WAITING) -> Iterator[subprocess.Popen[str]]:
    """A Python that has printed a line; it is gone and reaped at the end."""
    command = [sys.executable, "-S", "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_the_end_of_a_process_is_told() -> None:
    async def test() -> None:
        with child() as process:
            watched = Process(process.pid)
            assert watched.is_running
            assert not await watched.wait(0.01)
            process.kill()
            assert await watched.wait(5)
            assert not watched.is_running
            assert await watched.wait(0)

    run(test())


def test_a_process_is_known_by_more_than_its_pid() -> None:
    async def test() -> None:
        with child() as process:
            known = identity(process.pid)
            assert known is not None
            Process(process.pid, known).close()
            with pytest.raises(ProcessLookupError):
                Process(process.pid, "another start time")

    run(test())


def test_two_processes_have_different_identities_and_one_keeps_its_own() -> None:
    with child() as first:
        before = identity(first.pid)
        assert identity(first.pid) == before
        assert before is not None


def test_a_process_that_has_ended_cannot_be_held() -> None:
    async def test() -> None:
        with child() as process:
            process.kill()
            process.wait()
            assert identity(process.pid) is None
            with pytest.raises(ProcessLookupError):
                Process(process.pid)

    run(test())


def test_a_zombie_has_ended() -> None:
    async def test() -> None:
        with child() as process:
            watched = Process(process.pid)
            process.kill()
            assert await watched.wait(5)  # and nobody has reaped it
            assert identity(process.pid) is None
            with pytest.raises(ProcessLookupError):
                Process(process.pid)

    run(test())


def test_a_refused_process_holds_no_descriptor() -> None:
    async def test() -> None:
        with child() as process:
            before = len(os.listdir("/dev/fd"))
            for _ in range(3):
                with pytest.raises(ProcessLookupError):
                    Process(process.pid, "a stranger")
            assert len(os.listdir("/dev/fd")) == before

    run(test())


def test_a_name_with_brackets_and_spaces_confuses_nobody() -> None:
    program = (
        "import sys, ctypes; ctypes.CDLL(None).prctl(15, b'a) Z 1 (b', 0, 0, 0); "
        "print(1, flush=True); sys.stdin.read()"
    )
    if sys.platform != "linux":
        pytest.skip("prctl")
    with child(program) as process:
        found = identity(process.pid)
        assert found is not None
        assert found.isdigit()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_reaches_the_process(number: signal.Signals) -> None:
    async def test() -> None:
        with child() as process:
            watched = Process(process.pid)
            watched.signal(number)
            assert await watched.wait(5)
            assert process.wait() == -number

    run(test())


def test_a_signal_to_a_process_that_has_ended_reaches_nobody() -> None:
    async def test() -> None:
        with child() as process:
            watched = Process(process.pid)
            process.kill()
            process.wait()
            watched.signal(signal.SIGKILL)  # reaped, and the end not yet seen by the loop
            assert await watched.wait(5)
            watched.signal(signal.SIGKILL)

    run(test())


def test_a_process_that_is_let_go_of_lives_on() -> None:
    async def test() -> None:
        with child() as process:
            watched = Process(process.pid)
            watched.close()
            watched.close()
            await asyncio.sleep(0)
            assert process.poll() is None

    run(test())


def test_memory_is_that_of_the_process() -> None:
    async def test() -> None:
        with child() as process:
            watched = Process(process.pid)
            memory = watched.memory()
            assert memory is not None
            assert 1_000_000 < memory < 500_000_000
            process.kill()
            process.wait()
            assert await watched.wait(5)
            assert watched.memory() is None

    run(test())


def test_the_boot_stays_the_same() -> None:
    assert boot_id() == boot_id() != ""
