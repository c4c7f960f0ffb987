"""Where the parts of a session bring what they see."""

from __future__ import annotations

from typing import Protocol

from kernelexec.session.events import Event


class Happenings(Protocol):
    """Takes an event, and has carried out what follows from it when it returns."""

    def happened(self, event: Event) -> None:
        """
        Raises:
            heart.IllegalEvent: it cannot happen now.
        """
