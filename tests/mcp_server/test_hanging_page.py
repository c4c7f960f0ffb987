"""A JupyterLab that hangs, with a notebook open in which a session works: replies come all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import nbformat
import pytest

from kernelexec.mcp_server.tools import call_tool
from kernelexec.model.outputs import JSON
from kernelexec.recording import opened_place
from kernelexec.recording.notebook_format import Found
from kernelexec.recording.opened_place import OpenedPlace
from kernelexec.recording.pages import PageGone, Pages
from tests.fakes import FakeStarter, printing, run, session_in
from tests.mcp_server.calls import call_on, text_of


class HangingPage:
    """See pages.Page."""

    is_as_left = True
    asked = 0

    def __init__(self) -> None:
        self.is_gone = asyncio.Event()

    def take_found(self) -> Found:
        return Found(frozenset(), None)

    async def write(self, what: Mapping[str, JSON]) -> frozenset[str]:
        await self._never()

    async def read(self) -> Mapping[str, JSON]:
        await self._never()

    async def carry_out(self, expected: Mapping[str, JSON], steps: Sequence[Mapping[str, JSON]]) -> bool:
        await self._never()

    async def _never(self) -> NoReturn:
        self.asked += 1
        await self.is_gone.wait()
        raise PageGone


def test_a_reply_does_not_wait_for_a_page_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened_place, "_ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(opened_place, "_AGAIN_SECONDS", 0.01)
    path = tmp_path / "study.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", id="one")]), path)

    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([printing("out\n"), printing("out\n")])) as session:
            call = call_on(session)
            opened = await session.open_notebook(path, call.caller.identity)
            opened.seen(call.caller.id, await opened.read())
            pages, page = Pages(), HangingPage()
            assert session.recorder.opened is not None
            place = session.recorder.opened.notebook = OpenedPlace(path, pages)
            await place.read()
            pages.opened(str(path.resolve()), page)
            reply = text_of(await asyncio.wait_for(call_tool(call, "execute_code", {"code": "x"}), 20))
            assert reply.startswith("OK: sales@analysis/1 ran in")
            assert f"News: {path} is open in a JupyterLab that does not answer." in reply
            assert page.asked
            page.is_gone.set()
            pages.closed(str(path.resolve()), page)
            changed = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("2", id="one")])
            nbformat.write(changed, path)
            reply = text_of(await call_tool(call_on(session), "execute_code", {"code": "x"}))
            assert "does not answer" not in reply

    run(test())
