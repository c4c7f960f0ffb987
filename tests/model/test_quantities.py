"""Sizes and times in words."""

from __future__ import annotations

import pytest

from kernelexec.model.quantities import readable_age, readable_seconds, readable_size, spelled_age


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_500, "1.5 kB"),
        (123_456_789, "123 MB"),
        (10_000_000_000, "10.0 GB"),
        (5e12, "5.0 TB"),
    ],
)
def test_sizes_are_told_for_people(size: float, text: str) -> None:
    assert readable_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (5_400, "1.5 h"),
        (172_800, "2 d"),
        (1e7, "116 d"),
    ],
)
def test_ages_are_told_for_people(seconds: float, text: str) -> None:
    assert readable_age(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(60, "60 seconds"), (120, "2 minutes"), (86_400, "24 hours"), (172_800, "2 days")],
)
def test_ages_are_spelled_out_where_there_is_room(seconds: float, text: str) -> None:
    assert spelled_age(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.0124, "0.012 s"), (1, "1.0 s"), (75.34, "75.3 s")])
def test_a_run_of_less_than_a_second_is_told_in_thousandths(seconds: float, text: str) -> None:
    assert readable_seconds(seconds) == text
