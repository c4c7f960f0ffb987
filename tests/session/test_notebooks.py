"""A session's notebook while a person works in it too, and what changes earlier cells."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from kernelexec.mcp_server.render.verdict import opening
from kernelexec.recording import notebooks as module
from tests.fakes import (
    FakeKernel,
    FakeStarter,
    Run,
    caller,
    cells,
    fine,
    journal_lines,
    printing,
    ran,
    run,
    saying,
    session_in,
    settled,
    text_of,
)

Edit = Callable[[Any], None]


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.001)


def notebook(storage_dir: Path) -> Path:
    return storage_dir / "sales@analysis-1.ipynb"


def sources(storage_dir: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(storage_dir)]


def save(storage_dir: Path, copy: bytes, edit: Edit = lambda _: None) -> None:
    """What JupyterLab does with the copy that it has loaded: the person edits it, then it is written into the
    same file, whatever is there by now ("Overwrite")."""
    content = nbformat.reads(copy.decode(), nbformat.NO_CONVERT)
    edit(content)
    path = notebook(storage_dir)
    path.write_text(nbformat.writes(content))
    os.utime(path, (1, path.stat().st_mtime_ns / 1e9 - 60))


def without(*ids: str) -> Edit:
    def edit(content: Any) -> None:
        content.cells = [cell for cell in content.cells if cell.id not in ids]

    return edit


def with_words(content: Any) -> None:
    content.cells.append(nbformat.v4.new_markdown_cell("My own words."))


async def written(session: Any, storage_dir: Path, *codes: str) -> bytes:
    """Run these, and see them in the notebook."""
    for code in codes:
        await ran(session, code)
    await session.recorder.flush()
    return notebook(storage_dir).read_bytes()


def test_cells_that_the_person_had_not_seen_come_back_after_an_overwrite(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            loaded = await written(session, tmp_path, "a", "b")
            await written(session, tmp_path, "c", "d")
            save(tmp_path, loaded, with_words)
            await settled(lambda: len(cells(tmp_path)) == 5)
            assert sources(tmp_path) == ["a", "b", "My own words.", "c", "d"]
            await written(session, tmp_path, "e")
        assert sources(tmp_path) == ["a", "b", "My own words.", "c", "d", "e"]

    run(test())


def test_they_come_back_as_often_as_they_are_overwritten(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            loaded = await written(session, tmp_path, "a")
            await written(session, tmp_path, "b")
            for _ in range(3):
                save(tmp_path, loaded)
                await settled(lambda: len(cells(tmp_path)) == 2)
        assert sources(tmp_path) == ["a", "b"]

    run(test())


def test_deleted_cells_stay_deleted_also_the_last_one(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            loaded = await written(session, tmp_path, "a", "b", "c")
            save(tmp_path, loaded, without("kernelexec-1", "kernelexec-3"))
            await written(session, tmp_path, "d")
            assert sources(tmp_path) == ["b", "d"]
        async with session_in(tmp_path, FakeStarter()) as session:
            await session.recorder.flush()
        assert sources(tmp_path) == ["b", "d"]

    run(test())


def test_deleted_and_unseen_in_one_save(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            loaded = await written(session, tmp_path, "a", "b")
            await written(session, tmp_path, "c")
            save(tmp_path, loaded, without("kernelexec-2"))
            await settled(lambda: "c" in sources(tmp_path))
        assert sources(tmp_path) == ["a", "c"]

    run(test())


def test_an_overwrite_while_no_hub_runs_is_mended_by_the_next_one(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            loaded = await written(session, tmp_path, "a")
            await written(session, tmp_path, "b")
        save(tmp_path, loaded, with_words)
        async with session_in(tmp_path, FakeStarter()):
            await settled(lambda: len(cells(tmp_path)) == 3)
        assert sources(tmp_path) == ["a", "My own words.", "b"]

    run(test())


def test_moved_edited_cleared_and_rerun_cells_stay_as_the_person_has_them(tmp_path: Path) -> None:
    def edit(content: Any) -> None:
        first, second, third = content.cells
        first.source = "edited"
        second.outputs, second.execution_count = [], None
        third.outputs, third.execution_count = [nbformat.v4.new_output("stream", text="mine")], 9
        content.cells = [third, second, first]

    async def test() -> None:
        answers = [printing("1"), printing("2"), printing("3")]
        async with session_in(tmp_path, FakeStarter(answers)) as session:
            loaded = await written(session, tmp_path, "a", "b", "c")
            save(tmp_path, loaded, edit)
            await written(session, tmp_path, "d")
        third, second, first, fourth = cells(tmp_path)
        assert (text_of(third["outputs"]), third["execution_count"]) == ("mine", 9)
        assert (second["outputs"], second["execution_count"]) == ([], None)
        assert ("".join(first["source"]), text_of(first["outputs"])) == ("edited", "1")
        assert "".join(fourth["source"]) == "d"

    run(test())


def test_a_note_comes_back_with_its_cell(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            loaded = await written(session, tmp_path, "a")
            await ran(session, "b", note="Why")
            await session.recorder.flush()
            save(tmp_path, loaded)
            await settled(lambda: len(cells(tmp_path)) == 3)
        assert sources(tmp_path) == ["a", "Why", "b"]

    run(test())


def test_a_note_without_code_is_one_cell_and_comes_back_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            loaded = await written(session, tmp_path, "a")
            await ran(session, " \n", note="What we have seen so far")
            await session.recorder.flush()
            save(tmp_path, loaded)
            await settled(lambda: len(cells(tmp_path)) == 2)
            await ran(session, "b")
        assert sources(tmp_path) == ["a", "What we have seen so far", "b"]
        assert [cell["cell_type"] for cell in cells(tmp_path)] == ["code", "markdown", "code"]

    run(test())


def test_a_notebook_that_the_person_deleted_is_not_made_again_for_old_cells(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await written(session, tmp_path, "a")
            notebook(tmp_path).unlink()
            await asyncio.sleep(0.01)
            assert not notebook(tmp_path).exists()
            await written(session, tmp_path, "b")
        assert sources(tmp_path) == ["b"]

    run(test())


def test_a_notebook_is_never_written_through_a_link_that_has_replaced_the_storage(tmp_path: Path) -> None:
    storage, elsewhere = tmp_path / "storage", tmp_path / "elsewhere"
    storage.mkdir()
    elsewhere.mkdir()

    async def test() -> None:
        async with session_in(storage, FakeStarter()) as session:
            await written(session, storage, "a")
            execution = await ran(session, "b")
            storage.rename(tmp_path / "moved")
            storage.symlink_to(elsewhere)
            await session.recorder.flush()
            assert not session.recorder.is_written(execution)
            assert "moved or replaced" in (session.recorder.notebook_problem or "")
            assert list(elsewhere.iterdir()) == []
            storage.unlink()
            (tmp_path / "moved").rename(storage)
        assert sources(storage) == ["a", "b"]

    run(test())


# --- displays ------------------------------------------------------------------------


def display(text: str, identity: str = "d1") -> tuple[str, dict[str, Any]]:
    data = {"data": {"text/plain": text}, "metadata": {}, "transient": {"display_id": identity}}
    return "display_data", data


def update(text: str, identity: str = "d1") -> tuple[str, dict[str, Any]]:
    return "update_display_data", display(text, identity)[1]


def shown(storage_dir: Path) -> list[list[str]]:
    """The plain texts that each cell displays."""
    return [
        ["".join(output["data"]["text/plain"]) for output in cell["outputs"] if "data" in output]
        for cell in cells(storage_dir)
    ]


def test_an_update_of_a_display_changes_the_earlier_cell_that_shows_it(tmp_path: Path) -> None:
    async def test() -> None:
        answers = [saying(display("1")), saying(update("2")), saying(display("3"))]
        async with session_in(tmp_path, FakeStarter(answers)) as session:
            await written(session, tmp_path, "show")
            await written(session, tmp_path, "update")
            assert shown(tmp_path) == [["2"], []]
            await written(session, tmp_path, "show again")
            assert shown(tmp_path) == [["3"], [], ["3"]]
            assert "3" in str(session.executions.get(1).outputs.to_notebook())

    run(test())


def test_an_update_reaches_a_cell_that_is_long_out_of_memory(tmp_path: Path) -> None:
    async def test() -> None:
        answers = [saying(display("1")), *[fine] * 20, saying(update("2")), saying(update("3", "d0"))]
        async with session_in(tmp_path, FakeStarter(answers)) as session:
            await written(session, tmp_path, *["x"] * 21)
            await written(session, tmp_path, "update", "update of nothing")
        assert shown(tmp_path)[0] == ["2"]

    run(test())


def test_an_update_reaches_a_cell_of_an_earlier_hub(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([saying(display("1"))])
        async with session_in(tmp_path, starter) as session:
            await written(session, tmp_path, "show")
        [kernel] = starter.kernels
        async with session_in(tmp_path, FakeStarter()) as session:
            session.generations.left_a_kernel = False
            session.recorder.update_displays(update("2")[1])
            await session.recorder.flush()
        assert kernel.executed == ["show"]
        assert shown(tmp_path) == [["2"]]

    run(test())


def test_an_update_by_another_client_changes_our_cell(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([saying(display("1"))])) as session:
            await written(session, tmp_path, "show")
            assert isinstance(session.kernel, FakeKernel)
            session.kernel.publish(*update("2"), "theirs")
        assert shown(tmp_path) == [["2"]]

    run(test())


def test_the_journal_has_the_update_under_the_cell_that_it_changes(tmp_path: Path) -> None:
    async def test() -> None:
        answers = [saying(display("1")), saying(update("2"))]
        async with session_in(tmp_path, FakeStarter(answers)) as session:
            await written(session, tmp_path, "show", "update")
        lines = [line for line in journal_lines(tmp_path) if line["event"] == "output"]
        assert [(line["n"], line["type"]) for line in lines] == [
            (1, "display_data"),
            (1, "update_display_data"),
        ]

    run(test())


def test_a_cleared_display_is_not_brought_back(tmp_path: Path) -> None:
    async def test() -> None:
        first = saying(display("1"), ("clear_output", {"wait": False}))
        async with session_in(tmp_path, FakeStarter([first, saying(update("2"))])) as session:
            await written(session, tmp_path, "show", "update")
        assert shown(tmp_path) == [[], []]

    run(test())


def test_a_cell_that_the_person_cleared_is_not_filled_by_an_update(tmp_path: Path) -> None:
    def clear(content: Any) -> None:
        content.cells[0].outputs, content.cells[0].execution_count = [], None

    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([saying(display("1")), saying(update("2"))])) as session:
            loaded = await written(session, tmp_path, "show")
            save(tmp_path, loaded, clear)
            await written(session, tmp_path, "update")
        assert shown(tmp_path) == [[], []]

    run(test())


# --- late output -----------------------------------------------------------------------


def test_late_output_is_in_its_own_cell_below_a_label(tmp_path: Path) -> None:
    runs: list[Run] = []

    async def keep(kernel_run: Run) -> Any:
        runs.append(kernel_run)
        kernel_run.print("in time\n")
        return await fine(kernel_run)

    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([keep, printing("other\n")])) as session:
            await written(session, tmp_path, "a", "b")
            runs[0].print("late\n")
            runs[0].print("later\n")
        first, second = cells(tmp_path)
        before, label, after = first["outputs"]
        assert text_of([before]) == "in time\n"
        assert label["metadata"] == {"kernelexec": {"late": True}}
        assert "after this cell had ended" in "".join(label["data"]["text/plain"])
        assert text_of([after]) == "late\nlater\n"
        assert text_of(second["outputs"]) == "other\n"
        nbformat.validate(json.loads(notebook(tmp_path).read_text()))

    run(test())


def test_late_output_that_no_hub_came_to_write_is_written_by_the_next(tmp_path: Path) -> None:
    runs: list[Run] = []
    storage, crashed = tmp_path / "storage", tmp_path / "crashed"

    async def keep(kernel_run: Run) -> Any:
        runs.append(kernel_run)
        return await fine(kernel_run)

    async def test() -> None:
        async with session_in(storage, FakeStarter([keep])) as session:
            await written(session, storage, "a")
            runs[0].print("late\n")
            shutil.copytree(storage, crashed)  # what is there when the hub is killed now
        async with session_in(crashed, FakeStarter()):
            pass
        for folder in (storage, crashed):
            assert text_of(cells(folder)[0]["outputs"]) == "late\n"
        async with session_in(crashed, FakeStarter()) as session:
            assert session.recorder.is_written(session.executions.get(1)), "it is known to be written"

    run(test())


def test_of_a_notebook_that_was_set_aside_the_assistant_is_told_once(tmp_path: Path) -> None:
    aside = "sales@analysis-1.unreadable-1.ipynb"

    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await written(session, tmp_path, "a")
            notebook(tmp_path).write_text("<<<<<<< HEAD")
            await written(session, tmp_path, "b")
            execution, someone = await ran(session, "c"), caller(tmp_path)
            said = "News: the notebook could not be read (changed by hand?) and is now called " + aside
            assert said in "\n".join(opening(execution, session, someone))
            assert aside not in "\n".join(opening(execution, session, someone))
        assert sources(tmp_path) == ["a", "b", "c"], "what cannot be read was not deleted"

    run(test())


def test_of_a_notebook_that_was_set_aside_the_next_hub_tells_if_the_first_told_nobody(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await written(session, tmp_path, "a")
            notebook(tmp_path).write_text("<<<<<<< HEAD")
            await written(session, tmp_path, "b")
        for expected in (["sales@analysis-1.unreadable-1.ipynb"], []):
            async with session_in(tmp_path, FakeStarter()) as session:
                assert session.recorder.notebooks.take_set_aside() == expected

    run(test())


def test_no_name_of_a_cell_stops_the_notebook(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await written(session, tmp_path, "a")
            mine = nbformat.v4.new_markdown_cell("mine", id="x")
            mine.id = "kernelexec-" + "9" * 5000
            save(tmp_path, notebook(tmp_path).read_bytes(), lambda content: content.cells.append(mine))
            await written(session, tmp_path, "b")
        assert sources(tmp_path) == ["a", "mine", "b"]

    run(test())
