"""Bars that go on: of a line that is drawn anew in a later block of its stream, only the last state is told.

A bar on stderr and what is printed beside it on stdout are one screen in a terminal, and many blocks here:
each would show how far the bar had come by then, and fill the reply with that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kernelexec.model.excerpts import plain_from
from kernelexec.model.terminal import moves_across_lines
from kernelexec.model.transcript import Piece

_STREAMS = ("stdout", "stderr")
_LOOKED_AT = 20_000  # characters; what is longer has lines to show


def without_overdrawn(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces without the lines that later ones draw anew, and without those that show nothing then."""
    shown = []
    is_drawn_anew = dict.fromkeys(_STREAMS, False)  # whether the next block begins at its line's begin
    for piece in reversed(pieces):
        if piece.label not in _STREAMS:
            shown.append(piece)
            continue
        text = piece.text
        if is_drawn_anew[piece.label] and not moves_across_lines(text):
            text = text[: text.rfind("\n") + 1]
        is_drawn_anew[piece.label] = piece.text.startswith("\r") and not piece.text.startswith("\r\n")
        if not _shows_nothing(text, piece.seen):
            shown.append(replace(piece, text=text))
    return shown[::-1]


def _shows_nothing(text: str, seen: int) -> bool:
    return len(text) <= seen or (len(text) < _LOOKED_AT and not plain_from(text, seen).strip())
