"""A local kernel: a real process to watch, and a kernel of real sockets that speaks for it."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kernelexec.errors import KernelFailed
from kernelexec.kernels import local as module
from kernelexec.kernels.kernel import Death, KernelDied
from kernelexec.kernels.local import OPTIONS, Launch, LocalKernel, read_death
from kernelexec.kernels.process import identity
from kernelexec.kernels.wire import Message
from tests.fakes import run, settled
from tests.kernels.zmq_kernel import ZmqKernel, connection_in


def sleeping() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"])


@asynccontextmanager
async def adopted(folder: Path) -> AsyncIterator[tuple[LocalKernel, ZmqKernel, subprocess.Popen[bytes]]]:
    """An adopted kernel that is ready. Its process is a `sleep`, and the test's to kill."""
    directory = folder / "k"
    directory.mkdir()
    connection = connection_in(directory)
    (directory / "connection.json").write_text(json.dumps(connection))
    speaker = ZmqKernel(connection, welcome=True)
    with sleeping() as process:
        known = identity(process.pid)
        assert known is not None
        kernel = LocalKernel.adopt(directory, (process.pid, known), None, lambda message: None)
        try:
            await asyncio.wait_for(kernel.ready(), 5)
            yield kernel, speaker, process
        finally:
            kernel.detach()
            speaker.close()
            process.kill()


async def execute(kernel: LocalKernel, code: str = "x") -> Any:
    return await asyncio.wait_for(kernel.execute(*kernel.pack(code)), 5)


def test_an_execution_ends_with_its_reply_and_its_idle(tmp_path: Path) -> None:
    async def test() -> None:
        async with adopted(tmp_path) as (kernel, speaker, _):
            codes: list[str] = []
            speaker.on_execute = lambda request: codes.append(request["content"]["code"])
            reply = await execute(kernel, "x = 'ä'")
            assert (reply.status, codes) == ("ok", ["x = 'ä'"])

    run(test())


def test_a_request_never_makes_a_kernel_abort_others_and_may_ask_for_input(tmp_path: Path) -> None:
    async def test() -> None:
        async with adopted(tmp_path) as (kernel, speaker, _):
            contents: list[Any] = []
            speaker.on_execute = lambda request: contents.append(request["content"])
            await execute(kernel)
            assert (contents[0]["stop_on_error"], contents[0]["allow_stdin"]) == (False, True)
            assert contents[0]["store_history"] is True

    run(test())


def test_a_reply_alone_is_no_end(tmp_path: Path) -> None:
    """Output that was sent before idle may still be on its way."""

    async def test() -> None:
        async with adopted(tmp_path) as (kernel, speaker, _):
            publish = speaker.publish
            speaker.publish = lambda kind, content, parent: (  # type: ignore[method-assign]
                None if content.get("execution_state") == "idle" else publish(kind, content, parent)
            )
            msg_id, frames = kernel.pack("x")
            running = asyncio.ensure_future(kernel.execute(msg_id, frames))
            await settled(lambda: ("shell", "execute_request") in speaker.requests)
            done, _ = await asyncio.wait({running}, timeout=0.05)
            assert not done
            publish("status", {"execution_state": "idle"}, {"msg_id": msg_id})
            assert (await asyncio.wait_for(running, 5)).status == "ok"

    run(test())


def test_a_death_while_it_runs_code_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        async with adopted(tmp_path) as (kernel, speaker, process):
            speaker.silent.add("execute_request")
            running = asyncio.ensure_future(kernel.execute(*kernel.pack("x")))
            await settled(lambda: ("shell", "execute_request") in speaker.requests)
            process.kill()
            with pytest.raises(KernelDied):
                await asyncio.wait_for(running, 5)
            assert (await kernel.died).cause == "it is gone, and nobody saw how it ended"

    run(test())


def test_a_kernel_that_has_died_runs_nothing_and_says_so(tmp_path: Path) -> None:
    async def test() -> None:
        async with adopted(tmp_path) as (kernel, _, process):
            process.kill()
            await asyncio.wait_for(kernel.died, 5)
            with pytest.raises(KernelDied):
                await execute(kernel)
            assert await kernel.stop("on request") == kernel.died.result()

    run(test())


def test_an_interrupt_of_a_kernel_that_has_died_reaches_nobody(tmp_path: Path) -> None:
    async def test() -> None:
        async with adopted(tmp_path) as (kernel, _, process):
            process.kill()
            await asyncio.wait_for(kernel.died, 5)
            assert await kernel.interrupt("m") is False

    run(test())


def test_an_interrupt_during_which_the_kernel_dies_reaches_nobody(tmp_path: Path) -> None:
    async def test() -> None:
        async with adopted(tmp_path) as (kernel, speaker, process):
            speaker.silent.add("interrupt_request")
            interrupting = asyncio.ensure_future(kernel.interrupt("m"))
            await settled(lambda: ("control", "interrupt_request") in speaker.requests)
            process.kill()
            assert await asyncio.wait_for(interrupting, 5) is False

    run(test())


def test_an_interrupt_that_is_not_answered_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_INTERRUPT_REPLY_SECONDS", 0.02)

    async def test() -> None:
        async with adopted(tmp_path) as (kernel, speaker, _):
            speaker.silent.add("interrupt_request")
            assert await kernel.interrupt("m") is False

    run(test())


def test_a_kernel_that_does_not_shut_down_by_itself_is_killed(tmp_path: Path) -> None:
    async def test() -> None:
        async with adopted(tmp_path) as (kernel, speaker, process):
            death = await asyncio.wait_for(kernel.stop("on request", grace=0.02), 5)
            assert death.asked
            assert process.wait() == -signal.SIGKILL
            assert ("control", "shutdown_request") in speaker.requests
            assert not kernel.directory.exists()

    run(test())


def test_a_kernel_that_is_let_go_of_lives_on(tmp_path: Path) -> None:
    async def test() -> None:
        async with adopted(tmp_path) as (kernel, _, process):
            kernel.detach()
            await asyncio.sleep(0)
            assert process.poll() is None
            assert kernel.directory.exists()

    run(test())


@pytest.mark.parametrize("missing", ["process", "directory"])
def test_what_is_gone_cannot_be_adopted(tmp_path: Path, missing: str) -> None:
    async def test() -> None:
        with sleeping() as process:
            known = "a stranger" if missing == "process" else identity(process.pid)
            assert known is not None
            if missing == "process":
                (tmp_path / "connection.json").write_text(json.dumps(connection_in(tmp_path)))
            with pytest.raises((ProcessLookupError, OSError)):
                LocalKernel.adopt(tmp_path, (process.pid, known), None, lambda message: None)
            process.kill()

    run(test())


# --- starting -----------------------------------------------------------------------------


def launch(folder: Path, program: str) -> Launch:
    """A start with this program in place of the launcher."""
    script = folder / "launcher.py"
    script.write_text(program)
    return Launch([sys.executable, str(script), OPTIONS, "-f", "{connection_file}"], folder, {})


async def start(folder: Path, planned: Launch) -> LocalKernel:
    def ignore(message: Message) -> None:
        pass

    return await LocalKernel.start(folder, planned, ignore)


def test_an_interpreter_that_cannot_be_started_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(KernelFailed, match="could not be started"):
            await start(tmp_path, Launch(["/no/such/python", "x", OPTIONS], tmp_path, {}))
        assert list((tmp_path / "k").iterdir()) == []

    run(test())


def test_a_working_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(KernelFailed, match="gone"):
            await start(tmp_path, Launch([sys.executable, "x", OPTIONS], tmp_path / "gone", {}))

    run(test())


def test_a_kernel_that_ends_at_its_start_is_told_at_once_with_its_stderr(tmp_path: Path) -> None:
    async def test() -> None:
        kernel = await start(tmp_path, launch(tmp_path, "import sys; sys.exit('No module named zmq')"))
        with pytest.raises(KernelFailed, match=r"(?s)did not start.*No module named zmq"):
            await asyncio.wait_for(kernel.ready(), 5)
        assert list((tmp_path / "k").iterdir()) == []

    run(test())


def test_a_kernel_that_never_answers_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 0.05)

    async def test() -> None:
        kernel = await start(tmp_path, launch(tmp_path, "import time; time.sleep(60)"))
        with pytest.raises(KernelFailed, match="did not answer within"):
            await kernel.ready()
        await asyncio.wait_for(kernel.stop("on request", grace=0), 5)

    run(test())


def test_a_kernel_is_told_its_files_and_nothing_of_them_is_open_to_others(tmp_path: Path) -> None:
    program = "import json, sys; print(json.dumps(sys.argv[1:]), file=sys.stderr)"

    async def test() -> None:
        kernel = await start(tmp_path, launch(tmp_path, program))
        directory = kernel.directory
        assert directory.stat().st_mode & 0o777 == 0o700
        assert (directory / "connection.json").stat().st_mode & 0o777 == 0o600
        connection = json.loads((directory / "connection.json").read_text())
        assert (connection["transport"], connection["ip"]) == ("ipc", str(directory / "s"))
        assert len(connection["key"]) == 32
        death = await asyncio.wait_for(kernel.died, 5)
        arguments = json.loads(death.stderr)
        assert str(directory / "connection.json") in arguments
        assert arguments[arguments.index("--exit-file") + 1] == str(directory / "exit.json")

    run(test())


# --- deaths ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exit_file", "death"),
    [
        ('{"format": 1, "exit_code": 3, "signal": null, "oom_kills": 0}', Death(3, None, 0)),
        ('{"format": 1, "exit_code": null, "signal": 9, "oom_kills": 2}', Death(None, 9, 2)),
        (None, Death()),
        ("", Death()),
        ("{", Death()),
        ("[]", Death()),
    ],
)
def test_a_death_is_read_from_what_the_keeper_left(
    tmp_path: Path, exit_file: str | None, death: Death
) -> None:
    if exit_file is not None:
        (tmp_path / "exit.json").write_text(exit_file)
    assert read_death(tmp_path) == death


def test_only_the_end_of_a_long_stderr_is_told(tmp_path: Path) -> None:
    (tmp_path / "stderr.log").write_bytes(b"x" * 100_000 + b"\xff the end\n")
    stderr = read_death(tmp_path).stderr
    assert stderr.endswith("\ufffd the end")
    assert len(stderr) <= 4_000


def test_a_kernel_that_is_stopped_right_after_its_adoption_is_ended(tmp_path: Path) -> None:
    async def test() -> None:
        started = await start(tmp_path, launch(tmp_path, "import time; time.sleep(60)"))
        assert started.keeper is not None
        keeper = (started.keeper.pid, started.keeper.identity)
        adopted_again = LocalKernel.adopt(started.directory, keeper, None, lambda message: None)
        assert (await asyncio.wait_for(adopted_again.stop("on request", grace=0), 5)).asked
        await asyncio.wait_for(started.died, 5)

    run(test())
