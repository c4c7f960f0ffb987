"""What came into earlier cells, below the output of the run that a reply is about."""

from __future__ import annotations

from collections.abc import Sequence

from kernelexec.mcp_server.render.body import how_to_read
from kernelexec.model.excerpts import plain_from
from kernelexec.model.text import not_a_heading
from kernelexec.session.late_output import Meanwhile

_LIMIT = 1_500  # characters of them all
_NAMED = 4  # cells, the ones that something came into last


def meanwhile(session: str, found: Sequence[Meanwhile]) -> str:
    """A block for each of these cells, in about as many characters as a reply can spare."""
    blocks = [_block(f"{session}/{each.number}", each, _LIMIT // len(found)) for each in found[-_NAMED:]]
    others = ", ".join(f"/{each.number}" for each in found[:-_NAMED])
    if others:
        blocks.insert(0, f"[meanwhile, also from {others}: read_output has it]")
    return "".join(f"\n\n{block}" for block in blocks)


def _block(execution_id: str, told: Meanwhile, limit: int) -> str:
    text = plain_from(told.text, told.since).strip("\n")
    left_out = told.left_out
    if len(text) > limit:
        rest = text[-limit:]
        rest = rest[rest.find("\n", 0, limit // 2) + 1 :]
        left_out += len(text) - len(rest)
        text = rest
    head = f"[meanwhile, from {execution_id}, after its run had ended]"
    if left_out:
        new = len(told.text) - told.since + told.left_out
        text = f"[... {left_out:,} characters left out; {how_to_read(execution_id, -new)} ...]\n{text}"
    return f"{head}\n{not_a_heading(text)}"
