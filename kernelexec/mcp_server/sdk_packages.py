"""The MCP SDK without what a server does not need: `import mcp` takes most of a hub's start.

Its `mcp` and `mcp.server` are packages whose `__init__` import all there is: the clients, the high-level
server, HTTP. They are executed here only when somebody asks for a name that they would have brought, and are
then what they always are; until that, only the modules that are asked for are imported. Measured with mcp
2.3 in processor time: 0.47 s instead of 0.61; and 12 MB less memory.

Its types are hundreds of models, for two eras of the protocol and for both sides, of which a connection uses
twenty. Each is built when it is first used, as pydantic can and the SDK does not ask for: 0.67 s instead of
0.79 on a busy machine, and 2 MB less; the first connection pays 7 ms of it.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from typing import Any

from pydantic._internal import _config

_PACKAGES = ("mcp", "mcp.server")
_DEFER = "defer_build"
_lock = threading.RLock()


def import_when_asked() -> None:
    """Have the packages be executed only when they are needed; what is imported already stays as it is."""
    for name in _PACKAGES:
        if name not in sys.modules:
            spec = importlib.util.find_spec(name)
            if spec is None or spec.loader is None:
                return  # who imports it says so
            _put(spec)


@contextmanager
def built_when_used() -> Iterator[None]:
    """What is imported meanwhile builds its pydantic models when they are first used.

    pydantic has this for a model that asks for it (`defer_build`), and keeps what counts for all others where
    this looks for it; where it does not any more, they are built at once.
    """
    defaults = getattr(_config, "config_defaults", None)
    if not isinstance(defaults, dict) or defaults.get(_DEFER) is not False:
        yield
        return
    defaults[_DEFER] = True
    try:
        yield
    finally:
        defaults[_DEFER] = False


def _put(spec: ModuleSpec) -> None:
    module = importlib.util.module_from_spec(spec)

    def complete(attribute: str) -> Any:
        """As a module's `__getattr__`: what is asked for is not there, or not yet."""
        with _lock:
            if module.__dict__.pop("__getattr__", None) is complete:
                assert spec.loader is not None
                spec.loader.exec_module(module)
        return getattr(module, attribute)

    module.__dict__["__getattr__"] = complete
    sys.modules[spec.name] = module
    parent, _, own = spec.name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], own, module)  # as the import of a submodule does
