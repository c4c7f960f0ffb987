"""Passwords in what installers print."""

from __future__ import annotations

import pytest

from kernelexec.environments.redaction import Redaction, hide_passwords


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ("Looking in indexes: https://ann:s3cret@host/simple", "https://ann:****@host/simple"),
        ("invalid value 'http://ann:a/s3cret@host:99999/x'", "'http://ann:****@host:99999/x'"),
        ("https://ann:p@s3cret@host/x@1.0", "https://ann:****@host/x@1.0"),
        ("https://:s3cret@host https://s3cret@host", "https://:****@host https://****@host"),
        ("https://ann:s3cret@a/x,https://bob:s3cret@b/y", "bob:****@b/y"),
    ],
)
def test_they_are_hidden(printed: str, told: str) -> None:
    assert told in hide_passwords(printed)
    assert "s3cret" not in hide_passwords(printed)


@pytest.mark.parametrize(
    "text",
    [
        "Downloading https://host:8080/simple/six-1.17.0.whl (11 kB)",
        "file:///opt/wheels and a//b, ann@host, pkg @ ./x, ratio 3:1",
        "https://ann:****@host/simple",
    ],
)
def test_all_else_stays(text: str) -> None:
    assert hide_passwords(text) == text


def test_wherever_the_output_is_cut() -> None:
    printed = "see https://ann:s3cret@host/x now\nat /a/b"
    for first in range(len(printed)):
        for second in range(first, len(printed)):
            redaction = Redaction()
            pieces = (printed[:first], printed[first:second], printed[second:])
            told = [*map(redaction.feed, pieces), redaction.end()]
            assert "".join(told) == "see https://ann:****@host/x now\nat /a/b"


def test_what_is_no_address_is_told_at_once() -> None:
    redaction = Redaction()
    assert redaction.feed("Solving environment: ...working... ") == "Solving environment: ...working... "
    assert redaction.feed("done") == "done"


def test_a_hostile_line_costs_little_time() -> None:
    hide_passwords("//:" * 100_000)
