"""Updates of which only the last counts: a real journal, and what is in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelexec.model.widgets import WidgetStates, replaced_by
from kernelexec.recording.journal import Journal
from kernelexec.recording.journal_lines import read
from kernelexec.recording.last_updates import LARGE, LastUpdates

ALL = frozenset({"data"})


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "j" / "a@b.jsonl")
    yield made
    made.close()


def texts(journal: Journal) -> list[str]:
    return [str(record["text"]) for record in read(journal.path)]


def test_of_large_updates_the_last_is_written_in_time(journal: Journal) -> None:
    updates = LastUpdates(journal)
    for number in range(100):
        updates.keep("chart", "x", {"text": str(number)}, LARGE + 1, ALL)
    updates.keep("another", "x", {"text": "b"}, LARGE + 1, ALL)
    assert texts(journal) == []
    updates.write_all()
    updates.write_all()
    assert texts(journal) == ["99", "b"]


def test_a_small_update_is_written_at_once_in_the_place_of_a_large_one(journal: Journal) -> None:
    updates = LastUpdates(journal)
    updates.keep("chart", "x", {"text": "large"}, LARGE + 1, ALL)
    updates.keep("chart", "x", {"text": "small"}, 5, ALL)
    assert texts(journal) == ["small"]


def test_what_is_not_replaced_is_written_before(journal: Journal) -> None:
    updates = LastUpdates(journal)
    updates.keep("comm", "x", {"text": "value and options"}, LARGE + 1, frozenset("ab"))
    updates.keep("comm", "x", {"text": "value"}, LARGE + 1, frozenset("a"))
    assert texts(journal) == ["value and options"]
    updates.keep("comm", "x", {"text": "in its order"}, LARGE + 1, None)
    assert texts(journal) == ["value and options", "value", "in its order"]


LETTERS = st.sampled_from(["a", "b", "msg_id"])
STATES = st.dictionaries(LETTERS, st.sampled_from(["1", "2", "x" * (LARGE + 1)]), max_size=2)


@given(st.lists(st.tuples(st.sampled_from("pq"), STATES, st.booleans()), max_size=12))
@settings(max_examples=60, deadline=None)
def test_widgets_are_in_the_journal_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, dict[str, str], bool]]
) -> None:
    journal = Journal(tmp_path_factory.mktemp("w") / "j" / "a@b.jsonl")
    updates, states, again = LastUpdates(journal), WidgetStates(), WidgetStates()
    for comm, state, has_buffer in said:
        data: dict[str, Any] = {"state": state or {"_model_name": "M"}}
        buffers = ["eA=="] if has_buffer else []
        if has_buffer:
            data["buffer_paths"] = [["image"]]
        content = {"comm_id": comm, "data": data}
        states.take(content, buffers)
        size = sum(map(len, state.values()))
        updates.keep(comm, "comm", {"content": content, "buffers": buffers}, size, replaced_by(content))
    updates.write_all()
    for record in read(journal.path):
        again.take(record["content"], record["buffers"])
    assert again.models() == states.models()
    assert [again.state(comm) for comm in "pq"] == [states.state(comm) for comm in "pq"]
    journal.close()
