"""Reads JSON without `json`, by the scanner in C that `json` uses: the rest of it is Python, which imports
`re` and `enum`, and takes a bridge 6 ms of processor time and 0.8 MB.
"""

from __future__ import annotations

try:
    from _json import make_scanner
except ImportError:  # not CPython
    make_scanner = None  # type: ignore[assignment, misc]

TYPE_CHECKING = False  # see rendezvous
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SPACE = " \t\n\r"


class _Settings:
    """As `json.JSONDecoder` has them when nothing else is asked for."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def _scanner() -> Callable[[str, int], tuple[Any, int]]:
    try:
        scan: Callable[[str, int], tuple[Any, int]] = make_scanner(_Settings())  # type: ignore[arg-type]
    except (TypeError, AttributeError):  # there is none, or it wants to know more
        import json

        scan = json.JSONDecoder().raw_decode
    return scan


_scan = _scanner()


def read_line(line: bytes) -> Any:
    """As `json.loads` of a line in UTF-8.

    Raises:
        ValueError, RecursionError: it is none.
    """
    text = line.decode().strip(_SPACE)
    value, end = read_value(text)
    if end != len(text):
        raise ValueError(f"what follows at {end} is too much")
    return value


def read_value(text: str) -> tuple[Any, int]:
    """The value with which a text begins, and where it ends.

    Raises:
        ValueError, RecursionError: it begins with none.
    """
    try:
        return _scan(text, 0)
    except StopIteration as stop:
        raise ValueError(f"no value at {stop.value}") from None
