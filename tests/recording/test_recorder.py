"""The recorder: journal, scripts, notebook and large outputs of one session, in a real directory."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from kernelexec.errors import StorageFailed
from kernelexec.model.execution import Execution, State
from kernelexec.model.limits import Limits
from kernelexec.recording import notebooks as notebooks_module
from kernelexec.recording import recorder as module
from kernelexec.recording.history import load_execution
from kernelexec.recording.journal import Journal
from kernelexec.recording.notebook import Notebook
from kernelexec.recording.recorder import Recorder
from kernelexec.recording.shared_file import NotebookBusy
from tests.fakes import cells, journal_lines, journal_path, run, settled, text_of

NOW = datetime(2026, 11, 23, 10, tzinfo=timezone.utc)
SESSION = "sales@analysis"


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebooks_module, "_GATHER_SECONDS", 0.001)
    monkeypatch.setattr(notebooks_module, "_APART_SECONDS", 0.0)
    monkeypatch.setattr(notebooks_module, "_RETRY_SECONDS", 0.01)


@asynccontextmanager
async def recorder_in(storage_dir: Path) -> AsyncIterator[Recorder]:
    recorder = Recorder(storage_dir, SESSION, Journal(journal_path(storage_dir)))
    recorder.begin_generation(1, {"kernelspec": {"name": "kernelexec-analysis", "display_name": "analysis"}})
    yield recorder
    await recorder.flush()
    recorder.close()


def execution(number: int = 1, generation: int = 1, **fields: Any) -> Execution:
    return Execution(SESSION, number, generation, f"x = {number}", NOW, **fields)


def ended(recorder: Recorder, number: int, *texts: str, state: State = State.OK, **fields: Any) -> Execution:
    """An execution that the recorder has seen from its submission to its end."""
    one = execution(number, **fields)
    recorder.accept(one)
    recorder.sent(one, f"m_{number}")
    one.state = State.RUNNING
    for text in texts:
        recorder.output(one, "stream", {"name": "stdout", "text": text})
    one.state, one.started, one.finished, one.execution_count = state, NOW, NOW, number
    recorder.finished(one)
    return one


def test_a_submission_is_in_the_journal_and_in_its_script_when_it_is_accepted(tmp_path: Path) -> None:
    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            one = execution(7, label="load data.py", note="why")
            recorder.accept(one)
            assert one.script == tmp_path / "sales@analysis-1" / "0007-load_data.py"
            assert one.script.read_text() == "x = 7"
            [line] = journal_lines(tmp_path)
            assert (line["event"], line["n"], line["code"], line["note"]) == ("submitted", 7, "x = 7", "why")
            assert tmp_path / line["script"] == one.script

    run(test())


def test_the_cells_of_a_burst_are_written_in_order_and_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write = Notebook.write

    def counting(self: Notebook, update: Any, may_begin_anew: bool) -> Any:
        def counted(found: Any) -> Any:
            change = update(found)
            written.append(len(change.cells))
            return change

        return write(self, counted, may_begin_anew)

    monkeypatch.setattr(Notebook, "write", counting)

    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            for number in range(1, 11):
                ended(recorder, number, f"{number}\n")

    run(test())
    assert written == [10]
    assert [text_of(cell["outputs"]) for cell in cells(tmp_path)] == [f"{n}\n" for n in range(1, 11)]
    assert journal_lines(tmp_path)[-1]["numbers"] == list(range(1, 11))


def test_a_busy_session_has_its_notebook_written_now_and_then_and_once_it_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebooks_module, "_APART_SECONDS", 60.0)
    monkeypatch.setattr(notebooks_module, "_IDLE_SECONDS", 0.2)

    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            ended(recorder, 1)
            await settled(lambda: len(cells(tmp_path)) == 1)
            ended(recorder, 2)
            for _ in range(20):
                recorder.notebooks.touch()
                await asyncio.sleep(0.01)
            assert len(cells(tmp_path)) == 1
            await settled(lambda: len(cells(tmp_path)) == 2)

    run(test())


def test_what_was_not_run_has_a_script_and_no_cell(tmp_path: Path) -> None:
    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            one = execution()
            recorder.accept(one)
            one.state = State.NOT_RUN
            recorder.finished(one)
            assert recorder.is_written(one)

    run(test())
    assert (tmp_path / "sales@analysis-1" / "0001.py").exists()
    assert cells(tmp_path) == []


def test_a_cell_tells_its_execution_state_script_and_times(tmp_path: Path) -> None:
    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            ended(recorder, 1, timing={"iopub.execute_input": "2026"}, note="# Why", state=State.ERROR)

    run(test())
    note, cell = cells(tmp_path)
    assert (note["cell_type"], note["source"]) == ("markdown", ["# Why"])
    assert cell["metadata"]["execution"] == {"iopub.execute_input": "2026"}
    assert cell["metadata"]["kernelexec"] == {
        "execution": "sales@analysis/1",
        "state": "error",
        "script": "sales@analysis-1/0001.py",
    }


def test_an_execution_stays_in_memory_until_its_cell_is_written(tmp_path: Path) -> None:
    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            one = ended(recorder, 1)
            assert not recorder.is_written(one)
            await recorder.flush()
            assert recorder.is_written(one)
            recorder.output(one, "stream", {"name": "stdout", "text": "late"})
            assert not recorder.is_written(one)
            await recorder.flush()
            assert recorder.is_written(one)
            assert text_of(cells(tmp_path)[0]["outputs"]) == "late"

    run(test())


def test_a_message_that_changes_nothing_is_not_kept(tmp_path: Path) -> None:
    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            one = execution()
            recorder.accept(one)
            recorder.output(one, "update_display_data", {"data": {}, "transient": {"display_id": "unknown"}})
            assert [line["event"] for line in journal_lines(tmp_path)] == ["submitted"]

    run(test())


@pytest.mark.parametrize(
    "messages",
    [
        [
            ("stream", {"name": "stdout", "text": "a"}),
            ("clear_output", {"wait": True}),
            ("error", {"ename": "E"}),
        ],
        [("stream", {"name": "stdout", "text": "a"}), ("clear_output", {"wait": False})],
        [
            ("display_data", {"data": {"text/plain": "1"}, "transient": {"display_id": "d"}}),
            ("update_display_data", {"data": {"text/plain": "2"}, "transient": {"display_id": "d"}}),
        ],
        [("display_data", {"data": {"image/png": "aGk="}, "buffers": []})],
    ],
)
def test_the_journal_gives_the_same_outputs_as_the_messages_did(tmp_path: Path, messages: list[Any]) -> None:
    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            one = execution()
            recorder.accept(one)
            for message_type, content in messages:
                recorder.output(one, message_type, content)
            again = load_execution(recorder.journal, SESSION, tmp_path, 1)
            assert again is not None
            assert again.outputs.to_notebook() == one.outputs.to_notebook()

    run(test())


# --- large outputs -----------------------------------------------------------------


def test_output_beyond_a_notebooks_limit_goes_to_a_file_and_the_cell_says_so(tmp_path: Path) -> None:
    async def test() -> Execution:
        async with recorder_in(tmp_path) as recorder:
            recorder.limits = Limits(cell=100)
            return ended(recorder, 1, *[f"line {n}\n" for n in range(100)])

    one = run(test())
    everything = "".join(f"line {n}\n" for n in range(100))
    assert one.overflow is not None
    assert (tmp_path / one.overflow.file).read_text() == everything
    shown = text_of(cells(tmp_path)[0]["outputs"])
    assert everything.startswith(shown.partition("\n[all of this output")[0])
    assert one.overflow.file in shown
    assert len(one.outputs.to_notebook()[0]["text"]) <= 100


def test_late_output_destroys_nothing_of_what_overflowed(tmp_path: Path) -> None:
    async def test() -> Execution:
        async with recorder_in(tmp_path) as recorder:
            recorder.limits = Limits(cell=100)
            one = ended(recorder, 1, "a" * 90, "b" * 90)
            await recorder.flush()
            recorder.output(one, "stream", {"name": "stdout", "text": "late " * 10})
            return one

    one = run(test())
    assert one.overflow is not None
    kept = (tmp_path / one.overflow.file).read_text()
    assert kept.startswith("a" * 90 + "b" * 90), "the file was begun anew"
    assert "late " * 10 in kept + text_of(cells(tmp_path)[0]["outputs"])


def test_a_cell_that_is_changed_late_still_says_where_all_of_its_output_is(tmp_path: Path) -> None:
    async def test() -> Execution:
        async with recorder_in(tmp_path) as recorder:
            recorder.limits = Limits(cell=100)
            one = ended(recorder, 1, "a" * 50, "b" * 90)
            await recorder.flush()
            recorder.output(one, "stream", {"name": "stdout", "text": "late"})
            return one

    one = run(test())
    assert one.overflow is not None
    assert one.overflow.file in text_of(cells(tmp_path)[0]["outputs"])


# --- what goes wrong with the notebook ------------------------------------------------


@dataclass
class Failing:
    """Notebook.write, failing for the first so many times."""

    error: Exception
    times: int

    def install(self, monkeypatch: pytest.MonkeyPatch) -> Failing:
        write = Notebook.write

        def failing(notebook: Notebook, *arguments: Any) -> Any:
            if self.times > 0:
                self.times -= 1
                raise self.error
            return write(notebook, *arguments)

        monkeypatch.setattr(Notebook, "write", failing)
        return self


def test_a_notebook_that_is_being_saved_is_written_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = NotebookBusy(tmp_path, retry_after=0.001)
    Failing(busy, 3).install(monkeypatch)

    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            ended(recorder, 1)
            await asyncio.sleep(0)
            ended(recorder, 2)
            await recorder.flush()
            assert recorder.notebook_problem is None

    run(test())
    assert [cell["id"] for cell in cells(tmp_path)] == ["kernelexec-1", "kernelexec-2"]


def test_a_notebook_that_is_held_for_good_is_told_and_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A JupyterLab that was suspended never lets go of it."""
    monkeypatch.setattr(notebooks_module, "_TOLD_SECONDS", 0.02)
    held = NotebookBusy(tmp_path, 0.001, by="is held", over_within=0.05)
    failing = Failing(held, 1_000_000).install(monkeypatch)

    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            ended(recorder, 1)
            await asyncio.wait_for(recorder.flush(), 10)
            assert recorder.notebook_problem is not None
            assert "is held" in recorder.notebook_problem
            assert cells(tmp_path) == []
            failing.times = 0
            await recorder.flush()
            assert recorder.notebook_problem is None

    run(test())
    assert [cell["id"] for cell in cells(tmp_path)] == ["kernelexec-1"]


def test_a_full_disk_is_told_and_the_notebook_follows_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Failing(OSError(errno.ENOSPC, "No space left on device", "/x.ipynb"), 3).install(monkeypatch)

    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            one = ended(recorder, 1)
            await settled(lambda: full.times <= 1)
            assert "No space left on device" in (recorder.notebook_problem or "")
            assert not recorder.is_written(one)
            await settled(lambda: recorder.is_written(one))
            assert recorder.notebook_problem is None

    run(test())
    assert len(cells(tmp_path)) == 1


def test_a_hub_that_ends_does_not_wait_for_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing(OSError(errno.ENOSPC, "No space left on device"), 10_000).install(monkeypatch)

    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            ended(recorder, 1)

    run(test())
    assert "written" not in [line["event"] for line in journal_lines(tmp_path)]


def test_a_notebook_that_is_none_is_set_aside_and_the_journal_says_so(tmp_path: Path) -> None:
    path = tmp_path / "sales@analysis-1.ipynb"
    path.mkdir()

    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            ended(recorder, 1)

    run(test())
    [line] = [line for line in journal_lines(tmp_path) if line["event"] == "set_aside"]
    assert (tmp_path / line["file"]).is_dir()
    assert len(cells(tmp_path)) == 1


def test_a_journal_that_fails_while_the_notebook_is_written_stops_no_later_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Journal.write
    failures = ["once"]

    def failing(self: Journal, event: str, **fields: Any) -> None:
        if event == "written" and failures:
            failures.pop()
            raise StorageFailed("The disk is full.")
        write(self, event, **fields)

    monkeypatch.setattr(Journal, "write", failing)

    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            one = ended(recorder, 1)
            await settled(lambda: recorder.is_written(one))
            ended(recorder, 2)

    run(test())
    assert [cell["id"] for cell in cells(tmp_path)] == ["kernelexec-1", "kernelexec-2"]


def test_a_kernel_of_the_same_sitting_goes_on_in_the_notebook_below_a_heading(tmp_path: Path) -> None:
    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            ended(recorder, 1)
            recorder.begin_generation(2, {})
            ended(recorder, 2, generation=2)

    run(test())
    found = [cell["id"] for cell in cells(tmp_path, 1)]
    assert found == ["kernelexec-1", "kernelexec-kernel-2", "kernelexec-2"]
    assert cells(tmp_path, 2) == []


def test_late_output_of_the_last_generation_goes_to_its_own_cell(tmp_path: Path) -> None:
    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            one = ended(recorder, 1)
            await recorder.flush()
            recorder.begin_generation(2, {})
            recorder.output(one, "stream", {"name": "stdout", "text": "late"})

    run(test())
    assert text_of(cells(tmp_path, 1)[0]["outputs"]) == "late"


def test_the_notebook_has_the_metadata_of_its_kernel(tmp_path: Path) -> None:
    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            assert recorder.notebook_path(1) == tmp_path / "sales@analysis-1.ipynb"
            ended(recorder, 1)

    run(test())
    found = json.loads((tmp_path / "sales@analysis-1.ipynb").read_text())
    assert found["metadata"]["kernelspec"]["name"] == "kernelexec-analysis"


def test_a_journal_is_synced_within_its_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SYNC_SECONDS", 0.001)
    synced: list[str] = []
    sync = Journal.sync

    def counting(self: Journal) -> None:
        synced.append("journal")
        sync(self)

    monkeypatch.setattr(Journal, "sync", counting)

    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            recorder.accept(execution(1))
            recorder.accept(execution(2))
            await settled(lambda: bool(synced))
            assert synced == ["journal"]
            recorder.accept(execution(3))
            await settled(lambda: len(synced) == 2)

    run(test())


def test_a_display_that_is_updated_all_the_time_is_few_lines_and_its_last_state_is_kept(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            one = execution(1)
            recorder.accept(one)
            shown = {"data": {"text/plain": ""}, "metadata": {}, "transient": {"display_id": "chart"}}
            recorder.output(one, "display_data", shown)
            for number in range(200):
                large = {**shown, "data": {"text/plain": f"{number} " + "x" * 100_000}}
                recorder.output(one, "update_display_data", large)
                recorder.output(one, "stream", {"name": "stdout", "text": "."})
            one.state, one.started, one.finished = State.OK, NOW, NOW
            recorder.finished(one)
            assert journal_path(tmp_path).stat().st_size < 1_000_000
            again = recorder.recall(1)
            assert again is not None
            assert again.outputs.to_notebook() == one.outputs.to_notebook()
            assert "199 x" in str(again.outputs.to_notebook())

    run(test())


def test_what_comes_after_the_end_counts_against_the_runs_limit_too(tmp_path: Path) -> None:
    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            recorder.limits = Limits(run=5_000)
            one = ended(recorder, 1)
            shown = {"data": {"text/plain": "0"}, "metadata": {}, "transient": {"display_id": "clock"}}
            recorder.output(one, "display_data", shown)
            for number in range(500):
                updated = {**shown, "data": {"text/plain": f"{number} " + "x" * 100}}
                recorder.output(one, "update_display_data", updated)
            lines = [line for line in journal_lines(tmp_path) if line["event"] in ("output", "overflow")]
            assert 10 < len(lines) < 60
            assert one.overflow is not None
            assert (tmp_path / one.overflow.file).read_text().count("was not kept") == 1

    run(test())


def test_a_display_shown_again_is_not_undone_by_an_update_before_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with recorder_in(tmp_path) as recorder:
            one = ended(recorder, 1)
            for kind, text in (
                ("display_data", "1"),
                ("update_display_data", "x" * 20_000),
                ("display_data", "3"),
            ):
                shown = {"data": {"text/plain": text}, "metadata": {}, "transient": {"display_id": "chart"}}
                recorder.output(one, kind, shown)
            recorder.write_updates()
            again = recorder.recall(1)
            assert again is not None
            assert again.outputs.to_notebook() == one.outputs.to_notebook()
            assert "xxx" not in str(again.outputs.to_notebook())

    run(test())
