"""The output of a run as a reply shows it: one block for each, within a limit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import mcp_types as types

from kernelexec.mcp_server.render.images import IMAGE_TYPES, take_image
from kernelexec.model.execution import Execution
from kernelexec.model.text import clip, plain
from kernelexec.session import Session

_BLOCK_LEAST = 500  # characters that each block may have, however many there are
_BLOCKS_EACH_END = 6  # of many outputs, how many of the first and of the last are shown
# What says most comes first: beside Markdown, LaTeX and JSON the plain text is often a mere `<... object>`.
_TEXT_TYPES = ("text/markdown", "text/latex", "application/json", "text/plain")

Block = tuple[str, str]  # label, text


def where(execution: Execution, session: Session) -> str:
    if execution.overflow:
        return f"all of it is in {session.recorder.storage_dir / execution.overflow.file}"
    return f"all of it is in {session.recorder.notebook_path(execution.generation)}"


def body(blocks: Sequence[Block], limit: int, where: str) -> str:
    if len(blocks) > 2 * _BLOCKS_EACH_END:
        left_out = len(blocks) - 2 * _BLOCKS_EACH_END
        gap = ("", f"[... {left_out:,} outputs left out; {where} ...]")
        blocks = [*blocks[:_BLOCKS_EACH_END], gap, *blocks[-_BLOCKS_EACH_END:]]
    if not blocks:
        return ""
    each = _share(sorted(len(text) for _, text in blocks), limit)
    shown = (f"{label}\n{clip(text, each, where)}".strip("\n") for label, text in blocks)
    return "\n\n" + "\n\n".join(shown)


def _share(lengths: Sequence[int], limit: int) -> int:
    """The longest a block may be so that all fit: short ones leave their share to the others."""
    rest = limit
    for index, length in enumerate(lengths):
        share = rest // (len(lengths) - index)
        if length > share:
            return max(share, _BLOCK_LEAST)
        rest -= length
    return limit


def blocks_of(execution: Execution) -> tuple[list[Block], list[types.ImageContent]]:
    blocks: list[Block] = []
    images: list[types.ImageContent] = []
    outputs: list[dict[str, Any]] = execution.outputs.to_notebook()
    for output in outputs:
        match output["output_type"]:
            case "stream":
                blocks.append((f"[{output['name']}]", plain(output["text"]).rstrip("\n")))
            case "error":
                blocks.append(("[error]", plain("\n".join(output["traceback"])) or _short_error(output)))
            case "execute_result":
                blocks.append(("[result]", _shown(output["data"], images)))
            case _:
                blocks.append(("[display]", _shown(output["data"], images)))
    if execution.overflow:
        blocks.append(("[end of the output]", plain(execution.overflow.tail)))
    return blocks, images


def _short_error(output: Mapping[str, Any]) -> str:
    return plain(f"{output['ename']}: {output['evalue']}")


def _shown(data: Mapping[str, Any], images: list[types.ImageContent]) -> str:
    """A display's text; its image, if it has one that fits, is added to `images`."""
    for mime in IMAGE_TYPES:
        if mime in data:
            return f"{_text_of(data) or ''}\n{take_image(mime, str(data[mime]), images)}".strip()
    text = _text_of(data)
    return f"[{', '.join(data)}: not text; it is in the notebook]" if text is None else text


def _text_of(data: Mapping[str, Any]) -> str | None:
    for mime in _TEXT_TYPES:
        if mime in data:
            value = data[mime]
            return plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return None
