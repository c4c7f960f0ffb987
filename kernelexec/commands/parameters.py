"""The parameters of `kernelexec run -p`, as papermill has them: values that the code begins with."""

from __future__ import annotations

import ast
import keyword
from collections.abc import Mapping, Sequence

from kernelexec.errors import BadRequest
from kernelexec.recording.notebook_format import Cell

TAG = "parameters"  # of the cell that has the usual values
LABEL = "parameters"


def read_parameters(given: Sequence[str]) -> dict[str, object]:
    """`name=value` each; a value that is no Python literal is text.

    Raises:
        BadRequest: it is not of that form, or no name.
    """
    found: dict[str, object] = {}
    for each in given:
        name, equals, value = each.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier() or keyword.iskeyword(name):
            raise BadRequest(f"{each!r} is no parameter.", "Write it as NAME=VALUE, for example -p rows=100.")
        found[name] = _value(value)
    return found


def _value(text: str) -> object:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def assignments(parameters: Mapping[str, object]) -> str:
    """The code that gives them their values."""
    return "\n".join(["# Parameters", *(f"{name} = {value!r}" for name, value in parameters.items())])


def is_tagged(cell: Cell) -> bool:
    """Whether it is the cell after which the parameters count."""
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, Mapping) else None
    return isinstance(tags, Sequence) and not isinstance(tags, str) and TAG in tags
