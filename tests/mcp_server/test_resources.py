"""Resources on a connection: what is not there, what is too large, and what clients are told of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest

from kernelexec.mcp_server.resources import LARGEST
from tests.fakes import FakeStarter, printing, ran, run, session_in
from tests.mcp_server.test_server import ERAS, connected

SESSION = "kernelexec://session/sales@analysis"


def large_notebook(folder: Path) -> Path:
    """In the place of the session's notebook: more than clients take."""
    cells = [
        {"id": f"c{n}", "cell_type": "markdown", "metadata": {}, "source": "x" * 10_000} for n in range(100)
    ]
    path = folder / "sales@analysis-1.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "path", ["nothing", "99/output", "99/code", "1/image/7", "notebook/0", "file/sales@analysis-1/outputs/no"]
)
def test_what_is_not_there_has_the_code_for_that(tmp_path: Path, era: str, path: str) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session, connected(session, era) as peer:
            await ran(session, "x")
            error = (await peer.answer(peer.ask("resources/read", {"uri": f"{SESSION}/{path}"})))["error"]
            assert error["code"] == types.INVALID_PARAMS, error

    run(test())


@pytest.mark.parametrize("era", ERAS)
def test_a_large_notebook_is_listed_and_read_in_parts(tmp_path: Path, era: str) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session, connected(session, era) as peer:
            await ran(session, "x")

            async def answer(uri: str) -> dict[str, Any]:
                return await peer.answer(peer.ask("resources/read", {"uri": uri}))

            await session.recorder.notebooks.flush()
            path = large_notebook(tmp_path)
            error = (await answer(f"{SESSION}/notebook"))["error"]
            assert error["code"] == types.INTERNAL_ERROR  # whose text clients show
            assert f"In parts, each naming the next: {SESSION}/notebook/1 and on" in error["message"]
            assert str(path) in error["message"]

            listed = (await peer.answer(peer.ask("resources/list", {})))["result"]["resources"]
            uri = next(each["uri"] for each in listed if each["name"] == path.name)
            assert uri == f"{SESSION}/notebook/1"
            seen = 0
            while uri:
                [content] = (await answer(uri))["result"]["contents"]
                assert len(content["text"].encode()) <= LARGEST
                read = json.loads(content["text"])
                seen += len(read["cells"])
                uri = read["metadata"]["kernelexec"]["part"].get("next")
            assert seen == 100

    run(test())


@pytest.mark.parametrize("era", ERAS)
def test_output_that_is_too_large_says_how_it_is_read(tmp_path: Path, era: str) -> None:
    async def test() -> None:
        starter = FakeStarter([printing(("x" * 79 + "\n") * 10_000)])
        async with session_in(tmp_path, starter) as session, connected(session, era) as peer:
            await ran(session, "x")
            error = (await peer.answer(peer.ask("resources/read", {"uri": f"{SESSION}/1/output"})))["error"]
            assert error["code"] == types.INTERNAL_ERROR
            assert "more than the 700,000 that clients take" in error["message"]
            assert 'read_output(execution_id="sales@analysis/1", offset=0)' in error["message"]

    run(test())
