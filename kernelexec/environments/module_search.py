"""Where a module is that a kernel does not find: beside the user's work, or in another environment.

Looks at names on disk only; nothing is imported or started.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from kernelexec.environments.inventory import Listed

_CHILDREN = 100  # folders looked into below each
_NOT_LOOKED_INTO = frozenset({"node_modules", "site-packages", "__pycache__"})
_MOST = 3  # environments that are named


def folder_with(module: str, folders: Iterable[Path]) -> Path | None:
    """The folder that has this top-level module as the user's own file or package, in or just below these."""
    for folder in dict.fromkeys(folders):
        for place in (folder, *_children(folder)):
            if _is_in(module, place):
                return place
    return None


def environments_with(module: str, found: Iterable[Listed], but_not: Path) -> list[Listed]:
    """Some environments in which this top-level module is installed."""
    own = os.path.realpath(but_not)
    others = (one for one in found if os.path.realpath(one.prefix) != own and one.kind != "kernelspec")
    return list(islice((one for one in others if _is_installed(module, one.prefix)), _MOST))


def _is_in(module: str, folder: Path) -> bool:
    if (folder / f"{module}.py").is_file():
        return True
    try:
        with os.scandir(folder / module) as entries:
            return any(entry.name.endswith(".py") for entry in entries)
    except OSError:
        return False


def _is_installed(module: str, prefix: Path) -> bool:
    for site in prefix.glob("lib/python3*/site-packages"):
        if (site / module).is_dir() or (site / f"{module}.py").is_file():
            return True
        if next(site.glob(f"{module}.*.so"), None) is not None:
            return True
    return False


def _children(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            found = [Path(entry.path) for entry in islice(entries, 10 * _CHILDREN) if entry.is_dir()]
    except OSError:
        return
    wanted = (path for path in sorted(found) if path.name[0] != "." and path.name not in _NOT_LOOKED_INTO)
    yield from islice((path for path in wanted if not (path / "pyvenv.cfg").exists()), _CHILDREN)
