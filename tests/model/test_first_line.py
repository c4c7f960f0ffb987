"""The line by which code is known."""

from __future__ import annotations

import pytest

from kernelexec.model.first_line import first_line


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("x = 1", "x = 1"),
        ("\n\n  x = 1\n", "x = 1"),
        ("x = 1\ny = 2", "x = 1 ..."),
        ("# Load the data\n\nx = 1\n", "x = 1"),
        ("# Only a remark", "# Only a remark"),
        ("%%bash\nls", "%%bash ..."),
        ("y" * 81, "y" * 80 + " ..."),
        ("", ""),
    ],
)
def test_it_is_the_first_that_says_something(code: str, line: str) -> None:
    assert first_line(code) == line
