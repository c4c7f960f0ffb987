"""`kernelexec export`, as the person calls it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import nbformat
import pytest

from kernelexec.commands import cli
from kernelexec.recording.cell_place import CellPlace
from kernelexec.recording.notebook_format import Change, new_document
from tests.fakes import ANN, FakeKernel, FakeStarter, cells, failing, printing, ran, run, session_in
from tests.session.test_foreign_runs import person_runs

NAME = "sales@analysis-1.ipynb"
CLEAN = "sales@analysis-1.clean.ipynb"


def export(*arguments: object) -> int:
    return cli.main(["export", *map(str, arguments)])


@pytest.fixture
def recorded(storage: Path) -> Path:
    """The notebook of a session in which the second of three tries failed."""

    async def scenario() -> None:
        answers = [printing("1\n"), failing("ValueError"), printing("3\n")]
        async with session_in(storage, FakeStarter(answers)) as session:
            for number in (1, 2, 3):
                await ran(session, f"x = {number}")

    run(scenario())
    return storage / NAME


def test_the_copy_has_what_succeeded_and_the_notebook_stays_as_it_is(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = recorded.read_bytes()
    assert export(recorded) == 0
    said = capsys.readouterr().out
    copy = nbformat.read(recorded.with_name(CLEAN), as_version=4)
    nbformat.validate(copy)
    assert [cell.source for cell in copy.cells] == ["x = 1", "x = 3"]
    assert f"{recorded.with_name(CLEAN)}: 2 cells" in said
    assert "1 try" in said
    assert recorded.read_bytes() == before


def test_a_sessions_notebook_is_found_by_its_name_from_elsewhere(
    recorded: Path,
    elsewhere: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CODE_STORAGE_DIR", str(recorded.parent))
    monkeypatch.chdir(elsewhere)
    assert export(NAME) == 0
    assert f"{recorded.with_name(CLEAN)}: 2 cells" in capsys.readouterr().out
    (elsewhere / "sub").mkdir()
    assert export(f"sub/{NAME}") == 1
    assert f"{elsewhere}/sub/{NAME} cannot be read" in capsys.readouterr().err
    (elsewhere / NAME).symlink_to("nowhere")
    assert export(NAME) == 1
    assert f"{elsewhere}/{NAME} cannot be read" in capsys.readouterr().err


def test_of_a_notebook_of_ones_own_the_journal_has_what_the_notebook_lacks(
    storage: Path,
    elsewhere: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CODE_STORAGE_DIR", str(storage))
    notebook = elsewhere / "mine.ipynb"
    nbformat.write(
        nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell("rows = 41", id="one")],
            metadata={"language_info": {"name": "python"}},
        ),
        notebook,
    )

    async def scenario() -> None:
        async with session_in(storage, FakeStarter()) as session:
            opened = await session.open_notebook(notebook, ANN)
            await ran(session, "rows = 41", place=CellPlace("one"))
            assert isinstance(session.kernel, FakeKernel)
            person_runs(session.kernel, "helper = rows * 2", 2)  # and reverts the page
            await ran(session, "print(helper)", place=await opened.place_of_new("one"))

    run(scenario())
    assert export(notebook) == 0
    copy = nbformat.read(notebook.with_name("mine.clean.ipynb"), as_version=4)
    assert [cell.source for cell in copy.cells] == ["rows = 41", "helper = rows * 2", "print(helper)"]
    said = capsys.readouterr().out
    assert "put back, because it ran or a later cell needs it: your In [2]" in said, said
    assert f"its code ran in {storage}: relative paths in it begin there" in said


def test_a_file_that_is_there_is_replaced_only_by_force(
    recorded: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "mine.ipynb").write_text("mine")
    assert export(recorded, "--output", "mine.ipynb") == 1
    assert "--force" in capsys.readouterr().err
    assert (elsewhere / "mine.ipynb").read_text() == "mine"
    assert export(recorded, "--output", "mine.ipynb", "--force") == 0
    assert len(json.loads((elsewhere / "mine.ipynb").read_text())["cells"]) == 2
    assert export(recorded, "--output", recorded, "--force") == 1


def test_what_a_running_hub_has_not_added_yet_is_waited_for(storage: Path) -> None:
    async def scenario() -> None:
        async with session_in(storage, FakeStarter(), gather_cells_for=0.3) as session:
            await ran(session, "x = 1")
            assert cells(storage) == []
            for _ in range(100):  # the first cell makes the notebook, which the command needs
                if (storage / NAME).exists():
                    break
                await asyncio.sleep(0.02)
            await ran(session, "x = 2")
            assert await asyncio.to_thread(export, storage / NAME) == 0

    run(scenario())
    assert [cell["source"] for cell in json.loads((storage / CLEAN).read_text())["cells"]] == [
        ["x = 1"],
        ["x = 2"],
    ]


def test_a_notebook_of_nobody_we_know_can_be_exported_too(elsewhere: Path) -> None:
    cell = {
        "id": "a",
        "cell_type": "code",
        "source": "1",
        "outputs": [],
        "execution_count": None,
        "metadata": {},
    }
    Path("report.ipynb").write_bytes(new_document({}).changed(Change([cell])).to_bytes())
    assert export("report.ipynb") == 0
    assert (elsewhere / "report.clean.ipynb").exists()


def test_files_beside_the_notebook_are_read_and_no_others(recorded: Path, elsewhere: Path) -> None:
    (elsewhere / "secret").write_text("secret")
    folder = recorded.with_suffix("") / "outputs"
    folder.mkdir()
    (folder / "0001-1.txt").write_text("all of it")
    (folder / "0002-1.txt").symlink_to(elsewhere / "secret")
    notebook = json.loads(recorded.read_text())
    names = [
        "sales@analysis-1/outputs/0001-1.txt",
        "sales@analysis-1/outputs/0002-1.txt",
        "../elsewhere/secret",
        str(elsewhere / "secret"),
        ".",
        "",
    ]
    notebook["cells"][0]["outputs"] = [
        {
            "output_type": "display_data",
            "data": {"text/plain": "in a file"},
            "metadata": {"kernelexec": {"file": name, "mime": "text/plain"}},
        }
        for name in names
    ]
    recorded.write_text(json.dumps(notebook))
    assert export(recorded) == 0
    text = recorded.with_name(CLEAN).read_text()
    assert "all of it" in text
    assert "secret" not in text


@pytest.mark.parametrize("content", [None, b"", b"<<<<<<< HEAD", b'{"nbformat": 3, "worksheets": []}'])
def test_what_is_no_notebook_is_an_error_that_names_rebuild(
    storage: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (storage / NAME).write_bytes(content)
    assert export(storage / NAME) == 1
    assert f"kernelexec rebuild {storage / NAME}" in capsys.readouterr().err
    assert not (storage / CLEAN).exists()


def test_what_would_not_be_valid_is_not_written(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = {
        "id": "a",
        "cell_type": "strange",
        "source": "x",
        "outputs": [],
        "execution_count": None,
        "metadata": {},
    }
    (storage / NAME).write_text(
        json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    )
    assert export(storage / NAME) == 1
    assert "cells/0" in capsys.readouterr().err
    assert not (storage / CLEAN).exists()


def test_a_copy_that_nobodys_jupyter_could_open_is_not_written(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = json.loads(recorded.read_text())
    notebook["cells"][0]["outputs"] = [{"output_type": "stream", "text": "a stream without its name"}]
    recorded.write_text(json.dumps(notebook))
    assert export(recorded) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "not valid in a notebook, at cells/0/outputs/0: 'name' is a required property" in said.err
    assert f"kernelexec rebuild {recorded}" in said.err
    assert not recorded.with_name(CLEAN).exists()
