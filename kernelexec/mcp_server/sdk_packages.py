"""The MCP SDK without what a server does not need: importing it takes most of a hub's start.

- Its `mcp` and `mcp.server` are packages whose `__init__` import all there is: the clients, the high-level
  server. They are executed here only when somebody asks for a name that they would have brought, and are then
  what they always are; until that, only the modules that are asked for are imported.
- Its types are hundreds of models, for two eras of the protocol and for both sides, of which a connection
  uses twenty. Each is built when it is first used, as pydantic can and the SDK does not ask for; and those
  of the newer era are imported when somebody speaks it.
- Its low-level server imports a web server, and what signs in to one, for a method that makes an HTTP
  application. They are imported when that is called.

In processor time, with mcp 2.3: 0.15 s instead of 0.35, and 60 MB with all of the hub instead of 79. It is
done by whoever is the first to import something of the SDK after `import_when_asked`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any

_SDK = ("mcp", "mcp_types")
_PACKAGES = ("mcp", "mcp.server")
_METHODS = "mcp_types.methods"
_NEWER_ERA = ("mcp_types._v2026_07_28",)
_SERVER = "mcp.server.lowlevel.server"
_FOR_HTTP = (  # what the server's module imports for its HTTP application alone, with all below these names
    "starlette",
    "mcp.server.auth",
    "mcp.server.streamable_http",
    "mcp.server.streamable_http_manager",
    "mcp.server.transport_security",
)
_DEFER = "defer_build"
_lock = threading.RLock()


def import_when_asked() -> None:
    """Have the SDK be imported in this way from now on; what is imported already stays as it is."""
    for name in _PACKAGES:
        if name not in sys.modules:
            spec = importlib.util.find_spec(name)
            if spec is None or spec.loader is None:
                return  # who imports it says so
            _put(spec)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the SDK's modules where they are, to be executed in our way."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in _SDK:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:  # else it is left as it is
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        with built_when_used():
            if module.__name__ not in _WITHOUT:
                super().exec_module(module)
                return
            names, complete_later = _WITHOUT[module.__name__]
            try:
                with _without(names):
                    super().exec_module(module)
                complete_later(module)
            except Exception:  # noqa: BLE001 - a later SDK that needs some of it at once has it
                super().exec_module(module)


@contextmanager
def built_when_used() -> Iterator[None]:
    """What is imported meanwhile builds its pydantic models when they are first used.

    pydantic has this for a model that asks for it (`defer_build`), and keeps what counts for all others where
    this looks for it; where it does not any more, they are built at once.
    """
    from pydantic import TypeAdapter  # here: this module is imported before the SDK is needed
    from pydantic._internal import _config

    defaults = getattr(_config, "config_defaults", None)
    own = vars(TypeAdapter).get("_defer_build")  # reads the adapter's own configuration alone
    if not isinstance(defaults, dict) or defaults.get(_DEFER) is not False or not isinstance(own, property):
        yield
        return
    defaults[_DEFER] = True
    TypeAdapter._defer_build = property(lambda adapter: True)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        defaults[_DEFER] = False
        TypeAdapter._defer_build = own  # type: ignore[method-assign, assignment]


class _Left:
    """Stands for a name of a module that is not imported yet, or for a union with it."""

    def __init__(self, find: Callable[[], Any]) -> None:
        self.imported = find

    def __or__(self, other: Any) -> _Left:
        return _Left(lambda: self.imported() | _imported(other))


def _imported(value: Any) -> Any:
    return value.imported() if isinstance(value, _Left) else value


class _Stand(ModuleType):
    """Stands for a module, all of whose names are left."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = []  # its submodules are looked for

    def __getattr__(self, name: str) -> _Left:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Left(lambda: getattr(importlib.import_module(self.__name__), name))


class _Stands(MetaPathFinder):
    """Finds stands for these modules and all below them, and nothing else."""

    def __init__(self, instead_of: Sequence[str]) -> None:
        self.names: list[str] = []
        self._instead_of = instead_of

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not any(fullname == name or fullname.startswith(f"{name}.") for name in self._instead_of):
            return None
        self.names.append(fullname)
        return ModuleSpec(fullname, self)  # type: ignore[arg-type]  # it is a loader, too

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Stand(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


@contextmanager
def _without(names: Sequence[str]) -> Iterator[None]:
    """Who imports these meanwhile gets stands, of which nothing remains in sys.modules."""
    stands = _Stands(names)
    sys.meta_path.insert(0, stands)
    try:
        yield
    finally:
        sys.meta_path.remove(stands)
        for name in stands.names:
            module = sys.modules.pop(name)
            parent, _, own = name.rpartition(".")
            if vars(sys.modules.get(parent, module)).get(own) is module:
                delattr(sys.modules[parent], own)


def _import_with_http(module: ModuleType) -> None:
    """Have what was left of the server's module be imported by who wants its HTTP application."""
    server: Any = module.Server
    stock = server.streamable_http_app

    @functools.wraps(stock)
    def streamable_http_app(*arguments: Any, **options: Any) -> Any:
        with _lock:
            for names in (vars(module), stock.__kwdefaults__):
                names.update({name: _imported(value) for name, value in names.items()})
            server.streamable_http_app = stock
        return stock(*arguments, **options)

    server.streamable_http_app = streamable_http_app


class _Rows(Mapping[Any, Any]):
    """A table of models by method and version, each of which is imported when it is looked up."""

    def __init__(self, rows: Mapping[Any, Any]) -> None:
        self._rows = dict(rows)

    def __getitem__(self, key: Any) -> Any:
        row = self._rows[key]
        if isinstance(row, _Left):
            row = self._rows[key] = row.imported()
        return row

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _look_up_later(module: ModuleType) -> None:
    """Have rows of the newer era be imported by who looks them up; tables are functions' defaults, too."""
    tables = {
        id(value): _Rows(value)
        for value in vars(module).values()
        if isinstance(value, MappingProxyType) and any(isinstance(row, _Left) for row in value.values())
    }
    functions = [value for value in vars(module).values() if isinstance(value, FunctionType)]
    for names in (vars(module), *(each.__kwdefaults__ or {} for each in functions)):
        names.update({name: tables.get(id(value), value) for name, value in names.items()})


_WITHOUT: Mapping[str, tuple[Sequence[str], Callable[[ModuleType], None]]] = {
    _METHODS: (_NEWER_ERA, _look_up_later),
    _SERVER: (_FOR_HTTP, _import_with_http),
}


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
