"""Text for a reply: what a terminal would show, within limits. Pure."""

from __future__ import annotations

import re

# CSI, OSC (ended by BEL or ST) and the other escape sequences of ECMA-48.
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[PX^_][^\x1b\n]*(?:\x1b\\)?|[ -/]*[0-~])"
)
# Controls but tab and newline, and the marks that reorder text (Trojan source, CVE-2021-42574).
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def plain(text: str) -> str:
    """Without escape codes, overwritten progress bars and characters that mislead."""
    text = _ESCAPES.sub("", text)
    if "\r" in text:
        text = "\n".join(map(_overwritten, text.replace("\r\n", "\n").split("\n")))
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def clip(text: str, limit: int, where: str) -> str:
    """At most about `limit` characters: head and tail, cut at line ends, and what was left out.

    `where` says how to get the rest.
    """
    if len(text) <= limit:
        return text
    room = max(0, limit - len(where) - 50)  # for the line in between
    head = _up_to_line_end(text[: room * 2 // 3])
    tail = _from_line_start(text[len(text) - room // 3 :])
    left_out = len(text) - len(head) - len(tail)
    return f"{head}\n[... {left_out:,} characters left out; {where} ...]\n{tail}"


def _overwritten(line: str) -> str:
    """What a terminal shows of a line in which carriage returns went back to its start."""
    return next((part for part in reversed(line.split("\r")) if part), "")


def _up_to_line_end(text: str) -> str:
    end = text.rfind("\n", len(text) // 2)
    return text if end < 0 else text[:end]


def _from_line_start(text: str) -> str:
    start = text.find("\n", 0, len(text) // 2)
    return text[start + 1 :]
