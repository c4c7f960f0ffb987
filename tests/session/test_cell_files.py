"""The names of a kernel's cells take little memory, and are found by execution count."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelexec.session.cell_files import CellFiles

names = st.one_of(st.none(), st.sampled_from(["load.py", "0007-load.py", "7.py", "0007.r", "", "00007.py"]))


@given(
    st.lists(st.tuples(st.integers(-2, 40) | st.just(10**9), st.integers(0, 12_000) | st.just(2**40), names))
)
def test_it_is_as_a_dictionary_of_names_would_be(cells: list[tuple[int, int, str | None]]) -> None:
    files, expected = CellFiles(), {}
    for count, number, other in cells:
        name = other if other is not None else f"{number:04d}.py"
        files.add(count, number, name)
        expected[count] = name
    assert dict(files) == expected
    assert len(files) == len(expected)
    for count in range(-3, 42):
        assert files.get(count) == expected.get(count)
    files.clear()
    assert not files
    with pytest.raises(KeyError):
        files[1]


def test_a_name_that_is_a_number_takes_a_few_bytes() -> None:
    files = CellFiles()
    for number in range(1, 50_001):
        files.add(number, number, f"{number:04d}.py")
    assert files[49_999] == "49999.py"
    assert not files._others
    assert sys.getsizeof(files._numbers) < 50_000 * 5
