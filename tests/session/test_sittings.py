"""One sitting leaves one notebook, whatever became of its kernels."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kernelexec.kernels.kernel import Death
from kernelexec.recording import sittings
from kernelexec.recording.export import clean_copy
from kernelexec.recording.history import read_submissions
from kernelexec.recording.notebook_format import parse
from kernelexec.recording.rebuild import rebuild
from kernelexec.recording.records import Records, find_records
from tests.fakes import (
    ANN,
    FakeStarter,
    cells,
    dying,
    fine,
    journal_path,
    let_notebooks_be_old,
    printing,
    ran,
    run,
    session_in,
    told,
)

CRASH = dying(Death(signal=9), "half")


def ids(storage_dir: Path, number: int = 1) -> list[str]:
    return [cell["id"].removeprefix("kernelexec-") for cell in cells(storage_dir, number)]


def source_of(cell: Any) -> str:
    return "".join(cell["source"])


async def crashed_and_restarted(session: Any) -> None:
    """A run, a crash, what is submitted in ignorance of it, another run, a restart and another."""
    await ran(session, "a = 1")
    await ran(session, "crash()")
    told(session)
    await ran(session, "b = 2")
    await session.restart_kernel("it was restarted", by=ANN)
    await ran(session, "c = 3")


def starter() -> FakeStarter:
    return FakeStarter([fine, CRASH], [fine], [printing("3\n")])


def test_crashes_and_restarts_leave_one_notebook_with_headings_in_order(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, starter()) as session:
            await crashed_and_restarted(session)
            assert session.notebook == tmp_path / "sales@analysis-1.ipynb"

    run(test())
    assert [path.name for path in sorted(tmp_path.glob("[!.]*"))] == [
        "sales@analysis-1",
        "sales@analysis-1.ipynb",
    ]
    assert ids(tmp_path) == ["1", "2", "kernel-2", "3", "kernel-3", "4"]
    headings = [cell["source"] for cell in cells(tmp_path) if cell["cell_type"] == "markdown"]
    assert all("".join(source).startswith("## A new kernel\n") for source in headings)
    assert "signal 9" in "".join(headings[0])
    assert "it was restarted" in "".join(headings[1])


def test_the_next_hub_goes_on_in_it_and_heads_no_kernel_twice(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([fine], [fine, fine])) as session:
            await ran(session, "a = 1")
            await session.restart_kernel("it was restarted", by=ANN)
            await ran(session, "b = 2")
        let_notebooks_be_old(tmp_path)
        async with session_in(tmp_path, FakeStarter([fine])) as session:
            await session.restart_kernel("it was restarted", by=ANN)
            told(session)
            await ran(session, "c = 3")

    run(test())
    assert ids(tmp_path) == ["1", "kernel-2", "2", "kernel-3", "3"]


def test_a_rebuilt_one_has_the_same_cells_and_marks(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, starter()) as session:
            await crashed_and_restarted(session)

    run(test())
    path = tmp_path / "sales@analysis-1.ipynb"
    made = rebuild(find_records(path, []), in_place=False)
    assert made.executions == 4
    there = parse(path.read_bytes())
    assert there is not None
    assert made.document.to_bytes() == there.to_bytes()


def test_a_copy_that_is_handed_on_has_no_headings_of_ours(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, starter()) as session:
            await crashed_and_restarted(session)

    run(test())
    document = parse((tmp_path / "sales@analysis-1.ipynb").read_bytes())
    assert document is not None
    copied = clean_copy(document, lambda _: None).document.cells
    assert [source_of(cell) for cell in copied] == ["a = 1", "b = 2", "c = 3"]


def test_scripts_of_all_its_kernels_are_in_one_folder(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, starter()) as session:
            await crashed_and_restarted(session)

    run(test())
    folder = Records(tmp_path, "sales@analysis", 1).folder
    assert [path.name for path in sorted(folder.iterdir())] == [f"000{n}.py" for n in (1, 2, 3, 4)]
    assert len(read_submissions(journal_path(tmp_path), folder.name)) == 4


def test_another_sitting_has_another_notebook_that_links_to_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([fine], [fine])) as session:
            await ran(session, "a = 1")
            await session.recorder.flush()
            monkeypatch.setattr(sittings, "_LONGEST_PAUSE", timedelta(0))
            await session.restart_kernel("it was restarted", by=ANN)
            await ran(session, "b = 2")

    run(test())
    assert ids(tmp_path) == ["1"]
    link, cell = cells(tmp_path, 2)
    assert "sales@analysis-1.ipynb" in "".join(link["source"])
    assert cell["id"] == "kernelexec-2"


def test_a_kernel_that_ran_nothing_leaves_no_notebook_and_no_link_to_one(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([fine], [fine])) as session:
            await session.restart_kernel("it was restarted", by=ANN)
            await session.restart_kernel("it was restarted", by=ANN)
            await ran(session, "b = 2")

    run(test())
    assert [path.name for path in tmp_path.glob("*.ipynb")] == ["sales@analysis-2.ipynb"]
    assert ids(tmp_path, 2) == ["1"]
