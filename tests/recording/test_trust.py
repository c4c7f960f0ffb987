"""Notebooks that hold only what our kernel showed, or what was signed, are signed with Jupyter's notary."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import v4
from nbformat.sign import NotebookNotary

from kernelexec.model.execution import State
from kernelexec.recording import notebooks as notebooks_module
from kernelexec.recording import trust as module
from tests.recording.test_live_notebook import Table, table


@pytest.fixture
def without_notary() -> None:
    """With it, here."""


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(notebooks_module, "_IDLE_SECONDS", 0.01)
    monkeypatch.setattr(notebooks_module, "_LOOK_SECONDS", 0.05)
    return tmp_path / "jupyter"


def is_signed(path: Path) -> bool:
    with NotebookNotary() as notary:
        return bool(notary.check_signature(nbformat.read(path, as_version=4)))


async def soon(condition: Callable[[], object]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(condition)


def show(desk: Table, number: int, html: str) -> None:
    one = desk.begin(number)
    content = {"data": {"text/html": html, "text/plain": "x"}, "metadata": {}}
    desk.recorder.output(one, "display_data", content)
    desk.end(one, State.OK)


async def written(desk: Table, count: int) -> None:
    await soon(lambda: desk.path.exists() and len(nbformat.read(desk.path, 4).cells) == count)


def change(path: Path, sign: bool) -> None:
    """The person saves it with a cell of another origin."""
    notebook = nbformat.read(path, as_version=4)
    output = v4.new_output("display_data", {"text/html": "<script>theirs</script>"})
    notebook.cells.append(v4.new_code_cell("theirs", outputs=[output]))
    path.unlink()
    nbformat.write(notebook, path)
    if sign:
        with NotebookNotary() as notary:
            notary.sign(nbformat.read(path, as_version=4))


def test_what_the_kernel_showed_is_signed(tmp_path: Path) -> None:
    async def test() -> None:
        async with table(tmp_path) as desk:
            show(desk, 1, "<b>one</b>")
            await written(desk, 1)
            await soon(lambda: is_signed(desk.path))
            show(desk, 2, "<b>two</b>")
            await written(desk, 2)
            await soon(lambda: is_signed(desk.path))

    asyncio.run(asyncio.wait_for(test(), 100))


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "not signed"])
def test_what_came_from_elsewhere_is_signed_only_if_it_was(tmp_path: Path, signed: bool) -> None:
    async def test() -> None:
        async with table(tmp_path) as desk:
            show(desk, 1, "<b>one</b>")
            await written(desk, 1)
            await soon(lambda: is_signed(desk.path))
            change(desk.path, signed)
            show(desk, 2, "<b>two</b>")
            await written(desk, 3)
            if signed:
                await soon(lambda: is_signed(desk.path))
            else:
                await asyncio.sleep(2)
                assert not is_signed(desk.path)

    asyncio.run(asyncio.wait_for(test(), 100))


def test_the_next_hub_signs_what_the_last_one_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 60)

    async def test() -> None:
        async with table(tmp_path) as desk:
            show(desk, 1, "<b>one</b>")
            await written(desk, 1)
            await soon(lambda: '"written"' in _journal(tmp_path))
            assert not is_signed(desk.path)
            monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.01)
            desk.replace_hub()
            await soon(lambda: is_signed(desk.path))

    asyncio.run(asyncio.wait_for(test(), 100))


def _journal(storage: Path) -> str:
    return "".join(path.read_text() for path in storage.rglob("*.jsonl"))


def test_a_file_that_was_changed_since_is_not_signed_unseen(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    notebook: Any = v4.new_notebook()
    path.write_text(json.dumps(notebook))
    assert asyncio.run(module._run("sign", str(path), "1", "2", "3"))[0] == 2


def test_a_look_at_what_jupyterlab_shows_anyhow_needs_no_notary(tmp_path: Path) -> None:
    """Which takes half a second of a processor, and each write after somebody else's waits for the look."""
    path = tmp_path / "plain.ipynb"
    output = v4.new_output("execute_result", {"text/plain": "1"}, execution_count=1)
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell("1", outputs=[output])]), path)
    assert looked_at(path).returncode == 0
    output["data"]["text/html"] = "<b>1</b>"
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell("1", outputs=[output])]), path)
    assert looked_at(path).returncode != 0


def looked_at(path: Path) -> subprocess.CompletedProcess[bytes]:
    """With the standard library alone."""
    program = [sys.executable, "-I", "-S", str(module._PROGRAM)]
    return subprocess.run([*program, "check", str(path)], capture_output=True, check=False)
