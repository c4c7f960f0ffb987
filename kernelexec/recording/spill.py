"""What becomes of the output of one execution: what its cell holds, and what goes to files beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kernelexec.model.execution import Execution, Overflow
from kernelexec.model.limits import Limits
from kernelexec.model.outputs import size_of
from kernelexec.recording.journal import storage_failed
from kernelexec.recording.large import SMALL, LargeValues
from kernelexec.recording.output_folder import OutputFolder
from kernelexec.recording.overflow import OverflowFile
from kernelexec.recording.spooled import spooled_in

Output = tuple[str, Mapping[str, Any]]  # message type, content

_DISPLAYS = frozenset({"display_data", "execute_result", "update_display_data"})


class Spill:
    """Divides the output of one execution by the limits."""

    def __init__(
        self,
        execution: Execution,
        folder: OutputFolder,
        limits: Limits,
        kept: int = 0,
        spool: Path | None = None,
    ) -> None:
        self._execution = execution
        self._limits = limits
        self.kept = kept  # characters of all that was kept, also what was cleared since
        self._folder = folder
        self._overflow = OverflowFile(folder, f"{execution.number:04d}.txt", limits.run, execution.overflow)
        self._large = LargeValues(folder, execution.number, spool)

    def fit(self, message_type: str, content: Mapping[str, Any]) -> Iterator[Output]:
        """The message as the cell and the journal are to have it; the rest is in files then.

        Raises:
            StorageFailed: a file could not be written.
        """
        try:
            if message_type == "stream":
                yield from self._fit_stream(content)
            elif message_type in _DISPLAYS:
                yield from self._fit_display(message_type, content)
            elif message_type == "error":
                yield message_type, self._fit_error(content)
            else:
                yield message_type, content
        except OSError as error:
            raise storage_failed(self._folder.path, error) from error

    @property
    def overflows(self) -> bool:
        """Whether there is a text file."""
        return not self._overflow.is_empty

    def so_far(self) -> Overflow:
        return self._overflow.so_far()

    def close(self) -> Overflow | None:
        """What went to the text file; None if nothing did."""
        return self._overflow.close()

    @property
    def _room(self) -> int:
        """Characters that the cell may still get."""
        if self.kept > self._limits.run:
            return 0
        return max(0, self._limits.cell - self._execution.outputs.size)

    def _fit_stream(self, content: Mapping[str, Any]) -> Iterator[Output]:
        text = content.get("text")
        if not isinstance(text, str):
            return
        shown, rest = self._overflow.split(text, self._room)
        if shown:
            self.kept += len(shown)
            yield "stream", {**content, "text": shown}
        if rest:
            self._overflow.write(self._execution.outputs, rest)

    def _fit_error(self, content: Mapping[str, Any]) -> Mapping[str, Any]:
        """An error is the last output of its run and always told: whole, or else its two ends."""
        spooled = _spooled_size(content)
        size = spooled + size_of(content)
        self.kept += size
        fits = size <= max(SMALL, self._room) and not spooled
        return content if fits else self._large.error(content)

    def _fit_display(self, message_type: str, content: Mapping[str, Any]) -> Iterator[Output]:
        spooled = _spooled_size(content)
        size = spooled + size_of(content)
        self.kept += size
        if size <= self._room and not spooled:
            yield message_type, content
        elif self.kept > self._limits.run:
            if not self._execution.is_final or self.kept - size <= self._limits.run:  # late ones: once
                self._overflow.write(
                    self._execution.outputs, f"[a display of {size:,} characters was not kept]\n"
                )
        elif size > SMALL:
            yield message_type, self._large.display(content)
        elif self._execution.outputs.size < 2 * self._limits.cell:
            yield message_type, content  # a file for each would be too many
        else:
            data = content.get("data")
            text = data.get("text/plain") if isinstance(data, Mapping) else None
            self._overflow.write(self._execution.outputs, f"{text}\n")


def _spooled_size(content: Mapping[str, Any]) -> int:
    """Characters of what the kernel has put into files."""
    return sum(each.characters for each in spooled_in(content)) if "kernelexec" in content else 0
