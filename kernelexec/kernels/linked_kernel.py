"""The one implementation of kernel.Kernel: a link to the kernel and its life.

Here is what is true of any kernel, wherever it runs. Whatever waits for the kernel waits for its death and
for the end of the link as well, so that it always comes to an end of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from kernelexec.errors import KernelFailed
from kernelexec.kernels.dialects import first_request, in_plain_words
from kernelexec.kernels.dropped import Dropped
from kernelexec.kernels.findings import read_findings
from kernelexec.kernels.inspection import Inspection, Variables
from kernelexec.kernels.kernel import (
    SHUTDOWN_SECONDS,
    Death,
    Findings,
    Imports,
    KernelDied,
    OnMessage,
    Reply,
    ReplyLost,
    Where,
)
from kernelexec.kernels.large_messages import LEAST
from kernelexec.kernels.life import Life
from kernelexec.kernels.link import Connect, Link, LinkClosed, Lost
from kernelexec.kernels.recall import Recall
from kernelexec.kernels.wire import Message
from kernelexec.model.limits import Limits

START_SECONDS = 120.0  # a cold network file system; a kernel that ended is told at once
_HOPELESS_SECONDS = 10.0  # in which a link is tried several times
_INTERRUPT_REPLY_SECONDS = 2.0
_IMPORTS_SECONDS = 3.0  # a kernel in native code that holds the GIL answers when that returns
_LOOK_SECONDS = 2.0  # in which a kernel answers that is not in native code
_LATE_REPLY_SECONDS = 1.0  # after the kernel has answered what was sent later
_PRINTED_SECONDS = (
    1.0  # after which a question is told though the kernel has not said that all before it has come
)
_MOVE_SECONDS = 60.0  # a kernel whose imports come over a network
_FIRST_SECONDS = 3.0
_NUDGE_SECONDS = 0.5  # without a sign of a request; the next ones are each twice as far away
_NUDGES = 7
_SILENCE_SECONDS = 2.0  # what a kernel has sent is read in far less


_T = TypeVar("_T")


@dataclass
class _Recalled:
    """What came of asking again."""

    is_lossy: bool  # messages may be missing all the same


class Beyond(Protocol):
    """What is special of a kernel before which something stands that may lose messages: a server of somebody
    else's, a link to another machine."""

    async def settle(self, link: Link, info: Mapping[str, Any]) -> str:
        """Once it answers: make of it what we can use. How it is interrupted then (see Environment)."""


class LinkedKernel:
    """One kernel and our connection to it (see kernel.Kernel and host.HostedKernel)."""

    def __init__(
        self,
        connect: Connect,
        life: Life,
        on_message: OnMessage,
        interrupts: str,
        beyond: Beyond | None = None,
        *,
        is_settled: bool = False,
    ) -> None:
        """`beyond`: of a kernel before which something stands.

        `is_settled`: that was done by an earlier hub.
        """
        self.died: asyncio.Future[Death] = asyncio.get_running_loop().create_future()
        self._life = life
        self._on_message = on_message
        self.interrupted_by = interrupts  # see model.environment.Environment
        self._beyond = None if is_settled else beyond
        self._nothing: dict[str, asyncio.Future[None]] = {}  # by msg_id: no reply will come, though it lives
        self._taken = 0  # messages of a kernel that is not ours
        self._unheard: str | None = None  # what was sent last, until it is heard of
        self._dropped = Dropped()
        self._idle: dict[str, asyncio.Future[None]] = {}  # by the msg_id of a request that is awaited
        self._asked: str | None = None  # why it is to end
        self._questions: dict[str, Message] = {}  # by the msg_id of what was asked when each came
        self._regained: set[asyncio.Task[None]] = set()
        self._link = connect(self._take)
        self._recall = (
            Recall(self._link, self._take_in_order, self._link.deliver) if beyond is not None else None
        )
        self._link.when_regained(self._on_regained)
        self._inspection = Inspection(self._link)
        self._watcher = asyncio.create_task(self._watch())

    @property
    def _is_ours(self) -> bool:
        """Whether it answers more than others, interrupts by name, and loses nothing of what it publishes."""
        return self.interrupted_by == "named"

    @property
    def kernel_id(self) -> str:
        return self._life.kernel_id

    def place(self) -> Mapping[str, Any]:
        return self._life.place()

    def environ(self) -> Mapping[str, str]:
        return self._life.environ()

    def __str__(self) -> str:
        return str(self._life)

    async def ready(self) -> Mapping[str, Any]:
        answered = asyncio.ensure_future(self._link.ready(ask_shell=not self._is_ours))
        try:
            soon = min(_HOPELESS_SECONDS, START_SECONDS)
            if not await self._first_of(answered, seconds=soon) and not self._is_hopeless():
                await self._first_of(answered, seconds=START_SECONDS - soon)
        finally:
            info = _told(answered)
        if self.died.done():
            death = self.died.result()
            raise KernelFailed(f"The kernel did not start: {death.cause}.\n{death.stderr}".strip())
        if self._link.closed.done():
            raise KernelFailed("The kernel did not answer before it was let go of.")
        lost = self._link.lost
        if info is None and lost is not None:
            raise KernelFailed(f"The kernel cannot be reached: {lost.why}", lost.next_step)
        if info is None:
            raise KernelFailed(f"The kernel did not answer within {START_SECONDS:.0f} s.")
        self._life.answers()
        if self._beyond is not None:
            self.interrupted_by = await self._moved_in(self._beyond, info)
        first = None if self._is_ours else first_request(info)
        if first is not None:
            replied = self._link.request("shell", "execute_request", first)
            # Not for ever: one that an earlier hub has left running does it later, before what comes then.
            await self._first_of(replied, seconds=_FIRST_SECONDS)
            replied.cancel()
        return info

    def _is_hopeless(self) -> bool:
        """Whether somebody has to do something before the link can come about."""
        lost = self._link.lost
        return lost is not None and not lost.passes

    async def _moved_in(self, beyond: Beyond, info: Mapping[str, Any]) -> str:
        """How it is interrupted from now on."""
        moving = asyncio.ensure_future(beyond.settle(self._link, info))
        await self._first_of(moving, seconds=_MOVE_SECONDS)
        return _told(moving) or self.interrupted_by

    # --- runs ----------------------------------------------------------------------

    def pack(
        self,
        code: str,
        file: str | None = None,
        saved: str | None = None,
        limits: Limits | None = None,
    ) -> tuple[str, list[bytes]]:
        content: dict[str, Any] = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": True,  # who asked is told of a question, and answers it or has it answered
            # Only one request of ours is in flight: there is nothing that an error should abort.
            "stop_on_error": False,
        }
        told: dict[str, Any] = {"file": file, "saved": saved}
        if limits is not None:
            self._link.allow(limits)
        if limits is not None and self._life.spools and self._life.spool is not None:
            told["spool"] = {"over": max(limits.cell, LEAST), "most": limits.run}
        told = {name: value for name, value in told.items() if value is not None}
        if told and self._is_ours:
            content["kernelexec"] = told
        return self._link.pack("execute_request", content)

    @property
    def spool(self) -> Path | None:
        return self._life.spool

    async def execute(self, msg_id: str, frames: list[bytes]) -> Reply:
        if self._is_over:
            raise KernelDied
        self._dropped.begin(msg_id)
        with self._recalled(msg_id) as recalled:
            self._unheard = msg_id
            nudging = None if self._is_ours else asyncio.create_task(self._nudged(msg_id))
            try:
                reply = await self._until_end(msg_id, lambda: self._link.send("shell", msg_id, frames))
            finally:
                if nudging is not None:
                    nudging.cancel()
        if reply is None:
            raise ReplyLost
        return replace(reply, lost=self._dropped.count()) if recalled.is_lossy else reply

    async def _nudged(self, msg_id: str) -> None:
        """Wake a kernel that does not say that it has begun: see link.Link.wake."""
        for number in range(_NUDGES):
            await asyncio.sleep(_NUDGE_SECONDS * 2**number)
            if self._unheard != msg_id or self._is_over:
                return
            self._link.wake()

    async def rejoin(self, msg_id: str) -> Reply | None:
        if self._is_over:
            raise KernelDied
        # The shell serves one request after the other: once this one is answered, the run has ended.
        later = asyncio.ensure_future(self._later_request())
        try:
            with self._recalled(msg_id):
                return await self._until_end(msg_id, lambda: self._link.expect(msg_id), later)
        finally:
            later.cancel()

    @contextmanager
    def _recalled(self, msg_id: str) -> Iterator[_Recalled]:
        """While a request's output is awaited, what is lost of it on the way is had again."""
        recalled = _Recalled(not self._is_ours)
        if self._recall is None or not self._is_ours:
            yield recalled
            return
        self._recall.begin(msg_id)
        try:
            yield recalled
        finally:
            recalled.is_lossy = self._recall.end(msg_id)

    def _on_regained(self) -> None:
        """The link is up again: what was on its way is asked for, where the kernel remembers it."""
        if self._recall is not None and self._is_ours:
            self._recall.regained()
            return
        asking = asyncio.create_task(self._nothing_comes(list(self._nothing.values())))
        self._regained.add(asking)
        asking.add_done_callback(self._regained.discard)

    async def _nothing_comes(self, awaited: Sequence[asyncio.Future[None]]) -> None:
        await self._later_request()
        for nothing in awaited:
            if not nothing.done():
                nothing.set_result(None)

    async def _later_request(self) -> None:
        try:
            await self._link.request("shell", "kernel_info_request", {})
        except LinkClosed:
            return
        await asyncio.sleep(_LATE_REPLY_SECONDS)

    async def _until_end(
        self, msg_id: str, ask: Callable[[], asyncio.Future[Message]], *instead: asyncio.Future[None]
    ) -> Reply | None:
        """The reply, once idle has come too; None if `instead` is done before."""
        # Before it is asked: a link may hear of the end while it is still sending.
        idle = self._idle[msg_id] = asyncio.get_running_loop().create_future()
        nothing = self._nothing[msg_id] = asyncio.get_running_loop().create_future()
        reply = ask()
        try:
            if self._is_ours:  # whose idle is certain to come, and mostly comes last: one wait instead of two
                await self._first_of(idle, nothing, *instead)
            await self._first_of(reply, nothing, *instead)
            message, heard = _told(reply), time.monotonic()
            if message is not None:
                await self._idle_comes(idle, nothing, *instead)
        finally:
            reply.cancel()
            self._idle.pop(msg_id, None)
            self._nothing.pop(msg_id, None)
        if message is not None and idle.done():
            message = message if self._is_ours else in_plain_words(message)
            content = message.content
            return Reply(content["status"], content, message.date, message.metadata, heard=heard)
        if self._is_over:
            raise KernelDied
        return None

    async def _idle_comes(self, idle: asyncio.Future[None], *instead: asyncio.Future[None]) -> None:
        """A foreign kernel may drop even the status that ends a run: silence after the reply ends it, too."""
        if idle.done():
            return
        if self._is_ours:
            await self._first_of(idle, *instead)
            return
        heard = -1
        while heard != self._taken or self._link.is_reading:
            heard = self._taken
            if await self._first_of(idle, *instead, seconds=_SILENCE_SECONDS):
                break  # what was asked later is answered: nothing more comes of this
        if not idle.done() and not self._is_over:
            idle.set_result(None)

    @property
    def interrupts_by_name(self) -> bool:
        return self._is_ours

    async def interrupt(self, msg_id: str) -> bool:
        if self._is_over:
            return False
        if self.interrupted_by == "signal":
            return await self._life.interrupt()
        content = {"kernelexec": {"msg_id": msg_id}} if self._is_ours else {}
        reply = self._link.request("control", "interrupt_request", content)
        await self._first_of(reply, seconds=_INTERRUPT_REPLY_SECONDS)
        message = _told(reply)
        return message is not None and bool(message.content.get("kernelexec", {}).get("interrupted", True))

    def answer(self, text: str) -> None:
        self._link.say("stdin", "input_reply", {"status": "ok", "value": text})

    # --- beside the runs -------------------------------------------------------------

    async def look(self, msg_id: str, *, messages: bool = False) -> Findings:
        if self._is_over or self.is_stopped:
            return Findings(answered=False, stopped=not self._is_over)
        about = {"about": msg_id, "messages": messages}
        answered, content = await self._ask_beside("kernelexec_request", about, _LOOK_SECONDS)
        if content is None:
            return Findings(answered)
        found = read_findings(msg_id, content)
        if self._recall is not None:
            self._recall.mark(found.messages)
        return found

    async def refresh_imports(self, modules: Sequence[str]) -> Imports | None:
        if self._is_over:
            return None
        about = {"modules": list(modules)}
        _, content = await self._ask_beside("imports_request", about, _IMPORTS_SECONDS)
        return None if content is None else Imports(content.get("modules", {}), content.get("missed", {}))

    async def _ask_beside(
        self, message_type: str, content: Mapping[str, Any], seconds: float
    ) -> tuple[bool, Mapping[str, Any] | None]:
        """Whether the kernel answers on control, and what it says to a question that only ours knows."""
        asked = self._link.request("control", message_type, content) if self._is_ours else None
        # In this order: a kernel that leaves the first unanswered does not know it.
        info = self._link.request("control", "kernel_info_request", {})
        try:
            await self._first_of(info, seconds=seconds)
        finally:
            said = _told(asked) if asked is not None else None
            answered = _told(info) is not None
        return answered, None if said is None else said.content

    async def variables(self, pattern: str, limit: int, *, busy: bool) -> Variables | None:
        if self._is_over or self.is_stopped:
            return None
        found = await self._inspection.variables(pattern, limit, ours=self._is_ours, busy=busy)
        return None if self.died.done() else found  # what a kernel had that has died is no answer

    # --- its life ----------------------------------------------------------------------

    @property
    def is_stopped(self) -> bool:
        return self._life.is_stopped

    @property
    def lost(self) -> Lost | None:
        return None if self._is_over else self._link.lost

    @property
    def where(self) -> Where | None:
        return self._life.where

    def memory(self) -> int | None:
        return self._life.memory()

    def cpu_seconds(self) -> float | None:
        return self._life.cpu_seconds()

    def family_cpu_seconds(self) -> Mapping[int, float] | None:
        return self._life.family_cpu_seconds()

    @property
    def is_joined(self) -> bool:
        return self._life.is_joined

    async def stop(self, why: str, grace: float = SHUTDOWN_SECONDS) -> Death:
        if self.is_joined:
            return self._leave(why)
        self._asked = self._asked or why  # who asks again while it ends did not end it
        if grace and not self._is_over and not await self._life.dismiss():
            self._link.request("control", "shutdown_request", {"restart": False})
            await self._first_of(seconds=grace)
        if not self._is_over:
            await self._life.kill()
            await self._first_of()
        return self.died.result() if self.died.done() else Death(asked=why)

    def _leave(self, why: str) -> Death:
        """It is somebody else's, and runs on; for us it has ended."""
        if not self.died.done():
            self.detach()
            self.died.set_result(Death(asked=f"kernelexec let go of it, and it runs on ({why})"))
        return self.died.result()

    def detach(self) -> None:
        self._watcher.cancel()
        self._forget()
        self._link.close()
        self._life.detach()

    async def _watch(self) -> None:
        """Tell the kernel's death, then clear up after it."""
        death = await self._life.ended()
        await self._link.take_last_words()
        death = self._life.explained(death)
        asked = "; ".join(filter(None, (self._asked, death.asked))) or None
        self.died.set_result(replace(death, asked=asked))
        await asyncio.sleep(0)  # who waits for it writes it down before the directory goes
        self._forget()
        self._link.close()
        self._life.clear_up()

    def _forget(self) -> None:
        """Nothing more is had again of it."""
        if self._recall is not None:
            self._recall.close()
        for asking in self._regained:
            asking.cancel()

    # --- waiting and hearing -------------------------------------------------------------

    @property
    def _is_over(self) -> bool:
        """Whether nothing comes from it any more: it has died, or was let go of."""
        return self.died.done() or self._link.closed.done()

    async def _first_of(self, *futures: asyncio.Future[Any], seconds: float | None = None) -> bool:
        """Wait for one of these, or until it is over; False: the time is up.

        Not by awaiting a future: who is cancelled while awaiting one cancels it, for all that wait for it.
        """
        awaited = {*futures, self.died, self._link.closed}
        if any(future.done() for future in awaited):
            return True
        done, _ = await asyncio.wait(awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)

    def _take(self, message: Message) -> None:
        if self._recall is not None and self._is_ours:
            self._recall.take(message)
        else:
            self._take_in_order(message)

    def _take_in_order(self, message: Message) -> None:
        if not self._is_ours or self._recall is not None:
            self._taken += 1
            if message.parent_id == self._unheard:
                self._unheard = None
            self._dropped.take(message)
        if not self._is_ours:
            message = in_plain_words(message)
        if message.channel not in ("iopub", "stdin"):
            return
        if message.type == "status" and message.content.get("execution_state") == "idle":
            idle = self._idle.get(message.parent_id or "")
            if idle is not None and not idle.done():
                idle.set_result(None)
            self._tell_question(message.parent_id or "")
        if message.type == "input_request" and self._is_ours:
            self._hold_question(message)
        else:
            self._on_message(message)

    def _hold_question(self, message: Message) -> None:
        """Who is told of a question reads what was printed before it. That comes on another socket: it is
        all here when iopub has the end of what is asked now."""
        msg_id, frames = self._link.pack("kernel_info_request", {})
        self._questions[msg_id] = message
        self._link.send("control", msg_id, frames)
        asyncio.get_running_loop().call_later(_PRINTED_SECONDS, self._tell_question, msg_id)

    def _tell_question(self, msg_id: str) -> None:
        question = self._questions.pop(msg_id, None)
        if question is not None:
            self._on_message(question)


def _told(future: asyncio.Future[_T]) -> _T | None:
    """What came; None if nothing did in time or the link was closed. From now on nobody waits for it."""
    if not future.done():
        future.cancel()
        return None
    try:
        return future.result()
    except LinkClosed:
        return None
