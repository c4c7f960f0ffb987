"""A notebook that is open in a page, which dies when it likes: nothing is lost or there twice."""

from __future__ import annotations

import asyncio
import fcntl
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from kernelexec.errors import StorageFailed
from kernelexec.model.execution import Execution, State
from kernelexec.recording import live_notebook as live_module
from kernelexec.recording import notebooks as notebooks_module
from kernelexec.recording.history import read_history
from kernelexec.recording.journal import Journal
from kernelexec.recording.notebook_format import UNTOUCHED, Found
from kernelexec.recording.pages import PageGone, Pages, lock_name
from kernelexec.recording.recorder import Recorder
from tests.fakes import cells, journal_lines, journal_path, run
from tests.model.test_output_changes import make

NOW = datetime(2026, 11, 23, 10, tzinfo=timezone.utc)
SESSION = "sales@analysis"


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebooks_module, "_GATHER_SECONDS", 0.001)
    monkeypatch.setattr(notebooks_module, "_IDLE_SECONDS", 0.01)
    monkeypatch.setattr(live_module, "_PAUSE_SECONDS", 0.001)


class PaperPage:
    """A page that has what it was told, and can be told to die before or after a write."""

    def __init__(self, cells: list[dict[str, Any]], revision: int | None = None) -> None:
        self.cells = cells
        self.metadata: dict[str, Any] = {"kernelexec": {"revision": revision}}
        self.found = self._present()
        self.dies: str | None = None  # "before" or "after" the next write
        self.writes = 0
        self.taken: set[str] = set()

    def _present(self) -> Found:
        return Found(frozenset(cell["id"] for cell in self.cells), self.metadata["kernelexec"]["revision"])

    @property
    def is_as_left(self) -> bool:
        return self.found == UNTOUCHED

    def take_found(self) -> Found:
        found, self.found = self.found, UNTOUCHED
        return found

    async def write(self, what: Mapping[str, Any]) -> frozenset[str]:
        await asyncio.sleep(0)
        if self.dies == "before":
            raise PageGone("x")
        what = json.loads(json.dumps(what))
        known = {cell["id"]: cell for cell in self.cells}
        for cell in what.get("cells", ()):
            assert cell["id"] not in known
            self.cells.append(cell)
        for cell_id, change in what.get("changes", {}).items():
            self._change(known[cell_id], change)
        withdrawn = what.get("withdrawn", {})
        self.cells = [cell for cell in self.cells if withdrawn.get(cell["id"]) != cell["source"]]
        self.metadata.update(what.get("metadata", {}))
        self.writes += 1
        if self.dies == "after":
            raise PageGone("x")
        return frozenset(self.taken)

    def _change(self, cell: dict[str, Any], change: Mapping[str, Any]) -> None:
        """One that has a count was run by the person, or has ended: only the latter may be told again."""
        assert cell["execution_count"] in (None, change["execution_count"])
        if "outputs" in change:
            cell["outputs"] = change["outputs"]
        assert change.get("expected", len(cell["outputs"])) == len(cell["outputs"])
        make(cell["outputs"], change.get("steps", []))
        if "metadata" in change:
            cell["execution_count"] = change["execution_count"]
            cell["metadata"].update(change["metadata"])

    def saved(self) -> bytes:
        """What JupyterLab would write to the file."""
        return json.dumps(
            {"cells": self.cells, "metadata": self.metadata, "nbformat": 4, "nbformat_minor": 5}
        ).encode()


class Table:
    """A recorder and the pages; a hub that was killed is followed by another on the same journal."""

    def __init__(self, storage: Path) -> None:
        self.storage = storage
        self.pages = Pages(storage)
        self.recorder = self._recorder()
        self.recorder.begin_generation(1, {})

    def _recorder(self) -> Recorder:
        return Recorder(self.storage, SESSION, Journal(journal_path(self.storage)), self.pages)

    @property
    def path(self) -> Path:
        return self.recorder.notebook_path(1)

    def open(self, page: PaperPage) -> PaperPage:
        self.pages.opened(str(self.path.resolve()), page)
        return page

    def close(self, page: PaperPage) -> None:
        self.pages.closed(str(self.path.resolve()), page)

    def queue(self, number: int, note: str | None = None) -> Execution:
        one = Execution(SESSION, number, 1, f"x = {number}", NOW, note=note)
        self.recorder.accept(one)
        self.recorder.queued(one)
        return one

    def begin(self, number: int) -> Execution:
        return self.send(self.queue(number))

    def send(self, one: Execution) -> Execution:
        number = one.number
        self.recorder.sent(one, f"m_{number}")
        one.state = State.RUNNING
        return one

    def say(self, one: Execution, text: str) -> None:
        self.recorder.output(one, "stream", {"name": "stdout", "text": text})

    def end(self, one: Execution, state: State = State.OK) -> None:
        one.state, one.started, one.finished, one.execution_count = state, NOW, NOW, one.number
        self.recorder.finished(one)

    def replace_hub(self) -> None:
        """The hub is killed, and the next one reads what there is."""
        self.recorder.close()
        self.pages = Pages(self.storage)
        self.recorder = self._recorder()
        self.recorder.restore(read_history(self.recorder.journal, SESSION, self.storage))


@asynccontextmanager
async def table(storage: Path) -> AsyncIterator[Table]:
    table = Table(storage)
    yield table
    await table.recorder.flush()
    table.recorder.close()


async def soon(condition: Callable[[], object]) -> None:
    for _ in range(400):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(condition)


def texts(cells: list[dict[str, Any]]) -> dict[str, str]:
    return {
        cell["id"]: "".join("".join(output["text"]) for output in cell["outputs"])
        for cell in cells
        if cell["cell_type"] == "code"
    }


def test_a_cell_is_shown_as_it_begins_and_told_its_end(tmp_path: Path) -> None:
    async def test() -> None:
        async with table(tmp_path) as desk:
            page = desk.open(PaperPage([]))
            one = desk.begin(1)
            await soon(lambda: page.cells)
            assert page.cells[0]["execution_count"] is None
            desk.say(one, "begun\n")
            await soon(lambda: texts(page.cells)["kernelexec-1"] == "begun\n")
            desk.end(one)
            await soon(lambda: page.cells[0]["execution_count"] == 1)
            assert page.cells[0]["metadata"]["kernelexec"]["state"] == "ok"
            await soon(lambda: desk.recorder.is_written(one))
            assert not desk.path.exists()  # it is the page's to write

    run(test())


def test_a_person_who_opens_the_notebook_during_a_run_sees_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with table(tmp_path) as desk:
            one = desk.begin(1)
            desk.say(one, "before\n")
            page = desk.open(PaperPage([]))
            await soon(lambda: texts(page.cells) == {"kernelexec-1": "before\n"})
            desk.end(one)
            await soon(lambda: page.cells[0]["execution_count"] == 1)

    run(test())


def test_a_cell_has_no_count_while_it_runs_also_where_the_kernel_has_said_it(tmp_path: Path) -> None:
    """As of a run that begins right after another, or during which the page is opened."""

    async def test() -> None:
        async with table(tmp_path) as desk:
            one = desk.begin(1)
            one.execution_count = 1
            page = desk.open(PaperPage([]))
            await soon(lambda: page.cells)
            assert page.cells[0]["execution_count"] is None
            desk.say(one, "begun\n")
            await soon(lambda: texts(page.cells)["kernelexec-1"] == "begun\n")
            desk.end(one)
            await soon(lambda: page.cells[0]["execution_count"] == 1)
            assert page.cells[0]["metadata"]["kernelexec"]["state"] == "ok"

    run(test())


@pytest.mark.parametrize("dies", ["before", "after"])
@pytest.mark.parametrize("at", ["begin", "output", "end"])
@pytest.mark.parametrize("saved", [True, False], ids=["saved", "not saved"])
def test_whenever_the_page_dies_the_file_gets_all_of_it_once(
    tmp_path: Path, dies: str, at: str, saved: bool
) -> None:
    async def test() -> None:
        async with table(tmp_path) as desk:
            first = desk.begin(1)
            desk.end(first)
            await soon(lambda: desk.recorder.is_written(first))
            page = desk.open(PaperPage(cells(tmp_path), 1))
            page.dies = dies if at == "begin" else None
            one = desk.begin(2)
            await asyncio.sleep(0.02)
            page.dies = dies if at in ("begin", "output") else None
            desk.say(one, "text\n")
            await asyncio.sleep(0.02)
            page.dies = dies
            desk.end(one)
            await asyncio.sleep(0.02)
            if saved:
                desk.path.write_bytes(page.saved())
            desk.close(page)
            await soon(lambda: desk.path.exists() and len(cells(tmp_path)) == 2)
            await soon(lambda: desk.recorder.is_written(one) and desk.recorder.is_written(first))
            assert texts(cells(tmp_path)) == {"kernelexec-1": "", "kernelexec-2": "text\n"}
            assert [cell["execution_count"] for cell in cells(tmp_path)] == [1, 2]

    run(test())


@pytest.mark.parametrize("at", ["begin", "output", "end"])
def test_whenever_the_hub_is_killed_the_next_one_goes_on_in_the_page(tmp_path: Path, at: str) -> None:
    async def test() -> None:
        async with table(tmp_path) as desk:
            page = desk.open(PaperPage([]))
            one = desk.begin(1)
            if at != "begin":
                await soon(lambda: page.cells)
                desk.say(one, "text\n")
            if at == "end":
                await soon(lambda: texts(page.cells) == {"kernelexec-1": "text\n"})
                desk.end(one)
            desk.replace_hub()
            again = desk.open(PaperPage(page.cells, page.metadata["kernelexec"]["revision"]))
            if at != "end":
                assert one is not None
                if at == "begin":
                    desk.say(one, "text\n")
                desk.end(one)
            await soon(lambda: [cell["execution_count"] for cell in again.cells] == [1])
            assert texts(again.cells) == {"kernelexec-1": "text\n"}

    run(test())


def test_a_hub_that_comes_in_the_middle_of_the_output_goes_on_with_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with table(tmp_path) as desk:
            page = desk.open(PaperPage([]))
            one = desk.begin(1)
            desk.say(one, "one\n")
            await soon(lambda: texts(page.cells) == {"kernelexec-1": "one\n"})
            desk.replace_hub()
            again = desk.open(PaperPage(page.cells, page.metadata["kernelexec"]["revision"]))
            desk.say(one, "two\n")
            await soon(lambda: texts(again.cells) == {"kernelexec-1": "one\ntwo\n"})
            desk.say(one, "three\n")
            await soon(lambda: texts(again.cells) == {"kernelexec-1": "one\ntwo\nthree\n"})
            desk.end(one)
            await soon(lambda: [cell["execution_count"] for cell in again.cells] == [1])

    run(test())


def test_nobody_writes_the_file_while_who_has_it_open_lives(tmp_path: Path) -> None:
    async def test() -> None:
        async with table(tmp_path) as desk:
            with (tmp_path / lock_name(str(desk.path.resolve()))).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                one = desk.begin(1)
                desk.end(one)
                await asyncio.sleep(0.3)
                assert not desk.path.exists()
            await soon(desk.path.exists)

    run(test())


def states(cells: list[dict[str, Any]]) -> dict[str, str]:
    return {cell["id"]: cell["metadata"].get("kernelexec", {}).get("state", "") for cell in cells}


def test_what_is_submitted_is_shown_before_its_turn_and_in_that_order(tmp_path: Path) -> None:
    async def test() -> None:
        async with table(tmp_path) as desk:
            page = desk.open(PaperPage([]))
            one = desk.begin(1)
            two, three = desk.queue(2, "Two"), desk.queue(3)
            await soon(lambda: len(page.cells) == 4)
            desk.end(one)
            desk.send(two)
            desk.say(two, "a")
            await soon(lambda: texts(page.cells)["kernelexec-2"] == "a")
            desk.end(two)
            desk.end(desk.send(three))
            await soon(lambda: set(states(page.cells).values()) == {"", "ok"})
            assert list(states(page.cells)) == [
                "kernelexec-1",
                "kernelexec-2-note",
                "kernelexec-2",
                "kernelexec-3",
            ]

    run(test())


def test_a_page_that_is_opened_while_some_wait_shows_them(tmp_path: Path) -> None:
    async def test() -> None:
        async with table(tmp_path) as desk:
            one, two = desk.begin(1), desk.queue(2)
            page = desk.open(PaperPage([]))
            await soon(lambda: len(page.cells) == 2)
            desk.end(one)
            desk.end(desk.send(two))
            await soon(lambda: list(states(page.cells).values()) == ["ok", "ok"])

    run(test())


@pytest.mark.parametrize("sent", [False, True])
def test_a_cell_that_was_not_run_after_all_goes_again_with_its_note(tmp_path: Path, *, sent: bool) -> None:
    async def test() -> None:
        async with table(tmp_path) as desk:
            page = desk.open(PaperPage([]))
            one, edited = desk.queue(1, "A note"), desk.queue(2)
            await soon(lambda: len(page.cells) == 3)
            page.cells[2]["source"] = "x = 2  # the person's"
            for each in (one, edited):
                if sent:
                    desk.send(each)
                each.state, each.problem = State.NOT_RUN, "its kernel was gone"
                desk.recorder.finished(each)
            await soon(lambda: states(page.cells) == {"kernelexec-2": "not_run"})
            desk.end(desk.begin(3))
            await soon(lambda: states(page.cells) == {"kernelexec-2": "not_run", "kernelexec-3": "ok"})

    run(test())


def test_a_hub_that_comes_while_cells_wait_takes_them_away(tmp_path: Path) -> None:
    async def test() -> None:
        async with table(tmp_path) as desk:
            page = desk.open(PaperPage([]))
            desk.end(desk.begin(1))
            desk.queue(2)
            await soon(lambda: len(page.cells) == 2)
            desk.replace_hub()
            history = read_history(desk.recorder.journal, SESSION, tmp_path)
            [waited] = history.unfinished
            waited.state = State.NOT_RUN  # as the heart has it where a hub is replaced
            desk.recorder.finished(waited)
            page.found = page._present()
            desk.open(page)
            await soon(lambda: states(page.cells) == {"kernelexec-1": "ok"})

    run(test())


def test_a_page_that_dies_while_a_cell_waits_leaves_it_to_the_file(tmp_path: Path) -> None:
    async def test() -> None:
        async with table(tmp_path) as desk:
            page = desk.open(PaperPage([]))
            one, two = desk.begin(1), desk.queue(2)
            await soon(lambda: len(page.cells) == 2)
            desk.path.write_bytes(page.saved())
            desk.close(page)
            desk.end(one)
            desk.end(desk.send(two))
            await soon(lambda: list(states(cells(tmp_path)).values()) == ["ok", "ok"])

    run(test())


def test_what_the_page_has_lost_is_added_again_and_what_was_deleted_is_not(tmp_path: Path) -> None:
    async def test() -> None:
        async with table(tmp_path) as desk:
            page = desk.open(PaperPage([]))
            for number in (1, 2, 3):
                desk.end(desk.begin(number))
            await soon(lambda: [cell["execution_count"] for cell in page.cells] == [1, 2, 3])
            revision = page.metadata["kernelexec"]["revision"]
            del page.cells[0]  # by the person
            page.found = Found(frozenset({"kernelexec-2", "kernelexec-3"}), revision)
            desk.end(desk.begin(4))
            await soon(lambda: len(page.cells) == 3)
            page.cells.clear()  # the file was put back to what it was, by git
            page.found = Found(frozenset(), 0)
            desk.end(desk.begin(5))
            await soon(lambda: len(page.cells) == 5)

    run(test())


def test_a_cell_that_the_person_has_taken_is_left_alone(tmp_path: Path) -> None:
    async def test() -> None:
        async with table(tmp_path) as desk:
            page = desk.open(PaperPage([]))
            one = desk.begin(1)
            await soon(lambda: page.cells)
            page.taken = {"kernelexec-1"}
            desk.say(one, "a")
            await soon(lambda: texts(page.cells) == {"kernelexec-1": "a"})
            desk.say(one, "b")
            await asyncio.sleep(0.05)
            assert texts(page.cells) == {"kernelexec-1": "a"}

    run(test())


def test_a_journal_that_cannot_be_written_stops_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebooks_module, "_RETRY_SECONDS", 0.01)

    async def test() -> None:
        async with table(tmp_path) as desk:
            page = desk.open(PaperPage([]))
            one = desk.begin(1)
            write, failures = desk.recorder.journal.write, [StorageFailed("full")]

            def failing(event: str, **fields: Any) -> None:
                if event == "written" and failures:
                    raise failures.pop()
                write(event, **fields)

            monkeypatch.setattr(desk.recorder.journal, "write", failing)
            desk.end(one)
            await soon(lambda: page.cells and page.cells[0]["execution_count"] == 1)
            assert len(page.cells) == 1
            assert [line["event"] for line in journal_lines(tmp_path)].count("finished") == 1

    run(test())
