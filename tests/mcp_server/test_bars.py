"""A bar beside which is printed: its last state, and what was printed, in one block."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kernelexec.kernels.kernel import Reply
from kernelexec.mcp_server.tools import call_tool
from tests.fakes import FakeStarter, Run, run, saying, session_in
from tests.mcp_server.calls import call_on, called, text_of


def out(text: str) -> tuple[str, dict[str, str]]:
    return "stream", {"name": "stdout", "text": text}


def err(text: str) -> tuple[str, dict[str, str]]:
    return "stream", {"name": "stderr", "text": text}


def shown(folder: Path, *messages: tuple[str, dict[str, str]]) -> str:
    async def test() -> str:
        async with session_in(folder, FakeStarter([saying(*messages)])) as session:
            return text_of(await called(session, "execute_code", code="x")).partition("\n\n")[2]

    return run(test())


def test_a_bar_is_told_as_it_was_last(tmp_path: Path) -> None:
    steps = [each for n in range(200) for each in (err(f"\r{n / 2:3.0f}%|###"), out(f"step {n}\n"))]
    text = shown(tmp_path, *steps, err("\r100%|###\n"))
    assert text == "[stdout]\n" + "".join(f"step {n}\n" for n in range(200)) + "\n[stderr]\n100%|###"


def test_a_bar_that_is_gone_leaves_no_block(tmp_path: Path) -> None:
    text = shown(tmp_path, err("\r 50%"), out("a\n"), err("\r    \r"), out("b\n"), err("\r    \r"))
    assert text == "[stdout]\na\nb"


def test_lines_that_are_complete_stay(tmp_path: Path) -> None:
    text = shown(
        tmp_path, err("warning\n\r 50%"), out("a\n"), err("\r100%\nerror"), out("b\n"), err(" more\r\n")
    )
    assert (
        text == "[stderr]\nwarning\n\n[stdout]\na\n\n[stderr]\n100%\nerror\n\n[stdout]\nb\n\n[stderr]\n more"
    )


def test_what_a_caller_has_seen_of_a_bar_is_not_told_again(tmp_path: Path) -> None:
    async def test() -> None:
        go_on = asyncio.Event()

        async def answer(run: Run) -> Reply:
            run.busy()
            run.print("\r 10%", "stderr")
            await go_on.wait()
            run.print("a\n")
            run.print("\r 20%", "stderr")
            run.idle()
            return run.reply()

        async with session_in(tmp_path, FakeStarter([answer])) as session:
            call = call_on(session)
            first = text_of(await call_tool(call, "execute_code", {"code": "x", "wait_seconds": 1}))
            assert first.endswith("[stderr]\n 10%")
            go_on.set()
            second = text_of(
                await call_tool(call, "wait_for_execution", {"execution_id": "sales@analysis/1"})
            )
            assert second.endswith("[stdout]\na\n\n[stderr]\n 20%")
            assert " 10%" not in second

    run(test())
