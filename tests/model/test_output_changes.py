"""A page that makes the changes shows what the cell shows, whatever came in between."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kernelexec.model.output_changes import ShownOutputs, as_shown
from kernelexec.model.outputs import CellOutputs

Message = tuple[str, dict[str, Any]]


def stream(text: str, name: str = "stdout") -> Message:
    return "stream", {"name": name, "text": text}


def display(text: str, identity: str | None = None) -> Message:
    transient = {"display_id": identity} if identity else {}
    return "display_data", {"data": {"text/plain": text}, "metadata": {}, "transient": transient}


def update(text: str, identity: str) -> Message:
    return "update_display_data", {"data": {"text/plain": text}, "transient": {"display_id": identity}}


def make(shown: list[Any], steps: list[list[Any]]) -> None:
    """What a page does (kernelexec_live/shared_model.py)."""
    for what, place, *arguments in steps:
        if what == "cut":
            del shown[place:]
        elif what == "put":
            shown[place : place + 1] = [dict(arguments[0])]
        else:
            kept, more = arguments
            shown[place]["text"] = shown[place]["text"].encode()[:kept].decode() + more


_messages = st.one_of(
    st.builds(stream, st.text("ab\r\n", min_size=1, max_size=4), st.sampled_from(["stdout", "stderr"])),
    st.builds(display, st.text("xy", max_size=2), st.sampled_from([None, "one"])),
    st.builds(update, st.text("xy", max_size=2), st.just("one")),
    st.builds(lambda wait: ("clear_output", {"wait": wait}), st.booleans()),
)


@given(st.lists(st.lists(_messages, max_size=4), max_size=8))
def test_the_page_shows_what_the_cell_shows(rounds: list[list[Message]]) -> None:
    outputs, shown, page = CellOutputs(), ShownOutputs(), list[Any]()
    for messages in rounds:
        for message_type, content in messages:
            outputs.add(message_type, content)
        make(page, shown.changes(outputs.pieces))
        assert page == list(map(as_shown, outputs.to_notebook()))
        assert len(shown) == len(page)


def test_text_that_grows_is_sent_once() -> None:
    outputs, shown = CellOutputs(), ShownOutputs()
    outputs.add(*stream("one\n"))
    assert shown.changes(outputs.pieces)[0][0] == "put"
    outputs.add(*stream("two\n"))
    assert shown.changes(outputs.pieces) == [["text", 0, 4, "two\n"]]
    assert shown.changes(outputs.pieces) == []


def test_a_progress_bar_stays_one_line() -> None:
    outputs, shown = CellOutputs(), ShownOutputs()
    for percent in range(100):
        outputs.add(*stream(f"\r{percent}%"))
        steps = shown.changes(outputs.pieces)
    assert steps == [["text", 0, 0, "99%"]]
