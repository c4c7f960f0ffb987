"""Whether a run that shows nothing works or waits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from kernelexec.kernels.kernel import Findings
from kernelexec.model.execution import State
from kernelexec.session import stillness
from tests.fakes import FakeKernel, FakeStarter, run, session_in, settled, stalling, submit

Used = Mapping[int, float] | None


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stillness, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(stillness, "_LOOK_SECONDS", 0.0)


def said_of(
    tmp_path: Path, before: Used, after: Used, found: Findings | None = None, prints: bool = False
) -> str | None:
    """What is said of a run whose kernel had used this much at the beginning and at the end of a wait."""

    async def test() -> str | None:
        starter = FakeStarter([stalling()])
        async with session_in(tmp_path, starter) as session:
            execution = submit(session, "x")
            await settled(lambda: execution.state is State.RUNNING)
            [kernel] = starter.kernels
            used = iter([before, after])

            def family(self: FakeKernel) -> Used:
                return next(used)

            kernel.findings = found or Findings(
                True, tells=True, running=session.executions.msg_id(execution)
            )
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(FakeKernel, "family_cpu_seconds", family)
                looking = asyncio.ensure_future(session.stillness(execution, 0.05))
                await asyncio.sleep(0)
                if prints:
                    content = {"name": "stdout", "text": "1"}
                    kernel.publish("stream", content, session.executions.msg_id(execution))
                return await looking

    return run(test())


def test_a_run_that_uses_no_processor_waits(tmp_path: Path) -> None:
    said = said_of(tmp_path, {1: 1.5, 2: 7.0}, {1: 1.5, 2: 7.0})
    assert said is not None
    assert said.endswith("its kernel and what it has started used no processor: it waits for something.")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({1: 1.5}, {1: 1.55}),  # it computes
        ({1: 1.5, 2: 0.0}, {1: 1.5, 2: 0.05}),  # what it has started does
        ({1: 1.5}, {1: 1.5, 2: 0.0}),  # it starts something
        ({1: 1.5, 2: 0.0}, {1: 1.5}),  # something has ended
        (None, None),  # of a kernel that is elsewhere
    ],
)
def test_where_something_works_or_nobody_knows_nothing_is_said(
    tmp_path: Path, before: Used, after: Used
) -> None:
    assert said_of(tmp_path, before, after) is None


def test_a_run_that_shows_something_is_not_still(tmp_path: Path) -> None:
    assert said_of(tmp_path, {1: 1.5}, {1: 1.5}, prints=True) is None


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Findings(answered=False), "may hang for ever."),
        (Findings(answered=False, stopped=True), None),
        (Findings(answered=True, tells=True, running=None), None),
        (Findings(answered=True), ": it waits for something."),  # of a kernel that is not ours
        (
            Findings(answered=True, tells=True, running="m", line="line 1 of the cell: f()"),
            "It is at line 1 of the cell: f().",
        ),
    ],
)
def test_what_the_kernel_says_beside_the_run_is_told(found: Findings, words: str | None) -> None:
    said = stillness.describe(found, "m", 42.0)
    assert said is None if words is None else said is not None and said.endswith(words) and "42" in said
