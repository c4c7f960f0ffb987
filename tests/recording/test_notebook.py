"""Notebooks in real folders, held against nbformat, JupyterLab's way to save, and failing disks."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelexec.recording import notebook as module
from kernelexec.recording.notebook import Notebook, Written, code_cell, markdown_cell
from kernelexec.recording.notebook_format import Change, Found, NewOutputs
from kernelexec.recording.shared_file import NotebookBusy

METADATA: dict[str, Any] = {
    "kernelspec": {"name": "kernelexec-analysis", "display_name": "analysis", "language": "python"},
    "language_info": {"name": "python"},
    "kernelexec": {"format": 1, "session": "sales@analysis"},
}

# A loaded machine is no failure.
patiently = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def cell(number: int, text: str = "out\n") -> dict[str, Any]:
    outputs = [{"output_type": "stream", "name": "stdout", "text": text}]
    return code_cell(f"c{number}", f"x = {number}\ny = 2", outputs, number)


def replace(notebook: Notebook, cell_id: str, outputs: Any = ()) -> None:
    """Give one of the cells above other outputs."""
    new = NewOutputs(outputs, int(cell_id[1:]))
    notebook.write(lambda _: Change(outputs={cell_id: new}), may_begin_anew=False)


def document(*cells: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"cells": list(cells), "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5, **changes}


def standard(content: dict[str, Any]) -> bytes:
    """The notebook as nbformat writes it, and also when it reads and writes it again."""
    return nbformat.writes(nbformat.reads(json.dumps(content), nbformat.NO_CONVERT)).encode() + b"\n"


def saved(path: Path, data: bytes, seconds_ago: float = 60) -> Path:
    """The file as somebody saved it that long ago."""
    path.write_bytes(data)
    moment = time.time() - seconds_ago
    os.utime(path, (moment, moment))
    return path


def ids(path: Path) -> list[str]:
    return [found["id"] for found in nbformat.read(path, nbformat.NO_CONVERT).cells]


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sales@analysis-1.ipynb"


# The layout


TEXT = st.sampled_from(
    ["", "x", "a\nb", "a\r\nb\n", "\x0b\x0c\x1c\u2028\x85z", "\0", "ä😀", '"\\', "\n ],\n", "\r1"]
)
BUNDLE = st.dictionaries(
    st.sampled_from(
        [
            "text/plain",
            "text/x+json",
            "image/png",
            "image/svg+xml",
            "application/javascript",
            "application/json",
            "application/vnd.plotly.v1+json",
            "application/x-nothing",
        ]
    ),
    TEXT | st.lists(TEXT, max_size=3),
    max_size=3,
) | st.fixed_dictionaries({"application/json": st.just({"b": [1, 2.5, None, {}], "a": []})})
OUTPUT = st.one_of(
    st.builds(lambda text: {"output_type": "stream", "name": "stderr", "text": text}, TEXT),
    st.builds(
        lambda data: {"output_type": "display_data", "data": data, "metadata": {"z": 1, "a": []}}, BUNDLE
    ),
    st.builds(
        lambda data: {"output_type": "execute_result", "data": data, "metadata": {}, "execution_count": 1},
        BUNDLE,
    ),
    st.builds(lambda text: {"output_type": "error", "ename": "E", "evalue": text, "traceback": [text]}, TEXT),
)
CELL = st.one_of(
    st.builds(
        code_cell,
        st.just("id"),
        TEXT,
        st.lists(OUTPUT, max_size=3),
        st.none() | st.integers(0, 9),
        st.none() | st.just({"iopub.execute_input": "2026-11-05T10:00:00.000001Z"}),
        st.sampled_from([None, {"kernelexec": {"n": 1}}, {"trusted": True}]),
    ),
    st.builds(markdown_cell, st.just("id"), TEXT),
    st.builds(
        lambda data: {**markdown_cell("id", "![](attachment:a.png)"), "attachments": {"a.png": data}}, BUNDLE
    ),
)


def numbered(batches: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    number = iter(range(1000))
    return [[{**found, "id": f"c{next(number)}"} for found in batch] for batch in batches]


@patiently
@given(st.lists(st.lists(CELL, max_size=3), max_size=4), st.lists(st.booleans(), min_size=4, max_size=4))
def test_any_history_of_appends_gives_the_bytes_of_nbformat(
    batches: list[list[dict[str, Any]]], restarts: list[bool]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a.ipynb")
        ours = Notebook(file, METADATA)
        written: list[dict[str, Any]] = []
        for batch, restart in zip(numbered(batches), restarts, strict=False):
            if restart:
                later = time.time() + 60
                ours = Notebook(file, METADATA, clock=lambda later=later: later)
            assert ours.append(batch) == Written(file)
            written += batch
            assert names(Path(folder)) == (["a.ipynb"] if written else [])
            assert not written or file.read_bytes() == standard(document(*written))


@patiently
@given(st.lists(CELL, max_size=3), st.lists(CELL, min_size=1, max_size=2), st.sampled_from([None, 0, 2, 4]))
def test_a_notebook_of_another_layout_gets_the_bytes_of_nbformat(
    old: list[dict[str, Any]], new: list[dict[str, Any]], indent: int | None
) -> None:
    old, new = numbered([old, new])
    with tempfile.TemporaryDirectory() as folder:
        file = saved(Path(folder, "a.ipynb"), json.dumps(document(*old), indent=indent).encode())
        Notebook(file, {}).append(new)
        assert file.read_bytes() == standard(document(*old, *new))


def test_cells_in_another_order_of_keys_are_left_as_they_are(path: Path) -> None:
    # As VS Code writes them.
    before = json.dumps(document(cell(1), cell(2)), indent=1).encode()
    saved(path, before)
    Notebook(path, {}).append([cell(3)])
    after = path.read_bytes()
    end = before.index(b"\n ],\n")
    assert after.startswith(before[:end])
    assert after.endswith(before[end:])
    assert ids(path) == ["c1", "c2", "c3"]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data,
        lambda data: data.rstrip(b"\n"),
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b'{\n "cells"', b'{ "cells"'),
    ],
    ids=["standard", "no newline at the end", "CRLF", "BOM", "nearly standard"],
)
def test_cells_follow_whatever_another_program_wrote(path: Path, change: Callable[[bytes], bytes]) -> None:
    saved(path, change(standard(document(cell(1)))))
    assert Notebook(path, {}).append([cell(2)]) == Written(path)
    assert path.read_bytes().rstrip() == standard(document(cell(1), cell(2))).rstrip()


def test_metadata_of_any_size_is_kept(path: Path) -> None:
    large = {**METADATA, "widgets": {"state": ["x" * 70] * 10_000}}
    saved(path, standard(document(cell(1), metadata=large)))
    ours = Notebook(path, METADATA)
    ours.append([cell(2)])
    ours.append([cell(3)])
    assert path.read_bytes() == standard(document(cell(1), cell(2), cell(3), metadata=large))


def test_an_unknown_top_level_list_is_not_taken_for_the_cells(path: Path) -> None:
    content = json.dumps(document(cell(1), list=[{"id": "no cell"}]), indent=1, sort_keys=True)
    saved(path, content.encode())
    ours = Notebook(path, {})
    ours.append([cell(2)])
    ours.append([cell(3)])
    found = json.loads(path.read_text())
    assert [each["id"] for each in found["cells"]] == ["c1", "c2", "c3"]
    assert found["list"] == [{"id": "no cell"}]


def test_an_older_notebook_whose_cells_have_ids_keeps_them(path: Path) -> None:
    saved(path, standard(document(cell(1))).replace(b'"nbformat_minor": 5', b'"nbformat_minor": 4'))
    Notebook(path, {}).append([cell(2)])
    assert path.read_bytes() == standard(document(cell(1), cell(2)))


def test_what_nbformat_never_saves_goes_when_a_notebook_is_written_anew(path: Path) -> None:
    transient = {**METADATA, "signature": "x", "orig_nbformat": 3, "orig_nbformat_minor": 0}
    content = document({**cell(1), "metadata": {"trusted": True}}, metadata=transient)
    saved(path, json.dumps(content).encode())
    Notebook(path, {}).append([cell(2)])
    assert path.read_bytes() == standard(document(cell(1), cell(2)))


@pytest.mark.parametrize("minor", [0, 4])
def test_an_older_notebook_gets_ids_and_becomes_4_5(path: Path, minor: int) -> None:
    without_id = [{key: value for key, value in cell(n).items() if key != "id"} for n in (1, 2)]
    saved(path, json.dumps(document(*without_id, nbformat_minor=minor), indent=1, sort_keys=True).encode())
    Notebook(path, {}).append([cell(3)])
    found = nbformat.read(path, nbformat.NO_CONVERT)
    nbformat.validate(found)
    assert found.nbformat_minor == 5
    assert len(set(ids(path))) == 3
    assert [each.source for each in found.cells] == [f"x = {n}\ny = 2" for n in (1, 2, 3)]


def test_a_cell_without_id_in_a_newer_notebook_gets_one(path: Path) -> None:
    without_id = {key: value for key, value in cell(1).items() if key != "id"}
    saved(path, json.dumps(document(without_id), indent=1, sort_keys=True, separators=(",", ": ")).encode())
    Notebook(path, {}).append([cell(2)])
    nbformat.validate(nbformat.read(path, nbformat.NO_CONVERT))


def test_a_notebook_of_a_later_minor_version_keeps_it(path: Path) -> None:
    for layout in (1, None):
        content = document(cell(1), nbformat_minor=7)
        saved(path, json.dumps(content, indent=layout, sort_keys=True, separators=(",", ": ")).encode())
        Notebook(path, {}).append([cell(2)])
        assert json.loads(path.read_text())["nbformat_minor"] == 7


def test_after_our_own_write_nothing_is_parsed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(path, standard(document(cell(1))))
    ours = Notebook(path, {})
    ours.append([cell(2)])

    def refuse(data: bytes) -> None:
        raise AssertionError(f"{len(data)} bytes were parsed")

    monkeypatch.setattr(module, "tail_offset", refuse)
    monkeypatch.setattr(module, "parse", refuse)
    ours.append([cell(3)])
    assert path.read_bytes() == standard(document(cell(1), cell(2), cell(3)))


def test_ten_thousand_cells(path: Path) -> None:
    ours = Notebook(path, METADATA)
    cells = [cell(n) for n in range(10_000)]
    ours.append(cells)
    ours.append([cell(10_000)])
    began = time.perf_counter()
    ours.append([cell(10_001)])
    assert time.perf_counter() - began < 1.0
    assert path.read_bytes() == standard(document(*cells, cell(10_000), cell(10_001)))


# What may be in a cell


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb\n", "\ud83d\ude00", "\0", "\udc80\n" * 3])
@pytest.mark.parametrize("foreign", [False, True])
def test_text_that_is_no_utf_8_leaves_a_notebook_that_can_be_read_and_saved(
    path: Path, text: str, foreign: bool
) -> None:
    if foreign:
        saved(path, json.dumps(document(cell(1, text))).encode())
    outputs: list[dict[str, Any]] = [
        {"output_type": "stream", "name": "stdout", "text": text},
        {"output_type": "display_data", "data": {"image/png": text}, "metadata": {text: 1}},
    ]
    Notebook(path, METADATA).append([code_cell("c2", f"x = '{text}'", outputs, 1)])
    found = nbformat.read(path, nbformat.NO_CONVERT)
    nbformat.write(found, path)
    spelled = text.encode("utf-8", "backslashreplace").decode()
    assert found.cells[-1].source == f"x = '{spelled}'"
    assert found.cells[-1].outputs[0].text == spelled


def test_nan_becomes_null_because_browsers_refuse_it(path: Path) -> None:
    data = {"application/json": {"a": [float("nan"), float("inf"), 1.5]}}
    output = {"output_type": "display_data", "data": data, "metadata": {}}
    Notebook(path, METADATA).append([code_cell("c1", "x", [output], 1)])
    found = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert found["cells"][0]["outputs"][0]["data"]["application/json"] == {"a": [None, None, 1.5]}


@pytest.mark.parametrize("compact", [False, True])
def test_cells_follow_the_deepest_data_that_jupyter_can_write(path: Path, compact: bool) -> None:
    deep = json.loads("[" * 150 + "1" + "]" * 150)
    output = {"output_type": "display_data", "data": {"application/json": deep}, "metadata": {}}
    before = document(code_cell("c1", "x", [output], 1))
    saved(path, json.dumps(before).encode() if compact else standard(before))
    Notebook(path, {}).append([cell(2)])
    assert path.read_bytes() == standard(document(*before["cells"], cell(2)))


# Changing a cell


def test_outputs_of_a_cell_are_replaced(path: Path) -> None:
    ours = Notebook(path, METADATA)
    ours.append([cell(1), cell(2), cell(3)])
    new = [{"output_type": "stream", "name": "stderr", "text": "late\n"}]
    replace(ours, "c2", new)
    changed = {**cell(2), "outputs": new}
    assert path.read_bytes() == standard(document(cell(1), changed, cell(3)))
    replace(ours, "c2", [])
    changed = {**cell(2), "outputs": []}
    assert path.read_bytes() == standard(document(cell(1), changed, cell(3)))
    ours.append([cell(4)])
    assert path.read_bytes() == standard(document(cell(1), changed, cell(3), cell(4)))


def test_a_cell_the_person_deleted_is_not_brought_back(path: Path) -> None:
    saved(path, standard(document(cell(1), markdown_cell("c2", "now text"))))
    before = path.read_bytes()
    replace(Notebook(path, {}), "c3")
    replace(Notebook(path, {}), "c2")
    assert path.read_bytes() == before


def test_a_missing_or_unreadable_notebook_has_no_cell_to_change(path: Path) -> None:
    replace(Notebook(path, {}), "c1")
    saved(path, b"no notebook")
    replace(Notebook(path, {}), "c1")
    assert path.read_bytes() == b"no notebook"


@pytest.mark.parametrize("count", [None, 7])
def test_a_cell_that_was_cleared_or_run_again_keeps_what_it_shows(path: Path, count: int | None) -> None:
    saved(path, standard(document({**cell(1), "execution_count": count, "outputs": []}, cell(2))))
    before = path.read_bytes()
    replace(Notebook(path, {}), "c1", cell(1)["outputs"])
    assert path.read_bytes() == before


@pytest.mark.parametrize("compact", [False, True])
def test_cells_outputs_and_metadata_change_in_one_write(path: Path, compact: bool) -> None:
    old = document(cell(1), cell(2), cell(3))
    saved(path, json.dumps(old).encode() if compact else standard(old))
    ours = Notebook(path, {})
    for revision in (1, 2):
        change = Change(
            [cell(3 + revision)],
            {f"c{n}": NewOutputs(cell(n, f"new {revision}\n")["outputs"], n) for n in (3, 1, 9)},
            {"kernelexec": {"revision": revision}, "widgets": {"state": "ä"}},
        )
        ours.write(lambda _, change=change: change)
    kernelexec = {**METADATA["kernelexec"], "revision": 2}
    metadata = {**METADATA, "kernelexec": kernelexec, "widgets": {"state": "ä"}}
    new = [cell(1, "new 2\n"), cell(2), cell(3, "new 2\n"), cell(4), cell(5)]
    assert path.read_bytes() == standard(document(*new, metadata=metadata))


def test_what_is_there_is_told_only_if_somebody_else_wrote_it(path: Path) -> None:
    told: list[Found] = []

    def update(found: Found) -> Change:
        told.append(found)
        return Change([cell(len(told))], metadata={"kernelexec": {"revision": len(told)}})

    ours = Notebook(path, METADATA)
    ours.write(update)
    ours.write(update)
    assert ours.is_as_left
    saved(path, path.read_bytes())
    assert not ours.is_as_left
    ours.write(update)
    parsed = json.dumps(json.loads(path.read_bytes())).encode()
    saved(path, parsed)
    ours.write(update)
    both = frozenset({"c1", "c2"})
    assert told == [Found(frozenset(), None), Found(None, None), Found(both, 2), Found(both | {"c3"}, 3)]


def test_a_look_that_finds_nothing_to_do_writes_nothing(path: Path) -> None:
    saved(path, standard(document(cell(1))))
    before = os.stat(path)
    ours = Notebook(path, METADATA)
    ours.write(lambda _: Change(metadata={"kernelexec": {"revision": 9}}))
    assert (os.stat(path).st_ino, os.stat(path).st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert ours.is_as_left
    ours.append([cell(2)])
    assert path.read_bytes() == standard(document(cell(1), cell(2)))


def test_an_unreadable_notebook_is_not_set_aside_for_nothing(path: Path) -> None:
    saved(path, b"<<<<<<<")
    ours = Notebook(path, METADATA)
    ours.write(lambda _: Change(), may_begin_anew=False)
    assert names(path.parent) == [path.name]
    assert ours.is_as_left


def test_what_is_too_large_to_be_read_is_set_aside_untouched(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1_000_000_000)
    os.utime(path, (1, 1))
    written = Notebook(path, METADATA).append([cell(1)])
    assert written.set_aside is not None
    assert written.set_aside.stat().st_size == 1_000_000_000
    assert path.read_bytes() == standard(document(cell(1)))


# What cannot be read


CONFLICT = standard(document(cell(1), cell(2))).replace(
    b'  {\n   "cell_type"', b'<<<<<<< HEAD\n  {\n   "cell_type"', 1
)
UNREADABLE = {
    "not JSON": b"hello",
    "empty": b"",
    "zeros after a power cut": b"\0" * 4096,
    "merge conflict": CONFLICT,
    "truncated": standard(document(cell(1)))[:-30],
    "a comma lost in the middle": standard(document(cell(1), cell(2))).replace(b'"code",', b'"code"', 1),
    "invalid UTF-8": standard(document(cell(1, "\u00e4"))).replace("\u00e4".encode(), b"\xed\xa0\x80"),
    "nbformat 3": b'{"worksheets": [], "metadata": {}, "nbformat": 3, "nbformat_minor": 0}',
    "nbformat 5": standard(document(cell(1))).replace(b'"nbformat": 4', b'"nbformat": 5'),
    "a list": b"[]",
    "no cells": b'{"metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    "cells that are none": b'{"cells": [1], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    "metadata that is none": b'{"cells": [], "metadata": [], "nbformat": 4, "nbformat_minor": 5}',
    "a version that is none": b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": "5"}',
    "nested too deep": b"[" * 200_000,
    "nested too deep to be written": json.dumps(
        document({**cell(1), "metadata": json.loads('{"a":' * 410 + "1" + "}" * 410)})
    ).encode(),
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_notebook_is_set_aside_untouched(path: Path, data: bytes) -> None:
    saved(path, data)
    before = path.stat()
    ours = Notebook(path, METADATA)
    aside = path.with_name("sales@analysis-1.unreadable-1.ipynb")
    assert ours.append([cell(1)]) == Written(path, set_aside=aside)
    assert aside.read_bytes() == data
    assert (aside.stat().st_ino, aside.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert path.read_bytes() == standard(document(cell(1)))
    assert ours.append([cell(2)]) == Written(path)


def test_what_was_set_aside_before_is_not_overwritten(path: Path) -> None:
    for number in (1, 2, 3):
        saved(path, b"broken %d" % number)
        Notebook(path, METADATA).append([cell(1)])
    broken = [path.with_name(f"{path.stem}.unreadable-{n}.ipynb").read_text() for n in (1, 2, 3)]
    assert broken == ["broken 1", "broken 2", "broken 3"]


def test_what_takes_the_free_name_meanwhile_is_not_overwritten(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(path, b"broken")
    first = path.with_name("sales@analysis-1.unreadable-1.ipynb")
    create = Path.touch

    def taken(new: Path, mode: int = 0o666, exist_ok: bool = True) -> None:
        if new == first:
            new.write_text("the person's")
        create(new, mode, exist_ok)

    monkeypatch.setattr(Path, "touch", taken)
    aside = Notebook(path, METADATA).append([cell(1)]).set_aside
    assert aside == path.with_name("sales@analysis-1.unreadable-2.ipynb")
    assert aside.read_bytes() == b"broken"
    assert first.read_text() == "the person's"


@pytest.mark.parametrize("is_folder", [False, True])
def test_of_a_notebook_that_cannot_be_set_aside_nothing_is_left_under_the_new_name(
    path: Path, monkeypatch: pytest.MonkeyPatch, is_folder: bool
) -> None:
    path.mkdir() if is_folder else saved(path, b"broken")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing(os.replace, 1))
        with pytest.raises(OSError, match="No space"):
            Notebook(path, METADATA).append([cell(1)])
    assert os.listdir(path.parent) == [path.name]


def make_link(path: Path) -> None:
    path.symlink_to(saved(path.parent.parent / "outside.ipynb", standard(document(cell(9)))))


def make_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere.ipynb")


@pytest.mark.parametrize("make", [make_link, make_dangling_link, Path.mkdir, os.mkfifo])
def test_what_is_no_regular_file_is_set_aside_and_not_followed(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    folder = tmp_path / "storage"
    folder.mkdir()
    path = folder / "a.ipynb"
    make(path)
    kind = stat.S_IFMT(path.lstat().st_mode)
    written = Notebook(path, METADATA).append([cell(1)])
    assert written == Written(path, folder / "a.unreadable-1.ipynb")
    assert stat.S_IFMT((folder / "a.unreadable-1.ipynb").lstat().st_mode) == kind
    assert path.read_bytes() == standard(document(cell(1)))
    if make is make_link:
        assert (tmp_path / "outside.ipynb").read_bytes() == standard(document(cell(9)))


def test_a_notebook_mended_while_we_looked_is_not_set_aside(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(path, CONFLICT)
    original = module.parse

    def mended_meanwhile(data: bytes) -> object:
        saved(path, standard(document(cell(1))))
        return original(data)

    monkeypatch.setattr(module, "parse", mended_meanwhile)
    assert Notebook(path, METADATA).append([cell(2)]) == Written(path)
    assert ids(path) == ["c1", "c2"]


def test_a_set_aside_notebook_is_told_even_if_the_first_write_after_it_fails(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(path, b"broken")
    ours = Notebook(path, METADATA)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(os.fsync, 1))
        with pytest.raises(OSError, match="No space"):
            ours.append([cell(1)])
    assert ours.append([cell(1)]).set_aside == path.with_name("sales@analysis-1.unreadable-1.ipynb")


# While a person saves


class Clock:
    """The time as the notebook sees it, in seconds from now."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def jupyter_saves(path: Path, data: bytes) -> Iterator[str]:
    """jupyter_server's atomic_writing, step by step."""
    intermediate = path.with_name(f".~{path.name}")
    if path.is_file():
        shutil.copy2(path, intermediate)
        yield "copied"
    with open(path, "wb") as file:
        yield "truncated"
        file.write(data[: len(data) // 2])
        file.flush()
        yield "half written"
        file.write(data[len(data) // 2 :])
        file.flush()
        yield "written"
    intermediate.unlink(missing_ok=True)
    yield "done"


def test_at_no_step_of_a_save_in_jupyterlab_anything_is_lost(path: Path) -> None:
    clock = Clock()
    ours = Notebook(path, METADATA, clock)
    ours.append([cell(1), cell(2)])
    persons = standard(document(cell(2), cell(7)))
    steps = []
    for step in jupyter_saves(path, persons):
        steps.append(step)
        before = path.read_bytes()
        with pytest.raises(NotebookBusy) as busy:
            ours.append([cell(3)])
        assert 0 < busy.value.retry_after < 1
        with pytest.raises(NotebookBusy):
            replace(ours, "c2", [])
        assert path.read_bytes() == before
    assert steps == ["copied", "truncated", "half written", "written", "done"]
    clock.ahead = 0.3
    ours.append([cell(3)])
    assert ids(path) == ["c2", "c7", "c3"]


def test_during_a_save_no_work_is_done(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Notebook(path, METADATA)
    ours.append([cell(1)])
    path.with_name(f".~{path.name}").touch()
    synced = during(monkeypatch, "fsync", lambda: None)
    with pytest.raises(NotebookBusy):
        ours.append([cell(2)])
    assert synced == []


def test_a_save_that_begins_while_we_write_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Notebook(path, METADATA)
    ours.append([cell(1)])
    intermediate = path.with_name(f".~{path.name}")
    during(monkeypatch, "fsync", intermediate.touch)
    with pytest.raises(NotebookBusy):
        ours.append([cell(2)])
    assert ids(path) == ["c1"]
    intermediate.unlink()
    ours.append([cell(2)])
    assert ids(path) == ["c1", "c2"]
    assert names(path.parent) == [path.name]


def test_a_slow_save_that_leaves_no_trace_is_waited_for(path: Path) -> None:
    clock = Clock()
    ours = Notebook(path, METADATA, clock)
    saved(path, b"", seconds_ago=3)
    with pytest.raises(NotebookBusy):
        ours.append([cell(1)])
    clock.ahead = 8
    assert ours.append([cell(1)]).set_aside is not None


def test_our_own_last_write_is_not_taken_for_somebody_elses(path: Path) -> None:
    ours = Notebook(path, METADATA)
    for number in range(5):
        ours.append([cell(number)])
        replace(ours, f"c{number}", [])
    assert ids(path) == ["c0", "c1", "c2", "c3", "c4"]


def test_an_intermediate_file_that_died_is_ignored(path: Path) -> None:
    clock = Clock()
    ours = Notebook(path, METADATA, clock)
    ours.append([cell(1)])
    # With the time of the original, as jupyter_server copies it: only its ctime tells when it was made.
    saved(path.with_name(f".~{path.name}"), b"", seconds_ago=3600)
    with pytest.raises(NotebookBusy):
        ours.append([cell(2)])
    clock.ahead = 11
    ours.append([cell(2)])
    assert ids(path) == ["c1", "c2"]


def test_a_file_with_a_time_in_the_future_does_not_block_for_ever(path: Path) -> None:
    saved(path, standard(document(cell(1))), seconds_ago=-3600)
    Notebook(path, METADATA).append([cell(2)])
    assert ids(path) == ["c1", "c2"]


def during(
    monkeypatch: pytest.MonkeyPatch, name: str, action: Callable[[], object], calls: int = 1
) -> list[str]:
    """Let the action happen just before the first calls of an os function; the list grows with them."""
    original, seen = getattr(os, name), []

    def patched(*arguments: Any, **keywords: Any) -> Any:
        if len(seen) < calls:
            seen.append(name)
            action()
        return original(*arguments, **keywords)

    monkeypatch.setattr(os, name, patched)
    return seen


def test_a_notebook_replaced_while_we_write_is_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(path, standard(document(cell(1))))

    def checkout() -> None:
        other = saved(path.with_name("other"), standard(document(cell(8), cell(9))))
        other.rename(path)

    assert during(monkeypatch, "fsync", checkout, calls=2) == []
    Notebook(path, METADATA).append([cell(2)])
    assert ids(path) == ["c8", "c9", "c2"]


def test_a_notebook_that_changes_all_the_time_is_busy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(path, standard(document(cell(1))))
    seconds = iter(range(1000, 2000))

    def touch() -> None:
        saved(path, path.read_bytes(), seconds_ago=next(seconds))

    during(monkeypatch, "fsync", touch, calls=1000)
    with pytest.raises(NotebookBusy):
        Notebook(path, METADATA).append([cell(2)])
    with pytest.raises(NotebookBusy):
        replace(Notebook(path, METADATA), "c1", [])
    assert ids(path) == ["c1"]
    assert names(path.parent) == [path.name]


def test_a_notebook_deleted_while_we_write_is_made_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(path, standard(document(cell(1))))
    during(monkeypatch, "fsync", path.unlink)
    Notebook(path, METADATA).append([cell(2)])
    assert path.read_bytes() == standard(document(cell(2)))


def test_a_notebook_that_appears_while_we_make_one_is_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, "fsync", lambda: saved(path, standard(document(cell(1)))))
    Notebook(path, METADATA).append([cell(2)])
    assert ids(path) == ["c1", "c2"]


def test_a_notebook_that_appears_at_the_moment_of_our_rename_is_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, "link", lambda: saved(path, standard(document(cell(1)))))
    Notebook(path, METADATA).append([cell(2)])
    assert ids(path) == ["c1", "c2"]


def test_a_notebook_truncated_while_we_copy_is_not_replaced(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(path, standard(document(cell(1))))
    persons = standard(document(cell(7)))
    during(monkeypatch, "copy_file_range", lambda: path.write_bytes(b""))
    with pytest.raises(NotebookBusy):
        Notebook(path, METADATA).append([cell(2)])
    saved(path, persons)
    Notebook(path, METADATA).append([cell(2)])
    assert ids(path) == ["c7", "c2"]


def test_a_save_that_begins_at_the_moment_of_our_rename_is_not_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    ours = Notebook(path, METADATA, clock)
    ours.append([cell(1)])
    opened = []

    def truncate() -> None:
        opened.append(path.open("wb"))

    with monkeypatch.context() as patch:
        during(patch, "replace", truncate)
        with pytest.raises(NotebookBusy):
            ours.append([cell(2)])
    opened[0].write(standard(document(cell(1), cell(7))))
    opened[0].close()
    assert ids(path) == ["c1", "c7"]
    clock.ahead = 1
    ours.append([cell(2)])
    assert ids(path) == ["c1", "c7", "c2"]
    assert names(path.parent) == [path.name]


READER = """
import json, sys
print("ready", flush=True)
cells = 0
while cells < 300:
    with open(sys.argv[1]) as file:
        cells = len(json.load(file)["cells"])
    print(cells)
"""


def test_a_reader_sees_a_whole_notebook_at_any_time(path: Path) -> None:
    ours = Notebook(path, METADATA)
    ours.append([cell(0)])
    with subprocess.Popen([sys.executable, "-c", READER, path], stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        for number in range(1, 300):
            ours.append([cell(number)])
        seen = [int(line) for line in reader.stdout]
    assert seen == sorted(seen)
    assert seen[-1] == 300


# Failing disks and dying processes


def failing(original: Callable[..., Any], at: int) -> Callable[..., Any]:
    """The function, which fails at its n-th call as on a full disk."""
    calls = iter(range(1, 10_000))

    def patched(*arguments: Any, **keywords: Any) -> Any:
        if next(calls) == at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(*arguments, **keywords)

    return patched


@pytest.mark.parametrize(
    "function", ["open", "write", "fsync", "fchmod", "copy_file_range", "replace", "fstat"]
)
@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("change", ["append", "replace outputs"])
def test_after_a_failure_the_notebook_is_old_or_new_and_nothing_else_is_left(
    path: Path, monkeypatch: pytest.MonkeyPatch, function: str, at: int, change: str
) -> None:
    old = standard(document(cell(1), cell(2)))
    saved(path, old)
    ours = Notebook(path, METADATA)

    def act() -> None:
        ours.append([cell(3)]) if change == "append" else replace(ours, "c1", [])

    failed = False
    with monkeypatch.context() as patch:
        patch.setattr(os, function, failing(getattr(os, function), at))
        try:
            act()
        except OSError as error:
            failed = error.errno == errno.ENOSPC
            assert failed
    assert names(path.parent) == [path.name]
    assert (path.read_bytes() == old) == failed
    if failed:
        act()
    new = [cell(1), cell(2), cell(3)] if change == "append" else [{**cell(1), "outputs": []}, cell(2)]
    assert path.read_bytes() == standard(document(*new))


@pytest.mark.parametrize("function", ["open", "write", "fsync"])
def test_a_new_notebook_that_does_not_fit_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    monkeypatch.setattr(os, function, failing(getattr(os, function), 1))
    with pytest.raises(OSError, match="No space"):
        Notebook(path, METADATA).append([cell(1)])
    assert names(path.parent) == []


def never(*arguments: object) -> int:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def nothing(*arguments: object) -> int:
    return 0


def first_part_only(source: int, target: int, size: int, offset: int) -> int:
    if offset:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return os.write(target, os.pread(source, 10, 0))


@pytest.mark.parametrize("copy_file_range", [None, never, nothing, first_part_only])
def test_without_copy_file_range_the_bytes_are_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch, copy_file_range: Callable[..., int] | None
) -> None:
    if copy_file_range is None:
        monkeypatch.delattr(os, "copy_file_range", raising=False)
    else:
        monkeypatch.setattr(os, "copy_file_range", copy_file_range, raising=False)
    ours = Notebook(path, METADATA)
    large = cell(1, "x" * 3_000_000)
    for each in (large, cell(2), cell(3)):
        ours.append([each])
    assert path.read_bytes() == standard(document(large, cell(2), cell(3)))


def test_without_hard_links_notebooks_are_written_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", never)
    ours = Notebook(path, METADATA)
    ours.append([cell(1)])
    ours.append([cell(2)])
    assert ids(path) == ["c1", "c2"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_permissions_are_kept(path: Path, mode: int) -> None:
    saved(path, standard(document(cell(1)))).chmod(mode)
    ours = Notebook(path, METADATA)
    ours.append([cell(2)])
    replace(ours, "c1", [])
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_notebook_has_the_permissions_of_any_new_file(path: Path) -> None:
    before = os.umask(0o027)
    try:
        Notebook(path, METADATA).append([cell(1)])
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_what_a_dead_process_left_is_swept(path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = [
        f".{path.name}.tmp-{dead.pid}",
        f".{path.name}.tmp-{dead.pid}-old",
        f".{path.name}.tmp-{os.getpid()}",
    ]
    kept = [f".{path.name}.tmp-1", f".{path.name}.tmp-x", f".other.ipynb.tmp-{dead.pid}", ".hidden"]
    for name in left + kept:
        path.with_name(name).touch()
    Notebook(path, METADATA).append([cell(1)])
    assert names(path.parent) == sorted([*kept, path.name])


KILLED = """
import os, sys
from pathlib import Path
from kernelexec.recording.notebook import Notebook, code_cell
ours = Notebook(Path(sys.argv[1]), {}, clock=lambda: 0)
output = {"output_type": "stream", "name": "stdout", "text": "line" * 20_000}
print("ready", flush=True)
for number in range(100_000):
    ours.append([code_cell(f"c{os.getpid()}-{number}", "x", [output], number)])
"""


def test_a_process_killed_while_it_writes_leaves_a_whole_notebook(path: Path) -> None:
    for milliseconds in (3, 20, 41, 73, 110):
        process = subprocess.Popen([sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(milliseconds / 1000)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if path.exists():
            nbformat.validate(nbformat.read(path, nbformat.NO_CONVERT))
    clock = Clock()
    clock.ahead = 60
    Notebook(path, METADATA, clock).append([cell(0)])
    assert names(path.parent) == [path.name]
