"""What a reply leaves to a front end, as the displays and the words of a run."""

from __future__ import annotations

from typing import Any

from kernelexec.model.outputs import CellOutputs
from kernelexec.model.payloads import Payloads


def payloads(*items: Any) -> Payloads:
    return Payloads.of({"status": "ok", "payload": list(items)})


def shown(of: Payloads) -> list[Any]:
    return [display["data"] for display in of.displays([])]


def test_a_page_is_a_display_with_all_its_representations() -> None:
    data = {"text/plain": "Signature: len(obj)", "text/html": "<b>len</b>"}
    assert shown(payloads({"source": "page", "data": data, "start": 0})) == [data]
    assert shown(payloads({"source": "page", "text": "of an old kernel"})) == [
        {"text/plain": "of an old kernel"}
    ]


def test_code_for_a_cell_comes_with_the_words_that_it_has_not_run() -> None:
    [new] = shown(payloads({"source": "set_next_input", "text": "x = 1", "replace": False}))
    [instead] = shown(payloads({"source": "set_next_input", "text": "# %load x.py\nx = 1", "replace": True}))
    assert new["text/plain"].endswith("new cell; it has not run]\nx = 1")
    assert instead["text/plain"].endswith("this cell's code; it has not run]\n# %load x.py\nx = 1")


def test_pages_come_before_code_and_what_was_kept_is_not_kept_again() -> None:
    both = payloads(
        {"source": "set_next_input", "text": "x", "replace": False},
        {"source": "page", "data": {"text/plain": "help"}},
    )
    outputs = CellOutputs()
    for display in both.displays(outputs.to_notebook()):
        outputs.add("display_data", display)
    assert [output["data"]["text/plain"][:4] for output in outputs.to_notebook()] == ["help", "[wha"]
    assert both.displays(outputs.to_notebook()) == []


def test_an_editor_and_an_exit_that_is_none_are_told() -> None:
    [said] = payloads({"source": "edit_magic", "filename": "/tmp/a\nb.py", "line_number": 3}).remarks()
    assert "/tmp/a b.py" in said
    [stays] = payloads({"source": "ask_exit", "keepkernel": True}).remarks()
    assert "the kernel goes on" in stays
    leaving = payloads({"source": "ask_exit", "keepkernel": False})
    assert (leaving.is_leaving, leaving.remarks(), leaving.displays([])) == (True, [], [])


def test_what_is_no_payload_says_nothing() -> None:
    for content in (
        {},
        {"payload": None},
        {"payload": "page"},
        {"payload": [3, None, {}, {"source": "page"}, {"source": "set_next_input", "text": " \n"}]},
    ):
        said = Payloads.of(content)
        assert (said.displays([]), said.remarks(), said.is_leaving) == ([], [], False)
