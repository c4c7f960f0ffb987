"""What widgets show now, in words: of each what a person sees, and nothing that is hidden. Pure.

A layout may hide a widget, a comm that was closed has taken it away, and a tab, an accordion or a stack shows
the child that is selected. The words for each control are in widget_words.py.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from kernelexec.model.outputs import JSON, WIDGET_VIEW
from kernelexec.model.widget_words import CONTROLS, ONE_OF, State, titles_of, unknown

Shown = Mapping[str, JSON]  # an output as a notebook has it

_REFERENCE = "IPY_MODEL_"  # before the id of a widget inside another
_DEEPEST = 12  # levels of widgets in widgets
_MOST = 5_000  # widgets inside one that are put into words: each may be inside many others
_MOST_OF_ALL = 50_000  # that are put into words at a time; further ones are left to the text of their objects
_OF_HTML = ("HTMLModel", "HTMLMathModel")
_PICTURES = ("<img", "<svg")


class Widgets(Protocol):
    """The widgets of a kernel, by the id of their model."""

    def state(self, identity: str) -> State | None:
        """None: it is not known."""

    def is_closed(self, identity: str) -> bool: ...

    def outputs(self, identity: str) -> Sequence[Shown] | None:
        """Of an Output widget; None: it is none."""

    def buffer(self, identity: str, name: str) -> str | None:
        """What a trait holds in bytes, in base64."""


class WidgetViews:
    """Puts widgets into words, and knows which it has met."""

    def __init__(self, widgets: Widgets) -> None:
        self.met: set[str] = set()  # also those that are hidden, and all that are inside another
        self._widgets = widgets
        self._left = 0
        self._left_of_all = _MOST_OF_ALL

    def of(self, identity: str) -> Sequence[Shown] | None:
        """What a widget shows, as outputs; empty: nothing, for it is hidden; None: it has no words."""
        given = self._left = min(_MOST, self._left_of_all)
        view = self._view(identity, _DEEPEST) if given > 0 else None
        self._left_of_all -= given - self._left
        return view

    def _view(self, identity: str, levels: int) -> Sequence[Shown] | None:
        self.met.add(identity)
        self._left -= 1
        state = self._widgets.state(identity)
        if self._widgets.is_closed(identity) or self._is_hidden(state or {}) or not levels or self._left < 0:
            self._meet(state or {}, levels)
            return []
        if state is None:
            return None
        outputs = self._widgets.outputs(identity)
        if outputs is not None:
            return [shown for output in outputs for shown in self._of_output(output, levels)]
        return self._picture(identity, state) or self._words(state, levels)

    def _words(self, state: State, levels: int) -> Sequence[Shown] | None:
        model = str(state.get("_model_name"))
        if model in CONTROLS:
            return _said(CONTROLS[model](state))
        if isinstance(state.get("children"), list):
            return self._container(model, state, levels)
        return None

    def _meet(self, state: State, levels: int) -> None:
        """What is inside something hidden."""
        for child in _children(state) if levels else ():
            if child not in self.met:
                self.met.add(child)
                self._meet(self._widgets.state(child) or {}, levels - 1)

    def _is_hidden(self, state: State) -> bool:
        layout = self._widgets.state(_id(state.get("layout"))) or {}
        return (
            layout.get("display") == "none"
            or layout.get("visibility") == "hidden"
            or state.get("visible") is False  # ipywidgets 6
        )

    def _of_output(self, output: Shown, levels: int) -> Sequence[Shown]:
        data = output.get("data")
        identity = widget_in(data) if isinstance(data, Mapping) else None
        view = self._view(identity, levels - 1) if identity is not None else None
        return [output] if view is None else view

    def _picture(self, identity: str, state: State) -> Sequence[Shown]:
        """Of a widget that is one, or has some in its HTML."""
        model, value = str(state.get("_model_name")), str(state.get("value"))
        if model in _OF_HTML and any(sign in value for sign in _PICTURES):
            return _displayed("text/html", value)
        if model != "ImageModel":
            return []
        data, kind = self._widgets.buffer(identity, "value"), str(state.get("format"))
        if data is None or kind == "url":
            return _said("[a picture]")
        if kind.startswith("svg"):
            return _displayed("image/svg+xml", base64.b64decode(data).decode(errors="replace"))
        return _displayed("image/jpeg" if kind == "jpg" else f"image/{kind}", data)

    def _container(self, model: str, state: State, levels: int) -> Sequence[Shown]:
        children = _children(state)
        head, chosen = "", list(children)
        if model in ONE_OF:
            chosen = _selected(children, state)
            head = ONE_OF[model](titles_of(state, len(children)), state)
            for child in children:  # its other children are not shown
                if child not in chosen:
                    self.met.add(child)
                    self._meet(self._widgets.state(child) or {}, levels - 1)
        views = [self._child(child, levels - 1) for child in chosen]
        if model == "HBoxModel" and all(map(_is_a_line, views)):
            return _said(" ".join(_in_a_row([_line(view) for view in views if view])))
        return [*_said(head), *(shown for view in views for shown in view)]

    def _child(self, identity: str, levels: int) -> Sequence[Shown]:
        view = self._view(identity, levels)
        if view is not None:
            return view
        state = self._widgets.state(identity)
        return _said(unknown(state)) if state else []


def widget_in(data: Mapping[str, Any]) -> str | None:
    """The id of the model that a display shows."""
    view = data.get(WIDGET_VIEW)
    identity = view.get("model_id") if isinstance(view, Mapping) else None
    return identity if isinstance(identity, str) else None


def _displayed(mime: str, data: str) -> Sequence[Shown]:
    return [{"output_type": "display_data", "data": {mime: data}, "metadata": {}}]


def _said(text: str) -> Sequence[Shown]:
    return [{"output_type": "stream", "name": "stdout", "text": text}] if text.strip() else []


def _line(view: Sequence[Shown]) -> str:
    return "".join(str(shown.get("text", "")) for shown in view)


def _is_a_line(view: Sequence[Shown]) -> bool:
    return not view or (len(view) == 1 and "\n" not in str(view[0].get("text", "\n")).strip("\n"))


def _in_a_row(lines: Sequence[str]) -> Iterable[str]:
    """A bar says no more where its count is written beside it, as tqdm does: 3/20."""
    for line in map(str.strip, lines):
        bar = _BAR.fullmatch(line)
        if bar is None or not any(f"{bar['value']}/{bar['end']}" in other for other in lines):
            yield line


_BAR = re.compile(r"(?P<value>\S+) of (?P<end>\S+)")


def _id(value: JSON) -> str:
    return value.removeprefix(_REFERENCE) if isinstance(value, str) else ""


def _children(state: State) -> list[str]:
    children = state.get("children")
    return [_id(child) for child in children] if isinstance(children, list) else []


def _selected(children: Sequence[str], state: State) -> list[str]:
    index = state.get("selected_index")
    return list(children[index : index + 1]) if isinstance(index, int) and index >= 0 else []
