"""Displays, results and errors too large for a notebook."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest

from kernelexec.kernels.kernel import Reply
from kernelexec.model.limits import Limits
from tests.fakes import (
    FakeStarter,
    Run,
    cells,
    fine,
    flooding,
    journal_path,
    ran,
    run,
    saying,
    session_in,
    text_of,
    told,
)

PICTURE = os.urandom(60_000)
LIMITS = Limits(cell=50_000, run=1_000_000)
OUTPUTS = "sales@analysis-1/outputs"


def display(data: dict[str, Any], message_type: str = "display_data", **more: Any) -> Any:
    return message_type, {"data": data, "metadata": {"mine": 1}, **more}


def picture(**more: Any) -> Any:
    return display({"image/png": base64.encodebytes(PICTURE).decode(), "text/plain": "<Figure>"}, **more)


def outputs_after(storage_dir: Path, *messages: Any) -> list[dict[str, Any]]:
    """What the cell shows of one run that says these, and what the journal gives again."""

    async def test() -> Any:
        async with session_in(storage_dir, FakeStarter([saying(*messages)])) as session:
            session.recorder.limits = LIMITS
            await ran(session, "x")
            return session.executions.get(1).outputs.to_notebook()

    run(test())
    [cell] = cells(storage_dir)
    nbformat.validate(nbformat.read(storage_dir / "sales@analysis-1.ipynb", nbformat.NO_CONVERT))
    outputs: list[dict[str, Any]] = cell["outputs"]
    return outputs


def test_a_picture_is_in_a_file_and_the_cell_shows_it_from_there(tmp_path: Path) -> None:
    [output] = outputs_after(tmp_path, picture())
    assert (tmp_path / OUTPUTS / "0001-1.png").read_bytes() == PICTURE
    reference = {"file": f"{OUTPUTS}/0001-1.png", "mime": "image/png", "size": len(PICTURE)}
    assert output["metadata"] == {"mine": 1, "kernelexec": reference}
    assert "".join(output["data"]["text/plain"]).startswith("<Figure>\n[all of it, image/png, 60,000 bytes: ")
    assert "".join(output["data"]["text/markdown"]) == (
        "![image/png, 60,000 bytes](sales%40analysis-1/outputs/0001-1.png)"
    )
    assert journal_path(tmp_path).stat().st_size < 10_000


def test_a_long_text_has_its_head_and_tail_in_the_cell(tmp_path: Path) -> None:
    text = "'" + "x" * 100_000 + "\N{BUG}'"
    result = display({"text/plain": text}, "execute_result", execution_count=1)
    [output] = outputs_after(tmp_path, result)
    assert (tmp_path / OUTPUTS / "0001-1.txt").read_text() == text
    shown = "".join(output["data"]["text/plain"])
    assert shown.startswith("'xxx")
    assert shown.endswith("x\N{BUG}'")
    assert f"{OUTPUTS}/0001-1.txt" in shown
    assert len(shown) < 4_000
    assert output["output_type"] == "execute_result"


def test_each_large_type_of_a_bundle_has_a_file(tmp_path: Path) -> None:
    table = {"rows": list(range(20_000))}
    bundle = {"text/html": "<b>" * 30_000, "application/json": table, "text/plain": "short"}
    [output] = outputs_after(tmp_path, display(bundle))
    assert (tmp_path / OUTPUTS / "0001-1.html").read_text() == "<b>" * 30_000
    assert json.loads((tmp_path / OUTPUTS / "0001-2.json").read_text()) == table
    reference = output["metadata"]["kernelexec"]
    assert {each["mime"] for each in (reference, *reference["others"])} == {"text/html", "application/json"}
    assert set(output["data"]) == {"text/plain", "text/markdown"}


def test_a_list_of_texts_is_lines_of_a_text_and_a_value_of_json(tmp_path: Path) -> None:
    lines = ["x" * 30_000 + "\n"] * 3
    recorded = outputs_after(tmp_path, display({"application/json": lines, "text/html": lines}))
    assert json.loads((tmp_path / OUTPUTS / "0001-1.json").read_text()) == lines
    assert (tmp_path / OUTPUTS / "0001-2.html").read_text() == "".join(lines)
    assert len(recorded) == 1


def test_an_error_keeps_its_name_and_both_ends(tmp_path: Path) -> None:
    error = {"ename": "ValueError", "evalue": "v" * 200_000, "traceback": ["first", "t" * 200_000, "last"]}
    [output] = outputs_after(tmp_path, ("error", error))
    assert output["ename"] == "ValueError"
    assert len(output["evalue"]) < 4_000
    [traceback] = output["traceback"]
    assert traceback.startswith("first\nt")
    assert traceback.endswith("t\nlast")
    assert "t" * 200_000 in (tmp_path / OUTPUTS / "0001-1.txt").read_text()


def test_what_fits_the_cell_stays_in_it(tmp_path: Path) -> None:
    deep = ("error", {"ename": "RecursionError", "evalue": "", "traceback": ["a frame" * 20] * 300})
    assert outputs_after(tmp_path / "deep", deep)[0]["traceback"] == deep[1]["traceback"]
    small = {"image/png": "aGk=", "text/plain": "y" * 30_000}
    assert len(outputs_after(tmp_path, display(small), ("stream", {"name": "stdout", "text": "x"}))) == 2
    assert not (tmp_path / OUTPUTS).exists()


def test_an_animation_that_replaces_its_picture_needs_no_files(tmp_path: Path) -> None:
    frame = {"text/plain": "z" * 20_000}
    first = display(frame, transient={"display_id": "a"})
    update = display(frame, "update_display_data", transient={"display_id": "a"})
    assert len(outputs_after(tmp_path, first, *[update] * 20)) == 1
    cleared = ("clear_output", {"wait": True})
    assert len(outputs_after(tmp_path / "2", *[cleared, display(frame)] * 20)) == 1
    assert not (tmp_path / OUTPUTS).exists()
    assert not (tmp_path / "2" / OUTPUTS).exists()


def test_many_small_displays_end_up_in_one_text_file(tmp_path: Path) -> None:
    outputs = outputs_after(tmp_path, *[display({"text/plain": f"row {n:05}" * 10}) for n in range(2_000)])
    assert os.listdir(tmp_path / OUTPUTS) == ["0001.txt"]
    assert "row 01999" in (tmp_path / OUTPUTS / "0001.txt").read_text()
    assert "0001.txt" in text_of(outputs[-1:])
    assert len(json.dumps(outputs)) < 300_000


def test_beyond_the_limit_of_a_run_nothing_is_kept_and_it_is_counted(tmp_path: Path) -> None:
    outputs = outputs_after(tmp_path, *[picture()] * 40)
    kept = sum(file.stat().st_size for file in (tmp_path / OUTPUTS).iterdir())
    assert kept < 1_100_000
    assert journal_path(tmp_path).stat().st_size < 100_000
    assert "a display of 81," in (tmp_path / OUTPUTS / "0001.txt").read_text()
    assert "0001.txt" in text_of(outputs[-1:])


def test_an_endless_loop_that_clears_its_output_does_not_fill_the_disk(tmp_path: Path) -> None:
    round_trip = [("stream", {"name": "stdout", "text": "w" * 40_000}), ("clear_output", {"wait": False})]
    outputs_after(tmp_path, *round_trip * 100)
    used = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    assert used < 3_000_000


def test_what_is_no_base64_is_kept_as_it_came(tmp_path: Path) -> None:
    outputs_after(tmp_path, display({"image/png": "ä" * 60_000}))
    assert (tmp_path / OUTPUTS / "0001-1.png").read_text() == "ä" * 60_000


def test_a_file_that_cannot_be_written_is_told_and_the_run_goes_on(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([saying(picture()), flooding(3)])) as session:
            session.recorder.limits = LIMITS
            (tmp_path / "sales@analysis-1").mkdir()
            (tmp_path / OUTPUTS).write_text("a file of the person's")
            await ran(session, "x")
            [news] = told(session)
            assert "could not be written" in news
            await ran(session, "y")
        assert text_of(cells(tmp_path)[1]["outputs"]) == "0\n1\n2\n"

    run(test())


@pytest.mark.parametrize(
    "mime", ["image/svg+xml", "text/csv", "application/pdf", "video/mp4", "x/unheard-of"]
)
def test_any_type_gets_a_file(tmp_path: Path, mime: str) -> None:
    [output] = outputs_after(tmp_path, display({mime: "QUJD" * 20_000}))
    file = tmp_path / output["metadata"]["kernelexec"]["file"]
    text = mime in ("image/svg+xml", "text/csv")
    assert file.read_bytes() == (b"QUJD" if text else b"ABC") * 20_000


@pytest.mark.parametrize(
    "output",
    [picture(), ("stream", {"name": "stdout", "text": "x" * 60_000})],
    ids=["a file for each", "one text file"],
)
def test_nothing_is_written_where_a_link_stands_in_the_place_of_the_storage(
    tmp_path: Path, output: Any
) -> None:
    storage, elsewhere = tmp_path / "storage", tmp_path / "elsewhere"
    elsewhere.mkdir()

    async def replaced(kernel_run: Run) -> Reply:
        storage.rename(tmp_path / "moved")
        storage.symlink_to(elsewhere)
        kernel_run.say(*output)
        return await fine(kernel_run)

    async def test() -> None:
        async with session_in(storage, FakeStarter([replaced])) as session:
            session.recorder.limits = LIMITS
            await ran(session, "x")

    run(test())
    assert list(elsewhere.iterdir()) == []
