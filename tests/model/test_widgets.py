"""Comm messages in, widget state out; nbclient says what is right."""

from __future__ import annotations

import base64
import copy
from typing import Any

from nbclient import NotebookClient
from nbformat import v4

from kernelexec.model.outputs import CellOutputs
from kernelexec.model.widgets import (
    CAPTURED_TYPES,
    COMM_TYPES,
    MIME,
    WidgetStates,
    encoded,
    notebook_metadata,
)

Said = tuple[str, dict[str, Any], list[bytes]]


class NoKernel:
    """What nbclient tells the kernel of an Output widget goes nowhere."""

    def __init__(self) -> None:
        self.session = self.shell_channel = self

    def msg(self, *_: Any, **__: Any) -> None: ...

    def send(self, message: None) -> None: ...


def nbclients(messages: list[Said]) -> tuple[Any, Any]:
    """The widgets metadata and the cell's outputs that nbclient makes of the messages of one cell."""
    notebook = v4.new_notebook(cells=[v4.new_code_cell("x")])
    client = NotebookClient(notebook, record_timing=False)
    client.reset_execution_trackers()
    client.clear_before_next_output = False
    client.kc = NoKernel()  # type: ignore[assignment]
    for message_type, content, buffers in messages:
        client.process_message(
            {
                "msg_type": message_type,
                "header": {"msg_type": message_type},
                "parent_header": {"msg_id": "1"},
                "content": copy.deepcopy(content),
                "buffers": buffers,
            },
            notebook.cells[0],
            0,
        )
    client.set_widgets_metadata()
    return notebook.metadata.get("widgets", {}), notebook.cells[0].outputs


def ours(messages: list[Said]) -> tuple[Any, Any]:
    widgets, cell = WidgetStates(), CellOutputs()
    for message_type, content, buffers in messages:
        capturer = widgets.capturer("1")
        if message_type in COMM_TYPES:
            widgets.take(content, encoded(buffers))
        elif capturer is not None and message_type in CAPTURED_TYPES:
            widgets.capture(capturer, message_type, content)
        else:
            cell.add(message_type, content)
    return notebook_metadata([widgets]), cell.to_notebook()


def opened(identity: str, model: str, buffers: tuple[bytes, ...] = (), **state: Any) -> Said:
    module = "@jupyter-widgets/output" if model == "OutputModel" else "@jupyter-widgets/controls"
    names = {"_model_name": model, "_model_module": module, "_model_module_version": "2.0.0"}
    data = {"state": {**names, **state}, "buffer_paths": [["value"]] if buffers else []}
    return "comm_open", {"comm_id": identity, "target_name": "jupyter.widget", "data": data}, list(buffers)


def updated(identity: str, buffers: tuple[bytes, ...] = (), **state: Any) -> Said:
    data = {"method": "update", "state": state, "buffer_paths": [["value"]] if buffers else []}
    return "comm_msg", {"comm_id": identity, "data": data}, list(buffers)


def printed(text: str) -> Said:
    return "stream", {"name": "stdout", "text": text}, []


def test_states_and_buffers_are_those_of_nbclient() -> None:
    messages = [
        opened("a", "IntSliderModel", value=1, min=0),
        opened("b", "ImageModel", (b"\x00\xffpicture",), format="png"),
        updated("a", value=7),
        updated("b", (b"another",)),
        ("comm_msg", {"comm_id": "a", "data": {"method": "custom", "content": {}}}, []),
        ("comm_close", {"comm_id": "a", "data": {}}, []),
    ]
    metadata, _ = ours(messages)
    assert metadata == nbclients(messages)[0]
    assert metadata[MIME]["state"]["a"]["state"]["value"] == 7
    [buffer] = metadata[MIME]["state"]["b"]["buffers"]
    assert base64.b64decode(buffer["data"]) == b"another"


def test_an_output_widget_takes_what_is_printed_while_it_is_active_as_in_nbclient() -> None:
    messages = [
        opened("o", "OutputModel", msg_id="", outputs=[]),
        printed("before\n"),
        updated("o", msg_id="1"),
        printed("inside\n"),
        printed("inside too\n"),
        ("display_data", {"data": {"text/plain": "shown"}, "metadata": {}}, []),
        updated("o", msg_id=""),
        printed("after\n"),
    ]
    assert ours(messages)[0] == nbclients(messages)[0]
    metadata, cell = ours(messages)
    assert [output["text"] for output in cell] == ["before\nafter\n"]
    captured = metadata[MIME]["state"]["o"]["state"]["outputs"]
    assert captured[0]["text"] == "inside\ninside too\n"


def test_without_widgets_there_is_no_metadata() -> None:
    assert ours([printed("x")])[0] == {}
    assert WidgetStates().take({"comm_id": "a", "data": {"content": "no state"}}, []) is False
    assert WidgetStates().take({"comm_id": 3, "data": None}, []) is False


def words_of(widgets: WidgetStates, identity: str) -> str:
    return "".join(str(output.get("text", "")) for output in widgets.views().of(identity) or ())


def test_a_widget_is_told_by_what_it_shows_now() -> None:
    widgets = WidgetStates()
    for _, content, _ in (
        opened(
            "bar", "HBoxModel", children=["IPY_MODEL_l", "IPY_MODEL_p", "IPY_MODEL_bar", "IPY_MODEL_gone"]
        ),
        opened("l", "HTMLModel", value="<b>45%</b>"),
        opened("p", "FloatProgressModel", value=9.0, max=20.0),
        updated("l", value="<b>50%</b>"),
        opened("o", "OutputModel", msg_id="", outputs=[]),
        updated("o", outputs=[{"output_type": "stream", "name": "stdout", "text": "appended"}]),
    ):
        widgets.take(content, [])
    assert words_of(widgets, "bar").startswith("50% 9 of 20")
    assert words_of(widgets, "o") == "appended"
    assert widgets.views().of("unknown") is None


def test_the_output_widgets_that_took_a_requests_output_are_known() -> None:
    widgets = WidgetStates()
    widgets.take(opened("o", "OutputModel", msg_id="1", outputs=[])[1], [])
    widgets.capture("o", *printed("inside")[:2], "1")
    assert (widgets.captured("1"), widgets.captured("2")) == (("o",), ())
    assert widgets.size("o") == len("inside")
