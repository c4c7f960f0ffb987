"""`kernelexec export --check`: the copy run in a fresh kernel, and what is otherwise then."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kernelexec.commands.hub_client import ask
from kernelexec.commands.mcp_client import PATIENCE_SECONDS, connected, text_of
from kernelexec.commands.verdict import verdict_of
from kernelexec.model.first_line import first_line
from kernelexec.model.outputs import JSON
from kernelexec.recording.history import load_execution
from kernelexec.recording.journal import ClosedJournal
from kernelexec.recording.notebook_format import Cell, joined_cell
from kernelexec.recording.records import journal_path

_SESSION = "check"
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")  # of an object in memory: another one each time
_SHOWN = 200  # characters of a difference
_COMPARED = ("text/plain",)


@dataclass
class Checked:
    """What came of the cells."""

    ran: int = 0
    failed: list[str] = field(default_factory=list)  # in words
    different: list[str] = field(default_factory=list)


def check(cells: Sequence[Cell], environ: Mapping[str, str]) -> Checked:
    """Run the code cells in order in a kernel of their own, which is ended then and leaves nothing.

    `environ` chooses the environment and the directory.
    """
    storage = Path(tempfile.mkdtemp(prefix="kernelexec-check-"))
    settings = {**environ, "CODE_STORAGE_DIR": str(storage), "KERNELEXEC_SESSION": _SESSION}
    checked = Checked()
    sessions: list[str] = []
    try:
        asyncio.run(_run([joined_cell(cell) for cell in cells], settings, storage, checked, sessions))
    finally:
        for session in sessions:
            ask({"command": "stop", "session": f"{storage}:{session}"})
        shutil.rmtree(storage, ignore_errors=True)
    return checked


async def _run(
    cells: Sequence[Mapping[str, JSON]],
    environ: Mapping[str, str],
    storage: Path,
    checked: Checked,
    sessions: list[str],
) -> None:
    async with connected(environ) as client:
        for cell in cells:
            source = str(cell.get("source") or "")
            if cell.get("cell_type") != "code" or not source.strip():
                continue
            name, arguments = "execute_code", {"code": source}
            while True:
                reply = await client.call_tool(name, arguments, read_timeout_seconds=PATIENCE_SECONDS)
                said = verdict_of(text_of(reply))
                if said is None:
                    checked.failed.append(f"{_named(cell)} was not run: {text_of(reply)[:_SHOWN]}")
                    return
                sessions[:] = [said.session]
                if not said.goes_on:
                    break
                name, arguments = "wait_for_execution", {"execution_id": said.execution}
            _compare(cell, said.execution, said.state, storage, checked)
            if said.asks:  # nobody answers, and nothing else is run before that
                return


def _compare(
    cell: Mapping[str, JSON], execution_id: str, state: str, storage: Path, checked: Checked
) -> None:
    checked.ran += 1
    session, _, number = execution_id.rpartition("/")
    journal = ClosedJournal(journal_path(storage, session))
    found = load_execution(journal, session, storage, int(number))
    now = found.outputs.to_notebook() if found is not None else []
    may_fail = any(output.get("output_type") == "error" for output in _outputs(cell))
    if state != "OK" and not may_fail:
        error = next((f"{each['ename']}: {each['evalue']}" for each in now if "ename" in each), state)
        checked.failed.append(f"{_named(cell)}: {error[:_SHOWN]}")
    elif (before := _text_of(_outputs(cell))) != (after := _text_of(now)):
        checked.different.append(f"{_named(cell)}: {_difference(before, after)}")


def _named(cell: Mapping[str, JSON]) -> str:
    """Its id in the copy, by which nobody knows it, and its first line."""
    return f"{cell.get('id')} ({first_line(str(cell.get('source') or ''))})"


def _outputs(cell: Mapping[str, JSON]) -> list[Mapping[str, JSON]]:
    outputs = cell.get("outputs")
    return [each for each in outputs if isinstance(each, Mapping)] if isinstance(outputs, list) else []


def _text_of(outputs: Sequence[Mapping[str, JSON]]) -> str:
    """What is shown in words, without what is otherwise each time."""
    parts = []
    for output in outputs:
        data = output.get("data")
        texts = [data.get(mime) for mime in _COMPARED] if isinstance(data, Mapping) else [output.get("text")]
        parts += [text for text in texts if isinstance(text, str)]
    return _ADDRESS.sub("0x...", "".join(parts)).strip()


def _difference(before: str, after: str) -> str:
    """The first lines that differ."""
    old, new = before.splitlines() or [""], after.splitlines() or [""]
    pairs = [(one, two) for one, two in zip(old, new, strict=False) if one != two]
    one, two = pairs[0] if pairs else (f"{len(old)} lines", f"{len(new)} lines")
    return f"{one[:_SHOWN]!r} is {two[:_SHOWN]!r} now"
