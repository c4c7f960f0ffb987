"""The output of a run as a reply shows it: one block for each, within a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, groupby
from pathlib import Path

from kernelexec.mcp_server.render.bars import without_overdrawn
from kernelexec.model.excerpts import excerpt, plain_from
from kernelexec.model.execution import Overflow
from kernelexec.model.repeats import told_once
from kernelexec.model.text import not_a_heading, plain
from kernelexec.model.transcript import Piece, Transcript

_BLOCK_LEAST = 500  # characters that each block may have, however many there are
_STREAMS = ("stdout", "stderr")
_LOOKED_AT = 200_000  # characters in which repeated lines are looked for
_AT_THE_BEGIN = 1 / 3  # of the room for many outputs: what a run comes to stands at its end


def body(transcript: Transcript, limit: int, since: int, execution_id: str, storage_dir: Path) -> str:
    """What a run has shown since this position, in about `limit` characters."""
    pieces = _since(transcript.pieces, since)
    if transcript.overflow is None:
        pieces = _joined(without_overdrawn(pieces))
    tail = _tail_of_file(transcript, since)
    if not pieces and tail is None:
        return ""
    first, left_out, last = _that_fit(pieces, limit)
    pieces = [*first, *last]
    lengths = [len(piece.text) - piece.seen for piece in pieces] + ([len(tail.text)] if tail else [])
    each = _share(sorted(lengths), limit)
    shown = [_block(piece, each, execution_id, transcript) for piece in pieces]
    if left_out:
        rest = min(piece.position for piece in left_out)
        shown.insert(
            len(first), f"[... {len(left_out):,} outputs left out; {how_to_read(execution_id, rest)} ...]"
        )
    if tail is not None and transcript.overflow is not None:
        rest = max(since, transcript.files[0].position)
        if pieces and pieces[-1].end == transcript.pieces[-1].end and lengths[-2] > each:
            # The end of what the cell has is the middle of it all.
            head = _head_of(pieces[-1], each)
            text = plain_from(head.text, head.seen)
            rest, shown[-1] = head.end, f"{head.head}{not_a_heading(text)}".strip("\n")
        shown.append(
            f"[... {how_to_read(execution_id, rest)} reads what is left out; "
            f"{_what_is_in(transcript.overflow, storage_dir)} ...]"
        )
        shown.append(f"{tail.head}{not_a_heading(_end_of(tail.text, each))}".strip("\n"))
    return "\n\n" + "\n\n".join(shown)


def how_to_read(execution_id: str, position: int) -> str:
    return f'read_output(execution_id="{execution_id}", offset={position})'


def _since(pieces: Sequence[Piece], since: int) -> list[Piece]:
    """The pieces that end after this position, the first one with what of it was seen.

    In the order in which they are shown: a widget where it was displayed.
    """
    shown = []
    for piece in pieces:
        if piece.position >= since:
            shown.append(piece)
        elif piece.end > since:
            shown.append(replace(piece, seen=since - piece.position))
    return sorted(shown, key=lambda piece: piece.place)


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """With one block of a stream where nothing is shown between two, as of a bar that is gone.

    A position inside is then too low, by the headings that it does not have: who reads on there sees
    a little of it again.
    """
    return [_as_one(list(run)) for _, run in groupby(pieces, _joined_by)]


def _joined_by(piece: Piece) -> object:
    return piece.label if piece.label in _STREAMS else piece.position


def _as_one(run: Sequence[Piece]) -> Piece:
    if len(run) == 1:
        return run[0]
    return replace(run[0], text="".join(each.text.removesuffix("\n") + "\n" for each in run))


def _that_fit(pieces: Sequence[Piece], limit: int) -> tuple[list[Piece], list[Piece], list[Piece]]:
    """The first ones, those in between for which there is no room, and the last ones.

    There is room for a piece as far as it must be shown: whole, or the least of it.
    """
    sizes = [
        min(len(piece.text) - piece.seen, _BLOCK_LEAST) + len(piece.head) + len("\n\n") for piece in pieces
    ]
    if sum(sizes) <= limit:
        return list(pieces), [], []
    count = _fitting(sizes, int(limit * _AT_THE_BEGIN))
    last = _fitting(sizes[:count:-1], limit - sum(sizes[:count]))
    end = len(pieces) - max(last, 1)
    return list(pieces[:count]), list(pieces[count:end]), list(pieces[end:])


def _fitting(sizes: Sequence[int], room: int) -> int:
    """How many of these, from the first on, fit in there."""
    return sum(1 for total in accumulate(sizes) if total <= room)


def _tail_of_file(transcript: Transcript, since: int) -> Piece | None:
    if transcript.overflow is None or transcript.files[0].end <= since:
        return None
    end = transcript.files[0].end
    text = transcript.overflow.tail[-(end - since) :]
    return Piece("end of the output", text, end - len(text))


def _what_is_in(overflow: Overflow, storage_dir: Path) -> str:
    lost = ""
    if overflow.left_out:
        lost = f" but for {overflow.left_out:,} bytes more, which were above the limit and not kept,"
    return f"all of this output, {overflow.size:,} bytes,{lost} is in {storage_dir / overflow.file}"


def _block(piece: Piece, limit: int, execution_id: str, transcript: Transcript) -> str:
    text = _without_repeats(piece, limit) or excerpt(
        piece.text, limit, lambda at: how_to_read(execution_id, piece.position + at), piece.seen
    )
    whole = transcript.part_of(piece.text_file)
    if whole is not None:
        text += f"\n[all of this text: {how_to_read(execution_id, whole.position)}]"
    return f"{piece.head}{not_a_heading(text)}".strip("\n")


def _without_repeats(piece: Piece, limit: int) -> str | None:
    """All of what was printed, where that fits once repeated lines are told once."""
    if piece.label not in _STREAMS or len(piece.text) - piece.seen > _LOOKED_AT:
        return None
    text = told_once(plain_from(piece.text, piece.seen))
    return text if len(text) <= limit else None


def _head_of(piece: Piece, limit: int) -> Piece:
    """Its first lines."""
    text = piece.text[: piece.seen + limit * 2 // 3]
    return replace(piece, text=text[: text.rfind("\n", (piece.seen + len(text)) // 2) + 1] or text)


def _end_of(raw: str, limit: int) -> str:
    """The last lines of raw text, made plain."""
    text = plain(raw)
    if len(text) <= limit:
        return text
    text = text[-limit:]
    return text[text.find("\n", 0, len(text) // 2) + 1 :]


def _share(lengths: Sequence[int], limit: int) -> int:
    """The longest a block may be so that all fit: short ones leave their share to the others."""
    rest = limit
    for index, length in enumerate(lengths):
        share = rest // (len(lengths) - index)
        if length > share:
            return max(share, _BLOCK_LEAST)
        rest -= length
    return limit
