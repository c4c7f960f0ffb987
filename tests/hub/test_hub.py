"""The hub's sessions: which one a call is for, and what becomes of a kernel that an earlier hub left."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import shutil
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kernelexec.config import EnvironmentChoice
from kernelexec.environments import catalog
from kernelexec.errors import BadRequest, ConfigError, KernelFailed, SessionTaken, StorageFailed
from kernelexec.hub import hub as hub_module
from kernelexec.hub.caller import Caller
from kernelexec.hub.hub import Hub
from kernelexec.kernels.host import KernelGone, Launch
from kernelexec.kernels.kernel import Death, OnMessage
from kernelexec.kernels.registry import Registry
from kernelexec.kernels.strays import Stray
from kernelexec.model.environment import Environment
from kernelexec.model.execution import Execution, State
from kernelexec.session.session import Session
from kernelexec.session.submission import Submission
from kernelexec.session.surroundings import Surroundings
from tests.fakes import FakeKernel, environment, journal_lines, ran, run, settled, submit, told


class FakeHosted(FakeKernel):
    """A host.HostedKernel."""

    def __init__(self, kernel_id: str, on_message: OnMessage, not_ready: Exception | None) -> None:
        super().__init__(on_message)
        self.kernel_id = kernel_id
        self.not_ready = not_ready
        self.is_known = False  # whether it has answered

    async def ready(self) -> Mapping[str, Any]:
        info = await super().ready()
        self.is_known = True
        return info

    def place(self) -> Mapping[str, Any]:
        return {"at": self.kernel_id, "pid": 11 if self.is_known else None}

    def environ(self) -> Mapping[str, str]:
        return {}


class FakeHost:
    """A host.KernelHost whose kernels outlive the hubs of a test."""

    def __init__(self) -> None:
        self.started: list[FakeHosted] = []
        self.left: dict[str, FakeHosted] = {}  # what a hub can adopt, by id
        self.launches: list[Launch] = []
        self.cleared: list[str] = []
        self.not_ready: Exception | None = None  # of what is started from now on
        self.last_death = Death()
        self.kept: list[str] = []
        self.living: dict[str, Stray] = {}
        self.places: dict[str, str] = {}  # those elsewhere, by id

    def meet(self, environ: Mapping[str, str], cwd: str) -> None:
        pass

    async def start(self, launch: Launch, on_message: OnMessage) -> FakeHosted:
        kernel = FakeHosted(f"{len(self.started):08x}", on_message, self.not_ready)
        self.launches.append(launch)
        self.started.append(kernel)
        self.left[kernel.kernel_id] = kernel
        return kernel

    def adopt(self, place: Mapping[str, Any], on_message: OnMessage, interrupts: str) -> FakeHosted:
        kernel = self.left.get(place["at"])
        if kernel is None or kernel.died.done():
            raise KernelGone("it has ended")
        self.left[kernel.kernel_id] = FakeHosted(kernel.kernel_id, on_message, None)
        return self.left[kernel.kernel_id]

    def strays(self) -> Mapping[str, Stray]:
        return self.living

    def keep(self, place: Mapping[str, Any]) -> None:
        self.kept.append(place["at"])

    def elsewhere(self, place: Mapping[str, Any]) -> str | None:
        return self.places.get(place["at"])

    def death(self, place: Mapping[str, Any]) -> Death:
        return self.last_death

    def clear_up(self, place: Mapping[str, Any]) -> None:
        self.cleared.append(place["at"])


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Environments are prepared at once, each by its path; which ones were."""
    asked: list[Path] = []

    async def prepare(source: Any, environ: Mapping[str, str], progress: Any) -> Environment:
        asked.append(source.prefix)
        await asyncio.sleep(0)
        return environment(prefix=source.prefix, label=source.prefix.name)

    monkeypatch.setattr(catalog, "prepare", prepare)
    return asked


@asynccontextmanager
async def hub_in(folder: Path, host: FakeHost | None = None) -> AsyncIterator[Hub]:
    hub = Hub(folder / "run", folder / "state", host or FakeHost(), folder / "limits.json")
    await hub.find_left()
    await hub.adoption.of_all()
    try:
        yield hub
    finally:
        await hub.close()


def caller(folder: Path, cwd: str = "/home/ann/sales", venv: str = "/envs/analysis", **more: str) -> Caller:
    environ = {"CODE_STORAGE_DIR": str(folder / "storage"), "HOME": "/home/ann", "VENV_PATH": venv, **more}
    return Caller(pid=1, cwd=cwd, environ=environ)


async def session_of(hub: Hub, someone: Caller, name: str | None = None) -> Session:
    return await hub.session_of(someone, name, lambda text: None)


def test_the_same_project_and_environment_is_the_same_session_whoever_asks(tmp_path: Path) -> None:
    async def test() -> None:
        async with hub_in(tmp_path) as hub:
            first = await session_of(hub, caller(tmp_path))
            assert first.id == "sales@analysis"
            assert await session_of(hub, caller(tmp_path)) is first
            assert await session_of(hub, caller(tmp_path), "sales") is first
            assert await session_of(hub, caller(tmp_path, cwd="/elsewhere"), "sales@analysis") is first
            assert await session_of(hub, caller(tmp_path), "other") is not first

    run(test())


def test_a_session_that_is_unused_is_let_go_of_and_comes_back_as_it_was(
    tmp_path: Path, host: FakeHost
) -> None:
    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            ann = in_project(tmp_path, "sales")
            busy, _ = await ran_for(hub, ann, "busy")
            stopped, _ = await ran_for(hub, ann, "other")
            await stopped.stop_kernel()
            assert await hub.release(60) == []  # it was used just now
            assert await hub.release(0) == [stopped.id]
            assert hub.sessions == [busy]
            descriptor = os.open(stopped.recorder.journal.path, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody has it
            os.close(descriptor)
            with pytest.raises(StorageFailed):
                stopped.submit(Submission("1"))
            again, second = await ran_for(hub, ann, "other")
            assert again is not stopped
            # Whoever knew its kernel is still to be told of its end.
            assert (second.number, second.state) == (2, State.NOT_RUN)

    run(test())


def test_many_callers_in_one_moment_open_a_session_once(tmp_path: Path, prepared: list[Path]) -> None:
    async def test() -> None:
        async with hub_in(tmp_path) as hub:
            sessions = await asyncio.gather(*(session_of(hub, caller(tmp_path)) for _ in range(10)))
            assert len({id(session) for session in sessions}) == 1
            assert prepared == [Path("/envs/analysis")]

    run(test())


def test_a_storage_directory_reached_by_another_path_is_the_same(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "storage").mkdir()
        (tmp_path / "link").symlink_to("storage")
        async with hub_in(tmp_path) as hub:
            first = await session_of(hub, caller(tmp_path))
            linked = caller(tmp_path, CODE_STORAGE_DIR=str(tmp_path / "link"))
            assert await session_of(hub, linked) is first

    run(test())


def in_project(folder: Path, name: str, **more: str) -> Caller:
    """A client with the least configuration."""
    (folder / name).mkdir(exist_ok=True)
    environ = {"HOME": str(folder), "VENV_PATH": "/envs/analysis", **more}
    return Caller(pid=1, cwd=str(folder / name), environ=environ)


async def ran_for(hub: Hub, someone: Caller, name: str | None = None) -> tuple[Session, Execution]:
    session = await session_of(hub, someone, name)
    return session, await ran(session, "a", surroundings=someone.surroundings(session))


def test_kernels_work_in_their_projects_whoever_has_them_started(tmp_path: Path, host: FakeHost) -> None:
    async def test() -> None:
        sales, costs = in_project(tmp_path, "sales"), in_project(tmp_path, "costs")
        async with hub_in(tmp_path, host) as hub:
            session, _ = await ran_for(hub, sales)
            assert (session.id, session.directory) == ("sales@analysis", tmp_path / "sales")
            await session.restart_kernel("it was restarted", costs.surroundings(session))
            assert session.directory == tmp_path / "sales"
            shared, _ = await ran_for(hub, costs, "shared")  # is of no project
            assert (await ran_for(hub, sales, "shared"))[0] is shared
            assert shared.directory == tmp_path / "costs"
            await shared.restart_kernel("it was restarted", sales.surroundings(shared))
            assert shared.directory == tmp_path / "sales"
        assert [launch.cwd.name for launch in host.launches] == ["sales", "sales", "costs", "sales"]
        assert not [*(tmp_path / "sales").iterdir(), *(tmp_path / "costs").iterdir()]

    run(test())


def test_the_next_hub_knows_where_a_kernel_works_or_worked(tmp_path: Path, host: FakeHost) -> None:
    async def test() -> None:
        sales = in_project(tmp_path, "sales")
        async with hub_in(tmp_path, host) as hub:
            await ran_for(hub, sales)
            other, _ = await ran_for(hub, sales, "other")
            await other.stop_kernel()
        async with hub_in(tmp_path, host) as hub:
            adopted = await session_of(hub, in_project(tmp_path, "sales", KERNELEXEC_CWD="/elsewhere"))
            assert (adopted.state, adopted.directory) == ("idle", tmp_path / "sales")
            stopped = await session_of(hub, in_project(tmp_path, "costs"), "other")
            assert (stopped.state, stopped.directory) == ("no kernel", tmp_path / "sales")
        journal = tmp_path / "kernelexec" / ".kernelexec" / "other@analysis.jsonl"
        lines = map(json.loads, journal.read_text().splitlines())
        [kernel] = [line for line in lines if line["event"] == "kernel"]
        said = kernel["notebook_metadata"]["kernelexec"]["directory"]
        assert kernel["directory"] == said == str(tmp_path / "sales")

    run(test())


def test_a_directory_that_is_not_there_is_an_error_and_is_not_made(tmp_path: Path, host: FakeHost) -> None:
    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            _, execution = await ran_for(hub, in_project(tmp_path, "sales", KERNELEXEC_CWD="typo"))
            assert execution.state is State.NOT_RUN
            assert f"{tmp_path / 'sales' / 'typo'}, which does not exist" in execution.problem
            assert "correct KERNELEXEC_CWD" in execution.problem
            assert not (tmp_path / "sales" / "typo").exists()
            (tmp_path / "sales" / "typo").write_text("")
            _, execution = await ran_for(hub, in_project(tmp_path, "sales", KERNELEXEC_CWD="typo"))
            assert f"{tmp_path / 'sales' / 'typo'}, which is no folder" in execution.problem
            gone = in_project(tmp_path, "costs")
            (tmp_path / "costs").rmdir()
            session, execution = await ran_for(hub, gone)
            assert (session.id, execution.state) == ("costs@analysis", State.NOT_RUN)
            (tmp_path / "costs").mkdir()
            assert (await ran_for(hub, gone))[1].state is State.OK
        assert len(host.launches) == 1

    run(test())


@pytest.mark.parametrize("same_hub", [True, False])
def test_two_projects_of_one_name_do_not_share_variables(tmp_path: Path, same_hub: bool) -> None:
    async def test() -> None:
        async with hub_in(tmp_path) as hub:
            assert (await session_of(hub, caller(tmp_path, cwd="/a/sales"))).id == "sales@analysis"
            if same_hub:
                await check(hub)
        if not same_hub:
            async with hub_in(tmp_path) as hub:
                await check(hub)

    async def check(hub: Hub) -> None:
        other = await session_of(hub, caller(tmp_path, cwd="/b/sales"))
        assert other.id.startswith("sales-")
        assert other.id.endswith("@analysis")
        assert await session_of(hub, caller(tmp_path, cwd="/b/sales")) is other

    run(test())


def test_two_environments_of_one_name_do_not_share_variables(tmp_path: Path) -> None:
    async def test() -> None:
        async with hub_in(tmp_path) as hub:
            first = await session_of(hub, caller(tmp_path, venv="/a/analysis"))
            second = await session_of(hub, caller(tmp_path, venv="/b/analysis"))
            assert first.id == "sales@analysis"
            assert second.id.startswith("sales@analysis-")
            assert first.recorder.journal.path != second.recorder.journal.path

    run(test())


def test_a_session_of_another_environment_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    async def test() -> None:
        async with hub_in(tmp_path) as hub:
            await session_of(hub, caller(tmp_path))
            with pytest.raises(BadRequest, match="no session sales@other") as refused:
                await session_of(hub, caller(tmp_path), "sales@other")
            assert "sales@analysis" in refused.value.next_step

    run(test())


def test_a_session_that_is_open_in_this_process_already_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        async with hub_in(tmp_path) as hub:
            await session_of(hub, caller(tmp_path))
            async with hub_in(tmp_path / "another") as other:
                with pytest.raises(SessionTaken, match="is open here already, under another path"):
                    await session_of(other, caller(tmp_path))

    run(test())


def test_a_session_can_be_looked_at_where_there_is_no_room_and_used_once_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def full(descriptor: int, data: Any) -> int:
        if b'"opened"' in bytes(data):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    async def test() -> None:
        async with hub_in(tmp_path) as hub:
            with monkeypatch.context() as patch:
                patch.setattr(os, "write", full)
                session = await session_of(hub, caller(tmp_path))
                with pytest.raises(StorageFailed, match="No space left"):
                    submit(session, "1")
            assert (await ran(session, "2")).state is State.OK
            assert journal_lines(tmp_path / "storage")[0]["event"] == "opened"

    run(test())


# --- kernels ---------------------------------------------------------------------------


def entries(folder: Path) -> list[Any]:
    return Registry(folder / "state" / "kernels").entries()


def test_a_kernel_is_in_the_registry_as_long_as_it_lives(tmp_path: Path, host: FakeHost) -> None:
    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            session = await session_of(hub, caller(tmp_path))
            assert not hub.has_kernels
            await ran(session, "x = 1")
            assert hub.has_kernels
            [entry] = entries(tmp_path)
            assert (entry.generation, entry.session_name, entry.place) == (
                1,
                "sales",
                {"at": "00000000", "pid": 11},
            )
            host.started[0].die()
            await settled(lambda: not entries(tmp_path))
            assert not hub.has_kernels

    run(test())


def test_a_kernel_that_does_not_get_ready_is_ended(tmp_path: Path, host: FakeHost) -> None:
    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            session = await session_of(hub, caller(tmp_path))
            host.not_ready = KernelFailed("The kernel did not answer within 120 s.")
            execution = await ran(session, "x = 1")
            assert execution.state is State.NOT_RUN
            await settled(host.started[0].died.done)
            await settled(lambda: not entries(tmp_path))

    run(test())


def test_the_next_hub_goes_on_with_the_kernel(tmp_path: Path, host: FakeHost) -> None:
    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            await ran(await session_of(hub, caller(tmp_path)), "x = 1")
        async with hub_in(tmp_path, host) as hub:
            [session] = hub.sessions
            assert await session_of(hub, caller(tmp_path)) is session
            assert (session.state, session.generation) == ("idle", 1)
            execution = await ran(session, "x")
            assert (execution.number, execution.generation) == (2, 1)
            assert len(host.started) == 1
            assert told(session) == []

    run(test())


def test_a_kernel_that_ended_while_no_hub_watched_is_told_before_anything_runs(
    tmp_path: Path, host: FakeHost
) -> None:
    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            await ran(await session_of(hub, caller(tmp_path)), "x = 1")
        host.left.clear()
        async with hub_in(tmp_path, host) as hub:
            assert entries(tmp_path) == []
            session = await session_of(hub, caller(tmp_path))
            execution = submit(session, "x")
            assert execution.state is State.NOT_RUN
            assert execution.problem is not None
            assert "nobody saw how it ended" in execution.problem

    run(test())


def test_what_its_host_knows_of_the_end_of_a_kernel_is_told(tmp_path: Path, host: FakeHost) -> None:
    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            await ran(await session_of(hub, caller(tmp_path)), "x = 1")
        host.left.clear()
        host.last_death = Death(asked="the system was restarted")
        async with hub_in(tmp_path, host) as hub:
            session = await session_of(hub, caller(tmp_path))
            assert session.kernel is None
            execution = submit(session, "x")
            assert execution.state is State.NOT_RUN
            assert execution.problem is not None
            assert "the system was restarted" in execution.problem
        assert host.cleared == ["00000000"]

    run(test())


def test_an_environment_is_tried_with_a_kernel_that_ends_with_the_hub(tmp_path: Path, host: FakeHost) -> None:
    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            choice = caller(tmp_path).config().environment
            await hub.configure(caller(tmp_path), choice, lambda text: None)
            assert host.launches[0].ends_with_us
            assert host.started[0].died.result().asked == "its trial is over"
            assert entries(tmp_path) == []
            host.not_ready = KernelFailed("The kernel did not start.")
            with pytest.raises(KernelFailed):
                await hub.configure(caller(tmp_path), choice, lambda text: None)
            assert host.started[1].died.done()

    run(test())


def test_a_kernel_whose_start_no_hub_saw_to_its_end_is_stopped(tmp_path: Path, host: FakeHost) -> None:
    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            await ran(await session_of(hub, caller(tmp_path)), "x = 1")
        [entry] = entries(tmp_path)
        Registry(tmp_path / "state" / "kernels").write(replace(entry, generation=2))
        async with hub_in(tmp_path, host) as hub:
            assert host.left["00000000"].died.done()
            assert entries(tmp_path) == []
            assert (await session_of(hub, caller(tmp_path))).kernel is None

    run(test())


def test_a_storage_directory_that_is_gone_stops_no_other_kernel_from_being_found(
    tmp_path: Path, host: FakeHost
) -> None:
    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            await ran(await session_of(hub, caller(tmp_path)), "x = 1")
            elsewhere = caller(tmp_path, CODE_STORAGE_DIR=str(tmp_path / "other"))
            await ran(await session_of(hub, elsewhere), "x = 1")
        (tmp_path / "storage" / ".kernelexec" / "sales@analysis.jsonl").unlink()
        (tmp_path / "storage" / ".kernelexec").rmdir()
        (tmp_path / "storage" / ".kernelexec").touch()
        async with hub_in(tmp_path, host) as hub:
            assert [session.state for session in hub.sessions] == ["idle"]
            assert len(entries(tmp_path)) == 2, "it can still be listed and stopped"

    run(test())


def test_a_journal_says_which_hub_opened_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with hub_in(tmp_path) as hub:
            await session_of(hub, caller(tmp_path))

    run(test())
    [line] = journal_lines(tmp_path / "storage")
    assert (line["event"], line["hub"], line["project"]) == ("opened", os.getpid(), "/home/ann/sales")


def test_a_session_whose_records_were_deleted_is_begun_anew_and_refused_while_its_kernel_runs(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        async with hub_in(tmp_path) as hub:
            someone = caller(tmp_path)
            session = await session_of(hub, someone)
            shutil.rmtree(session.recorder.storage_dir)
            with pytest.raises(StorageFailed, match="was deleted or moved"):
                session.submit(Submission("1"))
            again = await session_of(hub, someone)
            assert again is not session
            assert again.recorder.journal.is_in_place

    run(test())


def test_names_that_differ_only_in_case_are_one_session_for_they_may_be_one_file(tmp_path: Path) -> None:
    async def test() -> None:
        async with hub_in(tmp_path) as hub:
            first = await session_of(hub, caller(tmp_path), "Umsätze")
            assert await session_of(hub, caller(tmp_path), "umsätze") is first
            assert await session_of(hub, caller(tmp_path), "UMSA\u0308TZE@Analysis") is first
        async with hub_in(tmp_path) as hub:
            assert (await session_of(hub, caller(tmp_path), "UMSÄTZE")).id == "Umsätze@analysis"

    run(test())


def test_projects_and_environments_whose_names_differ_only_in_case_are_told_apart(tmp_path: Path) -> None:
    async def test() -> None:
        async with hub_in(tmp_path) as hub:
            sessions = [
                await session_of(hub, caller(tmp_path, cwd=cwd, venv=venv))
                for cwd, venv in [
                    ("/a/sales", "/a/analysis"),
                    ("/a/Sales", "/a/analysis"),
                    ("/a/sales", "/b/Analysis"),
                ]
            ]
            assert len({session.id.casefold() for session in sessions}) == 3

    run(test())


@pytest.mark.parametrize(
    "left", ["Sales@analysis-3.ipynb", "sales@analysis-3/", "sales@analysis-3.clean.ipynb"]
)
def test_a_session_whose_journal_was_removed_leaves_its_old_notebooks_alone(
    tmp_path: Path, left: str
) -> None:
    async def test() -> None:
        storage = tmp_path / "storage"
        storage.mkdir()
        (storage / "sales@analysis-2.ipynb").touch()
        (storage / "sales@analysis-9x.ipynb").touch()
        (storage / "other@analysis-7.ipynb").touch()
        if left.endswith("/"):
            (storage / left).mkdir()
        else:
            (storage / left).touch()
        async with hub_in(tmp_path) as hub:
            execution = await ran(await session_of(hub, caller(tmp_path)), "1")
            assert (execution.number, execution.generation) == (1, 4)
            assert execution.script == storage / "sales@analysis-4" / "0001.py"
        async with hub_in(tmp_path) as hub:
            assert (await session_of(hub, caller(tmp_path))).generation == 4

    run(test())


def test_a_session_behind_a_link_and_its_kernel_are_never_taken_for_those_that_were_there(
    tmp_path: Path, host: FakeHost
) -> None:
    storage = tmp_path / "storage"

    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            someone, later = caller(tmp_path), caller(tmp_path)
            await ran(await session_of(hub, someone), "1")
            storage.rename(tmp_path / "moved")
            storage.symlink_to(tmp_path / "moved")
            with pytest.raises(SessionTaken):
                await session_of(hub, later)
            storage.unlink()
            (tmp_path / "elsewhere").mkdir()
            storage.symlink_to(tmp_path / "elsewhere")
            with pytest.raises(StorageFailed):
                (await session_of(hub, someone)).submit(Submission("2"))
            await ran(await session_of(hub, later), "1")
            assert [session.recorder.storage_dir for session in hub.sessions_of(later)] == [storage]
        assert len(entries(tmp_path)) == 2
        async with hub_in(tmp_path, host) as hub:
            again = await session_of(hub, caller(tmp_path))
            assert again.kernel is not None
            assert again.kernel is host.left["00000001"]
            assert len(entries(tmp_path)) == 1

    run(test())


def test_an_entry_that_cannot_be_adopted_does_not_keep_the_hub_from_starting(
    tmp_path: Path, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> FakeHosted:
        raise AttributeError("a fault of ours")

    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            await ran(await session_of(hub, caller(tmp_path)), "x = 1")
        host.adopt = broken  # type: ignore[method-assign]
        async with hub_in(tmp_path, host) as hub:
            assert [session.kernel for session in hub.sessions] == [None]
            assert len(entries(tmp_path)) == 1

    run(test())


def test_a_choice_of_an_environment_that_cannot_be_read_is_told(tmp_path: Path, host: FakeHost) -> None:
    async def test() -> None:
        choice = EnvironmentChoice("venv", "/envs/other", "configure_environment")
        async with hub_in(tmp_path, host) as hub:
            await hub.configure(caller(tmp_path), choice, lambda text: None)
        (file,) = (tmp_path / "state" / "choices").iterdir()
        file.write_text(file.read_text().replace('"venv"', '"of a later version"'))
        async with hub_in(tmp_path, host) as hub:
            told = caller(tmp_path)
            assert (await session_of(hub, told)).id == "sales@analysis"
            assert [
                str(file) in notice and "the configured one" in notice for notice in told.take_notices()
            ] == [True]

    run(test())


# --- limits ------------------------------------------------------------------------


def test_no_more_kernels_run_than_their_client_wants(tmp_path: Path, host: FakeHost) -> None:
    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            limited = caller(tmp_path, KERNELEXEC_KERNELS="1")
            first, done = await ran_for(hub, limited)
            assert done.state is State.OK
            _, refused = await ran_for(hub, limited, "other")
            assert refused.state is State.NOT_RUN
            assert f"KERNELEXEC_KERNELS=1 allows no more: {first.id}" in str(refused.problem)
            await first.restart_kernel("it was asked for")  # one for one
            await first.stop_kernel()
            assert (await ran_for(hub, limited, "other"))[1].state is State.OK
            assert (await ran_for(hub, caller(tmp_path), "third"))[1].state is State.OK  # no limit of its own

    asyncio.run(test())


def test_a_session_takes_no_more_submissions_than_its_client_lets_wait(
    tmp_path: Path, host: FakeHost
) -> None:
    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            limited = caller(tmp_path, KERNELEXEC_QUEUED="2")
            session = await session_of(hub, limited)
            waiting = []
            for _ in range(3):  # one has its turn, two wait
                await hub.admit(limited, session)
                waiting.append(submit(session, "a", surroundings=limited.surroundings(session)))
            with pytest.raises(BadRequest, match=r"2 already wait in .* KERNELEXEC_QUEUED=2 allows no more"):
                await hub.admit(limited, session)
            await hub.admit(caller(tmp_path), session)
            for each in waiting:
                await session.executions.wait_for_end(each, 10)
            await hub.admit(limited, session)

    asyncio.run(test())


def test_a_session_takes_no_more_of_the_disk_than_its_client_lets_it(tmp_path: Path, host: FakeHost) -> None:
    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            limited = caller(tmp_path, KERNELEXEC_SESSION_MB="1")
            session, _ = await ran_for(hub, limited)
            other = await session_of(hub, limited, "other")
            (tmp_path / "storage" / f"{other.id}-1").mkdir()
            (tmp_path / "storage" / f"{other.id}-1" / "0001.txt").write_bytes(bytes(1_000_000))
            await hub.admit(limited, session)
            with pytest.raises(BadRequest, match=r"have 1.0 MB, and KERNELEXEC_SESSION_MB=1 allows no more"):
                await hub.admit(limited, other)
            await hub.admit(caller(tmp_path), other)

    asyncio.run(test())


def test_an_environments_limits_hold_whichever_client_asks_and_undo_no_clients_own(
    tmp_path: Path, host: FakeHost
) -> None:
    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            generous, strict = (
                caller(tmp_path, KERNELEXEC_KERNELS="9", KERNELEXEC_QUEUED="9"),
                caller(tmp_path, KERNELEXEC_QUEUED="1"),
            )
            session, done = await ran_for(hub, generous)
            assert done.state is State.OK
            file = tmp_path / "limits.json"
            identity = session.environment.identity
            file.write_text(json.dumps({identity: {"kernels": 1, "queued": 2}, "*": {"kernels": 7}}))
            for one in (generous, strict, caller(tmp_path)):
                _, refused = await ran_for(hub, one, "other")
                assert refused.state is State.NOT_RUN
                assert (
                    f'1 kernels run in analysis, and "kernels": 1 in {file} allows no more: {session.id}'
                    in str(refused.problem)
                )
            waiting = [submit(session, "a", surroundings=strict.surroundings(session)) for _ in range(2)]
            with pytest.raises(BadRequest, match=r"1 already wait in .* KERNELEXEC_QUEUED=1 allows no more"):
                await hub.admit(strict, session)
            await hub.admit(generous, session)
            waiting.append(submit(session, "a", surroundings=strict.surroundings(session)))
            with pytest.raises(
                BadRequest, match=r'2 already wait in .* "queued": 2 in .*limits.json allows no more'
            ):
                await hub.admit(generous, session)
            for each in waiting:
                await session.executions.wait_for_end(each, 10)
            file.write_text(json.dumps({identity: {"kernels": None}, "*": {"kernels": 1}}))
            _, as_for_all = await ran_for(hub, generous, "other")
            assert as_for_all.state is State.NOT_RUN
            file.write_text(json.dumps({identity: {"kernels": 0}, "*": {"kernels": 1}}))
            _, with_none = await ran_for(hub, generous, "other")
            assert with_none.state is State.OK

    asyncio.run(test())


def test_kernels_that_start_at_once_are_no_more_than_are_allowed(tmp_path: Path, host: FakeHost) -> None:
    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            (tmp_path / "limits.json").write_text('{"*": {"kernels": 2}}')
            done = await asyncio.gather(*(ran_for(hub, caller(tmp_path), f"s{n}") for n in range(6)))
            states = sorted(execution.state.name for _, execution in done)
            assert states == ["NOT_RUN"] * 4 + ["OK"] * 2

    asyncio.run(test())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("{", "is no JSON"),
        ('["*"]', "is no table of limits by environment"),
        ('{"*": {"kernels": -1}}', "'*' in .* is not a whole number of kernels from 1"),
        ('{"*": {"memory_mb": 20}}', "is not a whole number of megabytes from 200"),
        ('{"*": {"queued": true}}', "is not a whole number of submissions"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_limits_that_cannot_be_read_are_told_and_nothing_is_run_without_them(
    tmp_path: Path, host: FakeHost, said: str, told: str
) -> None:
    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            (tmp_path / "limits.json").write_text(said)
            session = await session_of(hub, caller(tmp_path))
            with pytest.raises(ConfigError, match=told):
                await hub.admit(caller(tmp_path), session)
            _, refused = await ran_for(hub, caller(tmp_path))
            assert refused.state is State.NOT_RUN
            assert "limits.json" in str(refused.problem)
            (tmp_path / "limits.json").unlink()
            assert (await ran_for(hub, caller(tmp_path)))[1].state is State.OK

    asyncio.run(test())


def test_a_limit_of_no_name_that_is_known_is_told_once_to_each_client(tmp_path: Path, host: FakeHost) -> None:
    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            (tmp_path / "limits.json").write_text('{"*": {"memory": 4000, "queued": 5}}')
            told = caller(tmp_path)
            session = await session_of(hub, told)
            for _ in range(2):
                await hub.admit(told, session)
            about = [notice for notice in told.take_notices() if "limits.json" in notice]
            assert about == [
                f"'memory' in {tmp_path}/limits.json is no limit and has no effect; memory_mb is one."
            ]

    asyncio.run(test())


@pytest.mark.parametrize("fault", [AttributeError("a fault of ours"), asyncio.CancelledError()])
def test_a_start_that_nobody_sees_to_its_end_leaves_no_kernel(
    tmp_path: Path, host: FakeHost, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    async def test() -> None:
        async def broken(self: FakeHosted) -> Any:
            raise fault

        async with hub_in(tmp_path, host) as hub:
            session = await session_of(hub, caller(tmp_path))
            with monkeypatch.context() as patched:
                patched.setattr(FakeHosted, "ready", broken)
                with pytest.raises(type(fault)):
                    await session.generations.ready_kernel(caller(tmp_path).surroundings(session))
            assert len(host.left) == 1
            assert all(kernel.died.done() for kernel in host.left.values())
            await asyncio.sleep(0)  # its end is heard of in the loop's next round
            assert entries(tmp_path) == []
            assert session.generations.starting is None
            assert (await ran_for(hub, caller(tmp_path)))[1].state is State.OK

    asyncio.run(test())


@pytest.mark.parametrize("what", ["deleted", "in the way"])
def test_a_kernel_starts_although_the_registry_was_deleted_and_else_it_is_said_what_is_in_the_way(
    tmp_path: Path, host: FakeHost, what: str
) -> None:
    async def test() -> None:
        async with hub_in(tmp_path, host) as hub:
            session = await session_of(hub, caller(tmp_path))
            shutil.rmtree(tmp_path / "state")
            if what != "deleted":
                (tmp_path / "state").touch()
            done = await ran(session, "a", surroundings=caller(tmp_path).surroundings(session))
            if what == "deleted":
                assert done.state is State.OK
                assert len(list((tmp_path / "state" / "kernels").glob("*.json"))) == 1
            else:
                assert done.state is State.NOT_RUN
                assert "Not a directory. Something else is where a directory belongs" in str(done.problem)
                assert f"{tmp_path}/state/kernels" in str(done.problem)
                assert "Errno" not in str(done.problem)
                (tmp_path / "state").unlink()

    asyncio.run(test())


def test_a_hub_answers_while_the_kernels_of_an_earlier_one_are_still_adopted(
    tmp_path: Path, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        names = ("a", "b", "c")
        async with hub_in(tmp_path, host) as hub:
            for name in names:
                session = await session_of(hub, caller(tmp_path), name)
                await session.generations.ready_kernel(Surroundings({}, tmp_path / "storage"))
        read, go_on = hub_module.read_past, threading.Event()

        def slowly(journal: Any, session_id: str, storage_dir: Path) -> Any:
            assert session_id not in ("a@analysis", "b@analysis") or go_on.wait(10)
            return read(journal, session_id, storage_dir)

        monkeypatch.setattr(hub_module, "read_past", slowly)
        hub = Hub(tmp_path / "run", tmp_path / "state", host, tmp_path / "limits.json")
        await hub.find_left()
        try:
            assert hub.has_kernels
            session = await session_of(hub, caller(tmp_path), "c")
            assert session.kernel is not None, "the kernel that it had, though others are not read yet"
            assert hub.sessions == [session]
            limited = caller(tmp_path, KERNELEXEC_KERNELS="3")
            new = await session_of(hub, limited, "new")
            starting = asyncio.ensure_future(
                new.generations.ready_kernel(Surroundings(limited.environ, tmp_path / "storage"))
            )
            go_on.set()
            with pytest.raises(KernelFailed, match="KERNELEXEC_KERNELS=3"):
                await starting
            assert {s.name for s in hub.sessions} == {*names, "new"}
        finally:
            go_on.set()
            await hub.close()

    run(test())
