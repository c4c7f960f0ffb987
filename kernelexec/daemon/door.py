"""The hub's door: lock and socket in the runtime directory, which it makes anew where they are deleted.

Anything may clean up /tmp. Then no client finds the hub any more, and the next one starts another: which must
not have the sessions. So the hub looks now and then whether its door is there; and it holds a second lock, in
the state directory, by which a hub that was started meanwhile knows of it, leaves, and lets it come back.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from kernelexec import paths
from kernelexec.bridge import rendezvous
from kernelexec.errors import HubUnavailable
from kernelexec.kernels.process import boot_id
from kernelexec.plain_file import open_plain

_log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5  # three calls of stat; a client that finds no hub waits for so long at most
GIVE_WAY_SECONDS = 10.0

Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Claim:
    """The lock in the state directory: whose it is, is the only hub of its runtime directory.

    Where the state directory cannot be written, that is left open.
    """

    def __init__(self) -> None:
        self._path = Path(paths.state_dir(os.environ), f"hub-{_place()}.lock")
        self._lock: int | None = None

    def take(self) -> bool:
        """Whether no other hub lives, whose door was deleted; then none can until this is let go."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = open_plain(self._path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            _log.warning("it cannot be told whether another hub lives: %s", error)
            return True
        if not _is_free(lock):
            os.close(lock)
            return False
        if self._lock is not None:
            os.close(self._lock)
        self._lock = lock
        return True

    def renew(self) -> None:
        """Take it once more where its file was deleted."""
        if self._lock is not None and not _is_at(str(self._path), os.fstat(self._lock)) and not self.take():
            _log.error("the lock %s was deleted, and another hub has taken it", self._path)

    def let_go(self) -> None:
        if self._lock is not None:
            if _is_at(str(self._path), os.fstat(self._lock)):  # each boot has one of its own
                self._path.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None


class Door:
    """Held by one hub for its life."""

    def __init__(self, lock: int, claim: Claim, accept: Accept, limit: int) -> None:
        self._lock = lock  # a descriptor of hub.lock, locked
        self._claim = claim
        self._accept = accept
        self._limit = limit
        self._runtime_dir = paths.runtime_dir(os.environ)
        self._socket_path = rendezvous.socket_path(os.environ)
        self._socket: os.stat_result | None = None
        self._held = self._hold()
        self._server: asyncio.Server | None = None
        self._is_troubled = False
        self._is_to_tell = False  # that something was made anew

    def listen(self) -> socket.socket:
        """From here on clients wait instead of starting a hub."""
        # We hold the lock, so a socket that is here belongs to a hub that is gone.
        Path(self._socket_path).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            listener.bind(self._socket_path)
        finally:
            os.umask(before)
        self._socket = os.stat(self._socket_path)
        listener.listen(128)
        return listener

    async def open(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=self._limit)

    async def keep(self, made_anew: Callable[[], None]) -> None:
        """Until it is cancelled. `made_anew`: is called when something had to be."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self._claim.renew()
                self._is_to_tell = await self._look() or self._is_to_tell
                if self._is_to_tell:
                    made_anew()
                self._is_to_tell = self._is_troubled = False
            except (OSError, HubUnavailable) as error:
                if not self._is_troubled:
                    _log.warning("the runtime directory %s cannot be made anew: %s", self._runtime_dir, error)
                self._is_troubled = True

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        if _is_at(self._socket_path, self._socket):
            Path(self._socket_path).unlink(missing_ok=True)

    def release(self) -> None:
        """The next hub may begin."""
        os.close(self._lock)
        os.close(self._held)

    async def _look(self) -> bool:
        """Whether something was made anew."""
        has_lock = _is_at(rendezvous.lock_path(os.environ), os.fstat(self._lock))
        if has_lock and _is_at(self._socket_path, self._socket):
            return False
        if not has_lock:
            paths.make_private_dir(self._runtime_dir)
            lock = rendezvous.take_lock(os.environ)
            if lock is None:  # a hub that was started meanwhile, and is about to leave
                return False
            try:
                held = self._hold()
            except OSError:  # deleted once more
                os.close(lock)
                raise
            self.release()
            self._lock, self._held = lock, held
        former = self._server
        await self.open(self.listen())
        if former is not None:
            former.close()  # its connections stay
        _log.warning("the hub's place in %s was deleted, and is made anew", self._runtime_dir)
        return True

    def _hold(self) -> int:
        """Cleaners of /tmp spare a directory that somebody holds locked."""
        held = os.open(self._runtime_dir, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(held, fcntl.LOCK_SH)
        return held


def _place() -> str:
    """The runtime directory, in a word, also while it is deleted. A home may be shared by machines and
    containers, which have directories of the same path and must not wait for each other's hubs."""
    path = os.path.realpath(paths.runtime_dir(os.environ))
    parent = os.stat(os.path.dirname(path))
    try:
        device = os.stat(path).st_dev  # a container may have it mounted
    except OSError:
        device = parent.st_dev
    said = f"{boot_id()} {device} {parent.st_dev} {parent.st_ino} {path}"
    return hashlib.sha256(os.fsencode(said)).hexdigest()[:12]


def _is_free(lock: int) -> bool:
    """Whether nobody else has it; then we have."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def give_way(lock: int) -> None:
    """Let the other hub have the door; returns once it has. Until then clients wait for us to be it."""
    os.close(lock)
    path = rendezvous.socket_path(os.environ)
    deadline = time.monotonic() + GIVE_WAY_SECONDS
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS / 5)


def _is_at(path: str, known: os.stat_result | None) -> bool:
    try:
        return known is not None and os.path.samestat(os.stat(path), known)
    except OSError:
        return False
