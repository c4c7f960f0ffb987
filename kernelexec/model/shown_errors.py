"""Errors among what a run shows: which there are, and which are none. Pure.

A run can end well and show an error all the same: `%run` of a script that fails, `%%capture`, an Output
widget, a library that shows a traceback and goes on. The verdict names it, else "OK" would hide it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# The exit codes of a program that ended well, as SystemExit's text has them: sys.exit(), 0, None, False.
_ALL_WELL = frozenset({"", "0", "None", "False"})


def is_clean_exit(name: object, value: object) -> bool:
    """Whether the exception is a program's way to say that it is done: sys.exit(0)."""
    return name == "SystemExit" and value in _ALL_WELL


def is_error(output: Mapping[str, Any]) -> bool:
    """Whether an output, as nbformat has it, is an error and not a clean exit."""
    return output.get("output_type") == "error" and not is_clean_exit(
        output.get("ename"), output.get("evalue")
    )


def error_names(outputs: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The exceptions' names, in the order in which they are shown."""
    return (str(output.get("ename") or "") for output in outputs if is_error(output))
