"""The line by which a piece of code is known in lists and replies. Pure."""

from __future__ import annotations

_LOOKED_AT = 10_000  # characters
_LONGEST = 80  # characters


def first_line(code: str, longest: int = _LONGEST) -> str:
    """The first line that says something: blank lines and comments are passed over where there is more."""
    lines = [line.strip() for line in code[:_LOOKED_AT].splitlines()]
    telling = [line for line in lines if line and not line.startswith("#")]
    first = (telling or [line for line in lines if line] or [""])[0]
    goes_on = len(telling) > 1 or len(first) > longest
    return f"{first[:longest]} ..." if goes_on else first
