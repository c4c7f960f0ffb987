"""What earlier versions and killed processes of kernelexec have left, and nobody needs any more.

The launchers and lent ipykernels of earlier versions in our data directory, and what a hub that was killed
did not come to remove. Whatever any kernelspec, running kernel or process still names is needed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from kernelexec import paths
from kernelexec.environments.borrowed import lent_folder
from kernelexec.environments.kernelspec import launcher_folder
from kernelexec.plain_file import read_text

_AT_LEAST = 86_400.0  # seconds since the last change: what is younger may be about to be used


@dataclass(frozen=True)
class Leftover:
    """A file or a folder of ours."""

    what: str
    path: Path
    size: int  # bytes

    def remove(self) -> None:
        """Raises OSError."""
        if self.path.is_dir() and not self.path.is_symlink():
            shutil.rmtree(self.path)
        else:
            self.path.unlink()


def find_leftovers(environ: Mapping[str, str], now: float) -> list[Leftover]:
    """What is clearly of no use any more."""
    data, state = Path(paths.data_dir(environ)), Path(paths.state_dir(environ))
    current = {launcher_folder(data), lent_folder(data)}
    candidates = [
        *_inside("launcher of an earlier version", data / "launcher"),
        *_inside("lent ipykernel of an earlier version", data / "ipykernel"),
        *_inside("sockets of a kernel that is gone", Path(paths.runtime_dir(environ), "k")),
        *(("unfinished registry entry", path) for path in state.glob("kernels/*.tmp")),
    ]
    old = [(what, path) for what, path in candidates if path not in current and _is_old(path, now)]
    if not old:
        return []
    mentioned = "\n".join(_mentions(environ))
    return [Leftover(what, path, _size(path)) for what, path in old if str(path) not in mentioned]


def _inside(what: str, folder: Path) -> Iterator[tuple[str, Path]]:
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                yield what, path


def _is_old(path: Path, now: float) -> bool:
    try:
        return now - os.lstat(path).st_mtime > _AT_LEAST
    except OSError:
        return False


def _mentions(environ: Mapping[str, str]) -> Iterator[str]:
    """Everything that may name a path of ours as one that is needed."""
    state = Path(paths.state_dir(environ), "kernels")
    specs = Path(paths.jupyter_data_dir(environ), "kernels")
    for file in (*state.glob("*.json"), *specs.glob("*/kernel.json")):
        with suppress(OSError):
            yield read_text(file, errors="surrogateescape")
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            yield " ".join(process.cmdline())


def _size(path: Path) -> int:
    if not path.is_dir():
        return os.lstat(path).st_size
    found = (os.lstat(Path(folder, name)) for folder, _, names in os.walk(path) for name in names)
    return sum(one.st_size for one in found)
