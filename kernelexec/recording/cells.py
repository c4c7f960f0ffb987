"""From an execution to the cells that the notebook shows of it. Pure.

What the recorder adds as things happen and what a rebuild makes from the journal are the same cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernelexec.model.execution import PACKAGE_LINES, Execution, Kind
from kernelexec.model.outputs import JSON
from kernelexec.recording.notebook import code_cell, markdown_cell


def cells_of(execution: Execution, storage_dir: Path) -> list[dict[str, JSON]]:
    """The notebook cells of an execution: note and code, or one of them; of an installation a few lines."""
    about: dict[str, JSON] = {"execution": execution.id, "state": execution.state.value}
    if execution.kind is Kind.INSTALL:
        return [markdown_cell(execution.cell_id, _of_installation(execution), {"kernelexec": about})]
    outputs = shown_outputs(execution)
    if execution.note and not execution.code.strip() and not outputs:  # the note is all there is
        return [markdown_cell(execution.cell_id, execution.note, {"kernelexec": about})]
    cells = []
    if execution.note:
        cells.append(markdown_cell(f"{execution.cell_id}-note", execution.note))
    script = str(execution.script.relative_to(storage_dir)) if execution.script else None
    cells.append(
        code_cell(
            execution.cell_id,
            execution.code,
            outputs,
            # One with a count has ended, to Jupyter and to whom changes are sent; the kernel says it before.
            execution.execution_count if execution.is_final else None,
            execution.timing or None,
            {"kernelexec": {**about, "script": script}},
        )
    )
    return cells


def heading_of(generation: int, metadata: Mapping[str, Any]) -> dict[str, JSON]:
    """What stands in a notebook where a later kernel began."""
    ended = metadata.get("kernelexec", {}).get("previous_ended")
    why = f"The one before ended: {ended}. " if ended else ""
    source = f"## A new kernel\n\n{why}No variables were carried over."
    return markdown_cell(f"kernelexec-kernel-{generation}", source, {"kernelexec": {"kernel": generation}})


def _of_installation(execution: Execution) -> str:
    """A line for each package, or the one that says why there is none."""
    lines = (execution.problem or execution.code).splitlines()
    packages = [line for line in lines if line.startswith(PACKAGE_LINES)]
    return "\n".join(f"- {line}" for line in packages) if len(packages) > 1 else "".join(lines[:1])


def shown_outputs(execution: Execution) -> list[dict[str, JSON]]:
    """What the cell shows below the code."""
    outputs = execution.outputs.to_notebook()
    if execution.overflow:
        outputs.append({"output_type": "stream", "name": "stderr", "text": execution.overflow.notice()})
    return outputs
