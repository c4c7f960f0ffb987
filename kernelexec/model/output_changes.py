"""From what a page shows of a cell to what it is to show: the least that has to change. Pure.

A change is a list: `["cut", n]` takes away what comes after the first n outputs, `["put", i, output]`
replaces output i or adds it at the end, `["text", i, kept, text]` lets `text` follow the first `kept` bytes
(UTF-8) of a stream's text. They are in the order in which they are to be made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kernelexec.model.outputs import JSON, Piece, Stream
from kernelexec.model.overwritten_text import OverwrittenText, overwritten


@dataclass
class _Shown:
    piece: Piece
    text: OverwrittenText
    position: int = 0  # characters of a stream's text that are shown


class ShownOutputs:
    """The outputs of one cell in a page."""

    def __init__(self) -> None:
        self._shown: list[_Shown] = []

    def __len__(self) -> int:
        return len(self._shown)

    def changes(self, pieces: Sequence[Piece]) -> list[list[JSON]]:
        """What brings the page to these outputs; it counts as done."""
        found: list[list[JSON]] = []
        if len(pieces) < len(self._shown):
            del self._shown[len(pieces) :]
            found.append(["cut", len(pieces)])
        for place, piece in enumerate(pieces):
            shown = self._shown[place] if place < len(self._shown) else None
            if shown is None or shown.piece is not piece:
                found.append(["put", place, self._put(place, piece)])
            elif isinstance(piece, Stream) and shown.position < piece.length:
                new = piece.since(shown.position)
                shown.position = piece.length
                found.append(["text", place, *shown.text.add(new)])
        return found

    def _put(self, place: int, piece: Piece) -> dict[str, JSON]:
        shown = _Shown(piece, OverwrittenText())
        self._shown[place : place + 1] = [shown]
        if not isinstance(piece, Stream):
            return piece
        shown.position = piece.length
        return {"output_type": "stream", "name": piece.name, "text": shown.text.add(piece.since(0))[1]}


def as_shown(output: JSON) -> JSON:
    """An output of a notebook as a page shows it."""
    if isinstance(output, dict) and output.get("output_type") == "stream":
        text = output.get("text")
        return {**output, "text": overwritten(text)} if isinstance(text, str) else output
    return output
