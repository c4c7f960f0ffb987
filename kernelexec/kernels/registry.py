"""The running kernels, on disk: what a new hub needs to find them again.

One JSON file a kernel in the user's state directory, written when the keeper is started (so that
a hub that dies during a kernel's start leaves no stranger behind) and again when the kernel is up.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from kernelexec.kernels.strays import COPY
from kernelexec.plain_file import open_plain, read_plain

_log = logging.getLogger(__name__)

FORMAT = 1


@dataclass(frozen=True)
class KernelEntry:
    """One kernel, where it is, and the session it belongs to."""

    kernel_id: str
    place: Mapping[str, Any]  # the kernel host's business, see host.KernelHost
    started: str  # ISO 8601
    generation: int
    session_name: str
    storage_dir: str
    kernel_dir: str
    project: str | None  # the client directory that the session is the default of
    environment: dict[str, Any]  # see environments/kernelspec.py
    notebook: str | None = None  # the real path of the person's notebook that its session works in


_OWN = [field.name for field in fields(KernelEntry) if field.name not in ("place", "notebook")]


class Registry:
    """The entries of all kernels of this user's hub."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self, entry: KernelEntry) -> None:
        # Flat: kernelspecs/relay/live_kernel.py reads it too, and so does an older hub.
        own = {name: getattr(entry, name) for name in _OWN}
        # An earlier version would take it for a part of the place.
        notebook = {} if entry.notebook is None else {"notebook": entry.notebook}
        text = json.dumps({"format": FORMAT, **entry.place, **own, **notebook})
        data = text.encode("utf-8", "surrogateescape")
        try:
            _replace(self._path(entry.kernel_id), data)
        except FileNotFoundError:  # the state directory was deleted under us
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace(self._path(entry.kernel_id), data)
        if "directory" in entry.place:  # of its own: the kernel is known from there if the registry is lost
            with suppress(OSError):
                _replace(Path(entry.place["directory"], COPY), data)

    def remove(self, kernel_id: str) -> None:
        self._path(kernel_id).unlink(missing_ok=True)

    def restored(self, directory: Path) -> KernelEntry | None:
        """The entry of a kernel that lives and has none, from its own directory; it is one again then."""
        try:
            entry = _read(directory / COPY)
            if entry.kernel_id != directory.name:
                return None
            self.write(entry)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return entry

    def has(self, kernel_id: str) -> bool:
        return os.path.lexists(self._path(kernel_id))

    def entries(self) -> list[KernelEntry]:
        found = []
        for path in sorted(self._directory.glob("*.json")):
            try:
                found.append(_read(path))
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                # Left where it is: a newer hub may have written it.
                _log.warning("registry entry %s cannot be read: %s", path, error)
        return found

    def _path(self, kernel_id: str) -> Path:
        return self._directory / f"{kernel_id}.json"


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    with open(open_plain(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), "wb") as file:
        file.write(data)
    os.replace(temporary, path)


def _read(path: Path) -> KernelEntry:
    said = json.loads(read_plain(path).decode("utf-8", "surrogateescape"))
    if said.pop("format") != FORMAT:
        raise ValueError("another format")
    own = {name: said.pop(name) for name in _OWN}
    notebook = said.pop("notebook", None)
    return KernelEntry(**own, place=said, notebook=notebook)
