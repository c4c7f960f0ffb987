"""What a reply says beside its own matter. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kernelexec.model.execution import Execution
from kernelexec.session import events as e
from kernelexec.session.notices import notices, says_end


@dataclass(frozen=True)
class Telling:
    """What a reply says beside its own matter."""

    is_first: bool  # it is the first one to this caller about this kernel
    knew_another: bool  # and it was told of an earlier one
    notices: list[str]
    lost_generations: list[int]  # whose end the notices tell

    @classmethod
    def of(
        cls,
        tell: e.Tell,
        session: str,
        said: str | None,
        found: Mapping[int, Execution | None],
        troubles: Sequence[str],
    ) -> Telling:
        """What the heart has to tell, in words.

        `said`: what the reply says itself, which is not said again; `found`: the executions whose replies
        were lost.
        """
        losses = tuple(each for each in tell.losses if not says_end(session, each.loss, said))
        texts = [*notices(replace(tell, losses=losses), session, found), *troubles]
        return cls(tell.is_first, tell.knew_another, texts, [each.loss.generation for each in losses])
