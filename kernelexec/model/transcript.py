"""All that a run has shown, as one text: what a reply is an excerpt of, and what read_output reads.

Positions are characters from its beginning. Output that comes later is added at the end, so that a position
stays what it is while the run goes on (but for `clear_output`, which begins anew).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelexec.model.display import Shown, in_words
from kernelexec.model.execution import Overflow
from kernelexec.model.pictures import Picture, numbered
from kernelexec.model.shown_errors import is_error
from kernelexec.model.text import one_line, plain
from kernelexec.model.tracebacks import short_traceback
from kernelexec.model.widget_views import widget_in

_GAP = "\n\n"  # between two pieces
_LONGEST_NAME = 40  # characters of a stream's name


@dataclass(frozen=True)
class Image:
    """A picture, and its number among all of this run."""

    number: int
    picture: Picture


@dataclass(frozen=True)
class Piece:
    """One output in words. Its text begins at `position`, after a line with the label."""

    label: str
    text: str  # of a stream as it came, with escape codes
    position: int
    images: tuple[Image, ...] = ()
    text_file: str | None = None  # that has all of what the text is an excerpt of
    changes: bool = False  # what a widget shows now; its position is after all that stays
    place: int = 0  # where it stands among the outputs, of which a widget may be any
    seen: int = 0  # characters of the text that its reader knows

    @property
    def end(self) -> int:
        return self.position + len(self.text)

    @property
    def head(self) -> str:
        return f"[{self.label}]\n"


@dataclass(frozen=True)
class WidgetsNow:
    """What the widgets of a run show now, each as outputs."""

    own: Mapping[str, Sequence[Mapping[str, Any]]]  # by the model's id, of those that can be put into words
    others: Sequence[Sequence[Mapping[str, Any]]]  # that have taken output of the run, and are not its own


NO_WIDGETS = WidgetsNow({}, ())


@dataclass(frozen=True)
class FilePart:
    """Text that is in a file only. It begins at `position`, after the head."""

    file: str  # relative to the storage directory
    skip: int  # characters at the file's beginning that are among the pieces
    head: str
    position: int
    length: int

    @property
    def end(self) -> int:
        return self.position + self.length


@dataclass(frozen=True)
class Transcript:
    pieces: tuple[Piece, ...]
    files: tuple[FilePart, ...]  # after the pieces
    overflow: Overflow | None  # of what is in the first of the files

    @property
    def end(self) -> int:
        return self.files[-1].end if self.files else self.pieces[-1].end if self.pieces else 0

    @property
    def settled_end(self) -> int:
        """The end of what stays as it is while the run goes on."""
        if self.files:
            return self.end
        return max((piece.end for piece in self.pieces if not piece.changes), default=0)

    def in_memory(self) -> str:
        """The text of the pieces."""
        return "".join(text for text, _ in self.parts())

    def parts(self) -> Iterator[tuple[str, bool]]:
        """The text of the pieces, their headings apart: text, and whether it is output."""
        for index, piece in enumerate(self.pieces):
            yield f"{_GAP if index else ''}{piece.head}", False
            yield piece.text, True

    def part_of(self, file: str | None) -> FilePart | None:
        """Where the text of this file stands."""
        return next((part for part in self.files if part.file == file), None)


def transcript_of(
    outputs: list[dict[str, Any]],
    overflow: Overflow | None,
    files: Mapping[int, str],
    characters_of: Callable[[str], int],
    widgets: WidgetsNow = NO_WIDGETS,
) -> Transcript:
    """The transcript of a run with these outputs (nbformat's), `overflow` being what went to its file so far.

    `files` names the file of each cell by its execution count; `characters_of` counts a text file's.
    What a widget shows now comes in the place of what its object's text said when it was displayed.
    """
    told = _Pieces()
    views: dict[str, tuple[int, Sequence[Mapping[str, Any]]]] = {}
    for place, output in enumerate(outputs):
        identity = widget_in(output.get("data", {}))
        if identity is not None and identity in widgets.own:
            views.setdefault(identity, (place, widgets.own[identity]))
            continue
        for label, shown in _words([output], files):
            text, images = told.numbered(shown)
            told.add(label, text, images, text_file=shown.text_file, place=place)
    for place, view in [*views.values(), *((len(outputs), other) for other in widgets.others)]:
        told.add_view(view, files, place)
    pieces, end = told.pieces, told.end
    parts: list[FilePart] = []
    if overflow is not None:
        streamed = sum(len(output["text"]) for output in outputs if output["output_type"] == "stream")
        head = f"{_GAP if pieces else ''}[output that is too much for the notebook]\n"
        length = max(0, overflow.characters - streamed)
        parts.append(FilePart(overflow.file, streamed, head, end + len(head), length))
    for file in dict.fromkeys(piece.text_file for piece in pieces if piece.text_file):
        end = parts[-1].end if parts else end
        head = f"{_GAP}[all of {file}]\n"
        parts.append(FilePart(file, 0, head, end + len(head), characters_of(file)))
    return Transcript(tuple(pieces), tuple(parts), overflow)


class _Pieces:
    """The pieces of a transcript while they are put together."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self._images = 0

    @property
    def end(self) -> int:
        return self.pieces[-1].end if self.pieces else 0

    def numbered(self, shown: Shown) -> tuple[str, tuple[Image, ...]]:
        """The text with its pictures' numbers, and these pictures."""
        first = self._images + 1
        self._images += len(shown.pictures)
        images = tuple(Image(first + index, picture) for index, picture in enumerate(shown.pictures))
        return numbered(shown.text, shown.pictures, first), images

    def add(
        self,
        label: str,
        text: str,
        images: tuple[Image, ...],
        *,
        text_file: str | None = None,
        changes: bool = False,
        place: int = 0,
    ) -> None:
        position = self.end + (len(_GAP) if self.pieces else 0) + len(label) + len("[]\n")
        self.pieces.append(Piece(label, text, position, images, text_file, changes, place))

    def add_view(self, view: Sequence[Mapping[str, Any]], files: Mapping[int, str], place: int) -> None:
        """What a widget shows."""
        parts = [self.numbered(shown) for _, shown in _words(view, files)]
        text = "\n".join(text.strip("\n") for text, _ in parts)
        if text.strip():
            images = tuple(image for _, images in parts for image in images)
            self.add("widget", text, images, changes=True, place=place)


def _words(outputs: Sequence[Mapping[str, Any]], files: Mapping[int, str]) -> Iterator[tuple[str, Shown]]:
    for output in outputs:
        match output["output_type"]:
            case "stream":
                yield _stream_label(output["name"]), Shown(output["text"])
            case "error" if not is_error(output):
                continue  # sys.exit(0): the verdict says it
            case "error":
                text = short_traceback(output["traceback"], files)
                said = ": ".join(part for part in (output["ename"], output["evalue"]) if part)
                yield "error", Shown(text or plain(said))
            case kind:
                shown = in_words(output["data"], output.get("metadata"))
                if kind == "display_data" and not (shown.text.strip() or shown.text_file):
                    continue  # what a library replaces by nothing when it is done
                yield "result" if kind == "execute_result" else "display", shown


def _stream_label(name: str) -> str:
    return name if name in ("stdout", "stderr") else f"stream {one_line(name)[:_LONGEST_NAME]!r}"
