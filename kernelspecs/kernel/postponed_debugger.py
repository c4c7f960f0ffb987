"""debugpy is imported with the first debug request: it is a quarter of a kernel's time to start."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType


class PostponedDebugger:
    """Stands for ipykernel's Debugger until the first debug request: debugpy is a quarter of the time to start."""

    def __init__(self, *arguments, **options) -> None:
        self.arguments = arguments
        self.options = options

    def load(self):
        del sys.modules["ipykernel.debugger"]
        module = importlib.import_module("ipykernel.debugger")
        return module.Debugger(*self.arguments, **self.options) if module._is_debugpy_available else None


def install() -> None:
    """Put in place of ipykernel.debugger, before it is imported, a module with the two names ipykernel looks for."""
    module = ModuleType("ipykernel.debugger")
    module.Debugger = PostponedDebugger
    module._is_debugpy_available = importlib.util.find_spec("debugpy") is not None
    sys.modules["ipykernel.debugger"] = module
