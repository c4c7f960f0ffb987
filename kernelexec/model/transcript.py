"""All that a run has shown, as one text: what a reply is an excerpt of, and what read_output reads.

Positions are characters from its beginning. Output that comes later is added at the end, so that a position
stays what it is while the run goes on (but for `clear_output`, which begins anew).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kernelexec.model.display import Picture, in_words
from kernelexec.model.execution import Overflow
from kernelexec.model.text import plain
from kernelexec.model.tracebacks import short_traceback

_GAP = "\n\n"  # between two pieces


@dataclass(frozen=True)
class Piece:
    """One output in words. Its text begins at `position`, after a line with the label."""

    label: str
    text: str  # of a stream as it came, with escape codes
    position: int
    number: int = 0  # of the picture among all of this run
    picture: Picture | None = None

    @property
    def end(self) -> int:
        return self.position + len(self.text)

    @property
    def head(self) -> str:
        return f"[{self.label}]\n"


@dataclass(frozen=True)
class Transcript:
    pieces: tuple[Piece, ...]
    file_position: int  # where the text goes on that is only in the run's file
    file_skip: int  # characters at the file's beginning that are among the pieces
    overflow: Overflow | None  # of what is in the file

    @property
    def end(self) -> int:
        more = self.overflow.characters - self.file_skip if self.overflow else 0
        return self.file_position + max(0, more)

    def in_memory(self) -> str:
        """The text up to `file_position`."""
        return "".join(
            f"{_GAP if index else ''}{piece.head}{piece.text}" for index, piece in enumerate(self.pieces)
        ) + (self.file_head if self.overflow else "")

    @property
    def file_head(self) -> str:
        return f"{_GAP if self.pieces else ''}{FILE_HEAD}"


FILE_HEAD = "[output that is too much for the notebook]\n"


def transcript_of(
    outputs: list[dict[str, Any]], overflow: Overflow | None, files: Mapping[int, str]
) -> Transcript:
    """The transcript of a run with these outputs (nbformat's), `overflow` being what went to its file so far.

    `files` names the file of each cell by its execution count.
    """
    pieces: list[Piece] = []
    position, pictures = 0, 0
    for label, text, picture in _words(outputs, files):
        pictures += picture is not None
        position += (len(_GAP) if pieces else 0) + len(label) + len("[]\n")
        pieces.append(Piece(label, text, position, pictures if picture else 0, picture))
        position += len(text)
    if overflow is not None:
        position += (len(_GAP) if pieces else 0) + len(FILE_HEAD)
    streamed = sum(len(output["text"]) for output in outputs if output["output_type"] == "stream")
    return Transcript(tuple(pieces), position, streamed, overflow)


def _words(
    outputs: list[dict[str, Any]], files: Mapping[int, str]
) -> Iterator[tuple[str, str, Picture | None]]:
    number = 0
    for output in outputs:
        match output["output_type"]:
            case "stream":
                yield plain(output["name"]), output["text"], None
            case "error":
                text = short_traceback(output["traceback"], files)
                said = ": ".join(part for part in (output["ename"], output["evalue"]) if part)
                yield "error", text or plain(said), None
            case kind:
                shown = in_words(output["data"])
                text = shown.text
                if shown.picture is not None:
                    number += 1
                    text = f"{text}\n[image {number}: {shown.picture.mime}]".strip()
                yield "result" if kind == "execute_result" else "display", text, shown.picture
