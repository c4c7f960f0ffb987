"""The transcript of one of a session's executions, made without holding up the others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kernelexec.model.execution import Execution, Overflow
from kernelexec.model.transcript import NO_WIDGETS, Transcript, WidgetsNow, transcript_of
from kernelexec.model.widgets import WidgetStates
from kernelexec.recording.output_file import text_blocks
from kernelexec.session.session import Session

# Above these a thread puts the outputs into words: tables in HTML and large JSON take milliseconds each.
_MANY_OUTPUTS = 200
_AT_ONCE = 50  # widgets that are put into words before others have their turn
_LARGE_DATA = 50_000  # characters


async def transcript(session: Session, execution: Execution) -> Transcript:
    """All that an execution of an open session has shown so far."""
    recorder = session.recorder
    files = session.executions.files(execution)
    widgets = await _shown_now(
        execution, recorder.widgets_of(execution), session.executions.msg_id(execution)
    )
    return await _made(execution, recorder.overflow_of(execution), files, recorder.storage_dir, widgets)


async def _shown_now(execution: Execution, widgets: WidgetStates, msg_id: str | None) -> WidgetsNow:
    """What its widgets show, and those elsewhere that have taken output of it."""
    views = widgets.views()
    own = {}
    for index, identity in enumerate(dict.fromkeys(execution.outputs.widgets()), 1):
        view = views.of(identity)
        if view is not None:
            own[identity] = view
        if not index % _AT_ONCE:
            await asyncio.sleep(0)
    others = [views.of(identity) or [] for identity in widgets.captured(msg_id) if identity not in views.met]
    return WidgetsNow(own, others)


async def transcript_of_record(execution: Execution, storage_dir: Path) -> Transcript:
    """All that an execution has shown whose session is not open."""
    return await _made(execution, execution.overflow, {}, storage_dir)


async def _made(
    execution: Execution,
    overflow: Overflow | None,
    files: Mapping[int, str],
    storage_dir: Path,
    widgets: WidgetsNow = NO_WIDGETS,
) -> Transcript:
    outputs: list[dict[str, Any]] = execution.outputs.to_notebook()

    def characters_of(file: str) -> int:
        try:
            return sum(map(len, text_blocks(storage_dir, file, 0)))
        except (OSError, ValueError):  # it is gone: the reply can be made without it
            return 0

    if len(outputs) > _MANY_OUTPUTS or any(map(_is_large, outputs)):
        return await asyncio.to_thread(transcript_of, outputs, overflow, files, characters_of, widgets)
    return transcript_of(outputs, overflow, files, characters_of, widgets)


def _is_large(output: Mapping[str, Any]) -> bool:
    if "kernelexec" in output.get("metadata", {}):  # its text is in a file
        return True
    return any(
        _size(value) > _LARGE_DATA for mime, value in output.get("data", {}).items() if mime != "image/png"
    )


def _size(value: object) -> int:
    """Characters, or for JSON as many as its size is unknown."""
    if isinstance(value, str):
        return len(value)
    return _LARGE_DATA + 1 if isinstance(value, Mapping | Sequence) else 0
