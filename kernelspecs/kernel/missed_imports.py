"""Who looked for a module in vain: after an installation that is who may go on without it.

A library that can do without another one (Plotly without nbformat) looks for it once, most often while it is itself
imported, and remembers what it found. What is installed later it never sees, until the kernel is restarted.
"""

from __future__ import annotations

import importlib.util
import sys

MOST = 5_000  # modules looked for, with those that did; some libraries look for hundreds
OURS = frozenset(["IPython", "ipykernel", "jedi", "missed_imports", "traitlets"])  # they look again each time


class MissedImports:
    """A finder that stands last, so that it is asked for what no other one has. It finds nothing."""

    def __init__(self) -> None:
        self.seekers: dict[str, dict[tuple[tuple[str, ...], str | None], None]] = {}

    def find_spec(self, name, path=None, target=None):
        try:
            if len(self.seekers) < MOST or name in self.seekers:
                known = self.seekers.setdefault(name, {})
                if len(known) < MOST:
                    known[seekers(sys._getframe(1))] = None
        except Exception:  # noqa: BLE001 - whatever a frame holds, an import goes on as without this
            pass
        return None

    def missed(self, tops) -> dict[str, dict[str, bool]]:
        """Of these top-level modules, and what is below them: {NAME: {MODULE: whether it was being imported}}, where
        MODULE is imported and looked for NAME when that was not there."""
        found: dict[str, dict[str, bool]] = {}
        for name, known in list(self.seekers.items()):
            if name.partition(".")[0] not in tops or not is_there_now(name):
                continue
            for loading, asking in list(known):
                # Of those that import each other the innermost which lives: what it asked for, it does without.
                module = next((each for each in loading if each in sys.modules), None)
                if module is not None:
                    found.setdefault(name, {})[module] = True
                elif asking in sys.modules and asking.partition(".")[0] not in OURS:
                    found.setdefault(name, {}).setdefault(asking, False)
        return found


def seekers(frame):
    """The modules that are being imported up to the user's own code, the innermost first, and the one whose code asks."""
    loading, asking = [], None
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if module == "__main__":
            break
        if isinstance(module, str) and module.partition(".")[0] != "importlib" and "_bootstrap" not in module:
            asking = asking or module
            if frame.f_code.co_name == "<module>":
                loading.append(module)
        frame = frame.f_back
    return tuple(loading), asking


def is_there_now(name) -> bool:
    """A top-level module is what was installed; another one may be of something else in the same namespace."""
    parent = name.rpartition(".")[0]
    if not parent:
        return True
    try:
        return parent in sys.modules and importlib.util.find_spec(name) is not None
    except Exception:  # noqa: BLE001 - a finder of the user's environment may do anything
        return False
