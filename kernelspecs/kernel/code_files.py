"""A code file that is run in the kernel finds what it would find when run by hand.

While it runs: `__file__`, `__doc__` and `sys.argv` are its own, its folder comes first on sys.path, and errors, warnings
and inspect name the file. `__name__` is `__main__` in a kernel anyway. Afterwards all is as before: `__file__` would
have every child that multiprocessing starts run the file again. The user's variables are seen and kept, as in any run.
"""

from __future__ import annotations

import ast
import contextlib
import os
import sys

OWN = ("__file__", "__doc__")
MISSING = object()

_running: list[str] = []


def running_file() -> str | None:
    """The code file that runs now."""
    return _running[-1] if _running else None


@contextlib.contextmanager
def run_as(shell, path: str, code: str, *, on_path: bool = True):
    """Let the code that the shell runs next be the file's. `on_path`: whether its folder joins sys.path."""
    names, folder = shell.user_ns, os.path.dirname(path)
    before = {name: names.get(name, MISSING) for name in OWN}
    arguments, flags = sys.argv, getattr(shell.compile, "flags", None)
    names.update(__file__=path, __doc__=docstring(code))
    sys.argv = [path]
    if on_path:
        sys.path.insert(0, folder)
    name_next_code(shell.compile, path)
    _running.append(path)
    try:
        yield
    finally:
        _running.remove(path)
        sys.argv = arguments
        if on_path and folder in sys.path:
            sys.path.remove(folder)
        for name, value in before.items():
            if value is MISSING:
                names.pop(name, None)
            else:
                names[name] = value
        if flags is not None:
            shell.compile.flags = flags  # `from __future__` is the file's own


def unsafe_path_forbidden() -> bool:
    """Whether the user wants no working directory on sys.path. Before 3.11 Python, before 9.7 IPython did not ask."""
    by_environment = os.environ.get("PYTHONSAFEPATH") and not sys.flags.ignore_environment
    return bool(by_environment or sys.flags.isolated or getattr(sys.flags, "safe_path", False))


def docstring(code: str) -> str | None:
    try:
        return ast.get_docstring(ast.parse(code), clean=False)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # also where it has magics
        return None


def name_next_code(compiler, path: str) -> None:
    """Have IPython compile what comes next under the file's name, and know it as a file, not as a cell."""
    stock = getattr(compiler, "cache", None)
    if stock is None:
        return

    def cache(*arguments, **options):
        vars(compiler).pop("cache", None)
        vars(compiler)["get_code_name"] = lambda *_, **__: path
        try:
            name = stock(*arguments, **options)
        finally:
            del compiler.get_code_name
        getattr(compiler, "_filename_map", {}).pop(name, None)
        return name

    compiler.cache = cache
