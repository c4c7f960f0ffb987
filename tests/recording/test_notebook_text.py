"""A person's notebook taken apart and put together again, in every layout that one may have."""

from __future__ import annotations

import difflib
import json
from typing import Any

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelexec.errors import BadRequest
from kernelexec.recording.looks import Look
from kernelexec.recording.notebook_operations import Operation, Step
from kernelexec.recording.notebook_reading import empty, read_text
from kernelexec.recording.notebook_text import NotANotebook, NotebookText

patiently = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

texts = st.text(st.characters(codec="utf-8"), max_size=30)
STREAM = {"output_type": "stream", "name": "stdout", "text": ["1\n", "é\n"]}
RESULT = {"output_type": "execute_result", "data": {"text/plain": "2"}, "execution_count": 3, "metadata": {}}


def code(name: str | None, source: Any = "x = 1\ny", outputs: Any = (), **more: Any) -> dict[str, Any]:
    made = {"cell_type": "code", "metadata": {}, "source": source, "outputs": list(outputs), **more}
    return {**made, "execution_count": 3 if outputs else None, **({} if name is None else {"id": name})}


def markdown(name: str, source: str = "# Title") -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {"tags": ["a"]}, "source": source}


def notebook(*cells: dict[str, Any], minor: int = 5, **more: Any) -> dict[str, Any]:
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": minor, **more}


def jupyters(*cells: dict[str, Any]) -> bytes:
    """As Jupyter writes it."""
    made = nbformat.from_dict(notebook(*cells))
    return nbformat.writes(made).encode() + b"\n"


LAYOUTS = {
    "jupyter": dict(indent=1, ensure_ascii=False, sort_keys=True),
    "two spaces": dict(indent=2, ensure_ascii=False),
    "tabs": dict(indent="\t", ensure_ascii=True),
    "one line": dict(separators=(",", ":"), ensure_ascii=False),
    "one line with blanks": dict(ensure_ascii=True),
}


def step(data: bytes, *operations: Operation, look: Look | None = None) -> bytes:
    found = read_text(data)
    return Step(found, Look.at(found) if look is None else look).apply(operations).to_bytes()


def diff(old: bytes, new: bytes) -> list[str]:
    """The lines that a commit would show."""
    lines = difflib.unified_diff(old.decode().splitlines(), new.decode().splitlines(), n=0, lineterm="")
    return [line for line in lines if line[0] in "+-" and not line.startswith(("+++", "---"))]


# --- nothing changes by itself ---------------------------------------------------------


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
cells = st.builds(
    lambda name, source, outputs, extra: {**code(name, source), "outputs": outputs, "zz": extra},
    st.none() | st.sampled_from(["a", "b", "c", "ü"]),
    texts | st.lists(texts, max_size=3),
    st.lists(st.just(STREAM) | st.just(RESULT), max_size=2),
    values,
)


@patiently
@given(st.lists(cells, max_size=4), st.sampled_from(sorted(LAYOUTS)), values, st.sampled_from("\n\r"))
def test_what_nobody_changed_is_byte_for_byte_what_it_was(
    made: Any, layout: str, extra: Any, newline: str
) -> None:
    text = json.dumps(notebook(*made, extra=extra), **LAYOUTS[layout])  # type: ignore[arg-type]
    if newline == "\r":
        text = text.replace("\n", "\r\n")
    data = text.encode("utf-8", "surrogatepass")
    assert read_text(data).to_bytes() == data


@pytest.mark.parametrize("layout", LAYOUTS)
@patiently
@given(made=st.lists(cells, min_size=1, max_size=4), place=st.integers(0, 3), source=texts)
def test_an_insertion_and_its_deletion_leave_the_bytes_as_they_were(
    layout: str, made: Any, place: int, source: str
) -> None:
    data = json.dumps(notebook(*made), **LAYOUTS[layout]).encode()  # type: ignore[arg-type]
    before = read_text(data)
    after = before.cells[place % len(before.cells)].id
    changed = Step(before, Look.at(before))
    larger = changed.apply([Operation("insert", after=after, source=source)]).to_bytes()
    assert json.loads(larger)["cells"][before.places[after] + 1]["source"] == source.splitlines(keepends=True)
    again = read_text(larger, changed.notebook)
    (new,) = set(again.places) - set(before.places)
    assert Step(again, Look.at(again)).apply([Operation("delete", id=new)]).to_bytes() == data


@pytest.mark.parametrize("layout", LAYOUTS)
@patiently
@given(made=st.lists(cells, min_size=1, max_size=4), old=texts, new=texts)
def test_an_edit_and_its_reversal_leave_the_bytes_as_they_were(
    layout: str, made: Any, old: str, new: str
) -> None:
    ours = code("mine", old.splitlines(keepends=True))
    data = json.dumps(notebook(*made, ours, extra="é"), **LAYOUTS[layout]).encode()  # type: ignore[arg-type]
    there = step(data, Operation("edit", id="mine", old=old, new=new))
    assert "".join(json.loads(there)["cells"][-1]["source"]) == new
    assert len(json.loads(there)["cells"]) == len(made) + 1
    assert step(there, Operation("edit", id="mine", old=new, new=old)) == data


def test_a_commit_shows_what_was_done_and_nothing_else() -> None:
    data = jupyters(markdown("t"), code("a", outputs=[STREAM, RESULT]), code("b"))
    assert diff(data, step(data, Operation("edit", id="a", old="x = 1", new="x = 2"))) == [
        '-    "x = 1\\n",',
        '+    "x = 2\\n",',
    ]
    inserted = step(data, Operation("insert", after="a", source="z = 3\n", kind="code"))
    assert all(line[0] == "+" for line in diff(data, inserted))
    assert len(diff(data, inserted)) == 10
    assert all(line[0] == "-" for line in diff(data, step(data, Operation("delete", id="a"))))


def test_what_is_written_is_what_jupyter_would_write() -> None:
    data = jupyters(markdown("t"), code("a", outputs=[STREAM, RESULT]), code("b"))
    changed = step(
        data,
        Operation("insert", after="", source="# Intro\nmore", kind="markdown"),
        Operation("insert", source="é = '\\u00e9'"),
        Operation("edit", id="b", old="y", new="w\n"),
        Operation("convert", id="t", kind="code"),
        Operation("clear_outputs", id="a"),
        Operation("move", id="b", after="t"),
    )
    read = nbformat.reads(changed.decode(), nbformat.NO_CONVERT)
    nbformat.validate(read)
    assert nbformat.writes(read).encode() + b"\n" == changed


def test_the_last_cell_can_be_deleted_and_the_first_be_inserted() -> None:
    data = jupyters(code("a"))
    none = step(data, Operation("delete", id="a"))
    assert json.loads(none)["cells"] == []
    one = step(none, Operation("insert", source="x = 1\ny"))
    name = json.loads(one)["cells"][0]["id"]
    assert one.replace(name.encode(), b"a") == data
    made = empty({"kernelspec": {"name": "python3"}})
    assert step(made.to_bytes(), Operation("insert", source="1")).count(b'"1"') == 1


# --- ids -----------------------------------------------------------------------------


def test_before_format_4_5_cells_have_ids_for_us_only_and_keep_them_through_edits() -> None:
    data = json.dumps(notebook(code(None, "a"), code(None, "b"), code(None, "a"), minor=4), indent=1).encode()
    before = read_text(data)
    assert len(before.places) == 3
    first, second, third = before.places
    changed = step(data, Operation("edit", id=second, old="b", new="c"))
    assert b'"id"' not in changed
    assert list(read_text(changed, before).places) == [first, second, third]
    inserted = Step(before, Look.at(before))
    inserted.apply([Operation("insert", after=first, source="n")])
    written = inserted.notebook.to_bytes()
    assert b'"id"' not in written
    assert list(read_text(written, inserted.notebook).places) == list(inserted.notebook.places)


def test_an_id_that_is_there_twice_names_the_first() -> None:
    found = read_text(json.dumps(notebook(code("a", ["1"]), code("a", ["2"])), indent=1).encode())
    assert [(cell.id, cell.source) for cell in found.cells] == [("a", "1"), ("a~2", "2")]
    changed = step(found.to_bytes(), Operation("edit", id="a~2", old="2", new="3"))
    assert [cell["source"] for cell in json.loads(changed)["cells"]] == [["1"], ["3"]]


# --- what is refused -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b"{", "no JSON"),
        (b'{"cells": [{}, ], "nbformat": 4}', "no JSON"),
        (b'{"cells": [{} {}], "nbformat": 4}', "no JSON"),
        (b'{"cells": [1], "nbformat": 4}', "no object"),
        (b'{"nbformat": 4}', "no list of cells"),
        (b'{"cells": []}', "which format"),
        (b'{"cells": [], "nbformat": 5}', "format 5"),
        (b'{"worksheets": [{"cells": []}], "nbformat": 3, "nbformat_minor": 0}', "nbconvert"),
        (b'{"cells": [], "nbformat": 4} x', "no JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"a": ' * 2000 + b"1" + b"}" * 2000, "deep"),
        (b'{\n "cells": [\n<<<<<<< HEAD\n  {}\n=======\n  {}\n>>>>>>> x\n ],\n "nbformat": 4}', "line 3"),
    ],
)
def test_what_is_no_notebook_is_refused_with_the_reason(data: bytes, why: str) -> None:
    with pytest.raises(NotANotebook, match=why):
        read_text(data)


def refusal(data: bytes, *operations: Operation, look: Look | None = None) -> str:
    with pytest.raises(BadRequest) as refused:
        step(data, *operations, look=look)
    assert "Nothing was changed" in str(refused.value)
    return str(refused.value)


def test_old_text_has_to_match_once() -> None:
    data = jupyters(code("a", "x = 1\nx = 1"), code("b", ""))
    assert "not in the cell" in refusal(data, Operation("edit", id="a", old="y", new=""))
    assert "more than once" in refusal(data, Operation("edit", id="a", old="x = 1", new=""))
    assert "not empty" in refusal(data, Operation("edit", id="a", old="", new="z"))
    assert json.loads(step(data, Operation("edit", id="b", new="z")))["cells"][1]["source"] == ["z"]


def test_a_step_is_all_or_none_and_says_which_operation_it_was() -> None:
    data = jupyters(code("a"))
    said = refusal(data, Operation("insert", source="1"), Operation("delete", id="zz"))
    assert "operation 2" in said
    assert "Cells: a" in said
    assert "insert, edit" in refusal(data, Operation("append"))
    assert "raw" in refusal(data, Operation("convert", id="a", kind="sql"))


def test_what_the_person_changed_meanwhile_is_refused_with_both_texts() -> None:
    old, new = jupyters(code("a", "mine")), jupyters(code("a", "yours"), code("n", "new"))
    look = Look.at(read_text(old))
    said = refusal(new, Operation("delete", id="a"), look=look)
    assert "yours" in said
    assert "mine" in said
    assert "yours" in refusal(new, Operation("edit", id="a", old="mine", new="x"), look=look)
    assert "not seen" in refusal(new, Operation("convert", id="n", kind="raw"), look=look)
    gone = refusal(jupyters(), Operation("edit", id="a", old="mine", new="x"), look=look)
    assert "deleted since" in gone
    assert "mine" in gone


def test_after_a_refusal_its_author_knows_what_is_there() -> None:
    now = read_text(jupyters(code("a", "yours")))
    refused = Step(now, Look.at(read_text(jupyters(code("a", "mine")))))
    with pytest.raises(BadRequest):
        refused.apply([Operation("delete", id="a")])
    assert Step(now, refused.look).apply([Operation("delete", id="a")]).cells == ()


def test_insertions_after_the_same_cell_keep_their_order() -> None:
    data = jupyters(code("a", "0"), code("b", "3"))
    for after, expected in (("a", "0123"), ("", "1203"), (None, "0312")):
        made = step(
            data, Operation("insert", after=after, source="1"), Operation("insert", after=after, source="2")
        )
        assert "".join(cell["source"][0] for cell in json.loads(made)["cells"]) == expected


# --- what is told ------------------------------------------------------------------------


def test_news_name_the_cells_that_are_otherwise() -> None:
    seen = Look.at(read_text(jupyters(code("a", "x = 1"), markdown("m"), code("b", "y"), code("c", "z"))))
    now = jupyters(code("n", "new = 1"), code("b", "y", [STREAM]), markdown("m"), code("a", "x = 2"))
    assert seen.news(read_text(now)) == [
        "new: n (new = 1)",
        "changed: a (x = 2)",
        "deleted: c (z)",
        "with other outputs: b (y)",
        "cells were moved",
    ]
    assert (
        seen.news(read_text(jupyters(code("a", "x = 1"), markdown("m"), code("b", "y"), code("c", "z"))))
        == []
    )


def test_outputs_are_put_into_a_cell_and_the_rest_stays() -> None:
    data = jupyters(code("a", outputs=[STREAM]), code("b"))
    found: NotebookText = read_text(data)
    cell = found.cell("b")
    assert cell is not None
    written = found.with_cell(cell.with_outputs([STREAM, RESULT], 3, found.layout)).to_bytes()
    assert written == jupyters(code("a", outputs=[STREAM]), code("b", outputs=[STREAM, RESULT]))
