"""A kernel made of a link and a life: the same whichever link leads to it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kernelexec.errors import KernelFailed
from kernelexec.kernels import linked_kernel as module
from kernelexec.kernels.kernel import Death, Findings, Imports, KernelDied
from kernelexec.kernels.link import Link
from kernelexec.kernels.linked_kernel import LinkedKernel
from kernelexec.kernels.wire import Message
from kernelexec.kernels.zmq_link import ZmqLink
from tests.fakes import KERNEL_INFO, run, settled
from tests.kernels.fake_life import FakeLife
from tests.kernels.memory_link import MemoryKernel, MemoryLink
from tests.kernels.scripted_kernel import ScriptedKernel
from tests.kernels.zmq_kernel import ZmqKernel, connection_in

SECONDS = 5  # for what takes milliseconds


@dataclass
class Setting:
    """A kernel, what it is made of, and who speaks for it."""

    kernel: LinkedKernel
    speaker: ScriptedKernel
    life: FakeLife
    link: Link
    heard: list[Message] = field(default_factory=list)

    async def asked(self, message_type: str) -> None:
        """Wait until the kernel has had a request of this type."""
        await settled(lambda: message_type in [kind for _, kind in self.speaker.requests])

    def send_as_an_earlier_hub(self, frames: list[bytes]) -> None:
        """Without a future for the reply."""
        if isinstance(self.link, ZmqLink):
            self.link._send("shell", frames)
        else:
            assert isinstance(self.speaker, MemoryKernel)
            self.speaker.receive("shell", json.loads(frames[0]))


Made = Callable[..., AbstractAsyncContextManager[Setting]]


@pytest.fixture(params=["zmq", "memory"])
def linked(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """Makes a kernel at the end of each kind of link. What asyncio complains of fails the test."""

    @asynccontextmanager
    async def over(interrupts: str = "named", ready: bool = True) -> AsyncIterator[Setting]:
        complaints: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        speaker: ScriptedKernel
        if request.param == "zmq":
            speaker = zmq_speaker = ZmqKernel(connection_in(tmp_path), welcome=True)
            connect: Any = partial(ZmqLink, connection_in(tmp_path))
        else:
            speaker = MemoryKernel()
            connect = partial(MemoryLink, speaker)
        heard: list[Message] = []
        life = FakeLife()
        kernel = LinkedKernel(connect, life, heard.append, interrupts)
        try:
            if ready:
                await asyncio.wait_for(kernel.ready(), SECONDS)
            yield Setting(kernel, speaker, life, kernel._link, heard)
        finally:
            kernel.detach()
            if request.param == "zmq":
                zmq_speaker.close()
        gc.collect()
        await asyncio.sleep(0)
        assert complaints == []

    return over


async def execute(kernel: LinkedKernel, code: str = "x") -> Any:
    return await asyncio.wait_for(kernel.execute(*kernel.pack(code)), SECONDS)


# --- runs ---------------------------------------------------------------------------------


def test_a_kernel_that_answers_is_ready_and_its_life_knows(linked: Made) -> None:
    async def test() -> None:
        async with linked(ready=False) as setting:
            info = await asyncio.wait_for(setting.kernel.ready(), SECONDS)
            assert info["language_info"] == KERNEL_INFO["language_info"]
            assert setting.life.done == ["answers"]

    run(test())


def test_an_execution_ends_with_its_reply_and_its_idle(linked: Made) -> None:
    async def test() -> None:
        async with linked() as setting:
            setting.speaker.on_execute = lambda request: setting.speaker.publish(
                "stream", {"text": request["content"]["code"]}, request["header"]
            )
            reply = await execute(setting.kernel, "x = 'ä'")
            assert reply.status == "ok"
            of_it = [message for message in setting.heard if message.parent_id == reply_parent(setting)]
            assert [m.content.get("text") or m.content["execution_state"] for m in of_it] == [
                *("busy", "x = 'ä'", "idle")
            ]

    def reply_parent(setting: Setting) -> str | None:
        return next(message.parent_id for message in setting.heard if message.type == "stream")

    run(test())


def test_a_listener_hears_no_replies_of_ours(linked: Made) -> None:
    async def test() -> None:
        async with linked() as setting:
            await execute(setting.kernel)
            assert {message.channel for message in setting.heard} == {"iopub"}

    run(test())


def test_a_request_never_makes_a_kernel_abort_others_and_may_ask_for_input(linked: Made) -> None:
    async def test() -> None:
        async with linked() as setting:
            await execute(setting.kernel)
            content = setting.speaker.contents["execute_request"]
            assert (content["stop_on_error"], content["allow_stdin"]) == (False, True)
            assert content["store_history"] is True

    run(test())


def test_a_reply_alone_is_no_end(linked: Made) -> None:
    """Output that was sent before idle may still be on its way."""

    async def test() -> None:
        async with linked() as setting:
            setting.speaker.mute.add("idle")
            msg_id, frames = setting.kernel.pack("x")
            running = asyncio.ensure_future(setting.kernel.execute(msg_id, frames))
            await setting.asked("execute_request")
            done, _ = await asyncio.wait({running}, timeout=0.05)
            assert not done
            setting.speaker.publish("status", {"execution_state": "idle"}, {"msg_id": msg_id})
            assert (await asyncio.wait_for(running, SECONDS)).status == "ok"

    run(test())


def test_a_run_may_end_before_its_request_is_sent_to_the_end(linked: Made) -> None:
    async def test() -> None:
        async with linked() as setting:
            if isinstance(setting.speaker, MemoryKernel):
                setting.speaker.is_quick = True
            assert (await execute(setting.kernel)).status == "ok"

    run(test())


def test_a_listener_that_fails_at_a_runs_end_does_not_keep_it_from_ending(
    linked: Made, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with linked() as setting:

            def fail(message: Message) -> None:
                raise KeyError("a fault of ours")

            setting.kernel._on_message = fail
            assert (await execute(setting.kernel)).status == "ok"

    run(test())
    assert "could not be handled" in caplog.text


def test_a_foreign_kernels_run_ends_with_silence_and_tells_what_was_lost(
    linked: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SILENCE_SECONDS", 0.05)

    async def test() -> None:
        async with linked("message") as setting:
            setting.speaker.mute.add("idle")
            reply = await execute(setting.kernel)
            assert (reply.status, reply.lost) == ("ok", 0)

    run(test())


def test_a_death_while_it_runs_code_is_told_after_all_it_had_said(linked: Made) -> None:
    async def test() -> None:
        async with linked() as setting:
            setting.speaker.silent.add("execute_request")
            running = asyncio.ensure_future(setting.kernel.execute(*setting.kernel.pack("x")))
            await setting.asked("execute_request")
            setting.speaker.publish("stream", {"text": "last words"}, None)
            setting.life.end(Death(signal=9))
            with pytest.raises(KernelDied):
                await asyncio.wait_for(running, SECONDS)
            assert setting.kernel.died.result() == Death(signal=9)
            assert setting.heard[-1].content == {"text": "last words"}
            await settled(lambda: "clear_up" in setting.life.done)

    run(test())


def test_a_run_of_an_earlier_hub_ends_with_its_reply(linked: Made) -> None:
    async def test() -> None:
        async with linked() as setting:
            setting.speaker.silent.add("kernel_info_request")  # the shell is busy with the run
            msg_id, frames = setting.kernel.pack("x")
            rejoining = asyncio.ensure_future(setting.kernel.rejoin(msg_id))
            await settled(lambda: ("shell", "kernel_info_request") in setting.speaker.requests)
            setting.send_as_an_earlier_hub(frames)
            reply = await asyncio.wait_for(rejoining, SECONDS)
            assert reply is not None
            assert reply.status == "ok"

    run(test())


def test_a_foreign_kernels_reply_that_comes_before_it_is_known_to_answer_is_not_lost(
    linked: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LATE_REPLY_SECONDS", 0.01)

    async def test() -> None:
        async with linked("message") as setting:
            msg_id, frames = setting.kernel.pack("x")
            setting.send_as_an_earlier_hub(frames)  # which is gone when the reply comes
            await setting.asked("execute_request")
            await setting.kernel.ready()
            reply = await asyncio.wait_for(setting.kernel.rejoin(msg_id), SECONDS)
            assert reply is not None
            assert reply.status == "ok"

    run(test())


def test_a_run_of_an_earlier_hub_of_which_nothing_comes_has_ended_unseen(
    linked: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LATE_REPLY_SECONDS", 0.01)

    async def test() -> None:
        async with linked() as setting:
            assert await asyncio.wait_for(setting.kernel.rejoin("of another hub"), SECONDS) is None

    run(test())


# --- interrupts -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interrupts", "content"), [("named", {"kernelexec": {"msg_id": "m"}}), ("message", {})]
)
def test_an_interrupt_names_its_run_to_who_understands_it(
    linked: Made, interrupts: str, content: dict[str, Any]
) -> None:
    async def test() -> None:
        async with linked(interrupts) as setting:
            assert await setting.kernel.interrupt("m") is True
            assert setting.speaker.contents["interrupt_request"] == content

    run(test())


def test_an_interrupt_of_what_does_not_run_any_more_reaches_nobody(linked: Made) -> None:
    async def test() -> None:
        async with linked() as setting:
            setting.speaker.answers["interrupt_request"] = {"kernelexec": {"interrupted": False}}
            assert await setting.kernel.interrupt("m") is False

    run(test())


def test_a_kernel_that_knows_signals_only_is_sent_one(linked: Made) -> None:
    async def test() -> None:
        async with linked("signal") as setting:
            assert await setting.kernel.interrupt("m") is True
            assert "interrupt" in setting.life.done
            assert "interrupt_request" not in setting.speaker.contents

    run(test())


def test_a_kernel_that_would_end_at_an_interrupt_is_told_how_python_takes_one(linked: Made) -> None:
    async def test() -> None:
        async with linked("signal", ready=False) as setting:
            setting.speaker.answers["kernel_info_request"] = {**KERNEL_INFO, "implementation": "xeus-python"}
            await asyncio.wait_for(setting.kernel.ready(), SECONDS)
            await execute(setting.kernel)
            sent = [kind for channel, kind in setting.speaker.requests if channel == "shell"]
            assert sent[-2:] == ["execute_request", "execute_request"]  # the first of them silent
        async with linked("signal") as setting:
            assert "execute_request" not in setting.speaker.contents

    run(test())


def test_a_kernel_that_slept_through_a_request_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NUDGE_SECONDS", 0.02)

    async def woken(interrupts: str) -> int:
        """How often, before it ends without having begun."""
        speaker, life = MemoryKernel(), FakeLife()
        kernel = LinkedKernel(partial(MemoryLink, speaker), life, lambda message: None, interrupts)
        await asyncio.wait_for(kernel.ready(), SECONDS)
        await execute(kernel)
        link = kernel._link
        assert isinstance(link, MemoryLink)
        assert link.woken == 0  # it had said that it had begun
        speaker.silent.add("execute_request")
        running = asyncio.create_task(kernel.execute(*kernel.pack("x")))
        with contextlib.suppress(AssertionError):
            await settled(lambda: link.woken >= 2)
        life.end(Death(signal=9))
        with pytest.raises(KernelDied):
            await running
        return link.woken

    assert run(woken("signal")) >= 2
    assert run(woken("named")) == 0  # ours does not sleep


def test_an_exception_has_its_name_whatever_the_kernel_makes_of_it(linked: Made) -> None:
    async def test() -> None:
        async with linked("signal") as setting:
            error = {"status": "error", "ename": "<class 'my.pkg.Failed'>", "evalue": "x", "traceback": []}
            setting.speaker.answers["execute_request"] = error
            setting.speaker.on_execute = lambda request: setting.speaker.publish(
                "error", error, request["header"]
            )
            reply = await execute(setting.kernel)
            assert reply.content["ename"] == "Failed"
            (heard,) = [message for message in setting.heard if message.type == "error"]
            assert heard.content["ename"] == "Failed"

    run(test())


def test_an_interrupt_that_is_not_answered_is_given_up(linked: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_INTERRUPT_REPLY_SECONDS", 0.02)

    async def test() -> None:
        async with linked() as setting:
            setting.speaker.silent.add("interrupt_request")
            assert await setting.kernel.interrupt("m") is False

    run(test())


# --- beside the runs --------------------------------------------------------------------------


def test_a_look_finds_what_our_kernel_tells_of_a_run(linked: Made) -> None:
    async def test() -> None:
        async with linked() as setting:
            setting.speaker.answers["kernelexec_request"] = {"running": "m", "begun": True, "line": "line 3"}
            found = await setting.kernel.look("m", messages=True)
            assert (found.answered, found.tells, found.running, found.line) == (True, True, "m", "line 3")
            assert setting.speaker.contents["kernelexec_request"] == {"about": "m", "messages": True}

    run(test())


def test_a_look_at_a_foreign_kernel_finds_that_it_answers(linked: Made) -> None:
    async def test() -> None:
        async with linked("message") as setting:
            assert await setting.kernel.look("m") == Findings(answered=True)

    run(test())


def test_a_look_at_a_kernel_that_does_not_answer_finds_that(
    linked: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.02)

    async def test() -> None:
        async with linked() as setting:
            setting.speaker.silent |= {"kernelexec_request", "kernel_info_request"}
            assert await setting.kernel.look("m") == Findings(answered=False)
            setting.life.is_stopped = True
            assert await setting.kernel.look("m") == Findings(answered=False, stopped=True)

    run(test())


def test_what_our_kernel_does_not_know_it_leaves_unanswered_and_is_not_waited_for(linked: Made) -> None:
    async def test() -> None:
        async with linked() as setting:
            setting.speaker.silent |= {"kernelexec_request", "imports_request", "variables_request"}
            assert await setting.kernel.look("m") == Findings(answered=True)
            assert await setting.kernel.refresh_imports(["os"]) is None
            assert await setting.kernel.variables("", 10, busy=True) is None

    run(test())


def test_imports_are_refreshed_and_the_versions_told(linked: Made) -> None:
    async def test() -> None:
        async with linked() as setting:
            missed = {"numpy": {"tables": True}}
            setting.speaker.answers["imports_request"] = {"modules": {"numpy": "2.0"}, "missed": missed}
            assert await setting.kernel.refresh_imports(["numpy"]) == Imports({"numpy": "2.0"}, missed)

    run(test())


def test_variables_are_told_and_the_last_known_where_it_does_not_answer(linked: Made) -> None:
    async def test() -> None:
        async with linked() as setting:
            setting.speaker.answers["variables_request"] = {"total": 1, "variables": [{"name": "x"}]}
            found = await setting.kernel.variables("", 10, busy=False)
            assert found is not None
            assert (found.total, found.is_old) == (1, False)
            setting.speaker.silent.add("variables_request")
            again = await setting.kernel.variables("", 10, busy=False)
            assert again is not None
            assert (again.total, again.is_old) == (1, True)

    run(test())


def question() -> Message:
    return Message("stdin", "input_request", {"prompt": "? "}, "q_1", "m", None, "", {})


def types_of(heard: list[Message]) -> list[str]:
    return [message.type for message in heard if message.type != "status"]


def test_a_question_is_told_after_what_was_printed_before_it(linked: Made) -> None:
    async def test() -> None:
        async with linked() as setting:
            setting.speaker.publish("stream", {"name": "stdout", "text": "which?"}, None)
            setting.kernel._take(question())  # on a socket of its own, so that it may come first
            await settled(lambda: "input_request" in types_of(setting.heard))
            assert types_of(setting.heard)[-2:] == ["stream", "input_request"]

    run(test())


def test_a_question_is_told_once_and_also_where_the_kernel_says_nothing_more(
    linked: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernelexec.kernels.linked_kernel._PRINTED_SECONDS", 0.05)

    async def test() -> None:
        async with linked() as setting:
            setting.speaker.silent = {"kernel_info_request"}
            setting.kernel._take(question())
            await settled(lambda: "input_request" in types_of(setting.heard))
            setting.speaker.silent = set()
            setting.kernel._take(question())
            await settled(lambda: types_of(setting.heard).count("input_request") == 2)
            await asyncio.sleep(0.1)  # past the time after which it would have been told anyway
            assert types_of(setting.heard).count("input_request") == 2

    run(test())


def test_a_foreign_kernels_question_is_told_at_once(linked: Made) -> None:
    async def test() -> None:
        async with linked("message") as setting:
            setting.kernel._take(question())
            assert types_of(setting.heard)[-1] == "input_request"

    run(test())


def test_an_answer_is_for_the_code_that_asks(linked: Made) -> None:
    async def test() -> None:
        async with linked("message") as setting:
            if isinstance(setting.speaker, MemoryKernel):  # what comes on stdin goes through one door there
                setting.kernel.answer("42")
                await setting.asked("input_reply")
                assert setting.speaker.contents["input_reply"]["value"] == "42"

    run(test())


# --- the end ----------------------------------------------------------------------------------


def test_a_kernel_that_shuts_down_by_itself_is_not_killed(linked: Made) -> None:
    async def test() -> None:
        async with linked() as setting:
            stopping = asyncio.ensure_future(setting.kernel.stop("on request"))
            await setting.asked("shutdown_request")
            setting.life.end(Death(exit_code=0))
            assert await asyncio.wait_for(stopping, SECONDS) == Death(exit_code=0, asked="on request")
            assert "kill" not in setting.life.done

    run(test())


def test_a_kernel_that_does_not_shut_down_by_itself_is_killed(linked: Made) -> None:
    async def test() -> None:
        async with linked() as setting:
            death = await asyncio.wait_for(setting.kernel.stop("on request", grace=0.02), SECONDS)
            assert death == Death(signal=9, asked="on request")
            assert "shutdown_request" in setting.speaker.contents

    run(test())


def test_who_is_cancelled_while_he_stops_a_kernel_hides_its_death_from_nobody(linked: Made) -> None:
    async def test() -> None:
        async with linked() as setting:
            stopping = asyncio.ensure_future(setting.kernel.stop("on request"))
            await setting.asked("shutdown_request")
            stopping.cancel()
            await asyncio.wait({stopping})
            setting.life.end(Death(exit_code=0))
            assert (await asyncio.wait_for(setting.kernel.died, SECONDS)).asked == "on request"

    run(test())


def test_of_two_who_stop_a_kernel_the_first_says_why_it_ended(linked: Made) -> None:
    async def test() -> None:
        async with linked() as setting:
            both = [asyncio.ensure_future(setting.kernel.stop(why)) for why in ("restarted", "stopped")]
            await asyncio.sleep(0)
            setting.life.end(Death(exit_code=0))
            assert [(await asyncio.wait_for(each, SECONDS)).asked for each in both] == ["restarted"] * 2

    run(test())


def test_a_kernel_that_is_let_go_of_lives_on(linked: Made) -> None:
    async def test() -> None:
        async with linked() as setting:
            setting.kernel.detach()
            await asyncio.sleep(0)
            assert not setting.kernel.died.done()
            assert setting.life.done == ["answers", "detach"]

    run(test())


def test_a_kernel_that_never_answers_is_told_so(linked: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 0.02)

    async def test() -> None:
        async with linked(ready=False) as setting:
            setting.speaker.silent.add("kernel_info_request")
            with pytest.raises(KernelFailed, match="did not answer within"):
                await setting.kernel.ready()

    run(test())


# --- an end in the middle -----------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """What is asked of a kernel, the request at which the kernel falls silent, and what comes of it then."""

    call: Callable[[LinkedKernel], Awaitable[Any]]
    silent_at: str
    result: Any = None  # an exception's type: it is raised
    interrupts: str = "named"


OPERATIONS = {
    "ready": Operation(lambda kernel: kernel.ready(), "kernel_info_request", KernelFailed),
    "execute": Operation(lambda kernel: kernel.execute(*kernel.pack("x")), "execute_request", KernelDied),
    "execute, foreign": Operation(
        lambda kernel: kernel.execute(*kernel.pack("x")), "execute_request", KernelDied, "message"
    ),
    "rejoin": Operation(lambda kernel: kernel.rejoin("m"), "kernel_info_request", KernelDied),
    "interrupt": Operation(lambda kernel: kernel.interrupt("m"), "interrupt_request", False),
    "look": Operation(lambda kernel: kernel.look("m"), "kernelexec_request", Findings(answered=False)),
    "imports": Operation(lambda kernel: kernel.refresh_imports(["os"]), "imports_request"),
    "variables": Operation(lambda kernel: kernel.variables("", 9, busy=True), "variables_request"),
    "variables of another": Operation(
        lambda kernel: kernel.variables("", 9, busy=False), "kernel_info_request", None, "message"
    ),
    "variables of another that is idle": Operation(
        lambda kernel: kernel.variables("", 9, busy=False), "execute_request", None, "message"
    ),
    "variables of another, its subshell": Operation(
        lambda kernel: kernel.variables("", 9, busy=True), "create_subshell_request", None, "message"
    ),
    "variables of another, in its subshell": Operation(
        lambda kernel: kernel.variables("", 9, busy=True), "execute_request", None, "message"
    ),
}


async def dies(setting: Setting) -> None:
    setting.life.end(Death(signal=9))


async def is_stopped(setting: Setting) -> None:
    assert (await setting.kernel.stop("on request", grace=0)).asked


async def loses_its_link(setting: Setting) -> None:
    setting.link.close()


async def is_let_go_of(setting: Setting) -> None:
    setting.kernel.detach()


ENDS = [dies, is_stopped, loses_its_link, is_let_go_of]


def script(operation: Operation, speaker: ScriptedKernel) -> None:
    speaker.answers["kernel_info_request"] = {**KERNEL_INFO, "supported_features": ["kernel subshells"]}
    speaker.answers["create_subshell_request"] = {"subshell_id": "1"}
    speaker.silent.add(operation.silent_at)
    if operation.silent_at in ("kernelexec_request", "imports_request", "variables_request"):
        speaker.silent.add("kernel_info_request")  # whose answer would be an answer


async def outcome(operation: Operation, kernel: LinkedKernel) -> Any:
    """What comes of it: in time, and told by no CancelledError."""
    asking = asyncio.ensure_future(operation.call(kernel))
    await asyncio.wait({asking}, timeout=SECONDS)
    assert asking.done()
    error = asking.exception()
    return asking.result() if error is None else type(error)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_what_is_asked_of_a_kernel_that_ends_in_the_middle_comes_to_the_end_that_it_promises(
    linked: Made, operation: Operation, end: Callable[[Setting], Awaitable[None]]
) -> None:
    async def test() -> None:
        async with linked(operation.interrupts, ready=False) as setting:
            script(operation, setting.speaker)
            asking = asyncio.ensure_future(outcome(operation, setting.kernel))
            await setting.asked(operation.silent_at)
            assert not asking.done()
            await end(setting)
            assert await asking == operation.result

    run(test())


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_what_is_asked_of_a_kernel_that_has_ended_comes_to_the_same_end(
    linked: Made, operation: Operation, end: Callable[[Setting], Awaitable[None]]
) -> None:
    async def test() -> None:
        async with linked(operation.interrupts, ready=False) as setting:
            script(operation, setting.speaker)
            await end(setting)
            if end in (dies, is_stopped):
                await settled(setting.kernel.died.done)
            assert await outcome(operation, setting.kernel) == operation.result

    run(test())


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("interrupts", ["named", "message"])
def test_a_kernel_that_ends_between_reply_and_idle_has_died(
    linked: Made, interrupts: str, end: Callable[[Setting], Awaitable[None]]
) -> None:
    async def test() -> None:
        async with linked(interrupts) as setting:
            setting.speaker.mute.add("idle")
            running = asyncio.ensure_future(setting.kernel.execute(*setting.kernel.pack("x")))
            await setting.asked("execute_request")
            await end(setting)
            with pytest.raises(KernelDied):
                await asyncio.wait_for(running, SECONDS)

    run(test())


@pytest.mark.parametrize("end", ENDS)
def test_a_stop_in_whose_middle_the_kernel_ends_otherwise_is_over_too(
    linked: Made, end: Callable[[Setting], Awaitable[None]]
) -> None:
    async def test() -> None:
        async with linked() as setting:
            setting.speaker.silent.add("shutdown_request")
            stopping = asyncio.ensure_future(setting.kernel.stop("on request", grace=60))
            await setting.asked("shutdown_request")
            await end(setting)
            assert (await asyncio.wait_for(stopping, SECONDS)).asked == "on request"

    run(test())


def test_a_kernel_that_somebody_else_has_started_is_let_go_of_and_never_asked_to_end(linked: Made) -> None:
    async def test() -> None:
        async with linked() as its:
            its.life.is_joined = True
            death = await its.kernel.stop("it was stopped on request")
            assert death.cause == "kernelexec let go of it, and it runs on (it was stopped on request)"
            assert its.kernel.died.result() is death
            assert "shutdown_request" not in [kind for _, kind in its.speaker.requests]
            assert "kill" not in its.life.done
            assert "clear_up" not in its.life.done

    run(test())
