"""The state of ipywidgets, kept in a notebook's metadata so that it can be shown without a kernel. Pure.

Folded from the kernel's comm messages as nbclient folds them. An Output widget takes what is printed while it
is active, which is then not the cell's:
https://ipywidgets.readthedocs.io/en/stable/embedding.html
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kernelexec.model.outputs import JSON, CellOutputs, size_of
from kernelexec.model.shown_errors import error_names
from kernelexec.model.widget_views import Shown, WidgetViews

MIME = "application/vnd.jupyter.widget-state+json"
COMM_TYPES = frozenset({"comm_open", "comm_msg"})
COMM_CLOSE = "comm_close"
CAPTURED_TYPES = frozenset({"stream", "display_data", "execute_result", "error", "clear_output"})
_OUTPUT = ("@jupyter-widgets/output", "OutputModel")
_IN_ORDER = frozenset({"msg_id", "outputs", "_model_name", "_model_module"})
_REFERENCE = "IPY_MODEL_"  # before the id of a widget inside another
MOST = 10_000_000  # characters of all states, which each notebook of the kernel has to hold


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
        self._closed: dict[str, None] = {}  # in the order in which they were closed
        self._may_forget = False  # something was closed since closed ones were forgotten
        self._size = 0  # of states, buffers and captured output

    def take(self, content: Mapping[str, Any], buffers: Sequence[str]) -> bool:
        """A comm's message, its buffers in base64; True if it changes a widget."""
        if not says_state(content):
            return False
        identity, data = content["comm_id"], content["data"]
        state = data["state"]
        if "target_name" in content:
            self._closed.pop(identity, None)  # opened anew
        if not self.has_room(self._growth(identity, state) + size_of(buffers)):
            return False
        self._size += self._growth(identity, state)
        self._states.setdefault(identity, {}).update(state)
        self._take_buffers(identity, data.get("buffer_paths"), buffers)
        if (state.get("_model_module"), state.get("_model_name")) == _OUTPUT:
            self._fold(identity, CellOutputs())
        if identity in self._outputs and isinstance(state.get("outputs"), list):
            self._fold(identity, _folded(state["outputs"]))
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
        outputs = self._outputs.setdefault(identity, CellOutputs())
        self._size -= outputs.size
        outputs.add(message_type, content)
        self._size += outputs.size
        self._states.setdefault(identity, {})
        self._captured.setdefault(msg_id or "", {})[identity] = None
        if message_type == "error":
            names = error_names([{"output_type": "error", **content}])
            self._errors.setdefault(msg_id or "", []).extend(names)

    def has_room(self, growth: int) -> bool:
        """Whether so many characters more may be kept, if need be in the place of what nobody can see."""
        if growth > 0 and self._size + growth > MOST and self._may_forget:
            self._forget_closed()
        return growth <= 0 or self._size + growth <= MOST

    def size(self, identity: str) -> int:
        """Characters that an Output widget holds."""
        return self._outputs[identity].size if identity in self._outputs else 0

    def captured(self, msg_id: str | None) -> Sequence[str]:
        """The Output widgets that have taken output of this request."""
        return tuple(self._captured.get(msg_id or "", ()))

    def errors(self, msg_id: str | None) -> Sequence[str]:
        """The names of the errors of this request that Output widgets have taken."""
        return tuple(self._errors.get(msg_id or "", ()))

    def close(self, content: Mapping[str, Any]) -> bool:
        """A comm's end: from now on nothing shows the widget. True if there is one.

        The notebook keeps its state, as nbclient does, until there is too much of all.
        """
        identity = content.get("comm_id")
        if not isinstance(identity, str) or identity not in self._states:
            return False
        self._closed[identity] = None
        self._may_forget = True
        return True

    def views(self) -> WidgetViews:
        """What the widgets show now."""
        return WidgetViews(self)

    def state(self, identity: str) -> Mapping[str, JSON] | None:
        return self._states.get(identity)

    def is_closed(self, identity: str) -> bool:
        return identity in self._closed

    def outputs(self, identity: str) -> Sequence[Shown] | None:
        found = self._outputs.get(identity)
        return None if found is None else found.to_notebook()

    def buffer(self, identity: str, name: str) -> str | None:
        kept = self._buffers.get(identity, {}).get((name,))
        return None if kept is None else str(kept["data"])

    def models(self) -> dict[str, JSON]:
        """By id, as a notebook has them."""
        return {
            identity: self._model(identity, state)
            for identity, state in self._states.items()
            if "_model_name" in state
        }

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
            self._size += len(data) - size_of(kept.get(key, {}).get("data", ""))
            kept[key] = {"data": data, "encoding": "base64", "path": path}

    def _fold(self, identity: str, outputs: CellOutputs | None) -> None:
        """From now on an Output widget shows these; None: it is forgotten."""
        before = self._outputs.pop(identity, None)
        self._size += (outputs.size if outputs else 0) - (before.size if before else 0)
        if outputs is not None:
            self._outputs[identity] = outputs

    def _growth(self, identity: str, state: Mapping[str, JSON]) -> int:
        before = self._states.get(identity, {})
        return sum(size_of(value) - size_of(before.get(name, "")) for name, value in state.items())

    def _forget_closed(self) -> None:
        """The states of closed widgets, and of what is inside them alone."""
        self._may_forget = False
        inside: dict[str, int] = {}  # how many widgets a widget is in
        for state in self._states.values():
            for identity in _parts(state):
                inside[identity] = inside.get(identity, 0) + 1
        waiting = [identity for identity in self._closed if identity in self._states]
        while waiting:
            identity = waiting.pop()
            if identity not in self._states:
                continue
            state = self._states.pop(identity)
            buffers = self._buffers.pop(identity, {}).values()
            self._size -= size_of(list(state.values())) + sum(size_of(each["data"]) for each in buffers)
            self._fold(identity, None)
            for part in _parts(state):
                inside[part] -= 1
                if not inside[part]:
                    waiting.append(part)

    def _capture(self, identity: str, msg_id: str) -> None:
        """From now on the widget takes the output of this request; none for an empty id."""
        for active in self._capturing.values():
            if identity in active:
                active.remove(identity)
        if msg_id:
            self._capturing.setdefault(msg_id, []).append(identity)
        self._capturing = {request: active for request, active in self._capturing.items() if active}


def notebook_metadata(of_kernels: Iterable[WidgetStates]) -> dict[str, JSON]:
    """The `widgets` metadata of a notebook that cells of these kernels are in."""
    models: dict[str, JSON] = {}
    for states in of_kernels:
        models |= states.models()
    return {MIME: {"state": models, "version_major": 2, "version_minor": 0}} if models else {}


def _folded(outputs: Sequence[JSON]) -> CellOutputs:
    folded = CellOutputs()
    for output in outputs:
        if isinstance(output, Mapping):
            folded.add(str(output.get("output_type")), output)
    return folded


def replaced_by(content: Mapping[str, Any]) -> frozenset[tuple[str, ...]] | None:
    """What a comm's message sets: keys of its state, and paths of buffers. What earlier ones said of these
    counts no more. None: it also says what counts in its order, as what a widget captures."""
    data = content.get("data")
    state = data.get("state") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(state, Mapping) or _IN_ORDER & state.keys():
        return None
    if "target_name" in content:  # it opens the comm
        return None
    paths = data.get("buffer_paths")
    named = [
        path if isinstance(path, list) else [path] for path in (paths if isinstance(paths, list) else [])
    ]
    return frozenset([*((key,) for key in state), *(("", *map(str, path)) for path in named)])


def says_state(content: Mapping[str, Any]) -> bool:
    """Whether a comm's message says something of a widget's state."""
    data = content.get("data")
    has_state = isinstance(data, Mapping) and isinstance(data.get("state"), Mapping)
    return has_state and isinstance(content.get("comm_id"), str)


def encoded(buffers: Sequence[bytes]) -> list[str]:
    """Buffers as the journal and the notebook hold them."""
    return [base64.b64encode(buffer).decode() for buffer in buffers]


def _parts(state: Mapping[str, JSON]) -> Iterator[str]:
    """The widgets that a widget is made of: layout, style, children."""
    for value in state.values():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str) and each.startswith(_REFERENCE):
                yield each.removeprefix(_REFERENCE)
