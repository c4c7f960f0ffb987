"""The folder of a notebook's large outputs, which is opened anew for each file that is made in it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kernelexec.recording.script import open_folder


@dataclass(frozen=True)
class OutputFolder:
    """`SESSION-NUMBER/outputs` in the storage directory."""

    path: Path
    storage_dir: Path
    is_in_place: Callable[[], bool]  # whether the storage directory is still the session's

    def open(self) -> int:
        """A descriptor of the folder, which is made if needed.

        Raises OSError if that would be somewhere else: the storage directory was moved or replaced, or the
        folder or the one around it is a symbolic link.
        """
        if not self.is_in_place():
            raise OSError(errno.ESTALE, "the storage directory was moved or replaced", str(self.storage_dir))
        os.close(open_folder(self.path.parent))
        return open_folder(self.path)

    def relative(self, name: str) -> str:
        """How a cell and the journal name a file of the folder."""
        return str((self.path / name).relative_to(self.storage_dir))
