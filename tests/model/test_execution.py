"""The table of states."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from kernelexec.model.execution import Execution, IllegalTransition, Overflow, State

FINAL = {State.OK, State.ERROR, State.INTERRUPTED, State.DIED, State.UNKNOWN, State.NOT_RUN}


def execution(state: State = State.QUEUED) -> Execution:
    moment = datetime(2026, 11, 23, tzinfo=timezone.utc)
    return Execution("sales@analysis", 7, 1, "x = 1", moment, state=state)


def can_become(state: State) -> set[State]:
    reached = set()
    for target in State:
        moved = execution(state)
        try:
            moved.advance(target)
        except IllegalTransition:
            assert moved.state is state
        else:
            assert moved.state is target
            reached.add(target)
    return reached


@pytest.mark.parametrize("state", sorted(FINAL))
def test_nothing_leaves_a_final_state(state: State) -> None:
    assert can_become(state) == set()
    assert execution(state).is_final


@pytest.mark.parametrize("state", [state for state in State if state not in FINAL])
def test_what_is_not_final_can_still_end(state: State) -> None:
    assert not execution(state).is_final
    assert can_become(state) & FINAL


def test_what_is_queued_has_not_begun() -> None:
    assert can_become(State.QUEUED) == {State.SENT, State.NOT_RUN}


def test_what_has_begun_is_never_called_not_run() -> None:
    assert State.NOT_RUN not in can_become(State.RUNNING)


def test_a_fast_reply_may_overtake_the_news_that_the_kernel_is_busy() -> None:
    assert can_become(State.SENT) >= {State.OK, State.ERROR, State.INTERRUPTED, State.DIED, State.UNKNOWN}


def test_an_aborted_request_can_be_sent_again() -> None:
    assert State.QUEUED in can_become(State.SENT)


def test_an_illegal_step_names_the_execution_and_both_states() -> None:
    with pytest.raises(IllegalTransition, match="sales@analysis/7: ok → running"):
        execution(State.OK).advance(State.RUNNING)


def test_an_execution_is_named_by_its_session_and_its_number() -> None:
    assert (execution().id, execution().cell_id) == ("sales@analysis/7", "kernelexec-7")


def test_the_notice_of_an_overflow_says_where_all_of_it_is_and_what_is_missing() -> None:
    whole = Overflow("sales@analysis-1/outputs/0007.txt", 5_000_001, 0, "end")
    assert whole.notice() == "\n[all of this output, 5,000,001 bytes: sales@analysis-1/outputs/0007.txt]\n"
    cut = Overflow("o.txt", 1000, 2345, "end")
    assert "2,345 bytes more were not kept" in cut.notice()
    assert Overflow(**cut.to_json()) == cut
