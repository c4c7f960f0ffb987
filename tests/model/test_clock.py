"""When a run did what: the kernel is believed where the hub can have heard of it then."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from kernelexec.model.clock import BUSY, IDLE, REPLY, STARTED, Times
from kernelexec.model.execution import seconds_of

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
FROZEN = "2012-01-14T00:00:00.000000Z"


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def said(seconds: float) -> str:
    """As a message has it."""
    return at(seconds).isoformat().replace("+00:00", "Z")


def ran(busy: str, reply: str, heard_busy: float, heard_reply: float, at_once: bool = True) -> Times:
    """A run that was submitted at noon."""
    times = Times()
    times.began(BUSY, busy, NOON, at(heard_busy))
    times.ended(reply, busy, at(heard_reply), at_once=at_once)
    times.idle(reply, at(heard_reply))
    return times


@pytest.mark.parametrize(
    ("busy", "reply", "seconds"),
    [
        (said(1.0), said(3.0), 2.0),  # as the kernel says
        (FROZEN, FROZEN, 2.2),  # by a clock that stands still
        (FROZEN, said(3.0), 1.9),  # it was put right in the run
        (said(1.0), FROZEN, 2.3),  # it was stopped in the run
        (said(1.0), said(1.0), 2.3),  # it was stopped where it was
        (said(9e8), said(9e8), 2.2),  # it is in the future
        ("", "noon", 2.2),
        ("2026-11-23T12:00:01", "2026-11-23T12:00:03", 2.0),  # without a time zone
    ],
)
def test_how_long_a_run_took_no_clock_of_the_kernels_makes_wrong(
    busy: str, reply: str, seconds: float
) -> None:
    times = ran(busy, reply, 1.1, 3.3)
    assert times.seconds(timedelta(seconds=4)) == pytest.approx(seconds)
    moments = [datetime.fromisoformat(times[each].replace("Z", "+00:00")) for each in (BUSY, REPLY, IDLE)]
    assert moments == sorted(moments)
    assert times[STARTED]


def test_a_reply_that_a_kernel_kept_for_the_next_hub_is_as_old_as_it_says() -> None:
    assert ran(said(1), said(3), 600, 600, at_once=False).seconds(timedelta(hours=1)) == 2
    assert ran(said(1), said(3), 2, 600).seconds(timedelta(hours=1)) == pytest.approx(599)


def test_what_an_earlier_version_recorded_is_believed_only_within_its_hubs_times() -> None:
    frozen = Times({BUSY: said(0), REPLY: FROZEN})
    assert seconds_of(frozen, NOON, at(1), at(3)) == 2
    assert seconds_of(Times({BUSY: FROZEN, REPLY: said(3)}), NOON, at(1), at(3)) == 2
    assert seconds_of(Times({BUSY: said(1), REPLY: said(2.5)}), NOON, at(1), at(3)) == 1.5
    assert seconds_of(Times(), at(3), None, at(1)) == 0  # the hub's own clock was set back
