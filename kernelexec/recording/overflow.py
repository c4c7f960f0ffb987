"""Stream output of one execution that is too large for a notebook: a text file beside it."""

from __future__ import annotations

from io import FileIO
from pathlib import Path

from kernelexec.model.execution import Overflow
from kernelexec.model.outputs import CellOutputs

NOTEBOOK_LIMIT = 5_000_000  # characters of stream text in one cell; more makes JupyterLab slow
FILE_LIMIT = 1_000_000_000  # bytes; what an endless print loop may take of the disk
_TAIL = 8_000  # characters, for the end of a reply


class OverflowFile:
    """The text file of one execution: all of its stream text, also what the notebook shows."""

    def __init__(self, path: Path, storage_dir: Path) -> None:
        self.path = path
        self._storage_dir = storage_dir
        self._size = 0
        self._left_out = 0
        self._tail = ""
        self._file: FileIO | None = None

    def takes(self, text: str, already: int) -> bool:
        """Whether this text goes to the file, when so many characters are in the notebook's cell."""
        return self._file is not None or already + len(text) > NOTEBOOK_LIMIT

    def write(self, outputs: CellOutputs, text: str) -> None:
        """Append; the first time, with what came before in front.

        Raises:
            OSError: the file is not (wholly) written.
        """
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "wb", buffering=0)  # noqa: SIM115 - open until the run ends
            before = "".join(str(o["text"]) for o in outputs.to_notebook() if o["output_type"] == "stream")
            self._append(before)
        self._append(text)
        self._tail = (self._tail + text)[-_TAIL:]

    def close(self) -> Overflow | None:
        """What went to the file; None if nothing did."""
        if self._file is None:
            return None
        self._file.close()
        return Overflow(str(self.path.relative_to(self._storage_dir)), self._size, self._left_out, self._tail)

    def _append(self, text: str) -> None:
        assert self._file is not None
        data = text.encode("utf-8", "backslashreplace")
        room = max(0, FILE_LIMIT - self._size)
        rest = memoryview(data)[:room]
        while rest:
            written = self._file.write(rest)
            self._size += written
            rest = rest[written:]
        self._left_out += max(0, len(data) - room)
