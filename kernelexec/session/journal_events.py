"""A journal as the events that it is a log of: what the heart of a session was told, told again.

So a hub knows what the one before it knew, and a journal of anybody's can be held against the rules.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelexec.model.execution import Kind, State
from kernelexec.model.first_line import first_line
from kernelexec.model.variable_names import NO_NAMES, VariableNames
from kernelexec.recording.history import History, read_history
from kernelexec.recording.journal import Journal
from kernelexec.session import events as e
from kernelexec.session.heart import Heart, IllegalEvent
from kernelexec.session.notices import foreign_cell

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Past:
    """What earlier hubs have left of a session."""

    history: History
    heart: Heart


def read_past(journal: Journal, session: str, storage_dir: Path) -> Past:
    """The past in a journal; empty for a new one.

    Where it contradicts itself (a line was lost, or an earlier version wrote it), what it says of an
    execution counts, and the rest is passed over.
    """
    heart = Heart(session)

    def take(record: Mapping[str, Any]) -> None:
        try:
            replay_record(heart, record)
        except IllegalEvent as error:
            _log.debug("%s: %s", journal.path, error)

    history = read_history(journal, session, storage_dir, take)
    heart.handle(e.JournalRead({each.number: (each.kind, each.state) for each in history.unfinished}))
    return Past(history, heart)


def replay_record(heart: Heart, record: Mapping[str, Any]) -> None:
    """Tell a heart what a journal line says.

    Raises:
        IllegalEvent: that cannot follow what was told before.
    """
    for event in _events(heart, record):
        heart.handle(event)


def _events(heart: Heart, record: Mapping[str, Any]) -> list[e.Event]:
    match record["event"]:
        case "opened":  # by another hub than what came before
            return [e.HubReplaced(heart.has_kernel)] if heart.has_past else []
        case "begun":
            number = record["n"]
            if heart.state_of(number) is not State.QUEUED:
                return []  # it says more of the same
            return [e.Sent(number), e.Began(number)]
        case "died":
            return [_died(record, heart.generation)]
        case "told" if "caller" not in record:
            return []  # an earlier version's, which told whoever came
        case kind:
            means = _MEANS.get(kind)
            return [means(record)] if means is not None else []


def _died(record: Mapping[str, Any], generation: int) -> e.Died:
    return e.Died(
        e.Loss(
            record.get("generation", generation),
            record["cause"],
            VariableNames.told_by(record) or NO_NAMES,
            record.get("by"),
            record.get("begun"),
            joined=bool(record.get("joined")),
        )
    )


def _submitted(record: Mapping[str, Any]) -> e.Submitted:
    kind, words = Kind.read(record.get("kind", "")), first_line(record["code"])
    return e.Submitted(record["n"], kind, record.get("caller"), record.get("within"), words)


_MEANS: dict[str, Callable[[Mapping[str, Any]], e.Event]] = {
    "caller": lambda r: e.Met(e.CallerId(r["caller"], r["client"], r["directory"])),
    "submitted": _submitted,
    "sent": lambda r: e.Sent(r["n"], r["msg_id"]),
    "aborted": lambda r: e.Aborted(r["n"]),
    "finished": lambda r: e.Ended(r["n"], State.read(r["state"]), r["problem"]),
    "kernel": lambda r: e.Started(r["generation"]),
    "adopted": lambda r: e.Adopted(r["generation"]),
    "other": lambda r: e.ForeignRun(foreign_cell(r.get("count"), str(r.get("code", "")))),
    "reply_lost": lambda r: e.ReplyLost(r["caller"], r["n"], r["why"]),
    "told": lambda r: e.WasTold(r["caller"], bool(r.get("introduced"))),
}
