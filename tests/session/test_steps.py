from __future__ import annotations

from kernelexec.session import steps


def test_steps_are_told_in_the_order_of_their_moments_and_with_what_each_took() -> None:
    told = steps.in_words({"came": 10.0, "idle": 10.0105, "accepted": 10.0005})
    assert told == "came 0.0 (+0.0), accepted 0.5 (+0.5), idle 10.5 (+10.0) ms"


def test_nothing_is_kept_where_nobody_wants_it() -> None:
    assert steps.begin(None) is None
