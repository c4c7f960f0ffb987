"""Replies as the assistant reads them: the verdict first, then what happened, then the output."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import mcp_types as types

from kernelexec.caller import Caller
from kernelexec.model.execution import Execution, State
from kernelexec.model.text import clip, plain
from kernelexec.recording.journal import now
from kernelexec.session import Session

TEXT_LIMIT = 10_000  # characters; one client keeps 12,000, others more
_BLOCK_LEAST = 500  # characters that each block may have, however many there are
_BLOCKS_EACH_END = 6  # of many outputs, how many of the first and of the last are shown
_PROBLEM_LIMIT = 3_000  # characters of why a run did not end well, with a dead kernel's stderr
_LONGEST_NAME = 100  # characters of an exception's name
_IMAGES = 4
_IMAGE_BYTES = 600_000  # together: clients refuse results over 1 MB, and base64 adds a third
_IMAGE_TYPES = ("image/png", "image/jpeg")
# What says most comes first: beside Markdown, LaTeX and JSON the plain text is often a mere `<... object>`.
_TEXT_TYPES = ("text/markdown", "text/latex", "application/json", "text/plain")

_FAILED = (State.ERROR, State.DIED, State.NOT_RUN)

Block = tuple[str, str]  # label, text


def execution_result(execution: Execution, session: Session, caller: Caller) -> types.CallToolResult:
    """The reply to execute_code and wait_for_execution."""
    blocks, images = _blocks(execution)
    where = _where(execution, session)
    lines = [_verdict(execution, session), *_explanation(execution), *_hint(execution, session, caller)]
    if not caller.gone:  # else nobody would hear it
        lines += [f"News: {news}" for news in session.take_news(execution.problem)]
    lines += _kernel_lines(execution, session, caller)
    if session.recorder.notebook_problem:
        lines.append(
            f"News: the notebook cannot be written ({session.recorder.notebook_problem}); "
            "the journal has everything, and the notebook follows when it can."
        )
    head = "\n".join(lines)
    text = plain(head + _body(blocks, TEXT_LIMIT - len(head), where))
    content: list[types.ContentBlock] = [types.TextContent(text=text), *images]
    return types.CallToolResult(
        content=content,
        is_error=execution.state in _FAILED and not images,
        _meta={
            "kernelexec/execution": execution.id,
            "kernelexec/state": execution.state.value,
            "kernelexec/execution_count": execution.execution_count,
        },
    )


def failure(what: str) -> types.CallToolResult:
    """The reply to a call that could not be served; nothing was run."""
    return types.CallToolResult(content=[types.TextContent(text=plain(what))], is_error=True)


def _verdict(execution: Execution, session: Session) -> str:
    saved = f"saved as {execution.script}" if execution.script else "not saved"
    seconds = _seconds(execution)
    match execution.state:
        case State.OK:
            said = f"OK: {execution.id} ran in {seconds}"
        case State.ERROR:
            said = f"ERROR: {execution.id} failed after {seconds} with {_error_name(execution)}"
        case State.INTERRUPTED:
            said = f"INTERRUPTED: {execution.id} was stopped after {seconds}"
        case State.DIED:
            said = f"DIED: {execution.id} did not finish, its kernel ended after {seconds}"
        case State.UNKNOWN:
            said = f"UNKNOWN: nobody saw how {execution.id} ended"
        case State.NOT_RUN:
            said = f"NOT RUN: {execution.id}"
        case State.QUEUED:
            said = f"QUEUED: {execution.id} has not begun; {_what_comes_first(session)}"
        case State.SENT:
            said = f"QUEUED: {execution.id} is with the kernel, which has not begun it yet"
        case _:
            said = f"RUNNING: {execution.id} has been running for {seconds} and goes on"
    return f"{said}; {saved}"


def _explanation(execution: Execution) -> list[str]:
    if execution.is_final:
        return (
            [clip(plain(execution.problem), _PROBLEM_LIMIT, "the log has more")] if execution.problem else []
        )
    asked = []
    if execution.interrupt:
        asked = [
            f"{execution.interrupt} It has not stopped: the code may catch KeyboardInterrupt, "
            "or be busy in native code. If it must end, the user can run: "
            f"kernelexec stop {execution.session} (its variables are lost then)."
        ]
    return [
        *asked,
        f'Get the rest with wait_for_execution(execution_id="{execution.id}"). Do not submit it again: '
        "it would run twice.",
    ]


def _hint(execution: Execution, session: Session, caller: Caller) -> list[str]:
    """What the error alone does not tell an assistant that cannot look around."""
    if execution.state is not State.ERROR:
        return []
    match _error_name(execution):
        case "FileNotFoundError":
            return [f"The kernel was started in {session.kernel_dir}; your own directory is {caller.cwd}."]
        case "StdinNotImplementedError":
            return ["Nobody can answer a question of the code: put the value into the code instead."]
        case _:
            return []


def _what_comes_first(session: Session) -> str:
    if session.current is not None:
        return (
            f"{session.current.id} is running (if that never ends, the user can run: "
            f"kernelexec stop {session.id})"
        )
    return session.status or "the kernel is starting"


def _seconds(execution: Execution) -> str:
    began = execution.started or execution.submitted
    seconds = ((execution.finished or now()) - began).total_seconds()
    timing = execution.timing
    if "iopub.status.busy" in timing and "shell.execute_reply" in timing:  # the kernel's own clock
        seconds = (
            datetime.fromisoformat(timing["shell.execute_reply"].replace("Z", "+00:00"))
            - datetime.fromisoformat(timing["iopub.status.busy"].replace("Z", "+00:00"))
        ).total_seconds()
    return f"{seconds:.3f} s" if seconds < 1 else f"{seconds:.1f} s"


def _error_name(execution: Execution) -> str:
    for output in reversed(execution.outputs.to_notebook()):
        if output["output_type"] == "error":
            return plain(str(output["ename"]))[:_LONGEST_NAME]
    return "an error"


def _kernel_lines(execution: Execution, session: Session, caller: Caller) -> list[str]:
    """Which kernel this is, when it is not the one the caller last spoke to."""
    if session.kernel is None or session.kernel_started is None or execution.generation != session.generation:
        return []
    if caller.told.get(session.id) == session.generation:
        return []
    caller.told[session.id] = session.generation
    environment = session.environment
    kernel = f"generation {session.generation} of {session.id}, Python {environment.interpreter.version_text}"
    if session.kernel_started >= execution.submitted:
        which = f"Kernel: new, {kernel} in {environment.prefix}. {_why_new(session)}"
    else:
        since = session.kernel_started.strftime("%Y-%m-%d %H:%M:%S UTC")
        which = f"Kernel: {kernel}, running since {since}. Variables of earlier calls are still there."
    return [
        which,
        f"Working directory: {session.kernel_dir}. Notebook with every call: {session.notebook}",
    ]


def _why_new(session: Session) -> str:
    if session.generation == 1:
        return "It has no variables yet."
    ended = f"The one before ended: {session.last_end}. " if session.last_end else ""
    return f"{ended}No variables of earlier kernels are left."


def _where(execution: Execution, session: Session) -> str:
    if execution.overflow:
        return f"all of it is in {session.recorder.storage_dir / execution.overflow.file}"
    return f"all of it is in {session.recorder.notebook_path(execution.generation)}"


def _body(blocks: Sequence[Block], limit: int, where: str) -> str:
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


def _blocks(execution: Execution) -> tuple[list[Block], list[types.ImageContent]]:
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
    for mime in _IMAGE_TYPES:
        if mime in data:
            return f"{_text_of(data) or ''}\n{_take_image(mime, str(data[mime]), images)}".strip()
    text = _text_of(data)
    return f"[{', '.join(data)}: not text; it is in the notebook]" if text is None else text


def _text_of(data: Mapping[str, Any]) -> str | None:
    for mime in _TEXT_TYPES:
        if mime in data:
            value = data[mime]
            return plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return None


def _take_image(mime: str, encoded: str, images: list[types.ImageContent]) -> str:
    encoded = "".join(encoded.split())  # IPython breaks base64 into lines
    try:
        size = len(base64.b64decode(encoded, validate=True))
    except binascii.Error:
        return f"[{mime}: not valid base64; it is in the notebook]"
    used = sum(len(image.data) * 3 // 4 for image in images)
    if len(images) >= _IMAGES or used + size > _IMAGE_BYTES:
        return f"[{mime}, {size // 1000} kB: left out of this reply; it is in the notebook]"
    images.append(types.ImageContent(data=encoded, mime_type=mime))
    return f"[{mime} {len(images)} follows]"
