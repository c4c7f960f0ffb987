"""Kernels on a server with faults: our own REST client and websocket, and a fake server at the other end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kernelexec.errors import KernelFailed
from kernelexec.kernels.host import Launch
from kernelexec.kernels.kernel import KernelDied, Reply
from kernelexec.kernels.linked_kernel import LinkedKernel
from kernelexec.kernels.servers import ServerKernels
from kernelexec.kernels.wire import Message
from tests.fakes import run
from tests.kernels.fake_kernel_server import FakeKernel, FakeKernelServer, Faults

SECONDS = 10


async def soon(condition: Callable[[], object]) -> None:
    """Wait for what comes about over a socket."""

    async def so() -> None:
        while not condition():  # noqa: ASYNC110 - of another program's state, which tells nobody
            await asyncio.sleep(0.005)

    await asyncio.wait_for(so(), SECONDS)


@dataclass
class Setting:
    """A kernel of the fake server's."""

    server: FakeKernelServer
    kernel: LinkedKernel
    there: FakeKernel
    heard: list[Message] = field(default_factory=list)

    def begin(self, code: str) -> asyncio.Task[Reply]:
        return asyncio.create_task(self.kernel.execute(*self.kernel.pack(code)))

    async def run(self, code: str) -> Reply:
        return await asyncio.wait_for(self.begin(code), SECONDS)

    @property
    def printed(self) -> str:
        return "".join(str(each.content["text"]) for each in self.heard if each.type == "stream")


def launch(server: FakeKernelServer, tmp_path: Path) -> Launch:
    environ = {"ENV_TYPE": "gateway", "GATEWAY_URL": server.url, "JUPYTER_TOKEN": "t"}
    return Launch((), tmp_path, environ, kind="server", host=server.url, kernelspec="python3")


def on_a_server(tmp_path: Path, test: Callable[[Setting], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with FakeKernelServer().serving() as server:
            heard: list[Message] = []
            kernel = await ServerKernels().start(launch(server, tmp_path), heard.append)
            await kernel.ready()
            (there,) = server.kernels.values()
            await test(Setting(server, kernel, there, heard))
            if not kernel.died.done():
                await kernel.stop("the test ends")
            kernel.detach()

    run(whole())


@pytest.mark.parametrize("status", [502, 503, 504, 429, 424])
def test_what_is_sent_while_a_proxy_does_not_reach_the_server_runs_once_it_does(
    tmp_path: Path, status: int
) -> None:
    async def test(setting: Setting) -> None:
        setting.server.faults = Faults(status=status)
        setting.server.drop()
        await soon(lambda: setting.kernel.lost and str(status) in setting.kernel.lost.why)
        running = setting.begin("6 * 7")
        setting.server.faults = Faults()
        assert (await asyncio.wait_for(running, SECONDS)).status == "ok"
        assert setting.there.runs == ["6 * 7"]
        assert setting.kernel.lost is None

    on_a_server(tmp_path, test)


def test_a_run_whose_message_the_server_does_not_take_has_not_begun_and_the_next_runs(tmp_path: Path) -> None:
    async def test(setting: Setting) -> None:
        setting.server.faults = Faults(closing=1009)
        running = setting.begin("too long for a proxy")
        await soon(lambda: setting.kernel.lost)
        assert "1009" in setting.kernel.lost.why  # type: ignore[union-attr]
        setting.server.faults = Faults()
        assert (await asyncio.wait_for(running, SECONDS)).status == "aborted"
        assert (await setting.run("3")).status == "ok"
        assert setting.there.runs == ["3"]
        assert setting.printed == "0\n1\n2\n"

    on_a_server(tmp_path, test)


def test_output_that_the_server_drops_is_asked_of_the_kernel(tmp_path: Path) -> None:
    async def test(setting: Setting) -> None:
        setting.server.faults = Faults(drops_output=True)
        assert (await setting.run("2000")).lost == 0
        assert setting.printed == "".join(f"{number}\n" for number in range(2000))

    on_a_server(tmp_path, test)


@pytest.mark.parametrize("noise", [b"\xff" * 64, b"", "no message", '{"header": {}}'])
def test_what_is_no_message_is_passed_over(tmp_path: Path, noise: bytes | str) -> None:
    async def test(setting: Setting) -> None:
        setting.server.faults = Faults(noise=noise)
        assert (await setting.run("2")).status == "ok"
        assert setting.printed == "0\n1\n"

    on_a_server(tmp_path, test)


def test_a_kernel_of_a_slow_server_is_waited_for(tmp_path: Path) -> None:
    async def test(setting: Setting) -> None:
        setting.server.faults = Faults(pause=1.0)
        setting.server.drop()
        await soon(lambda: setting.kernel.lost)
        assert (await setting.run("1 + 1")).status == "ok"
        assert setting.server.handshakes == 2, "a slow answer is not asked for again"

    on_a_server(tmp_path, test)


def test_another_process_in_the_kernel_s_place_is_another_kernel(tmp_path: Path) -> None:
    async def test(setting: Setting) -> None:
        await setting.run("1 + 1")
        setting.server.replace_process(setting.there)
        with pytest.raises(KernelDied):
            await setting.run("1 + 1")
        assert "another process in its place" in setting.kernel.died.result().cause

    on_a_server(tmp_path, test)


def test_a_kernel_that_its_server_does_not_know_any_more_has_ended(tmp_path: Path) -> None:
    async def test(setting: Setting) -> None:
        setting.server.kernels.clear()
        for each in list(setting.there.listeners):
            each.break_off()
        death = await asyncio.wait_for(asyncio.shield(setting.kernel.died), SECONDS)
        assert "does not know it any more" in death.cause

    on_a_server(tmp_path, test)


def test_a_kernel_that_was_ended_without_a_word_while_it_was_idle_is_told_with_the_next_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(setting: Setting) -> None:
        await setting.run("1 + 1")
        setting.server.silence(takes=False)
        setting.server.kernels.clear()
        monkeypatch.setattr("kernelexec.kernels.server_life._SILENT_SECONDS", 0.0)  # it has been idle long
        with pytest.raises(KernelDied):
            await asyncio.wait_for(setting.begin("1 + 1"), SECONDS / 2)
        assert "does not know it any more" in setting.kernel.died.result().cause

    on_a_server(tmp_path, test)


@pytest.mark.parametrize("takes", [True, False])
def test_a_connection_that_passes_nothing_on_is_made_again_and_nothing_is_lost_or_run_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, takes: bool
) -> None:
    monkeypatch.setattr("kernelexec.kernels.server_life._SILENT_SECONDS", 0.2)

    async def test(setting: Setting) -> None:
        assert (await setting.run("2")).status == "ok"
        setting.server.silence(takes=takes)
        reply = await setting.run("3")
        if not takes:  # it had never come there, so nobody has run it: who asked decides
            assert reply.status == "aborted"
            reply = await setting.run("3")
        assert reply.status == "ok"
        assert setting.there.runs == ["2", "3"]
        assert setting.printed == "0\n1\n0\n1\n2\n"
        assert setting.server.handshakes == 2

    on_a_server(tmp_path, test)


def test_a_kernel_that_computes_in_silence_keeps_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernelexec.kernels.server_life._SILENT_SECONDS", 0.05)

    async def test(setting: Setting) -> None:
        setting.server.silence(takes=False)  # and so hears nothing that could be answered
        setting.there.state = "busy"
        running = setting.begin("3")
        await asyncio.sleep(1.0)
        assert not running.done()
        assert setting.server.handshakes == 1
        setting.there.state = "idle"
        assert (await asyncio.wait_for(running, SECONDS)).status == "aborted"
        assert setting.server.handshakes == 2

    on_a_server(tmp_path, test)


def test_a_proxy_without_upgrade_is_told_as_that_and_leaves_no_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernelexec.kernels.linked_kernel._HOPELESS_SECONDS", 0.5)

    async def whole() -> None:
        async with FakeKernelServer().serving() as server:
            server.faults = Faults(plain=True)
            kernel = await ServerKernels().start(launch(server, tmp_path), lambda message: None)
            with pytest.raises(KernelFailed, match="does not pass the Upgrade header"):
                await kernel.ready()
            await kernel.stop("it was never ready")
            assert server.kernels == {}

    run(whole())


def test_a_kernel_that_is_stopped_is_ended_on_its_server_by_one_request(tmp_path: Path) -> None:
    async def test(setting: Setting) -> None:
        asked = setting.server.requests
        await setting.kernel.stop("the test wants it")
        assert setting.server.requests == asked + 1
        assert setting.server.kernels == {}

    on_a_server(tmp_path, test)
