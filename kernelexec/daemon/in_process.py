"""`kernelexec --in-process`: the hub and the client that starts it in one process, as in a container.

The hub is the one that a bridge starts, behind the same door: others join it (`docker exec -i`).
This process's own client comes through that door too, by the bridge, which has two threads beside the hub's
loop. So there is one way to serve a client. A hub that is there already is joined; when ours is ended by a
command or gives way to a newer one, the process goes on as a bridge.

It ends when its client has, no other is connected and nothing runs; and for SIGTERM at once. Kernels live on,
as always, unless the container ends with this process: then they are ended first, so that whoever comes next
is told why.
"""

from __future__ import annotations

import _thread
import asyncio
import gc
import os
import stat
import sys
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from kernelexec import paths
from kernelexec.bridge import rendezvous, stdio
from kernelexec.errors import HubUnavailable

if TYPE_CHECKING:
    from kernelexec.hub.hub import Hub

_LOOK_SECONDS = 0.2  # between two looks whether what runs has ended, once the client has gone
_LONG_SECONDS = 3600.0
_LAST_WORDS_SECONDS = 1.0
_CONTAINER_ENDED = "its container was stopped"


def main() -> int:
    """Be a hub and serve one client. Exit status as that of a bridge."""
    has_client = not _is_null(0)
    try:
        paths.make_private_dir(paths.runtime_dir(os.environ))
        log = rendezvous.open_log(paths.log_file(os.environ))
        # Without a client it is there to be the hub, sooner or later: with it a container would end.
        lock = rendezvous.take_lock(os.environ, wait=not has_client)
    except HubUnavailable:
        return stdio.main()  # the bridge tells its client
    return stdio.main() if lock is None else _serve(lock, log, has_client)


def _serve(lock: int, log: int, has_client: bool) -> int:
    client = stdio.Client(*_set_apart(log), dict(os.environ))
    kept = rendezvous.of_hub(client.environ)
    os.environ.clear()  # kernels and installers get their caller's
    os.environ.update(kept)
    hub_ended, bridge_ended = Event(), Event()

    def end() -> None:
        """Its client's input has ended: as a bridge it ends too; the hub does when nobody needs it."""
        if hub_ended.is_set():
            stdio.end_after_last_words(client)

    bridge = stdio.Bridge(client, end)

    def pass_lines() -> None:
        bridge.serve()
        bridge_ended.set()

    if has_client:
        _thread.start_new_thread(pass_lines, ())
    gc.disable()  # until it is the hub: see rendezvous
    # Here: who finds a hub does not wait for all that it takes to be one.
    from kernelexec.daemon.process import be_hub

    status = be_hub(lock, _InProcess(bridge, has_client))
    hub_ended.set()
    if has_client:  # as long as it is there, else until it has been passed the last answers
        bridge_ended.wait(None if bridge.has_client else _LAST_WORDS_SECONDS)
    return status


class _InProcess:
    """Until its client has gone and nothing runs; without a client to begin with, until it is stopped."""

    def __init__(self, bridge: stdio.Bridge, has_client: bool) -> None:
        self.seconds = _LOOK_SECONDS if has_client else _LONG_SECONDS
        self._bridge = bridge
        self._has_client = has_client

    def is_needed(self, hub: Hub) -> bool:
        return not self._has_client or self._bridge.has_client or hub.is_working

    async def leave(self, hub: Hub) -> bool:
        self._bridge.leave()
        if not _is_containers():
            return False
        with_jobs = [session.stop_jobs(f"Stopped: {_CONTAINER_ENDED}.") for session in hub.sessions]
        kernels = [session.stop_kernel(_CONTAINER_ENDED) for session in hub.sessions]
        await asyncio.gather(*with_jobs, *kernels)
        return True


def _set_apart(log: int) -> tuple[int, int]:
    """The client's two descriptors, where nothing else of this process reads or writes by mistake."""
    apart = os.dup(0), os.dup(1)  # not inherited
    with open(os.devnull, "rb") as null:
        os.dup2(null.fileno(), 0)
    os.dup2(log, 1)
    os.close(log)
    return apart


def _is_null(descriptor: int) -> bool:
    """Whether nobody will ever say anything there, as in a container without `-i`."""
    found = os.fstat(descriptor)
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == os.stat(os.devnull).st_rdev


def _is_containers() -> bool:
    """Whether the container ends with this process: it, or an init that waits for it, is the first."""
    if sys.platform != "linux":
        return False
    try:
        first = Path("/proc/1/cmdline").read_bytes()
    except OSError:
        return False
    return first.endswith(b"\0--in-process\0")
