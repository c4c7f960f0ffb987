"""The transcript of one of a session's executions, made without holding up the others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from kernelexec.model.execution import Execution, Overflow
from kernelexec.model.transcript import Transcript, transcript_of
from kernelexec.session import Session

# Above these a thread puts the outputs into words: tables in HTML and large JSON take milliseconds each.
_MANY_OUTPUTS = 200
_LARGE_DATA = 50_000  # characters


async def transcript(session: Session, execution: Execution) -> Transcript:
    """All that an execution of an open session has shown so far."""
    overflow = session.recorder.overflow_of(execution)
    return await _made(execution, overflow, session.executions.files(execution))


async def transcript_of_record(execution: Execution) -> Transcript:
    """All that an execution has shown whose session is not open."""
    return await _made(execution, execution.overflow, {})


async def _made(execution: Execution, overflow: Overflow | None, files: Mapping[int, str]) -> Transcript:
    outputs: list[dict[str, Any]] = execution.outputs.to_notebook()
    if len(outputs) > _MANY_OUTPUTS or any(map(_is_large, outputs)):
        return await asyncio.to_thread(transcript_of, outputs, overflow, files)
    return transcript_of(outputs, overflow, files)


def _is_large(output: Mapping[str, Any]) -> bool:
    return any(
        _size(value) > _LARGE_DATA for mime, value in output.get("data", {}).items() if mime != "image/png"
    )


def _size(value: object) -> int:
    """Characters, or for JSON as many as its size is unknown."""
    if isinstance(value, str):
        return len(value)
    return _LARGE_DATA + 1 if isinstance(value, Mapping | Sequence) else 0
