"""Messages in, outputs out; nbclient and nbformat say what is right."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient
from nbformat import v4

from kernelexec.model.outputs import CellOutputs, display_id, is_json_mime, size_of

Message = tuple[str, dict[str, Any]]


def fold(*messages: Message) -> CellOutputs:
    outputs = CellOutputs()
    for msg_type, content in messages:
        outputs.add(msg_type, content)
    return outputs


def stream(text: str, name: str = "stdout") -> Message:
    return "stream", {"name": name, "text": text}


def display(text: str, identity: str | None = None, msg_type: str = "display_data") -> Message:
    content: dict[str, Any] = {"data": {"text/plain": text}, "metadata": {"text/plain": {"n": text}}}
    if identity is not None:
        content["transient"] = {"display_id": identity}
    if msg_type == "execute_result":
        content["execution_count"] = 3
    return msg_type, content


def clear(wait: bool) -> Message:
    return "clear_output", {"wait": wait}


def texts(outputs: CellOutputs) -> list[str]:
    return [o["text"] if o["output_type"] == "stream" else o["data"]["text/plain"] for o in dicts(outputs)]


def dicts(outputs: CellOutputs) -> list[dict[str, Any]]:
    return outputs.to_notebook()  # type: ignore[return-value]


def nbclients_outputs(messages: list[Message]) -> list[dict[str, Any]]:
    """What nbclient makes of the messages, with its rule for streams in an output widget.

    Outside a widget it does not join streams while messages come, only afterwards and over the whole cell.
    """
    notebook = v4.new_notebook(cells=[v4.new_code_cell("x")])
    cell = notebook.cells[0]
    client = NotebookClient(notebook, record_timing=False)
    client.reset_execution_trackers()
    client.clear_before_next_output = False
    for msg_type, content in messages:
        message = {
            "msg_type": msg_type,
            "header": {"msg_type": msg_type},
            "parent_header": {"msg_id": "1"},
            "content": copy.deepcopy(content),
        }
        client.process_message(message, cell, 0)
    joined: list[dict[str, Any]] = []
    for output in cell.outputs:
        last = joined[-1] if joined else {}
        if output.output_type == "stream" == last.get("output_type") and last["name"] == output.name:
            last["text"] += output.text
        else:
            joined.append(dict(output))
    return joined


# A loaded machine is no failure.
patiently = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

MESSAGES = st.one_of(
    st.builds(stream, st.sampled_from(["a", "b\n", "", "\r50%"]), st.sampled_from(["stdout", "stderr"])),
    st.builds(
        display,
        st.sampled_from("xyz"),
        st.sampled_from([None, "1", "2"]),
        st.sampled_from(["display_data", "execute_result", "update_display_data"]),
    ),
    st.builds(clear, st.booleans()),
    st.just(("error", {"ename": "E", "evalue": "v", "traceback": ["t", "u"]})),
    st.just(("execute_input", {"code": "x", "execution_count": 3})),
    st.just(("status", {"execution_state": "busy"})),
)


@patiently
@given(st.lists(MESSAGES, max_size=25))
def test_any_history_folds_as_in_nbclient(messages: list[Message]) -> None:
    assert dicts(fold(*messages)) == nbclients_outputs(messages)


@patiently
@given(st.lists(MESSAGES, max_size=25))
def test_add_tells_whether_the_outputs_changed(messages: list[Message]) -> None:
    outputs = CellOutputs()
    for msg_type, content in messages:
        before = outputs.to_notebook()
        changed = outputs.add(msg_type, content)
        assert changed or outputs.to_notebook() == before


@patiently
@given(st.lists(MESSAGES, max_size=25))
def test_size_is_that_of_the_outputs_held(messages: list[Message]) -> None:
    outputs = fold(*messages)
    streams = [o for o in dicts(outputs) if o["output_type"] == "stream"]
    others = [o for o in dicts(outputs) if o["output_type"] != "stream"]
    assert outputs.size == sum(len(o["text"]) for o in streams) + sum(map(size_of, others))


def test_a_stream_joins_only_the_output_just_before() -> None:
    messages = [stream("a"), stream("b"), stream("E", "stderr"), stream("c"), display("d"), stream("e")]
    assert texts(fold(*messages)) == ["ab", "E", "c", "d", "e"]


def test_clear_output_empties_at_once() -> None:
    outputs = fold(stream("a"), display("b", "id"))
    assert outputs.add(*clear(wait=False))
    assert outputs.to_notebook() == []
    assert not outputs.add(*clear(wait=False))


def test_clear_output_with_wait_empties_when_the_next_output_comes() -> None:
    outputs = fold(stream("a"))
    assert not outputs.add(*clear(wait=True))
    assert texts(outputs) == ["a"]
    outputs.add(*stream("b"))
    assert texts(outputs) == ["b"]
    outputs.add(*stream("c"))
    assert texts(outputs) == ["bc"]


def test_an_update_changes_all_displays_with_its_id_and_adds_none() -> None:
    outputs = fold(display("a", "1"), display("b", "2"), display("c", "1"))
    assert texts(outputs) == ["c", "b", "c"]
    assert outputs.add(*display("d", "1", "update_display_data"))
    assert texts(outputs) == ["d", "b", "d"]


def test_an_update_of_a_display_in_another_cell_changes_nothing() -> None:
    outputs = fold(display("a", "1"))
    assert not outputs.add(*display("b", "2", "update_display_data"))
    assert not outputs.add(*display("b", None, "update_display_data"))
    assert texts(outputs) == ["a"]


def test_an_updated_result_stays_a_result() -> None:
    [output] = dicts(fold(display("a", "1", "execute_result"), display("b", "1", "update_display_data")))
    assert (output["output_type"], output["execution_count"]) == ("execute_result", 3)
    assert output["data"] == {"text/plain": "b"}


def test_what_was_handed_out_does_not_change_later() -> None:
    outputs = fold(display("a", "1"), stream("b"))
    before = outputs.to_notebook()
    copied = copy.deepcopy(before)
    for message in (display("c", "1", "update_display_data"), stream("d"), clear(wait=False)):
        outputs.add(*message)
    assert before == copied


def test_nothing_transient_is_kept() -> None:
    assert "transient" not in str(fold(display("a", "1")).to_notebook())


@pytest.mark.parametrize("transient", [None, {}, {"display_id": None}, {"display_id": 5}, "x"])
def test_a_display_without_a_usable_id_has_none(transient: Any) -> None:
    assert display_id({"transient": transient}) is None
    assert display_id({}) is None


@pytest.mark.parametrize("msg_type", ["status", "execute_input", "comm_open", "comm_msg", "debug_event", ""])
def test_other_messages_are_ignored(msg_type: str) -> None:
    outputs = CellOutputs()
    assert not outputs.add(msg_type, {"execution_state": "idle", "data": {}, "text": "x"})
    assert outputs.to_notebook() == []


JSON_VALUES = st.recursive(
    st.sampled_from([None, True, False, -1, 0, 7, 1.5, "", "text"]),
    lambda values: st.lists(values, max_size=2) | st.dictionaries(st.sampled_from("ab"), values, max_size=2),
    max_leaves=3,
)
CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        "name": JSON_VALUES,
        "text": JSON_VALUES,
        "data": st.dictionaries(st.sampled_from(["text/plain", "application/json", "image/png"]), JSON_VALUES)
        | JSON_VALUES,
        "metadata": JSON_VALUES,
        "execution_count": JSON_VALUES,
        "ename": JSON_VALUES,
        "evalue": JSON_VALUES,
        "traceback": JSON_VALUES,
        "transient": JSON_VALUES,
        "wait": JSON_VALUES,
    },
)
OUTPUT_TYPES = ["stream", "display_data", "execute_result", "error", "update_display_data", "clear_output"]


@patiently
@given(st.lists(st.tuples(st.sampled_from(OUTPUT_TYPES), CONTENTS), max_size=4))
def test_a_kernel_that_sends_nonsense_still_gives_a_valid_notebook(messages: list[Message]) -> None:
    outputs = fold(*messages).to_notebook()
    cell = {"id": "a", "cell_type": "code", "source": "", "metadata": {}, "execution_count": None}
    document = {"cells": [{**cell, "outputs": outputs}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    nbformat.validate(nbformat.from_dict(document))


def test_missing_fields_get_their_defaults() -> None:
    outputs = fold(("display_data", {}), ("execute_result", {}), ("error", {}), ("stream", {"text": "x"}))
    assert outputs.to_notebook() == [
        {"output_type": "display_data", "data": {}, "metadata": {}},
        {"output_type": "execute_result", "data": {}, "metadata": {}, "execution_count": None},
        {"output_type": "error", "ename": "", "evalue": "", "traceback": []},
        {"output_type": "stream", "name": "stdout", "text": "x"},
    ]


def test_text_types_hold_text_and_json_types_hold_anything() -> None:
    data = {"text/plain": 5, "image/png": None, "text/html": ["a", "b"], "application/x+json": None}
    [output] = dicts(fold(("display_data", {"data": data})))
    assert output["data"] == {"text/plain": "5", "text/html": ["a", "b"], "application/x+json": None}
    assert is_json_mime("application/json")
    assert not is_json_mime("text/x+json")


@pytest.mark.parametrize("mime", ["application/json", "text/plain"])
def test_json_too_deep_for_a_notebook_is_left_out(mime: str) -> None:
    deep = json.loads("[" * 100 + "{}" + "]" * 100)
    outputs = fold(("display_data", {"data": {mime: deep, "text/html": "kept"}, "metadata": {"a": deep}}))
    [output] = dicts(outputs)
    assert output["data"] == {
        mime: "(left out of the notebook: JSON nested more than 100 levels deep)",
        "text/html": "kept",
    }
    assert output["metadata"] == {}
    [output] = dicts(fold(("display_data", {"data": {"application/json": deep[0]}})))
    assert output["data"] == {"application/json": deep[0]}


@pytest.mark.parametrize("count", [-1, True, "3", None, 1.5])
def test_an_execution_count_that_is_none_is_not_kept(count: Any) -> None:
    [output] = dicts(fold(("execute_result", {"execution_count": count})))
    assert output["execution_count"] is None


def test_200_000_small_messages_fold_in_well_under_a_second() -> None:
    outputs = CellOutputs()
    began = time.perf_counter()
    for _ in range(200_000):
        outputs.add("stream", {"name": "stdout", "text": "x\n"})
    [output] = dicts(outputs)
    assert time.perf_counter() - began < 1.0
    assert output["text"] == "x\n" * 200_000
