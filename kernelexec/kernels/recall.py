"""What a kernel published and did not reach us is had again from its own memory, and in order.

A server in between drops what comes too fast (its limits: 1,000 messages or 1 MB a second), and a link that
was down has lost what was on its way. A kernel that moved in (moving_in.py) numbers its messages, remembers
them, and answers on control, which nobody limits. So a message whose predecessor is missing waits until the
kernel has been asked for what lies between; what comes twice is heard once.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kernelexec.kernels.findings import read_findings
from kernelexec.kernels.kernel import Findings, Reply
from kernelexec.kernels.link import LinkClosed
from kernelexec.kernels.wire import Message

_log = logging.getLogger(__name__)

_PAGE_BYTES = 4_000_000
_ANSWER_SECONDS = 30.0  # a kernel in native code answers later; then it is asked again


class Asking(Protocol):
    """How the kernel is asked (see link.Link)."""

    def request(
        self, channel: str, message_type: str, content: Mapping[str, Any]
    ) -> asyncio.Future[Message]: ...


class Numbers:
    """Which of a process's messages were heard: spans of numbers, mostly one."""

    def __init__(self) -> None:
        self.by = ""  # whose numbers these are
        self.settled = 0  # what is missing up to here is nobody's concern
        self._spans: list[tuple[int, int]] = []  # first and last, in order

    def begin(self, by: str, number: int) -> None:
        """What came before this one is nobody's concern."""
        if by != self.by:
            self.by, self.settled, self._spans = by, 0, []
        self.settle(number - 1)

    def settle(self, number: int) -> None:
        """What is missing up to this one was another client's."""
        self.settled = max(self.settled, number)

    def add(self, number: int) -> None:
        at = bisect_right(self._spans, (number, number))
        first, last = number, number
        if at < len(self._spans) and self._spans[at][0] == number + 1:
            last = self._spans.pop(at)[1]
        if at and self._spans[at - 1][1] >= number - 1:
            at -= 1
            first, before = self._spans.pop(at)
            last = max(last, before)
        self._spans.insert(at, (first, last))

    def __contains__(self, number: int) -> bool:
        span = self._before(number)
        return span is not None and span[1] >= number

    def are_missing_before(self, number: int) -> bool:
        if number <= self.settled + 1:
            return False
        span = self._before(number - 1)
        return span is None or span[1] < number - 1 or span[0] > self.settled + 1

    def _before(self, number: int) -> tuple[int, int] | None:
        """The span that begins at this number or before."""
        at = bisect_right(self._spans, number, key=lambda span: span[0])
        return self._spans[at - 1] if at else None


@dataclass
class _Run:
    """One request whose output is awaited."""

    msg_id: str
    last: int = -1  # the highest serial that was passed on
    held: list[Message] = field(default_factory=list)
    asking: asyncio.Task[None] | None = None
    replied: bool = False
    lost: bool = False  # the kernel does not remember all either
    was_cut: bool = False  # off: the link was down, and a question may have been lost with it


class Recall:
    """Stands between a link and who listens to it, for the runs of one kernel.

    `pass_on` gets all messages, those of iopub in order and once each; `reply` what a run's reply was, where
    the link had lost it.
    """

    def __init__(
        self, link: Asking, pass_on: Callable[[Message], None], reply: Callable[[Message], None]
    ) -> None:
        self._link = link
        self._pass_on = pass_on
        self._reply = reply
        self._runs: dict[str, _Run] = {}
        self._heard = Numbers()

    def begin(self, msg_id: str) -> None:
        self._runs[msg_id] = _Run(msg_id)

    def end(self, msg_id: str) -> bool:
        """It is over; whether output of it was lost for good."""
        run = self._runs.pop(msg_id, None)
        if run is not None and run.asking is not None:
            run.asking.cancel()
        return run is not None and run.lost

    def close(self) -> None:
        for msg_id in list(self._runs):
            self.end(msg_id)

    def regained(self) -> None:
        """The link was down, and is up again."""
        for run in self._runs.values():
            run.was_cut = True
            self._ask(run)

    def take(self, message: Message) -> None:
        """Any message of the kernel, or of a server before it."""
        run = self._runs.get(message.parent_id or "")
        number = message.serial
        if message.channel == "iopub" and run is not None and number is not None:
            self._take_output(run, message, number)
            return
        self._hear(message)
        if run is not None and message.channel == "shell":
            self._is_replied(run)
        self._pass_on(message)

    def mark(self, messages: Sequence[Message]) -> None:
        """These of a run were heard on another way."""
        for message in messages:
            if message.serial is not None:
                if _is_busy(message) or not self._heard.by:
                    self._heard.begin(message.numbered_by, message.serial)
                self._hear(message)

    def _take_output(self, run: _Run, message: Message, number: int) -> None:
        if _is_busy(message):
            self._heard.begin(message.numbered_by, number)
        if message.numbered_by != self._heard.by:
            if says_that_some_are_dropped(message):
                self._ask(run)
            else:
                self._pass_on(message)
        elif number in self._heard:
            return  # for the second time
        elif run.asking is not None:
            run.held.append(message)
        elif self._must_wait(run, message, number):
            run.held.append(message)
            if not _is_idle(message) or run.replied:
                self._ask(run)
        else:
            self._pass(run, message)

    def _must_wait(self, run: _Run, message: Message, number: int) -> bool:
        return bool(run.held) or self._heard.are_missing_before(number)

    def _is_replied(self, run: _Run) -> None:
        """The reply may overtake the end of the output, and come after it."""
        run.replied = True
        if not run.held or run.asking is not None:
            return
        held, run.held = run.held, []
        for each in held:
            self._take_output(run, each, each.serial or 0)

    def _hear(self, message: Message) -> None:
        if message.serial is not None and message.numbered_by == self._heard.by:
            self._heard.add(message.serial)

    def _pass(self, run: _Run, message: Message) -> None:
        number = message.serial or 0
        self._heard.add(number)
        run.last = max(run.last, number)
        self._pass_on(message)

    # --- asking the kernel ---------------------------------------------------------------

    def _ask(self, run: _Run) -> None:
        if run.asking is None:
            run.asking = asyncio.create_task(self._catch_up(run))

    async def _catch_up(self, run: _Run) -> None:
        """Pass on what the kernel remembers of a run, and what came meanwhile, until nothing is missing."""
        try:
            waits_for = -1
            while True:
                found = await self._fetch(run)
                number = self._release(run)
                if number is None:
                    await self._hear_of_its_end(run, found)
                    if not run.held:
                        break
                elif number == waits_for:  # the kernel has forgotten what was before it
                    self._heard.settle(number - 1)
                waits_for = -1 if number is None else number
        except LinkClosed:
            pass
        finally:
            run.asking = None

    async def _fetch(self, run: _Run) -> Findings:
        after, more = self._heard.settled, True
        while more:
            found, more = await self._page(run, after)
            for message in found.messages:
                after = max(after, message.serial or 0)
                self._recalled(run, message)
        self._heard.settle(after)
        return found

    def _release(self, run: _Run) -> int | None:
        """Pass on what came while the kernel was asked; the number before which some are missing again."""
        while run.held:
            number = run.held[0].serial or 0
            if number not in self._heard and self._heard.are_missing_before(number):
                return number
            self._recalled(run, run.held.pop(0))
        return None

    async def _page(self, run: _Run, after: int) -> tuple[Findings, bool]:
        about = {"about": run.msg_id, "messages": True, "after": after, "most": _PAGE_BYTES}
        while True:
            asked = self._link.request("control", "kernelexec_request", about)
            done, _ = await asyncio.wait({asked}, timeout=_ANSWER_SECONDS)
            if done:
                content = asked.result().content
                found = read_findings(run.msg_id, content)
                run.lost = run.lost or (found.begun and not found.complete)
                return found, bool(content.get("more"))
            asked.cancel()

    def _recalled(self, run: _Run, message: Message) -> None:
        number = message.serial or 0
        if _is_busy(message):
            self._heard.begin(message.numbered_by, number)
        if number not in self._heard:
            self._pass(run, message)

    async def _hear_of_its_end(self, run: _Run, found: Findings) -> None:
        """The reply, where the link had lost it; or that the request never came to the kernel."""
        if run.replied:
            return
        if found.reply is None and not found.begun:
            # The shell serves one after the other: once this is answered, it would have begun. Twice, because
            # what came on a connection before this one may be served after the first that comes on this.
            for _ in range(2):
                await self._link.request("shell", "kernel_info_request", {})
            found, _ = await self._page(run, run.last)
        if run.replied:
            return
        if found.reply is not None:
            run.replied = True
            self._reply(_reply_message(run.msg_id, found.reply))
        elif not found.begun:
            run.replied = True
            _log.info("request %s never came to its kernel", run.msg_id)
            aborted = Reply("aborted", {"status": "aborted"}, "", {})
            self._reply(_reply_message(run.msg_id, aborted))
            self._pass_on(_idle_message(run.msg_id))
        elif found.question is not None and found.running == run.msg_id and run.was_cut:
            asked = {"prompt": found.question.prompt, "password": found.question.password}
            self._pass_on(Message("stdin", "input_request", asked, "", run.msg_id, None, "", {}))
        run.was_cut = False


def _is_busy(message: Message) -> bool:
    return message.type == "status" and message.content.get("execution_state") == "busy"


def _is_idle(message: Message) -> bool:
    return message.type == "status" and message.content.get("execution_state") == "idle"


def says_that_some_are_dropped(message: Message) -> bool:
    """A server's own notice, on stderr in the run's name."""
    text = str(message.content.get("text", ""))
    return message.type == "stream" and "rate exceeded" in text and "IOPub" in text


def _reply_message(msg_id: str, reply: Reply) -> Message:
    return Message("shell", "execute_reply", reply.content, "", msg_id, None, reply.date, reply.metadata)


def _idle_message(msg_id: str) -> Message:
    return Message("iopub", "status", {"execution_state": "idle"}, "", msg_id, None, "", {})
