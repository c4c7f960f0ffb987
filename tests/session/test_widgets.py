"""What widgets show survives the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.fakes import FakeStarter, finish, ran, run, saying, session_in, submit


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
