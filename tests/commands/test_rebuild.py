"""`kernelexec rebuild`, as the person calls it, on the records of a session with a scripted kernel."""

from __future__ import annotations

import asyncio
import json
import tempfile
from datetime import timedelta
from pathlib import Path

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelexec.commands import cli
from kernelexec.kernels.kernel import Death
from kernelexec.recording import sittings
from tests.fakes import (
    ANN,
    Answer,
    FakeKernel,
    FakeStarter,
    aborted,
    cells,
    dying,
    failing,
    finish,
    let_notebooks_be_old,
    printing,
    ran,
    run,
    saying,
    session_in,
    settled,
    stalling,
    submit,
    told,
)

NAME = "sales@analysis-1.ipynb"


def rebuild(*arguments: object) -> int:
    return cli.main(["rebuild", *map(str, arguments)])


def record(storage: Path, *answers: Answer, note: str | None = None) -> bytes:
    """A session that got these answers; returns its notebook."""

    async def scenario() -> None:
        async with session_in(storage, FakeStarter(answers)) as session:
            for number, _ in enumerate(answers, 1):
                await ran(session, f"x = {number}", label=f"step {number}", note=note)

    run(scenario())
    let_notebooks_be_old(storage)
    return (storage / NAME).read_bytes()


DISPLAYS = (
    ("display_data", {"data": {"text/plain": "<plot>"}, "metadata": {}, "transient": {"display_id": "d"}}),
    ("stream", {"name": "stderr", "text": "a warning\n"}),
    (
        "update_display_data",
        {"data": {"text/plain": "<new>"}, "metadata": {}, "transient": {"display_id": "d"}},
    ),
    ("execute_result", {"data": {"text/plain": "42"}, "metadata": {}, "execution_count": 1}),
)


def test_a_missing_notebook_is_made_again_byte_for_byte(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = record(storage, printing("1\n"), saying(*DISPLAYS), failing("ValueError"), note="## What for")
    (storage / NAME).unlink()
    assert rebuild(storage / NAME) == 0
    assert (storage / NAME).read_bytes() == before
    nbformat.validate(nbformat.read(storage / NAME, as_version=4))
    assert f"{storage / NAME}: 3 executions" in capsys.readouterr().out


def shown(identity: str, text: str, update: bool) -> Answer:
    content = {"data": {"text/plain": text}, "metadata": {}, "transient": {"display_id": identity}}
    return saying(("update_display_data" if update else "display_data", content))


_WORDS = st.text("ab\n\r", max_size=4)
_STEPS = st.one_of(
    st.builds(printing, _WORDS, st.sampled_from(["stdout", "stderr"])),
    st.builds(failing, st.just("ValueError"), _WORDS),
    st.builds(shown, st.sampled_from("de"), _WORDS, st.booleans()),
    st.builds(dying, st.just(Death(signal=9)), _WORDS),
    st.just(saying(("clear_output", {"wait": True}), ("stream", {"name": "stdout", "text": "x"}))),
    st.just(aborted),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(_STEPS, st.booleans(), st.booleans()), max_size=8))
def test_whatever_has_happened_the_notebook_is_made_again_byte_for_byte(
    steps: list[tuple[Answer, bool, bool]],
) -> None:
    """Runs of all kinds, with notes or without, and hubs that end and begin again between them."""

    async def scenario(storage: Path) -> None:
        kernels = FakeStarter()
        for answer, with_note, new_hub in steps:
            async with session_in(storage, kernels) as session:
                alive = session.generations.kernel
                if isinstance(alive, FakeKernel):
                    alive.answers.append(answer)
                else:
                    kernels.plan.append([answer])
                await ran(session, "code", note="## What for" if with_note else None)
                if not new_hub:
                    await ran(session, "more")
            let_notebooks_be_old(storage)

    with tempfile.TemporaryDirectory() as folder:
        storage = Path(folder)
        run(scenario(storage))
        for notebook in storage.glob("*.ipynb"):
            before = notebook.read_bytes()
            notebook.unlink()
            assert rebuild(notebook) == 0
            assert notebook.read_bytes() == before


def test_a_notebook_that_is_there_stays_and_the_new_one_is_beside_it(storage: Path) -> None:
    before = record(storage, printing("1\n"))
    (storage / NAME).write_bytes(b"the person's")
    assert rebuild(storage / NAME) == 0
    assert rebuild(storage / NAME) == 0
    assert (storage / NAME).read_bytes() == b"the person's"
    assert (storage / "sales@analysis-1.rebuilt.ipynb").read_bytes() == before
    assert (storage / "sales@analysis-1.rebuilt-2.ipynb").read_bytes() == before


def test_the_output_goes_where_it_is_asked_for_and_over_a_file_only_by_force(
    storage: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = record(storage, printing("1\n"))
    (elsewhere / "new.ipynb").write_text("mine")
    assert rebuild(storage / NAME, "--output", "new.ipynb") == 1
    assert "--force" in capsys.readouterr().err
    assert (elsewhere / "new.ipynb").read_text() == "mine"
    assert rebuild(storage / NAME, "--output", "new.ipynb", "--force") == 0
    assert (elsewhere / "new.ipynb").read_bytes() == before
    assert list(elsewhere.iterdir()) == [elsewhere / "new.ipynb"]


def test_a_notebook_that_was_renamed_says_itself_which_session_it_is_of(storage: Path) -> None:
    before = record(storage, printing("1\n"))
    (storage / NAME).rename(storage / "report.ipynb")
    assert rebuild(storage / "report.ipynb") == 0
    assert (storage / "report.rebuilt.ipynb").read_bytes() == before


def test_the_journal_of_a_notebook_that_was_moved_is_found_by_the_variable(
    storage: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record(storage, printing("1\n"))
    (storage / NAME).rename(elsewhere / NAME)
    assert rebuild(elsewhere / NAME) == 1
    assert "CODE_STORAGE_DIR" in capsys.readouterr().err
    monkeypatch.setenv("CODE_STORAGE_DIR", str(storage))
    assert rebuild(elsewhere / NAME) == 0
    assert (elsewhere / "sales@analysis-1.rebuilt.ipynb").exists()


def test_each_notebook_has_the_kernels_of_its_sitting(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        starter = FakeStarter([dying(Death(signal=9), "last words")], [printing("1\n")], [printing("2\n")])
        async with session_in(storage, starter) as session:
            await ran(session, "x = 1")
            await ran(session, "not run")
            told(session)
            await ran(session, "x = 2")
            monkeypatch.setattr(sittings, "_LONGEST_PAUSE", timedelta(0))
            await session.recorder.flush()
            await session.restart_kernel("it was restarted", by=ANN)
            told(session)
            await ran(session, "x = 3")

    run(scenario())
    assert len(list(storage.glob("*.ipynb"))) == 2
    for generation in (1, 3):
        path = storage / f"sales@analysis-{generation}.ipynb"
        before = path.read_bytes()
        path.unlink()
        assert rebuild(path) == 0
        assert path.read_bytes() == before


def test_what_still_runs_is_left_to_the_hub_that_has_the_session_open(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        go_on = asyncio.Event()
        starter = FakeStarter([printing("1\n"), stalling(go_on, "so far"), printing("3\n")])
        async with session_in(storage, starter) as session:
            await ran(session, "x = 1")
            await session.recorder.flush()
            running, queued = submit(session, "x = 2"), submit(session, "x = 3")
            await settled(lambda: session.current is running)
            let_notebooks_be_old(storage)
            (storage / NAME).unlink()
            assert await asyncio.to_thread(rebuild, storage / NAME) == 0
            assert [cell["source"] for cell in cells(storage)] == [["x = 1"]]
            let_notebooks_be_old(storage)
            go_on.set()
            await finish(session, running, queued)

    run(scenario())
    assert "2 have not ended yet" in capsys.readouterr().out
    assert [cell["source"] for cell in cells(storage)] == [["x = 1"], ["x = 2"], ["x = 3"]]


def test_cells_that_the_hub_is_about_to_add_are_not_added_twice(storage: Path) -> None:
    async def scenario() -> None:
        async with session_in(storage, FakeStarter(), gather_cells_for=0.3) as session:
            await ran(session, "x = 1")
            assert await asyncio.to_thread(rebuild, storage / NAME) == 0
            assert not (storage / NAME).exists()
            await session.recorder.flush()
            (storage / NAME).unlink()
            await ran(session, "x = 2")
            assert await asyncio.to_thread(rebuild, storage / NAME) == 0
            assert [cell["id"] for cell in cells(storage)] == ["kernelexec-1"]
            let_notebooks_be_old(storage)

    run(scenario())
    assert [cell["id"] for cell in cells(storage)] == ["kernelexec-1", "kernelexec-2"]


def test_what_ran_when_the_last_hub_was_killed_has_a_cell_with_what_is_known(storage: Path) -> None:
    async def scenario() -> None:
        starter = FakeStarter([stalling(first="so far")])
        async with session_in(storage, starter) as session:
            submit(session, "x = 1")
            submit(session, "x = 2")
            await settled(lambda: bool(session.current and session.current.outputs.size))
            # The journal as a killed hub leaves it.
            killed = storage.with_name("killed")
            (killed / ".kernelexec").mkdir(parents=True)
            journal = storage / ".kernelexec" / "sales@analysis.jsonl"
            (killed / ".kernelexec" / journal.name).write_bytes(journal.read_bytes() + b'{"torn')
            assert rebuild(killed / NAME) == 0

    run(scenario())
    [cell] = cells(storage.with_name("killed"))
    assert cell["metadata"]["kernelexec"]["state"] == "unknown"
    assert cell["outputs"][0]["text"] == ["so far"]


@pytest.mark.parametrize("name", ["report.ipynb", "sales@analysis-1.ipynb", "no@such-3.ipynb"])
def test_a_notebook_without_a_journal_is_an_error_that_says_where_it_was_looked_for(
    storage: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (storage / name).write_text(json.dumps({"cells": [], "metadata": {}}))
    assert rebuild(storage / name) == 1
    assert str(storage) in capsys.readouterr().err
    assert [path.name for path in storage.iterdir()] == [name]


def test_a_notebook_that_never_was_is_an_error(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(storage, printing("1\n"))
    assert rebuild(storage / "sales@analysis-7.ipynb") == 1
    assert "no notebook 7" in capsys.readouterr().err
