"""What the journal's lines about an execution say, as history reads it back. Pure."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from kernelexec.model.execution import Execution
from kernelexec.model.limits import Limits


def submitted(
    execution: Execution, storage_dir: Path, limits: Limits, within: int | None, request: str
) -> dict[str, Any]:
    """Of its submission."""
    return {
        "n": execution.number,
        "generation": execution.generation,
        "kind": execution.kind.value,
        "script": str(execution.script.relative_to(storage_dir)) if execution.script else None,
        "label": execution.label,
        "source": execution.source,
        "note": execution.note,
        "code": execution.code,
        **({} if execution.caller is None else {"caller": execution.caller}),
        **({} if execution.cell is None else {"cell": execution.cell}),
        **({} if execution.after is None else {"after": execution.after}),
        **({"request": request} if request else {}),
        **({} if within is None else {"within": within}),
        **({} if execution.max_seconds is None else {"max_seconds": execution.max_seconds}),
        **({} if limits == Limits() else {"limits": asdict(limits)}),
    }


def finished(execution: Execution) -> dict[str, Any]:
    """Of its end."""
    return {
        "n": execution.number,
        "state": execution.state.value,
        "problem": execution.problem,
        **({} if execution.error is None else {"error": execution.error}),
        **({} if execution.lost is None else {"lost": execution.lost}),
        "execution_count": execution.execution_count,
        "started": _iso(execution.started),
        "finished": _iso(execution.finished),
        "timing": execution.timing,
        "overflow": execution.overflow.to_json() if execution.overflow else None,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
