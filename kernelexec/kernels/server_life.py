"""The life of a kernel on a Jupyter server, which has started it, watches it and may start it again.

Nobody tells that a process has ended: the server says "restarting" some seconds later and has another process
in its place, without a word about what was in the first. What a process is known by is the session id in
the headers of its messages; another one there is another kernel.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from kernelexec.kernels.findings import read_usage
from kernelexec.kernels.kernel import Death, Usage, Where
from kernelexec.kernels.link import Link
from kernelexec.kernels.moving_in import Arrival, move_in
from kernelexec.kernels.recall import says_that_some_are_dropped
from kernelexec.kernels.server_api import Activity, ServerApi
from kernelexec.kernels.server_troubles import ServerTrouble, no_token_yet
from kernelexec.kernels.websocket_link import Entrance
from kernelexec.kernels.wire import Message

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 60.0  # from one question whether the server still knows it to the next
_TRIES = 2
_LONGEST_NOTICE = 1000  # characters
_SILENT_SECONDS = 10.0  # of a kernel that was asked something, after which it is asked who it is
# What only the kernel itself says: by these its process is known.
_ITS_OWN = frozenset({"execute_input", "execute_reply", "kernel_info_reply", "kernelexec_reply"})


@dataclass(frozen=True)
class ServerPlace:
    """Where a kernel on a server is. No token: only the file that holds it."""

    url: str
    kernel: str  # its id there
    session: str  # by which the server knows our connection again
    token_file: str | None = None
    ca_file: str | None = None
    process: str = ""  # the session id of its own messages
    interrupts: str = "signal"  # as it turned out once it answered
    machine: str = ""  # where it says it runs
    working_directory: str = ""
    pid: int | None = None
    why_not_ours: str = ""
    limits: str = ""  # what its server passes on at most, in its own words, once it has dropped something


class ServerLife:
    """One kernel, as its server has it (see life.Life)."""

    def __init__(self, place: ServerPlace, entrance: Entrance) -> None:
        self._place = place
        self._entrance = entrance
        self._death: asyncio.Future[Death] = asyncio.get_running_loop().create_future()
        self._looking = asyncio.create_task(self._look())
        self._background: set[asyncio.Task[None]] = set()
        self._heard_at = time.monotonic()
        self.is_awaited: Callable[[], bool] = lambda: False  # whether somebody waits for a reply of it
        self.ask_who: Callable[[], None] = lambda: None  # have it say so; see _hear_process
        self.connect_again: Callable[[], None] = lambda: None  # the connection passes nothing on
        self._usage: Usage | None = None
        self._leaves_nothing = False  # in its place that is nobody's: we ended it, or the person restarted it

    @property
    def kernel_id(self) -> str:
        return self._place.kernel

    async def ended(self) -> Death:
        await asyncio.wait({self._death})
        return self._death.result()

    spools = False

    @property
    def spool(self) -> None:
        """Its files are not ours to read."""

    @property
    def is_joined(self) -> bool:
        return False

    def explained(self, death: Death) -> Death:
        return death  # which its last words have told already

    def answers(self) -> None:
        pass

    async def settle(self, link: Link, info: Mapping[str, Any]) -> str:
        """See linked_kernel.Beyond."""
        arrival: Arrival = await move_in(link, info)
        interrupts = "named" if arrival.is_ours else "signal"
        if not arrival.is_ours:
            _log.info("kernel %s stays what it is: %s", self.kernel_id, arrival.why_not)
        self._place = replace(
            self._place,
            interrupts=interrupts,
            machine=arrival.host,
            working_directory=arrival.directory,
            pid=arrival.pid,
            why_not_ours=arrival.why_not,
        )
        return interrupts

    async def interrupt(self) -> bool:
        """As the kernelspec there says, which the server knows."""
        api = self._entrance.api()
        if api is None:
            return False
        try:
            await api.interrupt(self._place.kernel)
        except ServerTrouble as error:
            _log.warning("kernel %s was not interrupted: %s", self.kernel_id, error)
            return False
        return True

    async def dismiss(self) -> bool:
        """Asked itself, it would be started again by its server."""
        await self.kill()
        return True

    async def kill(self) -> None:
        if self._death.done():
            return
        for _ in range(_TRIES):  # one client's token may be out of date, and the next one's not
            try:
                await self._api().end(self._place.kernel)
                self._leaves_nothing = True
                break
            except ServerTrouble as error:
                trouble = error
        else:
            _log.warning("kernel %s may run on: %s", self.kernel_id, trouble)
            self._end(
                f"its server could not be told, so it may run on there as {self._place.kernel} ({trouble})"
            )
        self._end(None)

    def _api(self) -> ServerApi:
        """Raises ServerTrouble: nobody has brought a token."""
        api = self._entrance.api()
        if api is None:
            raise ServerTrouble(no_token_yet(self._place.url))
        return api

    @property
    def is_stopped(self) -> bool:
        return False

    @property
    def where(self) -> Where:
        place = self._place
        return Where(place.machine, place.working_directory, place.url)

    def memory(self) -> int | None:
        """As it was when the kernel last told of a run."""
        return self._usage.memory if self._usage is not None else None

    def cpu_seconds(self) -> float | None:
        """It would be that of some time ago, so nobody could tell what is used now (see Findings.usage)."""
        return None

    def family_cpu_seconds(self) -> None:
        """Nobody tells it."""

    def environ(self) -> Mapping[str, str]:
        return {}

    def place(self) -> Mapping[str, Any]:
        return {"kind": "server", **asdict(self._place)}

    def detach(self) -> None:
        self._looking.cancel()

    def clear_up(self) -> None:
        """It has ended, and what its server may have put in its place is nobody's."""
        self._looking.cancel()
        if self._leaves_nothing:
            return
        self._begin(self._end_successor())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def __str__(self) -> str:
        return f"{self._place.kernel} on {self._place.url}"

    # --- what is heard of it -------------------------------------------------------------

    def hear(self, message: Message) -> bool:
        """Whether it is the kernel's that we know, and not of a process in its place."""
        if self._death.done():
            return False
        self._heard_at = time.monotonic()
        self._usage = read_usage(message) or self._usage
        if says_that_some_are_dropped(message):
            self._place = replace(self._place, limits=str(message.content["text"])[:_LONGEST_NOTICE])
        if message.type == "status":
            self._hear_status(message)
        elif message.type == "shutdown_reply":
            self._hear_shutdown(message)
        elif message.type in _ITS_OWN and message.sender:
            self._hear_process(message.sender)
        return not self._death.done()

    def is_asked(self) -> None:
        """It is sent a request: after a silence it may have been ended without a word, so beside that its
        server is asked whether it still knows it."""
        if time.monotonic() - self._heard_at >= _SILENT_SECONDS:
            self._heard_at = time.monotonic()  # as of a new silence: who waits asks again by _look
            self._begin(self._find_missing())

    async def _find_missing(self) -> None:
        api = self._entrance.api()
        with suppress(ServerTrouble):
            if api is not None and not await api.has(self._place.kernel):
                self.is_missing()

    def is_missing(self) -> None:
        """Its server does not know it."""
        self._end(
            "its server does not know it any more: it was ended there (by somebody, or because it was idle "
            "for too long), or the server itself was started anew"
        )

    def _hear_status(self, message: Message) -> None:
        state = message.content.get("execution_state")
        if state in ("restarting", "autorestarting"):
            self._end("its server says that its process ended, and has started another in its place")
        elif state == "dead":
            self._end("its server says that its process ended, and could not start another")

    def _hear_shutdown(self, message: Message) -> None:
        if message.content.get("restart"):
            self._leaves_nothing = True
            self._end("somebody restarted it on its server (in JupyterLab, say)")
        else:
            self._end("it was ended on its server: by somebody, or because it was idle for too long")

    def _hear_process(self, process: str) -> None:
        if not self._place.process:
            self._place = replace(self._place, process=process)
        elif self._place.process != process:
            self._end("its server has another process in its place")

    async def _look(self) -> None:
        """Of some ends nobody tells: whether its server still knows it is asked now and then. A kernel that
        is silent though it has something to do is asked whether it is still the same, and its server whether
        it only cannot be heard."""
        looked_at = time.monotonic()
        unheard: Activity | None = None  # what the server had seen by the last look in this silence
        while not self._death.done():
            await asyncio.sleep(_SILENT_SECONDS)
            now = time.monotonic()
            silent = now - self._heard_at
            is_silent = self.is_awaited() and silent >= _SILENT_SECONDS
            if is_silent:
                self.ask_who()
            else:
                unheard = None
            was_asked = is_silent and silent >= 2 * _SILENT_SECONDS
            if not was_asked and now - looked_at < _LOOK_SECONDS:
                continue
            looked_at = now
            api = self._entrance.api()
            with suppress(ServerTrouble):
                activity = await api.activity(self._place.kernel) if api is not None else None
                if api is not None and activity is None:
                    self.is_missing()
                if activity is not None and was_asked:
                    if _says_more_than_is_heard(activity, unheard):
                        self.connect_again()
                    unheard = activity

    def _end(self, why: str | None) -> None:
        if not self._death.done():
            self._death.set_result(Death(asked=why))

    async def _end_successor(self) -> None:
        api = self._entrance.api()
        if api is None:
            return
        try:
            await api.end(self._place.kernel)
        except ServerTrouble as error:
            _log.info("what is in the place of kernel %s was not ended: %s", self.kernel_id, error)


def _says_more_than_is_heard(activity: Activity, before: Activity | None) -> bool:
    """Whether a kernel that is awaited and not heard has something to say, as its server sees it: it has
    done what is awaited, or got none of it; or it has said something since the look before."""
    return activity.state == "idle" or (before is not None and before.last != activity.last)
