"""What widgets show survives the hub."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from kernelexec.kernels.kernel import Findings, Reply
from kernelexec.kernels.wire import Message
from kernelexec.model.execution import Execution
from kernelexec.model.limits import Limits
from tests.fakes import (
    DATE,
    FakeStarter,
    Run,
    finish,
    ran,
    run,
    saying,
    session_in,
    settled,
    submit,
)


def opened(identity: str, **state: Any) -> tuple[str, dict[str, Any]]:
    named = {"_model_name": "LabelModel", "_model_module": "@jupyter-widgets/controls", **state}
    return "comm_open", {"comm_id": identity, "target_name": "jupyter.widget", "data": {"state": named}}


def test_a_widget_that_was_closed_is_closed_for_the_next_hub_too(tmp_path: Path) -> None:
    async def test() -> None:
        answer = saying(
            opened("a", value="here"),
            opened("b", value="gone"),
            ("comm_close", {"comm_id": "b", "data": {}}),
            ("comm_close", {"comm_id": "no widget's", "data": {}}),
        )
        starter = FakeStarter([answer])
        async with session_in(tmp_path, starter) as session:
            await ran(session, "x")
        async with session_in(tmp_path, FakeStarter(), alive=starter.kernels[0]) as session:
            execution = submit(session, "y")
            await finish(session, execution)
            views = session.recorder.widgets_of(execution).views()
            assert [output["text"] for output in views.of("a") or []] == ["here"]
            assert views.of("b") == []
            assert views.of("no widget's") is None

    run(test())


def message(msg_id: str, serial: int, kind: str, content: dict[str, Any]) -> Message:
    return Message("iopub", kind, content, f"k_{serial}", msg_id, None, DATE, {})


def test_what_a_widget_said_and_took_while_there_was_no_hub_is_known_to_the_next(tmp_path: Path) -> None:
    """And what the first had heard is not told twice."""

    async def test() -> None:
        gate = asyncio.Event()

        async def answer(kernel_run: Run) -> Reply:
            kernel_run.busy()
            kernel_run.say("comm_open", **opened("a", value="1 of 3")[1])
            output = opened("o", msg_id=kernel_run.msg_id, _model_name="OutputModel")[1]
            output["data"]["state"]["_model_module"] = "@jupyter-widgets/output"
            kernel_run.say("comm_open", **output)
            kernel_run.kernel.publish(
                "stream", {"name": "stdout", "text": "first\n"}, kernel_run.msg_id, "k_7"
            )
            await gate.wait()
            raise AssertionError

        starter = FakeStarter([answer])
        async with session_in(tmp_path, starter) as session:
            execution = submit(session, "x")
            await settled(lambda: session.recorder.widgets_of(execution).size("o") > 0)
            msg_id = session.executions.msg_id(execution) or ""
        [kernel] = starter.kernels
        kernel.answers.clear()
        update = {"comm_id": "a", "data": {"state": {"value": "3 of 3"}}}
        kernel.findings = Findings(
            True,
            tells=True,
            begun=True,
            reply=Reply("ok", {"status": "ok", "execution_count": 1}, DATE, {}),
            messages=(
                message(msg_id, 7, "stream", {"name": "stdout", "text": "first\n"}),
                message(msg_id, 8, "stream", {"name": "stdout", "text": "second\n"}),
                message(msg_id, 9, "comm_msg", update),
            ),
            complete=True,
        )
        async with session_in(tmp_path, FakeStarter(), alive=kernel) as session:
            execution = session.executions.get(1)
            await finish(session, execution)
            views = session.recorder.widgets_of(execution).views()
            assert [output["text"] for output in views.of("a") or []] == ["3 of 3"]
            assert [output["text"] for output in views.of("o") or []] == ["first\nsecond\n"]
            assert execution.outputs.to_notebook() == []

    run(test())


def updated(identity: str, value: str) -> tuple[str, dict[str, Any]]:
    return "comm_msg", {"comm_id": identity, "data": {"method": "update", "state": {"value": value}}}


def said(execution: Execution) -> str:
    return "".join(str(output["text"]) for output in execution.outputs.to_notebook() if "text" in output)


def test_a_widget_that_is_too_large_for_a_cell_is_told_with_its_size(tmp_path: Path) -> None:
    async def test() -> None:
        answer = saying(opened("a", value="here"), updated("a", 3_000 * "x"), updated("a", 3_000 * "y"))
        async with session_in(tmp_path, FakeStarter([answer])) as session:
            session.recorder.limits = Limits(cell=1_000)
            execution = await ran(session, "x")
            assert "[2 messages to widgets, 6,0" in said(execution)
            assert "may be out of date" in said(execution)
            assert (await ran(session, "y")).outputs.to_notebook() == []  # another run's

    run(test())


def test_widgets_count_against_what_a_run_may_keep(tmp_path: Path) -> None:
    async def test() -> None:
        updates = [updated("a", f"{number} of 2000") for number in range(2_000)]
        answer = saying(opened("a", value="0"), *updates)
        async with session_in(tmp_path, FakeStarter([answer])) as session:
            session.recorder.limits = Limits(run=20_000)
            execution = await ran(session, "x")
            journal = session.recorder.journal.path.read_text()
            assert 100 < journal.count('"event":"comm"') < 1_000
            assert int(said(execution).strip().removeprefix("[").split()[0].replace(",", "")) > 1_000
            session.recorder.limits = Limits()
            assert (await ran(session, "y")).outputs.to_notebook() == []

    run(test())


def test_what_a_notebook_has_no_room_for_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        answer = saying(*(opened(f"w{number}", value=1_000_000 * "x") for number in range(12)))
        async with session_in(tmp_path, FakeStarter([answer])) as session:
            execution = await ran(session, "x")
            assert "[3 messages to widgets, 3,00" in said(execution)

    run(test())


def test_what_is_left_out_after_the_end_is_told_once(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([saying(opened("a", value="here"))])
        async with session_in(tmp_path, starter) as session:
            session.recorder.limits = Limits(cell=1_000)
            execution = await ran(session, "x")
            assert said(execution) == ""
            msg_id = session.executions.msg_id(execution) or ""
            for _ in range(3):
                starter.kernels[0].publish(*updated("a", 3_000 * "x"), msg_id)
            assert said(execution).count("to widgets") == 1

    run(test())
