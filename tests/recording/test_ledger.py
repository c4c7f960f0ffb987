"""Which of our cells a person's copy of a notebook has seen."""

from __future__ import annotations

import pytest

from kernelexec.recording.ledger import Ledger


@pytest.fixture
def ledger() -> Ledger:
    """Cells 1 and 2 at revision 1, 3 at 2, new outputs of 1 at 3, cell 4 at 4."""
    ledger = Ledger()
    ledger.write(1, [1, 2], [])
    ledger.write(2, [3], [])
    ledger.write(3, [], [1])
    ledger.write(4, [4], [])
    return ledger


def test_what_was_written_after_the_persons_copy_was_never_seen(ledger: Ledger) -> None:
    assert ledger.unseen(1, {1, 2}) == ([3, 4], [1])
    assert ledger.unseen(3, {1, 2, 3}) == ([4], [])
    assert ledger.unseen(4, {1, 2, 3, 4}) == ([], [])


def test_what_the_persons_copy_had_and_has_no_more_was_deleted(ledger: Ledger) -> None:
    assert ledger.unseen(4, set()) == ([], [])
    assert ledger.unseen(4, {1, 2, 3}) == ([], []), "also at the end"
    assert ledger.unseen(2, {3}) == ([4], []), "no outputs for a deleted cell"


def test_without_metadata_a_missing_end_was_never_seen_and_anything_before_was_deleted(
    ledger: Ledger,
) -> None:
    assert ledger.unseen(None, {1, 3}) == ([4], [])
    assert ledger.unseen(None, {1, 2, 3, 4}) == ([], [])
    assert ledger.unseen(None, set()) == ([], []), "all of it was thrown away"


def test_what_was_added_again_counts_from_then_on(ledger: Ledger) -> None:
    ledger.write(5, [3, 4], [])
    assert ledger.unseen(4, {1, 2}) == ([3, 4], [])
    assert ledger.unseen(5, {1, 2}) == ([], [])


def test_the_journals_lines_give_the_same(ledger: Ledger) -> None:
    again = Ledger()
    for record in (
        {"revision": 1, "numbers": [1, 2], "changed": []},
        {"revision": 2, "numbers": [3], "changed": []},
        {"revision": 3, "numbers": [], "changed": [1]},
        {"revision": 4, "numbers": [4], "changed": []},
    ):
        again.read(record)
    assert again.revision == 4
    for revision in (None, 1, 2, 3, 4):
        assert again.unseen(revision, {1}) == ledger.unseen(revision, {1})


def test_a_cell_is_known_once_it_was_written() -> None:
    ledger = Ledger()
    ledger.write(1, [1, 3], [])
    assert [number in ledger for number in range(4)] == [False, True, False, True]
    assert ledger.numbers == {1, 3}
