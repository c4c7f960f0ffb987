"""Sessions whose hub ends or is killed at any point, and whose disk fails at any write."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kernelexec.errors import StorageFailed
from kernelexec.kernels.kernel import Death, Reply
from kernelexec.model.execution import Execution, State
from kernelexec.recording.history import load_execution
from kernelexec.recording.journal import ClosedJournal, Journal
from kernelexec.recording.summaries import read_summaries
from tests.fakes import (
    FakeStarter,
    cells,
    dying,
    failing,
    fine,
    finish,
    journal_lines,
    journal_path,
    let_notebooks_be_old,
    printing,
    ran,
    run,
    session_in,
    settled,
    silently_aborted,
    stalling,
    submit,
    text_of,
    told,
    told_states,
)
from tests.journals import replayed


@pytest.fixture(autouse=True)
def runtime_dir(tmp_path: Path) -> Iterator[Path]:
    """Where lines wait that find no room in a journal."""
    with pytest.MonkeyPatch.context() as patch:  # not the tests' own, which they undo
        patch.setenv("KERNELEXEC_RUNTIME_DIR", str(tmp_path / "run"))
        yield tmp_path / "run"


# --- the end of a hub -----------------------------------------------------------------------


def test_a_hub_that_ends_leaves_the_kernel_running_and_the_notebook_written(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            await ran(session, "a")
        assert starter.kernels[0].detached
        assert not starter.kernels[0].died.done()
        assert len(cells(tmp_path)) == 1

    run(test())


def test_a_run_that_outlives_its_hub_is_unknown_to_the_next_and_a_queued_one_not_run(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([stalling(first="half\n")])) as session:
            first, second = submit(session, "a"), submit(session, "b")
            await settled(lambda: first.state is State.RUNNING)
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            assert session.executions.get(1).state is State.UNKNOWN
            assert session.executions.get(2).state is State.NOT_RUN
            assert second.state is not State.RUNNING
            assert "hub ended" in session.executions.get(1).problem
            assert starter.starts == 0
        assert [cell["id"] for cell in cells(tmp_path)] == ["kernelexec-1"]
        assert text_of(cells(tmp_path)[0]["outputs"]) == "half\n"

    run(test())


def test_a_kernel_lost_while_no_hub_watched_is_told_before_anything_runs(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "a")
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            second = submit(session, "b")
            assert second.state is State.NOT_RUN
            assert "nobody saw how it ended" in (second.problem or "")
            assert (await ran(session, "c")).generation == 2
            assert starter.executed == ["c"]

    run(test())


def test_an_adopted_kernel_goes_on_under_the_same_generation_and_notebook(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "a")
        async with session_in(tmp_path, FakeStarter()) as session:
            kernel = (await FakeStarter()(session, {}, session.on_message, str)).kernel
            told(session)
            session.adopt(kernel, session.last_used)
            execution = await ran(session, "b")
            assert (execution.state, execution.generation) == (State.OK, 1)
            assert kernel.executed == ["b"]
        assert [cell["id"] for cell in cells(tmp_path)] == ["kernelexec-1", "kernelexec-2"]

    run(test())


# --- a hub that is killed between any two bytes (H3) ------------------------------------------


WAY = ("sent", "aborted")  # the journal's words for what was with the kernel, and what it gave back


def a_life(storage_dir: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bytes, bytes]]:
    """Journal size and both notebooks before each line that a busy session wrote; and at its end."""
    points: list[tuple[int, bytes, bytes]] = []
    notebooks = [storage_dir / f"sales@analysis-{generation}.ipynb" for generation in (1, 2)]
    original = Journal.write

    def look() -> None:
        first, second = (path.read_bytes() if path.exists() else b"" for path in notebooks)
        points.append((journal_path(storage_dir).stat().st_size, first, second))

    def watch(self: Journal, event: str, **fields: Any) -> None:
        look()
        original(self, event, **fields)

    async def test() -> None:
        starter = FakeStarter(
            [printing("1\n"), silently_aborted, failing("E"), dying(Death(signal=9), "half")]
        )
        async with session_in(storage_dir, starter) as session:
            await ran(session, "a", note="why")
            await session.recorder.flush()
            await finish(session, *[submit(session, code) for code in "bcde"])
            await ran(session, "f")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", watch)
        run(test())
    look()
    return points


def states_after(storage_dir: Path) -> tuple[dict[int, State], int]:
    """What the next hub says of each submission, and the number of the one after."""
    let_notebooks_be_old(storage_dir)

    async def test() -> tuple[dict[int, State], int]:
        starter = FakeStarter()
        async with session_in(storage_dir, starter) as session:
            states = {number: session.executions.get(number).state for number in told_states(storage_dir)}
            assert starter.starts == 0, "something was run by itself"
        return states, session.executions.last_number

    return run(test())


def test_after_a_crash_at_any_point_each_submission_has_one_true_end_and_none_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = tmp_path / "life"
    points = a_life(life, monkeypatch)
    journal = journal_path(life).read_bytes()
    cuts = {size for size, _, _ in points}
    cuts |= {max(0, size - 1) for size in cuts} | {size + 1 for size in cuts if size < len(journal)}
    cuts |= {(a + b) // 2 for (a, _, _), (b, _, _) in pairwise(points)}
    for number, cut in enumerate(sorted(cuts)):
        storage = tmp_path / str(number)
        journal_path(storage).parent.mkdir(parents=True)
        journal_path(storage).write_bytes(journal[:cut])
        _, *notebooks = next(point for point in reversed(points) if point[0] <= cut)
        for generation, content in enumerate(notebooks, 1):
            if content:
                (storage / f"sales@analysis-{generation}.ipynb").write_bytes(content)
        before = told_states(storage)
        with_kernel = {line["n"]: line["event"] for line in journal_lines(storage) if line["event"] in WAY}
        sent = {number for number, event in with_kernel.items() if event == "sent"}

        states, last = states_after(storage)

        assert last == max(before, default=0), f"cut at {cut}"
        for n, ends in before.items():
            expected = ends[0] if ends else State.UNKNOWN if n in sent else State.NOT_RUN
            assert states[n] is expected, f"submission {n}, cut at {cut}"
        assert all(len(ends) == 1 for ends in told_states(storage).values()), f"cut at {cut}"
        assert states_after(storage) == (states, last), "the hub after that sees the same"
        replayed(journal_path(storage))
        found = [cell["id"] for generation in (1, 2) for cell in cells(storage, generation)]
        assert len(found) == len(set(found)), f"a cell is there twice, cut at {cut}: {found}"
        ran_ones = {f"kernelexec-{n}" for n, state in states.items() if state is not State.NOT_RUN}
        assert ran_ones <= set(found), f"a cell is missing, cut at {cut}: {found}"


# --- a disk that fails (H4) --------------------------------------------------------------------


class FailingDisk:
    """os.write as the journal sees it: some writes fail, some of them after half of the bytes."""

    def __init__(self, path: Path, failing: range, half: bool) -> None:
        self._path = path
        self._failing = failing
        self._half = half
        self._write = os.write
        self._count = 0

    def write(self, descriptor: int, data: Any) -> int:
        if not (self._path.exists() and os.path.samestat(os.fstat(descriptor), self._path.stat())):
            return self._write(descriptor, data)
        self._count += 1
        if self._count not in self._failing:
            return self._write(descriptor, data)
        if self._half:
            self._write(descriptor, bytes(data)[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device", str(self._path))


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("nth", range(1, 23))
def test_no_code_runs_that_is_not_on_disk_whichever_write_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int, once: bool, half: bool
) -> None:
    disk = FailingDisk(journal_path(tmp_path), range(nth, nth + 1 if once else 10_000), half)
    monkeypatch.setattr(os, "write", disk.write)
    unrecorded: list[str] = []

    def check(code: str) -> None:
        lines = journal_lines(tmp_path)
        number = next((line["n"] for line in reversed(lines) if line.get("code") == code), None)
        if not any(line["event"] == "sent" and line["n"] == number for line in lines):
            unrecorded.append(code)

    async def test() -> list[Execution]:
        accepted = []
        starter = FakeStarter([printing("1\n"), failing("E"), fine])
        starter.before_execute = check
        async with session_in(tmp_path, starter) as session:
            for code in ("a", "b", "c", "d"):
                try:
                    accepted.append(submit(session, code))
                except StorageFailed:
                    continue
                await finish(session, accepted[-1])
            assert len({e.number for e in accepted}) == len(accepted)
        return accepted

    if nth == 1:  # a session that cannot be opened
        with pytest.raises(StorageFailed):
            run(test())
        return
    accepted = run(test())
    assert unrecorded == []
    assert all(e.is_final for e in accepted)
    if once:
        assert len(accepted) >= 3, "one failure refuses one submission"
        assert sum(e.state in (State.OK, State.ERROR) for e in accepted) >= 2
    monkeypatch.undo()
    states, _ = states_after(tmp_path)
    for e in accepted:
        assert states[e.number] is e.state, "what had no room was kept"
    assert list(tmp_path.glob("run/kept/*")) == []


def test_a_submission_that_cannot_be_kept_takes_no_number_and_leaves_no_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            with monkeypatch.context() as patch:
                patch.setattr(os, "write", FailingDisk(journal_path(tmp_path), range(1, 99), True).write)
                with pytest.raises(StorageFailed):
                    submit(session, "a")
            assert list(tmp_path.glob("sales@analysis-1/*")) == []
            assert (await ran(session, "b")).number == 1
            assert [path.name for path in tmp_path.glob("sales@analysis-1/*")] == ["0001.py"]

    run(test())


def test_a_script_that_cannot_be_written_is_not_run(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "sales@analysis-1").write_text("in the way")
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            with pytest.raises(StorageFailed, match="cannot be written"):
                submit(session, "a")
        assert starter.executed == []

    run(test())


def test_a_notebook_that_cannot_be_written_holds_nothing_up(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "sales@analysis-1.ipynb").mkdir()
        async with session_in(tmp_path, FakeStarter([printing("1\n")])) as session:
            execution = await ran(session, "a")
            assert execution.state is State.OK
        assert told_states(tmp_path) == {1: [State.OK]}

    run(test())


def test_output_that_cannot_be_written_is_news_and_still_in_the_reply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async def full_disk(kernel_run: Any) -> Reply:
            kernel_run.busy()
            with monkeypatch.context() as patch:
                patch.setattr(os, "write", FailingDisk(journal_path(tmp_path), range(1, 99), False).write)
                kernel_run.print("one\n")
                kernel_run.print("two\n")
            kernel_run.idle()
            return kernel_run.reply()

        async with session_in(tmp_path, FakeStarter([full_disk])) as session:
            execution = await ran(session, "a")
            assert text_of(execution.outputs.to_notebook()) == "one\ntwo\n"
            [news] = told(session)
            assert "No space left on device" in news
            assert "is written once there is room" in news
            assert "was not run" not in news
            await ran(session, "b")
            assert told(session) == [], "there was room again with the next line"

    run(test())


@pytest.mark.parametrize("has_runtime_dir", [True, False], ids=["in a file", "in memory"])
def test_a_disk_that_is_full_at_a_runs_end_hides_its_end_from_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime_dir: Path, has_runtime_dir: bool
) -> None:
    if not has_runtime_dir:
        runtime_dir.touch()  # a file, where a directory belongs

    async def test() -> None:
        disk = FailingDisk(journal_path(tmp_path), range(1, 10_000), True)

        async def full_disk(kernel_run: Any) -> Reply:
            kernel_run.busy()
            kernel_run.print("one\n")
            monkeypatch.setattr(os, "write", disk.write)
            kernel_run.print("two\n")
            kernel_run.idle()
            return kernel_run.reply()

        async with session_in(tmp_path, FakeStarter([full_disk])) as session:
            execution = await ran(session, "a")
            with pytest.raises(StorageFailed, match="No space left on device"):
                submit(session, "b")
            [summary] = [s for s in read_summaries(journal_path(tmp_path)) if s.number]
            assert summary.state is execution.state is State.OK
            found = load_execution(ClosedJournal(journal_path(tmp_path)), session.id, tmp_path, 1)
            assert found is not None
            assert text_of(found.outputs.to_notebook()) == "one\ntwo\n"
            where = str(runtime_dir) if has_runtime_dir else "the hub's memory"
            assert f"waits in {where}" in told(session)[0]
            monkeypatch.undo()
        replayed(journal_path(tmp_path))
        assert told_states(tmp_path) == {1: [State.OK]}

    run(test())
