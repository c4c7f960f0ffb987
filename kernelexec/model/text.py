"""Text for a reply: what a terminal would show, and nothing that misleads. Pure."""

from __future__ import annotations

import re

from kernelexec.model.terminal import shown

# Controls but tab and newline; the marks that reorder text (Trojan source, CVE-2021-42574); what no
# person sees but a model reads: invisible separators and the tag characters.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
# What stands alone on a line above each output of a reply.
_HEADING = re.compile(
    r"^(?=[ \t]*\[(?:stdout|stderr|result|display|error|widget|end of the output|meanwhile, [^\]\n]*)\]"
    r"[ \t]*$)",
    re.MULTILINE,
)


def plain(text: str) -> str:
    """Without escape codes, overwritten progress bars and characters that mislead."""
    return without_controls(shown(text))


def without_controls(text: str) -> str:
    """With the characters that mislead as they are written in code."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(text: str) -> str:
    """What a kernel calls something, in one line that cannot be taken for another."""
    return " ".join(plain(text).split())


def clip_line(text: str, limit: int) -> str:
    """What somebody else calls something, in one line of at most `limit` characters and " ..."."""
    line = one_line(text[: 10 * limit])
    return line if len(line) <= limit and len(text) <= 10 * limit else f"{line[:limit]} ..."


def not_a_heading(text: str) -> str:
    """Output that looks like a heading of a reply gets a backslash: a reply has no parts but its own."""
    return _HEADING.sub(r"\\", text) if "]" in text else text
