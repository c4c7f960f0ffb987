"""What a kernel gets of whoever has it started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kernelexec.kernels.kernel import Where


@dataclass(frozen=True)
class Surroundings:
    """What a kernel gets of whoever has it started, and later clients share."""

    environ: Mapping[str, str]
    directory: Path  # where it works
    host: str = ""  # on which machine that is, if not on this one

    def at(self, where: Where | None) -> Surroundings:
        """The same, where the kernel itself says that it works elsewhere."""
        if where is None:
            return self
        return replace(self, directory=Path(where.directory), host=where.host or where.server)

    @property
    def place(self) -> str:
        """Host and directory in words, where they are not this machine's."""
        if self.directory == Path():
            return f"on {self.host}; its kernel does not tell in which directory"
        return f"in {self.directory} on {self.host}"
