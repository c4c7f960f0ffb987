"""The state of ipywidgets, kept in a notebook's metadata so that it can be shown without a kernel. Pure.

Folded from the kernel's comm messages as nbclient folds them. An Output widget takes what is printed while it
is active, which is then not the cell's:
https://ipywidgets.readthedocs.io/en/stable/embedding.html
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from kernelexec.model.html_text import html_to_text
from kernelexec.model.outputs import JSON, CellOutputs
from kernelexec.model.shown_errors import error_names

MIME = "application/vnd.jupyter.widget-state+json"
COMM_TYPES = frozenset({"comm_open", "comm_msg"})
CAPTURED_TYPES = frozenset({"stream", "display_data", "execute_result", "error", "clear_output"})
_TEXTS = ("HTMLModel", "HTMLMathModel", "LabelModel")
_PROGRESS = ("FloatProgressModel", "IntProgressModel")
_REFERENCE = "IPY_MODEL_"  # before the id of a widget inside another
_DEEPEST = 5  # levels of widgets in widgets
_OUTPUT = ("@jupyter-widgets/output", "OutputModel")


Shown = Mapping[str, JSON]  # an output as a notebook has it


class WidgetStates:
    """The widgets of one kernel."""

    def __init__(self) -> None:
        self._states: dict[str, dict[str, JSON]] = {}  # by comm id
        self._buffers: dict[str, dict[tuple[str, ...], dict[str, JSON]]] = {}
        self._outputs: dict[str, CellOutputs] = {}  # of Output widgets
        self._captured: dict[
            str, dict[str, None]
        ] = {}  # by msg_id of a request: the widgets that took output
        self._errors: dict[str, list[str]] = {}  # by msg_id of a request: names of the errors that they took
        self._capturing: dict[str, list[str]] = {}  # msg_id of a request -> the Output widgets that take it

    def take(self, content: Mapping[str, Any], buffers: Sequence[str]) -> bool:
        """A comm's message, its buffers in base64; True if it changes a widget."""
        identity, data = content.get("comm_id"), content.get("data")
        if not isinstance(identity, str) or not isinstance(data, Mapping):
            return False
        state = data.get("state")
        if not isinstance(state, Mapping):
            return False
        self._states.setdefault(identity, {}).update(state)
        self._take_buffers(identity, data.get("buffer_paths"), buffers)
        if (state.get("_model_module"), state.get("_model_name")) == _OUTPUT:
            self._outputs[identity] = CellOutputs()
        if identity in self._outputs and isinstance(state.get("outputs"), list):
            self._outputs[identity] = _folded(state["outputs"])
        if identity in self._outputs and isinstance(state.get("msg_id"), str):
            self._capture(identity, state["msg_id"])
        return True

    def capturer(self, msg_id: str | None) -> str | None:
        """The Output widget that takes the output of this request now."""
        active = self._capturing.get(msg_id or "")
        return active[-1] if active else None

    def capture(
        self, identity: str, message_type: str, content: Mapping[str, Any], msg_id: str | None = None
    ) -> None:
        """Output of this request for an Output widget."""
        self._outputs.setdefault(identity, CellOutputs()).add(message_type, content)
        self._states.setdefault(identity, {})
        self._captured.setdefault(msg_id or "", {})[identity] = None
        if message_type == "error":
            names = error_names([{"output_type": "error", **content}])
            self._errors.setdefault(msg_id or "", []).extend(names)

    def size(self, identity: str) -> int:
        """Characters that an Output widget holds."""
        return self._outputs[identity].size if identity in self._outputs else 0

    def captured(self, msg_id: str | None) -> Sequence[str]:
        """The Output widgets that have taken output of this request."""
        return tuple(self._captured.get(msg_id or "", ()))

    def errors(self, msg_id: str | None) -> Sequence[str]:
        """The names of the errors of this request that Output widgets have taken."""
        return tuple(self._errors.get(msg_id or "", ()))

    def shown(self, identity: str) -> Sequence[Shown]:
        """What a widget shows now that its text does not tell: an Output widget's outputs, texts, progress.

        `identity` is its model's, as a display names it.
        """
        if identity in self._outputs:
            return self._outputs[identity].to_notebook()
        text = self._text(identity, _DEEPEST)
        return [{"output_type": "stream", "name": "stdout", "text": text}] if text else []

    def _text(self, identity: str, levels: int) -> str:
        state = self._states.get(identity, {})
        model, value, children = state.get("_model_name"), state.get("value"), state.get("children")
        if model in _TEXTS and isinstance(value, str):
            return html_to_text(value)
        if model in _PROGRESS:
            return f"{_number(value)} of {_number(state.get('max'))}"
        if not isinstance(children, list) or not levels:
            return ""
        inner = [self._text(str(child).removeprefix(_REFERENCE), levels - 1) for child in children]
        return " ".join(part for part in inner if part)

    def to_metadata(self) -> dict[str, JSON]:
        """The notebook's `widgets` metadata; empty without widgets."""
        models: dict[str, JSON] = {
            identity: self._model(identity, state)
            for identity, state in self._states.items()
            if "_model_name" in state
        }
        return {MIME: {"state": models, "version_major": 2, "version_minor": 0}} if models else {}

    def _model(self, identity: str, state: Mapping[str, JSON]) -> dict[str, JSON]:
        model: dict[str, JSON] = {
            "model_name": state.get("_model_name"),
            "model_module": state.get("_model_module"),
            "model_module_version": state.get("_model_module_version"),
            "state": dict(state),
        }
        if identity in self._outputs and self._outputs[identity].size:
            model["state"] = {**state, "outputs": self._outputs[identity].to_notebook()}
        if identity in self._buffers:
            model["buffers"] = list(self._buffers[identity].values())
        return model

    def _take_buffers(self, identity: str, paths: JSON, buffers: Sequence[str]) -> None:
        if not isinstance(paths, list):
            return
        for path, data in zip(paths, buffers, strict=False):
            key = tuple(map(str, path)) if isinstance(path, list) else (str(path),)
            kept = self._buffers.setdefault(identity, {})
            kept[key] = {"data": data, "encoding": "base64", "path": path}

    def _capture(self, identity: str, msg_id: str) -> None:
        """From now on the widget takes the output of this request; none for an empty id."""
        for active in self._capturing.values():
            if identity in active:
                active.remove(identity)
        if msg_id:
            self._capturing.setdefault(msg_id, []).append(identity)
        self._capturing = {request: active for request, active in self._capturing.items() if active}


def _folded(outputs: Sequence[JSON]) -> CellOutputs:
    folded = CellOutputs()
    for output in outputs:
        if isinstance(output, Mapping):
            folded.add(str(output.get("output_type")), output)
    return folded


def encoded(buffers: Sequence[bytes]) -> list[str]:
    """Buffers as the journal and the notebook hold them."""
    return [base64.b64encode(buffer).decode() for buffer in buffers]


def _number(value: JSON) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else "?"
