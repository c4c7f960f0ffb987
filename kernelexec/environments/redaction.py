"""Passwords in the addresses that installers print: nobody is told them, and nothing keeps them. Pure.

By hand: urllib.parse takes an address apart, but finds none in a text, and pip's own is private and does not
either.
"""

from __future__ import annotations

import re

# pip and uv hide them themselves in most messages, but not where they complain of the address.
_CREDENTIALS = re.compile(
    r"//(?:(?P<user>[^\s/@:]{0,200}):(?:[^\s/]{0,2000}|[^\s@]{0,200})|[^\s/@:]{1,2000})@"
)
_LONGEST_WORD = 4_000  # characters that are held back for what may follow


def hide_passwords(text: str) -> str:
    """The text with **** for the password of each address, or for the token in its place."""
    return _CREDENTIALS.sub(_hidden, text) if "//" in text else text


def _hidden(found: re.Match[str]) -> str:
    return "//****@" if found["user"] is None else f"//{found['user']}:****@"


class Redaction:
    """The same for output that comes in pieces: the beginning of an address waits for its rest."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """What can be told by now."""
        text = self._held + text
        word = max(text.rfind(" "), text.rfind("\n")) + 1
        if "/" not in text[word:] or len(text) - word > _LONGEST_WORD:
            word = len(text)
        self._held = text[word:]
        return hide_passwords(text[:word])

    def end(self) -> str:
        """The rest."""
        rest, self._held = self._held, ""
        return hide_passwords(rest)
