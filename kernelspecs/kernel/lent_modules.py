"""Modules that a cell imports and that came with a lent ipykernel: the user's environment does not have them, so that the same
code fails everywhere else."""

from __future__ import annotations

import os
import re
import sys

# A line that begins with an import. That of a magic's text or of a string may be one, too: it has to be imported besides.
IMPORT = re.compile(r"^[ \t]*(?:import[ \t]+([\w., \t]+)|from[ \t]+([\w.]+)[ \t]+import\b)", re.MULTILINE)

# What every kernel has, and code that imports it is made for one.
OF_ANY_KERNEL = frozenset(
    ["IPython", "comm", "ipykernel", "jupyter_client", "jupyter_core", "matplotlib_inline", "traitlets"]
)


class LentModules:
    """Those in a folder; each is told once."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.join(os.path.realpath(folder), "")
        self.told = set(OF_ANY_KERNEL)

    def news(self, code: str) -> dict[str, list[str]] | None:
        """The top-level modules that this cell was the first to import, as `{"modules": [NAME]}`."""
        if "import" not in code:
            return None
        new = sorted({name for name in imported(code) if name not in self.told and self.lends(name)})
        self.told.update(new)
        return {"modules": new} if new else None

    def lends(self, name: str) -> bool:
        file = getattr(sys.modules.get(name), "__file__", None)
        return isinstance(file, str) and os.path.realpath(file).startswith(self.folder)


def imported(code: str):
    """The top-level modules that code imports, by its text."""
    for several, one in IMPORT.findall(code):
        for name in several.split(",") if several else [one]:
            yield name.split(" as ")[0].strip().partition(".")[0]
