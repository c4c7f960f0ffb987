"""The hub's process: from its start by a bridge to its end."""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import json
import logging
import logging.handlers
import os
import resource
import shlex
import signal
import socket
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from kernelexec import __version__, paths
from kernelexec.bridge import rendezvous
from kernelexec.daemon.admin import serve_admin
from kernelexec.daemon.door import Claim, Door, give_way
from kernelexec.daemon.pages import serve_pages
from kernelexec.hub.caller import Caller, Near
from kernelexec.hub.environment_limits import FILE as LIMITS_FILE
from kernelexec.hub.hub import Hub
from kernelexec.kernels import hosts
from kernelexec.mcp_server.opening import READ_AHEAD, UNREAD, Opening

_log = logging.getLogger(__name__)

_IDLE_SECONDS = 600.0  # with neither client nor kernel; KERNELEXEC_HUB_IDLE_SECONDS overrides
_HELLO_SECONDS = 10.0
_LAST_WORDS_SECONDS = 1.0
_LONGEST_ID = 100  # characters of a caller's id, which is kept in journals
_LOG_BYTES = 2_000_000
_MANY_FILES = 8192
_TURN_SECONDS = 0.0001  # until the importing thread lets another have its turn; 0.005 is usual


def main() -> int:
    """Be the hub until nobody needs it. Exit status 0, also where another hub is there already."""
    parser = argparse.ArgumentParser(prog="kernelexec-hub")
    parser.add_argument("--lock", type=int, help="the locked descriptor of hub.lock, from who started us")
    lock = parser.parse_args().lock
    paths.make_private_dir(paths.runtime_dir(os.environ))
    if lock is None:
        lock = rendezvous.take_lock(os.environ)
        if lock is None:
            return 0
    os.set_inheritable(lock, False)
    return be_hub(lock, _ForAll(float(os.environ.get("KERNELEXEC_HUB_IDLE_SECONDS", _IDLE_SECONDS))))


class Stay(Protocol):
    """Why a hub stays, and what it does before it leaves."""

    @property
    def seconds(self) -> float:
        """For so long without connections; then as long as it is needed."""

    def is_needed(self, hub: Hub) -> bool:
        """Although nobody is connected."""

    async def leave(self, hub: Hub) -> bool:
        """The process is about to end: for a signal, or because nobody needs it.

        Whether clients are answered first: else their bridges ask the next hub what is open.
        """


class _ForAll:
    """The hub that a bridge has started stays for the next client, too. Its kernels live on without it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def is_needed(self, hub: Hub) -> bool:
        return hub.has_kernels

    async def leave(self, hub: Hub) -> bool:
        return False


def be_hub(lock: int, stay: Stay) -> int:
    """Be the hub until it ends. Exit status 0, 1 for a failure. `lock`: a descriptor of hub.lock, locked."""
    os.chdir("/")
    _allow_many_files()
    _start_log()
    claim = Claim()
    try:
        if claim.take():
            asyncio.run(_Daemon(lock, claim, stay).run())
        else:
            give_way(lock)
    except Exception:  # noqa: BLE001 - the edge of the process
        _log.exception("the hub failed")
        return 1
    finally:
        claim.let_go()
    return 0


class _Daemon:
    """Accepts connections and decides when to end."""

    def __init__(self, lock: int, claim: Claim, stay: Stay) -> None:
        runtime_dir = Path(paths.runtime_dir(os.environ))
        state_dir = Path(paths.state_dir(os.environ))
        self._server: asyncio.Task[ModuleType] | None = None  # of MCP, with the SDK; once it is imported
        self._door = Door(lock, claim, self._accept, READ_AHEAD)
        self._hub = Hub(
            runtime_dir,
            state_dir,
            hosts.here(runtime_dir, state_dir),
            Path(paths.config_dir(os.environ), LIMITS_FILE),
        )
        self._connections: dict[asyncio.Task[None], tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        self._watching: set[asyncio.Task[None]] = set()  # of these: what is no reason to stay
        self._from_elsewhere: dict[str, asyncio.StreamWriter] = {}  # by caller: clients of other hosts
        self._ending = asyncio.Event()
        self._is_leaving = False  # and not only giving way to another hub
        self._idle_handle: asyncio.TimerHandle | None = None
        self._stay = stay

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._leave)
        listener = self._door.listen()
        await self._hub.find_left()
        await self._door.open(listener)
        self._server = asyncio.create_task(asyncio.to_thread(_import_server))
        self._server.add_done_callback(self._on_imported)
        path = rendezvous.socket_path(os.environ)
        _log.info("hub %s started, pid %d, socket %s", __version__, os.getpid(), path)
        self._count_down()
        keeping = asyncio.create_task(self._door.keep(self._hub.keep_kernels))
        await self._ending.wait()
        if self._is_leaving and await self._stay.leave(self._hub):
            await self._answer_what_is_open()
        self._hub.closing = True
        keeping.cancel()
        self._door.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._hub.close()
        self._door.release()
        _log.info("hub ended")

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = reader, writer
        writer.transport.set_write_buffer_limits(high=UNREAD)
        if self._idle_handle is not None:
            self._idle_handle.cancel()
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the hub ends; asyncio would log a cancelled connection as a failure
        except ConnectionError:
            pass  # who asked did not wait for the answer, as the relay of a notebook that was closed
        except Exception:  # noqa: BLE001 - one connection's failure is not the others'
            _log.exception("a connection failed")
        finally:
            writer.close()
            del self._connections[task]
            self._count_down()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if _peer_uid(writer.get_extra_info("socket")) != os.getuid():
            _log.warning("a connection of another user was refused")
            return
        try:
            hello = _read_hello(await asyncio.wait_for(reader.readline(), _HELLO_SECONDS))
        except (ValueError, RecursionError, asyncio.TimeoutError, TimeoutError) as error:
            writer.write(rendezvous.answer("error", f"no hello line: {error}"))
            return
        if hello["protocol"] > rendezvous.PROTOCOL or _is_gone(hello):
            writer.write(rendezvous.answer("retire", __version__))
            _log.info("retiring for version %s", hello["version"])
            self._ending.set()
            return
        writer.write(rendezvous.answer("ok", __version__))
        caller = Caller(
            pid=hello["pid"],
            cwd=hello["cwd"],
            # Of the process that started the client it may be another directory.
            environ={**hello["environ"], "PWD": hello["cwd"]},
            near=Near.of(hello.get("near")),
        )
        if caller.near is not None and caller.near.version != __version__:
            caller.notices.append(_other_version(caller.near))
        if isinstance(hello.get("caller"), str):  # bridges of earlier versions give themselves no name
            caller.id = hello["caller"][:_LONGEST_ID]
        self._hub.meet(caller)
        if hello["role"] == "admin":
            await serve_admin(self._hub, reader, writer, self._ending)
        elif hello["role"] == "pages":
            await self._serve_pages(reader, writer)
        elif caller.near is not None:
            await self._serve_from_elsewhere(caller, reader, writer, _begun(hello))
        else:
            await self._serve_client(caller, reader, writer, _begun(hello))

    async def _serve_client(
        self,
        caller: Caller,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        begun: Mapping[int | str, float],
    ) -> None:
        assert self._server is not None
        opening = Opening(self._hub, caller)
        await opening.until(self._server, reader, writer)
        server = await asyncio.shield(self._server)
        await server.serve(self._hub, caller, reader, writer, begun, opening)

    async def _serve_from_elsewhere(
        self,
        caller: Caller,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        begun: Mapping[int | str, float],
    ) -> None:
        """A client whose link may have dropped without a word: its former connection is over then."""
        former = self._from_elsewhere.get(caller.id)
        if former is not None:
            former.transport.abort()
        self._from_elsewhere[caller.id] = writer
        try:
            await self._serve_client(caller, reader, writer, begun)
        finally:
            if self._from_elsewhere.get(caller.id) is writer:
                del self._from_elsewhere[caller.id]

    async def _serve_pages(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A JupyterLab, which stays connected for days and needs no hub."""
        task = asyncio.current_task()
        assert task is not None
        self._watching.add(task)
        self._count_down()
        try:
            await serve_pages(self._hub.pages, reader, writer)
        finally:
            self._watching.discard(task)

    def _count_down(self) -> None:
        """End after a while with neither client nor kernel."""
        if self._idle_handle is not None:
            self._idle_handle.cancel()
        loop = asyncio.get_running_loop()
        self._idle_handle = loop.call_later(self._stay.seconds, self._end_if_idle)

    def _end_if_idle(self) -> None:
        if self._connections.keys() - self._watching or self._stay.is_needed(self._hub):
            self._count_down()
        else:
            self._leave()

    async def _answer_what_is_open(self) -> None:
        """As if each client's input had ended, which has its own time for that."""
        for reader, writer in self._connections.values():
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's can
            reader.feed_eof()
        if self._connections:
            await asyncio.wait(self._connections, timeout=_LAST_WORDS_SECONDS)

    def _on_imported(self, server: asyncio.Task[ModuleType]) -> None:
        gc.freeze()  # what the imports made stays for ever: no collection need look at it again
        gc.enable()
        if not server.cancelled() and server.exception() is not None:
            _log.error("the MCP server cannot be imported", exc_info=server.exception())
            self._ending.set()

    def _leave(self) -> None:
        self._is_leaving = True
        self._ending.set()


def _import_server() -> ModuleType:
    """Runs in a thread, as long as a kernel takes to start: what the first client says is heard meanwhile."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_SECONDS)
    try:
        return importlib.import_module("kernelexec.mcp_server.server")
    finally:
        sys.setswitchinterval(before)


def _other_version(near: Near) -> str:
    where = f"on {socket.gethostname()}, where code runs"
    return (
        f"News: kernelexec is {__version__} {where}, and {near.version} where your client is. The user can "
        f"put that there, too: kernelexec host install {shlex.quote(near.host)}"
    )


def _is_gone(hello: Mapping[str, Any]) -> bool:
    """Whether our installation was removed, and the one that a client came from is there: it starts a hub."""
    root = hello.get("root")
    return (
        isinstance(root, str)
        and not _is_installed(paths.import_root())
        and root != paths.import_root()
        and _is_installed(root)
    )


def _is_installed(root: str) -> bool:
    return os.path.exists(os.path.join(root, "kernelexec", "daemon", "process.py"))


def _read_hello(line: bytes) -> Mapping[str, Any]:
    hello = json.loads(line)
    if not isinstance(hello, dict) or hello.get("kernelexec") != rendezvous.FORMAT:
        raise ValueError("not a kernelexec client")
    for field, kind in (("protocol", int), ("role", str), ("pid", int), ("cwd", str), ("environ", dict)):
        if not isinstance(hello.get(field), kind):
            raise ValueError(f"{field} is missing")
    if not all(isinstance(value, str) for value in hello["environ"].values()):
        raise ValueError("an environment variable is no text")
    return hello


def _begun(hello: Mapping[str, Any]) -> Mapping[int | str, float]:
    """The requests that an earlier hub may have begun, with the seconds that their client has waited."""
    begun = hello.get("begun", [])
    try:
        return {identity: float(seconds) for identity, seconds in begun if isinstance(identity, (int, str))}
    except (TypeError, ValueError):
        return {}


def _peer_uid(connection: socket.socket) -> int:
    """The user at the other end of a Unix socket."""
    if sys.platform == "linux":
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[1])
    # macOS, <sys/un.h>: SOL_LOCAL = 0, LOCAL_PEERCRED = 1; struct xucred: version, uid, ...
    credentials = connection.getsockopt(0, 1, 76)
    return int(struct.unpack("2I", credentials[:8])[1])


def _allow_many_files() -> None:
    """Each kernel takes the hub some fifteen descriptors; a soft limit of 256 or 1024 is soon used up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, _MANY_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _start_log() -> None:
    path = paths.log_file(os.environ)
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("mcp").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
