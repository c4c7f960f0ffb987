"""Whose clock is believed: a kernel's within what the hub has seen itself. Pure.

A kernel says when it made each of its messages, which is more exact than when the hub hears of them. But its
clock is at the mercy of the user's code (freezegun and time-machine set it to any time), and another host's
may be wrong.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

BUSY, INPUT, IDLE = "iopub.status.busy", "iopub.execute_input", "iopub.status.idle"
STARTED, REPLY = "shell.execute_reply.started", "shell.execute_reply"

_APART = timedelta(seconds=0.1)  # between two looks at the clocks of one machine
_LATE = timedelta(seconds=1)  # what is heard so long after it is said to have been made was made later
_LATE_SHARE = 0.1  # or later by this much of a long run


class Times(dict[str, str]):
    """When a run did what, by the names under which JupyterLab records it in the cell."""

    def began(self, what: str, said: str, submitted: datetime, heard: datetime) -> None:
        """Something at its begin, of which the hub has heard at this moment."""
        self[what] = said if _is_between(submitted, said, heard) else _written(heard)

    def ended(self, said: str, started: str | None, heard: datetime, *, at_once: bool = True) -> None:
        """Its reply, which says when the kernel started on it. `at_once`: it was heard when it was made."""
        began, moment = read_moment(self.get(BUSY, "")), read_moment(said)
        late = max(_LATE, _LATE_SHARE * (heard - began)) if began is not None else _LATE
        # A clock that stands still would have it end as it began.
        if moment is None or (at_once and heard - moment > late) or not _is_between(began, said, heard):
            said = _written(heard)
        self[REPLY] = said
        if started is not None:
            is_inside = began is not None and _is_between(began, started, read_moment(said) or heard)
            self[STARTED] = started if is_inside else self.get(BUSY, said)

    def idle(self, said: str, heard: datetime) -> None:
        """The kernel is done with it."""
        after = read_moment(self.get(REPLY) or self.get(BUSY, ""))
        self[IDLE] = said if _is_between(after, said, heard) else _written(heard)

    def seconds(self, at_most: timedelta) -> float | None:
        """How long it ran; None if that is not known, or is more than this."""
        first, last = (read_moment(self.get(each, "")) for each in (BUSY, REPLY))
        if first is None or last is None or not first <= last <= first + at_most + _LATE:
            return None
        return (last - first).total_seconds()


def read_moment(said: str) -> datetime | None:
    """A moment as messages have it; None where that is none."""
    try:
        moment = datetime.fromisoformat(said.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _is_between(first: datetime | None, said: str, last: datetime) -> bool:
    moment = read_moment(said)
    if moment is None or moment > last + _APART:
        return False
    return first is None or moment >= first - _APART


def _written(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
