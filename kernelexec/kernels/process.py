"""Processes that are not our children: who they are, when they end, how to signal them.

A pid alone names nobody: it is used again after its process ended, and means something else after
a reboot. An `identity` adds the process's start time and the boot, and no signal is ever sent to a
process whose identity was not checked.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from pathlib import Path

import psutil


def boot_id() -> str:
    """Changes with each boot (Linux; elsewhere the time of the boot)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(int(psutil.boot_time()))


def identity(pid: int) -> str | None:
    """What distinguishes this process from a later one with the same pid; None if there is none.

    Raises:
        OSError: it cannot be told, for want of file descriptors, say.
    """
    try:
        if sys.platform == "linux":
            # Field 22, in clock ticks since boot: unlike a time of day it stays when the clock is set.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return None if fields[0] in "ZX" else fields[19]
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
        return None


class Process:
    """A running process, held so that its pid cannot come to mean another one.

    Raises:
        ProcessLookupError: there is no such process (any more).
    """

    def __init__(self, pid: int, expected_identity: str | None = None) -> None:
        self.pid = pid
        self._descriptor = _watch(pid)
        found = identity(pid)
        if found is None or expected_identity not in (None, found):
            self.close()
            raise ProcessLookupError(pid)
        self.identity = found
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self._descriptor, self._on_end)

    @property
    def is_running(self) -> bool:
        return not self.ended.done()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; does nothing if the process has ended."""
        if not self.is_running:
            return
        try:
            if sys.platform == "linux":
                signal.pidfd_send_signal(self._descriptor, number)
            elif identity(self.pid) == self.identity:
                os.kill(self.pid, number)
        except ProcessLookupError:
            pass

    async def wait(self, seconds: float | None = None) -> bool:
        """Whether it ended within this time; None: wait for as long as it takes."""
        done, _ = await asyncio.wait({self.ended}, timeout=seconds)
        return bool(done)

    def memory(self) -> int | None:
        """Resident memory in bytes."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return None

    @property
    def is_stopped(self) -> bool:
        """Whether a signal or a debugger has stopped it."""
        try:
            if sys.platform == "linux":  # a read of /proc: psutil takes ten times as long
                stat = Path(f"/proc/{self.pid}/stat").read_text()
                return stat.rpartition(")")[2].split()[0] in "Tt"
            return bool(psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)
        except (OSError, psutil.Error):
            return False

    def cpu_seconds(self) -> float | None:
        """What it has used of all processors, without its children."""
        try:
            times = psutil.Process(self.pid).cpu_times()
        except psutil.Error:
            return None
        return float(times.user + times.system)

    def family_cpu_seconds(self) -> dict[int, float] | None:
        """By pid: what it has used, and what it has started and lives; with what has ended of that."""
        found: dict[int, float] = {}
        try:
            process = psutil.Process(self.pid)
            for each in (process, *process.children(recursive=True)):
                times = each.cpu_times()
                found[each.pid] = times.user + times.system + times.children_user + times.children_system
        except psutil.Error:
            return None
        return found

    def environ(self) -> dict[str, str]:
        """The environment variables it was started with; empty where they cannot be read."""
        try:
            return dict(psutil.Process(self.pid).environ())
        except (psutil.Error, OSError):
            return {}

    def close(self) -> None:
        """Stop watching. The process goes on."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            _unwatch(self._descriptor)
            self._descriptor = -1

    def _on_end(self) -> None:
        self.close()
        if not self.ended.done():
            self.ended.set_result(None)


if sys.platform == "linux":

    def _watch(pid: int) -> int:
        """A descriptor that becomes readable when the process ends."""
        return os.pidfd_open(pid)

    def _unwatch(descriptor: int) -> None:
        os.close(descriptor)

else:
    _queues: dict[int, select.kqueue] = {}

    def _watch(pid: int) -> int:
        """A descriptor that becomes readable when the process ends."""
        queue = select.kqueue()
        event = select.kevent(
            pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD | select.KQ_EV_ONESHOT, select.KQ_NOTE_EXIT
        )
        try:
            queue.control([event], 0)
        except OSError as error:
            queue.close()
            raise ProcessLookupError(pid) from error
        _queues[queue.fileno()] = queue  # a kqueue closes itself when nobody holds it
        return queue.fileno()

    def _unwatch(descriptor: int) -> None:
        _queues.pop(descriptor).close()
