"""Holds a journal against the rules: told to a heart, it leads to the ends that it says itself."""

from __future__ import annotations

from pathlib import Path

from kernelexec.model.execution import State
from kernelexec.recording.journal_lines import read
from kernelexec.session.heart import Heart, IllegalEvent
from kernelexec.session.journal_events import replay_record


def replayed(path: Path) -> Heart:
    """A heart that was told all of a journal.

    Raises:
        AssertionError: the journal says what cannot have happened, or an end that does not follow.
    """
    heart = Heart(path.stem)
    said: dict[int, State] = {}
    for line, record in enumerate(read(path), 1):
        try:
            replay_record(heart, record)
        except IllegalEvent as error:
            raise AssertionError(f"{path}, event {line} ({record['event']}): {error}") from error
        if record["event"] == "finished":
            said[record["n"]] = State(record["state"])
            assert heart.state_of(record["n"]) is said[record["n"]], f"{path}, event {line}"
    return heart
