"""Stream output of one execution that is too large for a notebook: a text file beside it."""

from __future__ import annotations

import os
from io import FileIO

from kernelexec.model.execution import Overflow
from kernelexec.model.outputs import CellOutputs
from kernelexec.plain_file import open_plain
from kernelexec.recording.output_folder import OutputFolder

_BLOCK = 10_000_000  # characters
_TAIL = 8_000  # characters, for the end of a reply


class OverflowFile:
    """The text file of one execution: all of its stream text, also what the notebook shows.

    `before` is what an earlier OverflowFile of the same execution came to; this one continues it.
    """

    def __init__(self, folder: OutputFolder, name: str, limit: int, before: Overflow | None = None) -> None:
        self._folder = folder
        self._name = name
        self._limit = limit  # bytes of the file
        self._size = before.size if before else 0
        self._left_out = before.left_out if before else 0
        self._tail = before.tail if before else ""
        self._characters = before.characters if before else 0
        self._continues = before is not None
        self._file: FileIO | None = None

    def split(self, text: str, room: int) -> tuple[str, str]:
        """What of this text the notebook's cell shows, which has room for so many characters, and what goes
        to the file."""
        room = max(0, room) if self.is_empty else 0
        return text[:room], text[room:]

    def write(self, outputs: CellOutputs, text: str) -> None:
        """Append; the first time, with what came before in front.

        Raises:
            OSError: the file is not (wholly) written; what is missing is counted.
        """
        self._tail = (self._tail + text)[-_TAIL:]
        if self._file is None:
            if not self._continues:
                text = "".join(str(o["text"]) for o in outputs.to_notebook() if "text" in o) + text
            self._file = self._open()
        for start in range(0, len(text), _BLOCK):  # not all at once: it may be most of the memory
            self._append(text[start : start + _BLOCK].encode("utf-8", "backslashreplace"))

    @property
    def is_empty(self) -> bool:
        return self._file is None and not self._continues

    def so_far(self) -> Overflow:
        """What went to the file."""
        return Overflow(
            self._folder.relative(self._name),
            self._size,
            self._left_out,
            self._tail,
            self._characters,
        )

    def close(self) -> Overflow | None:
        """What went to the file; None if nothing did."""
        if self._file is None:
            return None
        self._file.close()
        return self.so_far()

    def _open(self) -> FileIO:
        flags = os.O_WRONLY | os.O_CREAT
        flags |= os.O_APPEND if self._continues else os.O_TRUNC
        directory = self._folder.open()
        try:
            return FileIO(open_plain(self._name, flags, 0o666, dir_fd=directory), "wb")
        finally:
            os.close(directory)

    def _append(self, data: bytes) -> None:
        assert self._file is not None
        before = self._size
        rest = memoryview(data)[: max(0, self._limit - self._size)]
        try:
            while rest:
                taken = self._file.write(rest)
                self._size += taken
                rest = rest[taken:]
        finally:
            written = self._size - before
            self._left_out += len(data) - written
            self._characters += len(data[:written].decode("utf-8", "ignore"))
