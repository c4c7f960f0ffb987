"""What an execution says of itself."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from kernelexec.model.execution import Execution, Overflow, State

FINAL = {State.OK, State.ERROR, State.INTERRUPTED, State.DIED, State.UNKNOWN, State.NOT_RUN}


def execution(state: State = State.QUEUED) -> Execution:
    moment = datetime(2026, 11, 23, tzinfo=timezone.utc)
    return Execution("sales@analysis", 7, 1, "x = 1", moment, state=state)


@pytest.mark.parametrize("state", list(State))
def test_an_execution_is_final_in_the_states_that_nothing_follows(state: State) -> None:
    assert execution(state).is_final == (state in FINAL)


def test_an_execution_is_named_by_its_session_and_its_number() -> None:
    assert (execution().id, execution().cell_id) == ("sales@analysis/7", "kernelexec-7")


def test_the_notice_of_an_overflow_says_where_all_of_it_is_and_what_is_missing() -> None:
    whole = Overflow("sales@analysis-1/outputs/0007.txt", 5_000_001, 0, "end")
    assert whole.notice() == "\n[all of this output, 5,000,001 bytes: sales@analysis-1/outputs/0007.txt]\n"
    cut = Overflow("o.txt", 1000, 2345, "end")
    assert "2,345 bytes more were not kept" in cut.notice()
    assert Overflow(**cut.to_json()) == cut
