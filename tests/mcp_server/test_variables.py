"""list_variables and list_kernels on sessions whose kernels follow a script."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest

from kernelexec.kernels.inspection import Variables
from kernelexec.kernels.kernel import Reply
from kernelexec.model.execution import State
from tests.fakes import (
    FakeStarter,
    Run,
    environment,
    ran,
    run,
    session_in,
    settled,
    stalling,
    submit,
)
from tests.mcp_server.calls import called, text_of


async def asking(kernel_run: Run) -> Reply:
    kernel_run.busy()
    await kernel_run.ask("Name? ")
    kernel_run.idle()
    return kernel_run.reply()


SEEN = datetime(2026, 11, 25, 3, 0, 0, tzinfo=timezone.utc)
FOUND = Variables(
    total=3,
    variables=(
        {
            "name": "df",
            "type": "pandas.DataFrame",
            "shape": "344 x 8",
            "bytes": 22_148,
            "preview": "columns: a int64",
        },
        {"name": "evil", "type": "str", "shape": "9", "bytes": 60, "preview": "'\u202e'"},
        {"name": "thing", "type": "Thing"},
    ),
    modules={"np": "numpy", "json": "json"},
    callables=("class Thing", "load(name)"),
    cut=0,
    seen=SEEN,
)


def told(folder: Path, found: Variables | None, **arguments: Any) -> types.CallToolResult:
    async def test() -> types.CallToolResult:
        starter = FakeStarter()
        async with session_in(folder, starter) as session:
            await ran(session, "x")
            starter.kernels[0].known_variables = found
            return await called(session, "list_variables", **arguments)

    return run(test())


def test_variables_are_a_table_without_anything_that_misleads(tmp_path: Path) -> None:
    assert text_of(told(tmp_path, FOUND)).split("\n") == [
        "VARIABLES of sales@analysis, kernel generation 1: 3 variables.",
        "",
        "name   type              size     memory   value",
        "df     pandas.DataFrame  344 x 8  22.1 kB  columns: a int64",
        "evil   str               9        60 B     '\\u202e'",
        "thing  Thing",
        "",
        "Modules: np = numpy, json",
        "",
        "Functions and classes: class Thing, load(name)",
    ]


def test_what_a_busy_kernel_said_before_is_told_as_old(tmp_path: Path) -> None:
    old = Variables(0, (), {}, (), 0, SEEN, is_old=True)
    assert "The kernel does not answer now (it is busy): this is what it said at 03:00:00 UTC." in text_of(
        told(tmp_path, old)
    )


def test_a_kernel_that_does_not_answer_is_an_error_that_says_the_variables_are_kept(tmp_path: Path) -> None:
    result = told(tmp_path, None)
    assert result.is_error
    assert "Its variables are not lost" in text_of(result)


@pytest.mark.parametrize("found", [None, Variables(1, (), {}, (), 0, SEEN, is_old=True)])
def test_variables_of_a_kernel_that_ended_while_it_was_asked_are_lost(
    tmp_path: Path, found: Variables | None
) -> None:
    async def test() -> types.CallToolResult:
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            await ran(session, "x")
            [kernel] = starter.kernels

            async def dying(*arguments: object, **more: object) -> Variables | None:
                kernel.die()
                return found

            kernel.variables = dying  # type: ignore[method-assign]
            return await called(session, "list_variables")

    text = text_of(run(test()))
    assert text.startswith(
        "NO VARIABLES: the kernel of sales@analysis ended while it was asked (it was killed"
    )
    assert "its variables are lost" in text


def test_a_hundred_long_variables_fit_into_a_reply(tmp_path: Path) -> None:
    row = {"name": "n" * 80, "type": "t" * 80, "shape": "1", "bytes": 1, "preview": "p" * 80}
    many = Variables(100_000, (row,) * 100, {"m" * 80: "m" * 80}, ("f" * 200,) * 100, 0, SEEN)
    text = text_of(told(tmp_path, many))
    assert len(text) < 12_000
    assert "100,000 variables, of which" in text


def test_another_language_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            session.environment = environment(language="bash", interpreter=None)
            result = await called(session, "list_variables")
            assert result.is_error
            assert "knows Python only, and sales@analysis runs bash" in text_of(result)
            assert "execute_code" in text_of(result)

    run(test())


def test_kernels_are_told_with_their_state(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([asking, stalling()])
        async with session_in(tmp_path, starter) as session:
            assert "no kernel; the next execute_code starts one" in text_of(
                await called(session, "list_kernels")
            )
            asks = submit(session, "input('Name? ')")
            await settled(lambda: asks.question is not None)
            text = text_of(await called(session, "list_kernels"))
            assert "waits for input: sales@analysis/1 asks 'Name?'; send_input answers" in text
            assert session.state == "waits for input"
            listed = text_of(await called(session, "list_executions")).split("\n")[3]
            assert re.match(r"1  .{19}  waits for input ", listed), listed
            session.answer(asks, "Ann")
            running = submit(session, "x")
            await settled(lambda: running.state is State.RUNNING)
            text = text_of(await called(session, "list_kernels"))
            assert text.startswith(f"KERNELS: 1 running in {tmp_path}, 1 open session.")
            assert "sales@analysis: busy with sales@analysis/2 for 0 s" in text
            assert "memory 50.0 MB, processor 0%" in text
            starter.kernels[0].is_stopped = True
            assert "sales@analysis: stopped" in text_of(await called(session, "list_kernels"))

    run(test())
