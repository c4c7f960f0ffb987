"""The output of a run as a reply shows it: one block for each, within a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kernelexec.model.excerpts import excerpt, plain_from
from kernelexec.model.execution import Overflow
from kernelexec.model.text import not_a_heading, plain
from kernelexec.model.transcript import Piece, Transcript

_BLOCK_LEAST = 500  # characters that each block may have, however many there are
_BLOCKS_EACH_END = 6  # of many outputs, how many of the first and of the last are shown


def body(transcript: Transcript, limit: int, since: int, execution_id: str, storage_dir: Path) -> str:
    """What a run has shown since this position, in about `limit` characters."""
    pieces = _since(transcript.pieces, since)
    tail = _tail_of_file(transcript, since)
    if not pieces and tail is None:
        return ""
    gap = ""
    if len(pieces) > 2 * _BLOCKS_EACH_END:
        left_out = pieces[_BLOCKS_EACH_END:-_BLOCKS_EACH_END]
        gap = (
            f"[... {len(left_out):,} outputs left out; {how_to_read(execution_id, left_out[0].position)} ...]"
        )
        pieces = [*pieces[:_BLOCKS_EACH_END], *pieces[-_BLOCKS_EACH_END:]]
    lengths = [len(piece.text) - piece.seen for piece in pieces] + ([len(tail.text)] if tail else [])
    each = _share(sorted(lengths), limit)
    shown = [_block(piece, each, execution_id, transcript) for piece in pieces]
    if gap:
        shown.insert(_BLOCKS_EACH_END, gap)
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
    """The pieces that end after this position, the first one with what of it was seen."""
    shown = []
    for piece in pieces:
        if piece.position >= since:
            shown.append(piece)
        elif piece.end > since:
            shown.append(replace(piece, seen=since - piece.position))
    return shown


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
    text = excerpt(piece.text, limit, lambda at: how_to_read(execution_id, piece.position + at), piece.seen)
    whole = transcript.part_of(piece.text_file)
    if whole is not None:
        text += f"\n[all of this text: {how_to_read(execution_id, whole.position)}]"
    return f"{piece.head}{not_a_heading(text)}".strip("\n")


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
