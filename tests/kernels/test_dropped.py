"""What a kernel has thrown away is counted by the numbers of its messages."""

from __future__ import annotations

import pytest

from kernelexec.kernels.dropped import Dropped
from kernelexec.kernels.wire import Message


def message(
    number: int | str,
    kind: str = "stream",
    parent: str = "run",
    channel: str = "iopub",
    session: str = "session_7",
) -> Message:
    return Message(channel, kind, {}, f"{session}_{number}", parent, "s", "", {})


def lost(*messages: Message) -> int:
    dropped = Dropped()
    dropped.begin("run")
    for one in messages:
        dropped.take(one)
    return dropped.count()


def test_nothing_is_missing_where_every_number_came_on_whichever_channel() -> None:
    others = [message(11), message(13, "status"), message(12, "execute_reply", channel="shell")]
    assert lost(message(10, "status"), *others) == 0


def test_each_number_between_that_never_came_is_a_lost_message() -> None:
    assert lost(message(10, "status"), message(11), message(20), message(21, "status")) == 8


def test_what_a_server_or_a_forked_child_numbers_on_its_own_is_not_counted() -> None:
    others = [message(900, session="server_3", channel="control"), message(12, session="session_8")]
    assert lost(message(10, "status"), *others, message(11), message(12, "status")) == 0
    assert lost(message(10, "status"), *others, message(14, "status")) == 3


def test_what_came_before_the_run_does_not_count() -> None:
    assert lost(message(3, "status", "another"), message(10, "status"), message(9), message(11)) == 0


def test_a_new_run_begins_to_count_anew() -> None:
    dropped = Dropped()
    dropped.begin("run")
    dropped.take(message(1, "status"))
    dropped.take(message(9))
    dropped.begin("next")
    assert dropped.count() == 0
    dropped.take(message(30, "status", "next"))
    assert dropped.count() == 0


@pytest.mark.parametrize("msg_id", ["", "0f4e", "3f2b-11ee", "a_b", "a_٣", "a_" + "9" * 30])
def test_a_kernel_that_numbers_nothing_is_not_counted(msg_id: str) -> None:
    odd = Message("iopub", "status", {}, msg_id, "run", "s", "", {})
    assert lost(odd, odd, odd) == 0
