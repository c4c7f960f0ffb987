"""What widgets show survives the hub."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from kernelexec.kernels.kernel import Findings, Reply
from kernelexec.kernels.wire import Message
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
