"""The outputs of one cell, folded from the kernel's iopub messages as Jupyter's front ends fold them.

The rules are those of nbclient and JupyterLab:

- stream text joins the previous output if that is the same stream, and is a new output otherwise;
- `clear_output` empties the cell, with `wait` only when the next output comes;
- a display with an id changes every output that has this id, and `update_display_data` adds none.

Text is kept as it came: escape codes, carriage returns and backspaces are the notebook's to render.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

JSON: TypeAlias = "Mapping[str, JSON] | Sequence[JSON] | str | int | float | bool | None"
Content: TypeAlias = Mapping[str, JSON]

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

# Levels of lists and objects in one value. nbformat copies notebooks with two or three Python frames for
# each, of which there are 1,000: JupyterLab could read a notebook with a deeper value, but not save it.
_DEEPEST = 100
_TOO_DEEP = f"(left out of the notebook: JSON nested more than {_DEEPEST} levels deep)"


@dataclass(eq=False)
class Stream:
    """Stream text in the pieces it came in: joining at each message would cost the square of their number."""

    name: str
    chunks: list[str]
    length: int  # characters

    def add(self, text: str) -> None:
        self.chunks.append(text)
        self.length += len(text)

    def since(self, position: int) -> str:
        """The text from this character on; looks at no more of it."""
        found: list[str] = []
        missing = self.length - position
        for chunk in reversed(self.chunks):
            if missing <= 0:
                break
            found.append(chunk[-missing:])
            missing -= len(chunk)
        return "".join(reversed(found))

    def to_notebook(self) -> dict[str, JSON]:
        self.chunks = ["".join(self.chunks)]  # so that the next call copies nothing
        return {"output_type": "stream", "name": self.name, "text": self.chunks[0]}


Piece: TypeAlias = (
    "Stream | dict[str, JSON]"  # one output; replaced by another object if it changes, or grown
)


class CellOutputs:
    """The outputs of one cell while its messages arrive.

    Takes whatever a kernel sends: a missing field gets its default and a field of the wrong type is made
    to fit, so that the outputs are always valid in nbformat 4.5.
    """

    def __init__(self) -> None:
        self._outputs: list[Piece] = []
        self._places: dict[str, list[int]] = {}  # display id -> positions in _outputs
        self._clear_at_next_output = False
        self._size = 0
        self.is_late = False  # whether what comes now is told to have come after the end of the run

    def add(self, msg_type: str, content: Content) -> bool:
        """Fold one message in; True if the outputs are now others than before."""
        if msg_type == "stream":
            return self._add_stream(content)
        if msg_type in ("display_data", "execute_result"):
            return self._add_display(msg_type, content)
        if msg_type == "update_display_data":
            return self._update_display(content)
        if msg_type == "error":
            return self._add_error(content)
        if msg_type == "clear_output":
            return self._clear_output(content)
        return False

    def to_notebook(self) -> list[dict[str, JSON]]:
        """The outputs as nbformat 4.5 has them in memory: text in one piece, nothing transient."""
        return [
            output.to_notebook() if isinstance(output, Stream) else dict(output) for output in self._outputs
        ]

    @property
    def pieces(self) -> Sequence[Piece]:
        """The outputs as they are held: to be looked at, not changed."""
        return self._outputs

    def widgets(self) -> Iterator[str]:
        """The model ids of the widgets that are shown."""
        for output in self._outputs:
            data = output.get("data") if isinstance(output, dict) else None
            view = data.get(WIDGET_VIEW) if isinstance(data, Mapping) else None
            identity = view.get("model_id") if isinstance(view, Mapping) else None
            if isinstance(identity, str):
                yield identity

    @property
    def size(self) -> int:
        """Characters held now; what `clear_output` removed and updates replaced no longer counts."""
        return self._size

    def _add_stream(self, content: Content) -> bool:
        text = content.get("text")
        if not isinstance(text, str):
            return False
        name = _text(content.get("name", "stdout"))
        self._clear_if_asked()
        last = self._outputs[-1] if self._outputs else None
        if isinstance(last, Stream) and last.name == name:
            last.add(text)
        else:
            self._outputs.append(Stream(name, [text], len(text)))
        self._size += len(text)
        return True

    def _add_display(self, msg_type: str, content: Content) -> bool:
        self._update_display(content)  # a display whose id is known changes the earlier ones, too
        self._clear_if_asked()
        identity = display_id(content)
        if identity is not None:
            self._places.setdefault(identity, []).append(len(self._outputs))
        output: dict[str, JSON] = {"output_type": msg_type, **_display(content)}
        if msg_type == "execute_result":
            output["execution_count"] = _count(content.get("execution_count"))
        self._outputs.append(output)
        self._size += size_of(output)
        self.is_late = self.is_late or _says_late(output)
        return True

    def _update_display(self, content: Content) -> bool:
        identity = display_id(content)
        places = self._places.get(identity, []) if identity is not None else []
        for place in places:
            output = self._outputs[place]
            if isinstance(output, dict):
                new = self._outputs[place] = {**output, **_display(content)}
                self._size += size_of(new) - size_of(output)
        return bool(places)

    def _add_error(self, content: Content) -> bool:
        self._clear_if_asked()
        output: dict[str, JSON] = {
            "output_type": "error",
            "ename": _text(content.get("ename", "")),
            "evalue": _text(content.get("evalue", "")),
            "traceback": _text_list(content.get("traceback")),
        }
        self._outputs.append(output)
        self._size += size_of(output)
        return True

    def _clear_output(self, content: Content) -> bool:
        if content.get("wait"):
            self._clear_at_next_output = True
            return False
        changed = bool(self._outputs)
        self._clear()
        return changed

    def _clear_if_asked(self) -> None:
        if self._clear_at_next_output:
            self._clear()

    def _clear(self) -> None:
        self._outputs.clear()
        self._places.clear()
        self._clear_at_next_output = False
        self._size = 0
        self.is_late = False


def late_label(moment: str) -> Content:
    """What stands in a cell before the output that came when its run had ended: of a thread, for example."""
    text = f"[what follows came after this cell had ended, from {moment} on]"
    return {"data": {"text/plain": text}, "metadata": {"kernelexec": {"late": True}}, "transient": {}}


def _says_late(output: Content) -> bool:
    metadata = output.get("metadata")
    ours = metadata.get("kernelexec") if isinstance(metadata, Mapping) else None
    return isinstance(ours, Mapping) and ours.get("late") is True


def size_of(value: JSON) -> int:
    """Characters in a JSON value, about as many as it has in a notebook."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(len(key) + size_of(inner) for key, inner in value.items())
    if isinstance(value, Sequence):
        return sum(map(size_of, value))
    return 5


def display_id(content: Content) -> str | None:
    """The display id in a message's `transient` part. A recorder needs it to find earlier cells."""
    transient = content.get("transient")
    identity = transient.get("display_id") if isinstance(transient, Mapping) else None
    return identity if isinstance(identity, str) and identity else None


def is_json_mime(mime: str) -> bool:
    """Whether nbformat lets the data of this MIME type be any JSON; all others are text."""
    return mime == "application/json" or (mime.startswith("application/") and mime.endswith("+json"))


def is_deeper_than(levels: int, value: JSON) -> bool:
    """Whether the lists and objects in a value from json.loads are nested more than so many levels deep."""
    layer = [value] if isinstance(value, (dict, list)) else []
    for _ in range(levels):
        if not layer:
            return False
        layer = [inner for outer in layer for inner in _items(outer) if isinstance(inner, (dict, list))]
    return bool(layer)


def _items(outer: dict[str, JSON] | list[JSON]) -> Iterable[JSON]:
    return outer.values() if isinstance(outer, dict) else outer


def _shallow(value: JSON) -> JSON:
    return _TOO_DEEP if is_deeper_than(_DEEPEST, value) else value


def _display(content: Content) -> dict[str, JSON]:
    data, metadata = content.get("data"), _shallow(content.get("metadata"))
    return {
        "data": _mimebundle(data) if isinstance(data, Mapping) else {},
        "metadata": dict(metadata) if isinstance(metadata, Mapping) else {},
    }


def _mimebundle(data: Content) -> dict[str, JSON]:
    """The data with only text under text types; a type without a value (None) is left out."""
    return {
        mime: _shallow(value) if is_json_mime(mime) or _is_text(value) else _text(value)
        for mime, value in data.items()
        if value is not None or is_json_mime(mime)
    }


def _is_text(value: JSON) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(line, str) for line in value)
    )


def _text(value: JSON) -> str:
    if isinstance(value, str):
        return value
    return _TOO_DEEP if is_deeper_than(_DEEPEST, value) else json.dumps(value)


def _text_list(value: JSON) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [_text(line) for line in value] if isinstance(value, list) else []


def _count(value: JSON) -> int | None:
    """An execution count; the schema knows none below zero, and True is not a number."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
