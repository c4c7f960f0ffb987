"""Kernels of ours that live, whether or not anything on disk says so.

A registry entry can be deleted or damaged, or not be there yet when a hub is killed; a directory of /tmp can
be cleaned up. The processes know: keeper and kernel have the kernel's directory in their command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from kernelexec.kernels.process import Process, identity
from kernelexec.plain_file import read_plain

COPY = "entry.json"  # of the registry entry, in the kernel's directory
_LAUNCHER = "launcher.py"
_OPTION = "--process-file"
_END_SECONDS = 5.0


@dataclass(frozen=True)
class Stray:
    """What lives of one kernel: processes that cannot be mistaken, by pid and identity."""

    kernel_id: str
    directory: Path  # which may be gone
    processes: tuple[tuple[int, str], ...]

    @property
    def has_begun(self) -> bool:
        """Whether anything may have run in it; true where that cannot be told.

        What has no copy of its registry entry was never in the registry, and so was sent nothing.
        """
        try:
            return bool(read_plain(self.directory / "begun").strip(b"\0"))
        except OSError:
            return not self.directory.is_dir() or os.path.lexists(self.directory / COPY)

    @property
    def is_alive(self) -> bool:
        return any(identity(pid) == known for pid, known in self.processes)

    def memory(self) -> int:
        """Resident memory in bytes."""
        total = 0
        for pid, known in self.processes:
            if identity(pid) == known:
                with contextlib.suppress(psutil.Error):
                    total += psutil.Process(pid).memory_info().rss
        return total

    async def end(self) -> None:
        """End them, and nothing that has got one of their pids since. Children go with their keeper."""
        held = []
        for pid, known in self.processes:
            with contextlib.suppress(ProcessLookupError):
                held.append(Process(pid, known))
        try:
            # The keeper is asked: it ends the kernel, and what the kernel has left behind.
            for number in (signal.SIGTERM, signal.SIGKILL):
                for process in held:
                    process.signal(number)
                ended = [process.ended for process in held if process.is_running]
                if not ended or not (await asyncio.wait(ended, timeout=_END_SECONDS))[1]:
                    return
        finally:
            for process in held:
                process.close()


def living(runtime_dir: Path) -> dict[str, Stray]:
    """All kernels that live and were started in this runtime directory, by their ids."""
    folder = os.path.join(os.path.realpath(runtime_dir), "k")
    ours = re.compile(re.escape(folder) + r"/([0-9a-f]{8})/process\.json")
    found: dict[str, list[tuple[int, str]]] = {}
    for pid, words in _command_lines():
        kernel_id = _kernel_of(words, ours)
        known = identity(pid) if kernel_id is not None else None
        if kernel_id is not None and known is not None:
            found.setdefault(kernel_id, []).append((pid, known))
    return {each: Stray(each, Path(folder, each), tuple(them)) for each, them in found.items()}


def _kernel_of(words: Sequence[str], ours: re.Pattern[str]) -> str | None:
    if _OPTION not in words or not any(os.path.basename(word) == _LAUNCHER for word in words):
        return None
    at = words.index(_OPTION) + 1
    path = words[at] if at < len(words) else ""
    # The directory may be gone, and the way to it may have been another.
    parent = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    is_ours = ours.fullmatch(parent)
    return is_ours[1] if is_ours else None


def _command_lines() -> Iterator[tuple[int, list[str]]]:
    """Of this user's processes."""
    if sys.platform != "linux":
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.uids().real == os.getuid():
                    yield process.pid, process.cmdline()
        return
    for name in os.listdir("/proc"):  # psutil takes ten times as long
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == os.getuid():
                    words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
                    yield int(name), [os.fsdecode(word) for word in words]
