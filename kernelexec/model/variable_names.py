"""The names of a kernel's variables, as they are told when they are lost. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kernelexec.model.text import clip_line

_TOLD = 20  # of the names
_SHOWN = 60  # characters of each: code can make any string a name


@dataclass(frozen=True)
class VariableNames:
    """What a kernel said of the user's variables in it."""

    first: tuple[
        str, ...
    ] = ()  # the first 200: data before functions, modules last; the large and the new first
    number: int = 0  # of all

    @classmethod
    def told_by(cls, said: Mapping[str, Any]) -> VariableNames | None:
        """From what a kernel or a journal says; None if it says nothing of names."""
        names = said.get("names")
        if not isinstance(names, list):
            return None
        return cls(tuple(map(str, names)), max(int(said.get("number") or 0), len(names)))

    @classmethod
    def of_all(cls, several: Iterable[VariableNames]) -> VariableNames:
        """Those of several kernels as one; of the later kernels first."""
        found = list(several)
        first = tuple(dict.fromkeys(name for one in reversed(found) for name in one.first))
        return cls(first, len(first) + sum(one.number - len(one.first) for one in found))

    def in_brackets(self) -> str:
        """For a sentence, with a space before it; empty if there are none, or none are known."""
        if not self.first:
            return ""
        shown = ", ".join(clip_line(name, _SHOWN) for name in self.first[:_TOLD])
        more = self.number - len(self.first[:_TOLD])
        return f" ({shown} and {more:,} more)" if more > 0 else f" ({shown})"

    def gone_since(self, before: VariableNames) -> VariableNames:
        """Those that were there before and are not now. Of many that are not all told: none."""
        if self.number > len(self.first):
            return NO_NAMES
        gone = tuple(name for name in before.first if name not in self.first)
        if len(gone) == len(before.first):
            return before
        return VariableNames(gone, len(gone))

    def missing_since(self, before: VariableNames) -> str | None:
        """What was there before a replay and is not there after it, for a sentence."""
        gone = self.gone_since(before)
        if not gone.number:
            return None
        are = "is" if gone.number == 1 else "are"
        count = f"{gone.number:,} of the {before.number:,} variables before {are} not there again"
        return f"{count}{gone.in_brackets()}"

    def taken_since(self, before: VariableNames) -> str | None:
        """What a run has taken away of what was there, where that is most of it (%reset), for a sentence."""
        gone = self.gone_since(before)
        if 2 * gone.number <= before.number:
            return None
        count = "all" if gone.number == before.number else f"{gone.number:,} of the {before.number:,}"
        return f"{count} variables that were there are gone{gone.in_brackets()}"


NO_NAMES = VariableNames()
