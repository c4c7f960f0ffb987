"""Clean copies, as values: cells in, cells out."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelexec.model.execution import Overflow
from kernelexec.recording.export import CleanCopy, clean_copy
from kernelexec.recording.large import LargeValues
from kernelexec.recording.notebook_format import Change, Document, new_document, parse
from kernelexec.recording.other_runs import OtherRun
from kernelexec.recording.output_folder import OutputFolder

OURS = {"display_name": "analysis (venv)", "language": "python", "name": "kernelexec-analysis"}
PYTHON = {"name": "python", "version": "3.12.1"}
REPLIED = {"iopub.execute_input": "2026-11-25T10:00:00Z", "shell.execute_reply": "2026-11-25T10:00:01Z"}
ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "", "traceback": ["ValueError"]}


def ours(number: int, state: str = "ok", **changes: Any) -> dict[str, Any]:
    """A cell that kernelexec has written."""
    outputs = [ERROR] if state in ("error", "interrupted") else []
    timing = {} if state in ("died", "unknown") else REPLIED
    return {
        "id": f"kernelexec-{number}",
        "cell_type": "code",
        "source": f"x = {number}",
        "outputs": outputs,
        "execution_count": number,
        "metadata": {"kernelexec": {"execution": f"s@e/{number}", "state": state}, "execution": timing},
        **changes,
    }


def note(number: int, text: str = "# What for") -> dict[str, Any]:
    return {"id": f"kernelexec-{number}-note", "cell_type": "markdown", "source": text, "metadata": {}}


def own(name: str, source: str = "mine()", **changes: Any) -> dict[str, Any]:
    """A cell that the person has added."""
    cell = {"cell_type": "code", "outputs": [], "execution_count": None, "metadata": {"tags": ["t"]}}
    return {**cell, "id": name, "source": source, **changes}


def copied(*cells: dict[str, Any], files: dict[str, bytes] | None = None, **metadata: Any) -> CleanCopy:
    """The clean copy of a notebook with these cells, read back from what is written."""
    document = new_document(
        {"kernelexec": {"format": 1}, "kernelspec": OURS, "language_info": PYTHON, **metadata}
    )
    copy = clean_copy(document.changed(Change(cells)), (files or {}).get)
    data = copy.document.to_bytes()
    nbformat.validate(json.loads(data))
    assert b"kernelexec" not in data
    return copy


def sources(copy: CleanCopy) -> list[Any]:
    return [cell["source"] for cell in copy.document.cells]


def test_what_succeeded_is_kept_and_every_other_try_left_out() -> None:
    states = ["ok", "error", "interrupted", "died", "unknown", "ok"]
    copy = copied(*(ours(number, state) for number, state in enumerate(states, 1)))
    assert sources(copy) == ["x = 1", "x = 6"]
    assert (copy.kept, copy.failed) == (2, 4)


def test_counts_begin_at_1_and_have_no_gaps_also_in_results() -> None:
    result = {
        "output_type": "execute_result",
        "data": {"text/plain": "1"},
        "metadata": {},
        "execution_count": 7,
    }
    copy = copied(own("a"), ours(3, "error"), ours(7, outputs=[result]), own("b", execution_count=9))
    assert [cell["execution_count"] for cell in copy.document.cells] == [None, 1, 2]
    assert copy.document.cells[1]["outputs"][0]["execution_count"] == 1  # type: ignore[call-overload, index]


def test_the_persons_cells_are_kept_as_they_are_also_with_an_error() -> None:
    text = {"id": "m", "cell_type": "markdown", "source": "Mine", "metadata": {}}
    raw = {"id": "r", "cell_type": "raw", "source": "raw", "metadata": {"format": "x"}}
    copy = copied(text, own("a", outputs=[ERROR], execution_count=1), raw, ours(2))
    assert sources(copy) == ["Mine", "mine()", "raw", "x = 2"]
    assert copy.document.cells[1]["metadata"] == {"tags": ["t"]}
    assert copy.own_failed == 1


def test_an_empty_cell_at_the_end_as_jupyterlab_adds_it_is_left_out() -> None:
    assert sources(copied(ours(1), own("a", ""), own("b", "  \n"))) == ["x = 1"]


def test_a_cell_that_was_edited_is_the_persons_version() -> None:
    assert sources(copied(ours(1, source="x = 'better'"))) == ["x = 'better'"]


def test_a_failed_cell_that_the_person_ran_again_well_is_kept() -> None:
    mended = ours(1, "error", source="mended", outputs=[], execution_count=9)
    died = ours(2, "died", metadata={"kernelexec": {"state": "died"}, "execution": REPLIED})
    without_times = ours(3, "unknown", metadata={"kernelexec": {"state": "unknown"}})
    cleared = ours(4, "error", outputs=[], execution_count=None)
    assert sources(copied(mended, died, without_times, cleared)) == ["mended", "x = 2", "x = 3"]


def test_a_cell_that_failed_when_the_person_ran_it_again_is_left_out() -> None:
    assert sources(copied(ours(1, outputs=[ERROR]), ours(2))) == ["x = 2"]


def test_a_cell_that_ended_by_sys_exit_0_is_kept_without_its_traceback() -> None:
    said = {"output_type": "stream", "name": "stdout", "text": "done\n"}
    left = {"output_type": "error", "ename": "SystemExit", "evalue": "0", "traceback": ["SystemExit: 0"]}
    [cell] = copied(ours(1, outputs=[said, left]), ours(2, outputs=[{**left, "evalue": "3"}])).document.cells
    assert cell["outputs"] == [said]


def test_a_note_stays_above_its_cell() -> None:
    assert sources(copied(note(1, "one"), ours(1), note(2, "two"), ours(2))) == [
        "one",
        "x = 1",
        "two",
        "x = 2",
    ]


def test_the_note_of_a_try_that_failed_goes_to_the_next_unless_that_has_its_own() -> None:
    retried = copied(note(1, "load"), ours(1, "error"), ours(2))
    assert sources(retried) == ["load", "x = 2"]
    both = copied(note(1, "load"), ours(1, "error"), note(2, "load again"), ours(2))
    assert sources(both) == ["load again", "x = 2"]
    assert sources(copied(note(1, "load"), ours(1, "error"))) == []


def test_the_line_that_a_notebook_continues_another_is_left_out() -> None:
    about = {"kernelexec": {"previous": "s@e-1.ipynb"}}
    head = {"id": "head", "cell_type": "markdown", "source": "Continues", "metadata": about}
    assert sources(copied(head, ours(1))) == ["x = 1"]


def test_installations_are_kept_if_they_succeeded() -> None:
    def installed(number: int, state: str) -> dict[str, Any]:
        about = {"kernelexec": {"execution": f"s@e/{number}", "state": state}}
        return {"id": f"kernelexec-{number}", "cell_type": "markdown", "source": state, "metadata": about}

    assert sources(copied(installed(1, "ok"), installed(2, "error"), installed(3, "unknown"))) == ["ok"]


def test_a_kernelspec_of_ours_becomes_the_one_that_is_everywhere() -> None:
    metadata = copied(ours(1)).document.rest["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["kernelspec"]["name"] == "python3"
    assert metadata["language_info"] == PYTHON


def test_another_kernelspec_and_what_else_stands_in_the_metadata_stay() -> None:
    spec = {"display_name": "R", "language": "R", "name": "ir"}
    metadata = copied(ours(1), kernelspec=spec, language_info={"name": "R"}, title="T").document.rest[
        "metadata"
    ]
    assert metadata == {"kernelspec": spec, "language_info": {"name": "R"}, "title": "T"}


def too_large(folder: Path, **data: Any) -> dict[str, Any]:
    """A display as it is recorded when it is too large for a cell: with references to files."""
    content = {
        "data": {mime.replace("_", "/"): value for mime, value in data.items()},
        "metadata": {"isolated": True},
    }
    outputs = OutputFolder(folder / "s@e-1" / "outputs", folder, lambda: True)
    kept = LargeValues(outputs, 1).display(content)
    return {"output_type": "display_data", "data": dict(kept["data"]), "metadata": dict(kept["metadata"])}


PICTURE = base64.b64encode(b"\x89PNG" * 10_000).decode()
TEXT = "line ä\n" * 5_000


@pytest.mark.parametrize(
    "data",
    [
        {"image_png": PICTURE, "text_plain": "<Figure>"},
        {"image_png": PICTURE},
        {"text_html": f"<b>{TEXT}</b>", "text_plain": TEXT},
        {"text_plain": TEXT},
        {"text_html": f"<b>{TEXT}</b>", "image_png": PICTURE, "text_plain": "x"},
        {"application_json": {"a": [TEXT]}, "text_html": "<i>small</i>"},
        {"image_svg+xml": f"<svg>{TEXT}</svg>", "text_plain": "[all of it]"},
    ],
)
def test_outputs_in_files_are_put_into_the_copy_as_they_were(tmp_path: Path, data: dict[str, Any]) -> None:
    output = too_large(tmp_path, **data)
    assert "file" in output["metadata"]["kernelexec"]
    (tmp_path / "s@e-1/outputs").rename(tmp_path / "outputs")
    files = {f"s@e-1/outputs/{path.name}": path.read_bytes() for path in (tmp_path / "outputs").iterdir()}
    copy = copied(ours(1, outputs=[output]), files=files)
    [whole] = copy.document.cells[0]["outputs"]  # type: ignore[misc, union-attr]
    assert whole == {
        "output_type": "display_data",
        "data": {mime.replace("_", "/"): value for mime, value in data.items()},
        "metadata": {"isolated": True},
    }
    assert copy.embedded == len(files)


def test_outputs_that_are_gone_or_too_large_are_named(tmp_path: Path) -> None:
    outputs = [
        too_large(tmp_path, image_png=PICTURE, text_plain="<Figure>"),
        too_large(tmp_path, text_html=TEXT),
    ]
    large = outputs[1]["metadata"]["kernelexec"]["file"]
    copy = copied(ours(1, outputs=outputs), files={large: bytes(20_000_001)})
    assert copy.not_embedded == ["s@e-1/outputs/0001-1.png", "s@e-1/outputs/0001-2.html"]
    assert [output["data"] for output in copy.document.cells[0]["outputs"]] == [  # type: ignore
        {"text/plain": "<Figure>\n[an output is left out here: image/png, 40,000 bytes]"},
        {"text/plain": f"[an output is left out here: text/html, {len(TEXT.encode()):,} bytes]"},
    ]


def test_text_that_goes_on_in_a_file_says_how_much_it_was_and_names_no_file() -> None:
    notice = Overflow("s@e-1/outputs/0001.txt", 123_456, 9, "tail").notice()
    outputs = [
        {"output_type": "stream", "name": name, "text": text}
        for name, text in [("stdout", "x"), ("stderr", notice)]
    ]
    [cell] = copied(ours(1, outputs=outputs)).document.cells
    assert cell["outputs"][1]["text"] == "\n[the rest is left out here; all of it were 123,456 bytes]\n"  # type: ignore


def test_the_label_of_late_output_is_left_out() -> None:
    label = {
        "output_type": "display_data",
        "data": {"text/plain": "later"},
        "metadata": {"kernelexec": {"late": True}},
    }
    late = {"output_type": "stream", "name": "stdout", "text": "from a thread\n"}
    [cell] = copied(ours(1, outputs=[label, late])).document.cells
    assert cell["outputs"] == [late]


def test_cells_have_ids_that_are_each_there_once_and_the_same_each_time() -> None:
    cells = [ours(1), ours(1), own("a"), own("a"), own("b")]
    ids = [cell["id"] for cell in copied(*cells).document.cells]
    assert len(set(ids)) == 5
    assert ids[2] == "a"
    assert ids[4] == "b"
    assert ids == [cell["id"] for cell in copied(*cells).document.cells]


_STATES = st.sampled_from(["ok", "error", "interrupted", "died", "unknown"])
_CELLS = st.lists(
    st.one_of(
        st.builds(ours, st.integers(1, 9), _STATES),
        st.builds(note, st.integers(1, 9), st.text(max_size=5)),
        st.builds(own, st.text("ab", min_size=1, max_size=3), st.text(max_size=9)),
    )
)


@given(_CELLS)
def test_a_copy_of_a_copy_is_the_copy(cells: list[dict[str, Any]]) -> None:
    once = copied(*cells).document.to_bytes()
    document = parse(once)
    assert isinstance(document, Document)
    assert clean_copy(document, lambda name: None).document.to_bytes() == once


# --- what a copy lacks -------------------------------------------------------------


def with_runs(cells: list[dict[str, Any]], *runs: OtherRun) -> CleanCopy:
    document = new_document({"kernelspec": OURS, "language_info": PYTHON}).changed(Change(cells))
    return clean_copy(document, lambda name: None, runs)


def test_what_the_person_ran_and_is_gone_from_the_notebook_is_put_back_where_it_ran() -> None:
    run = OtherRun("rate = 3", 2, after=1, ended=True)
    copy = with_runs([ours(1), ours(2, source="y = x * rate")], run)
    assert sources(copy) == ["x = 1", "rate = 3", "y = x * rate"]
    assert copy.put_back == ["your In [2]"]
    assert copy.missing == []


def test_an_earlier_version_of_a_cell_that_is_there_is_not_put_back() -> None:
    first, second = OtherRun("rate = 3", 2, 1, ended=True), OtherRun("rate = 35", 3, 1, ended=True)
    copy = with_runs([ours(1), own("r", "rate = 35"), ours(2, source="y = rate")], first, second)
    assert sources(copy) == ["x = 1", "rate = 35", "y = rate"]
    again = with_runs([ours(1), ours(2, source="y = rate")], first, second)
    assert sources(again) == ["x = 1", "rate = 35", "y = rate"]


def test_a_try_that_failed_is_put_back_where_a_later_cell_needs_what_it_made() -> None:
    failed = ours(2, "error", source="rows = [1]\n1/0")
    copy = with_runs([ours(1), failed, ours(3, "error"), ours(4, source="print(rows, x)")])
    assert sources(copy) == ["x = 1", "rows = [1]\n1/0", "print(rows, x)"]
    assert copy.put_back == ["s@e/2"]
    assert copy.document.cells[1]["metadata"] == {"tags": ["raises-exception"]}


def test_a_name_that_nothing_makes_is_told_with_the_cell_that_needs_it() -> None:
    copy = with_runs([ours(1), own("a", "print(lost)"), own("b", "def f(): return gone")])
    assert copy.missing == ["a needs lost", "b needs gone"]
    assert with_runs([own("a", "from x import *"), own("b", "lost")]).missing == []
