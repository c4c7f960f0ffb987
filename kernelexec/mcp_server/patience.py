"""How long clients bear to wait: for a reply, and while a person is at a form of theirs.

A call that outlasts its client is a result that nobody reads. So a call replies before the limit of every
client (config), unless it is known that this one waits longer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kernelexec.config import Config


@dataclass(frozen=True)
class Patience:
    """A client's, in seconds. None: as every client's."""

    reply: float | None = None  # from the call to its reply
    form: float = 0.0  # a person's at a form, which the client does not count as the call's time


@dataclass(frozen=True)
class Waits:
    """How long the calls of a client wait for the end of a run, in seconds."""

    default: float
    longest: float


@dataclass(frozen=True)
class _Known:
    since: tuple[int, ...]  # the version with which this was tried
    patience: Patience
    with_progress: bool = False  # only where the call asks for progress


_UNKNOWN = Patience()
_KNOWN = {
    # 300 s for a call, whatever progress it hears of; the clock stands still while a form is open.
    "codex-mcp-client": _Known((0, 171), Patience(reply=240.0, form=3_600.0)),
    # 1,800 s without progress; a call of 320 s was seen to end well. Longer is no help to an assistant.
    "claude-code": _Known((2, 1, 197), Patience(reply=600.0), with_progress=True),
}


def patience_of(client: str, version: str, *, has_progress: bool) -> Patience:
    """That of the client with this name and version, as it calls itself."""
    known = _KNOWN.get(client)
    if known is None or _numbers(version) < known.since or (known.with_progress and not has_progress):
        return _UNKNOWN
    return known.patience


def waits_of(config: Config, patience: Patience) -> Waits:
    """What is configured decides, else what is known of the client."""
    longest = config.longest_wait_seconds
    if not config.longest_wait_is_chosen and patience.reply is not None:
        longest = patience.reply
    return Waits(min(config.wait_seconds, longest), longest)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d{1,9}", version)[:4])
