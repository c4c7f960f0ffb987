"""What a journal says of a session's past."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelexec.model.execution import Overflow, State
from kernelexec.recording.history import History, load_execution, read_history
from kernelexec.recording.journal import Journal
from tests.fakes import text_of

SESSION = "sales@analysis"
DATE = "2026-11-23T10:00:00+00:00"


class Past(Journal):
    """A journal that is written as a recorder writes it."""

    def begin(self, generation: int) -> None:
        self.write("kernel", generation=generation, interpreter="/p", notebook_metadata={"g": generation})

    def submitted(self, n: int, generation: int = 1) -> None:
        script = f"{SESSION}-{generation}/{n:04d}.py"
        fields = {"script": script, "label": "load", "note": "why", "code": f"x = {n}"}
        self.write("submitted", n=n, generation=generation, **fields)

    def sent(self, n: int) -> None:
        self.write("sent", n=n, msg_id=f"m_{n}")

    def printed(self, n: int, text: str) -> None:
        self.write("output", n=n, type="stream", content={"name": "stdout", "text": text})

    def finished(self, n: int, state: State, **more: Any) -> None:
        fields = {
            "problem": None,
            "execution_count": n,
            "started": DATE,
            "finished": DATE,
            "timing": {"a": DATE},
            "overflow": None,
        }
        self.write("finished", n=n, state=state.value, **{**fields, **more})

    def ran(self, n: int, generation: int = 1, text: str = "") -> None:
        self.submitted(n, generation)
        self.sent(n)
        if text:
            self.printed(n, text)
        self.finished(n, State.OK)

    def died(self, generation: int = 1) -> None:
        self.write("died", generation=generation, cause="it is gone", untold=False)

    def read(self) -> History:
        return read_history(self, SESSION, self.path.parent)


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    journal = Past(tmp_path / "x.jsonl")
    yield journal
    journal.close()


def test_a_new_session_has_no_past(past: Past) -> None:
    history = past.read()
    assert (history.last_number, history.generation, history.kernel_ended) == (0, 0, True)
    assert (history.unfinished, history.unwritten) == ([], [])


def test_numbers_and_generations_go_on_where_they_stopped(past: Past) -> None:
    past.begin(1)
    past.ran(1)
    past.died()
    past.begin(2)
    past.ran(2, 2)
    past.submitted(3, 2)
    history = past.read()
    assert (history.last_number, history.generation) == (3, 2)
    assert history.notebooks[2] == {"g": 2}


@pytest.mark.parametrize("ended", [False, True])
def test_a_kernel_is_gone_only_if_the_journal_says_so(past: Past, ended: bool) -> None:
    past.begin(1)
    past.ran(1)
    if ended:
        past.died()
    assert past.read().kernel_ended is ended


def test_what_has_no_end_is_unfinished_and_knows_how_far_it_came(past: Past) -> None:
    past.begin(1)
    past.ran(1)
    past.submitted(2)
    past.sent(2)
    past.printed(2, "half\n")
    past.submitted(3)
    running, queued = past.read().unfinished
    assert (running.number, running.state, queued.number, queued.state) == (2, State.SENT, 3, State.QUEUED)
    assert text_of(running.outputs.to_notebook()) == "half\n"
    assert past.read().sent == {"m_1": 1, "m_2": 2}
    assert (queued.code, queued.label, queued.note) == ("x = 3", "load", "why")
    assert queued.script == past.path.parent / "sales@analysis-1/0003.py"


def test_what_is_not_in_the_notebook_yet_is_remembered_with_its_output(past: Past) -> None:
    past.begin(1)
    past.ran(1, text="one\n")
    past.ran(2, text="two\n")
    past.write("written", numbers=[1])
    past.submitted(3)
    past.finished(3, State.NOT_RUN)
    [unwritten] = past.read().unwritten
    assert (unwritten.number, unwritten.state) == (2, State.OK)
    assert text_of(unwritten.outputs.to_notebook()) == "two\n"
    assert past.read().unfinished == []


def test_an_aborted_submission_is_known_by_each_of_its_messages_the_last_one_last(past: Past) -> None:
    past.begin(1)
    past.submitted(1)
    past.sent(1)
    past.write("sent", n=1, msg_id="m_again")
    assert list(past.read().sent.items()) == [("m_1", 1), ("m_again", 1)]


def test_one_execution_is_loaded_whole(past: Past) -> None:
    overflow = Overflow("o.txt", 10, 0, "end")
    past.begin(1)
    past.ran(1, text="one\n")
    past.submitted(2)
    past.sent(2)
    past.printed(2, "two\n")
    past.finished(2, State.ERROR, problem="why", overflow=overflow.to_json())
    past.printed(2, "late\n")
    past.write("written", numbers=[1, 2])
    found = load_execution(past, SESSION, past.path.parent, 2)
    assert found is not None
    assert (found.id, found.state, found.problem) == ("sales@analysis/2", State.ERROR, "why")
    assert (found.execution_count, found.timing, found.overflow) == (2, {"a": DATE}, overflow)
    assert found.started == found.finished
    assert text_of(found.outputs.to_notebook()) == "two\nlate\n"


def test_an_execution_that_never_was_is_none(past: Past) -> None:
    past.ran(1)
    assert load_execution(past, SESSION, past.path.parent, 2) is None


def test_what_is_in_the_notebook_without_an_end_in_the_journal_has_no_known_end(past: Past) -> None:
    """Its last line could not be written (a full disk), the one after could."""
    past.begin(1)
    past.submitted(1)
    past.sent(1)
    past.write("written", numbers=[1])
    found = load_execution(past, SESSION, past.path.parent, 1)
    assert [e.number for e in past.read().unfinished] == [1] or (found and found.is_final)


def test_a_journal_cut_at_any_byte_is_read(past: Past) -> None:
    past.begin(1)
    past.ran(1, text="one\n")
    past.submitted(2)
    past.sent(2)
    past.printed(2, "half\n")
    past.died()
    past.finished(2, State.DIED)
    past.write("written", numbers=[1, 2])
    past.begin(2)
    past.submitted(3, 2)
    data = past.path.read_bytes()
    seen = []
    for cut in range(len(data) + 1):
        past.path.write_bytes(data[:cut])
        history = past.read()
        seen.append(history.last_number)
        assert {e.number for e in history.unfinished} <= {1, 2, 3}
        assert len(history.unfinished) <= 1
    assert seen == sorted(seen)
    assert seen[-1] == 3


@pytest.mark.parametrize("event", ["sent", "finished"])
def test_events_of_a_submission_that_cannot_be_read_are_passed_over(past: Past, event: str) -> None:
    """A damaged line must not make the whole session unusable."""
    past.begin(1)
    past.sent(1) if event == "sent" else past.finished(1, State.OK)
    past.ran(2)
    assert past.read().last_number == 2
