"""What a reply told, where replies get lost in any order, as conversations with a session's heart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from kernelexec.model.execution import State
from kernelexec.session import events as e
from tests.session.playbook import (
    ANN,
    ANN_AGAIN,
    BEN,
    Playbook,
    becomes,
    begin,
    died,
    ended,
    ends,
    kernel,
    not_run,
    ran,
    reply,
    sent,
    submit,
    tells,
)

A_NEW_KERNEL = e.Tell(is_first=True, knew_another=True)


def lost(*replies: int) -> tuple[e.Event, ...]:
    return tuple(e.NotDelivered("ann", each) for each in replies)


def running(book: Playbook) -> Playbook:
    return book >> kernel() >> submit(1) << begin(1) >> sent(1) << becomes(1, State.SENT)


@pytest.mark.parametrize("order", list(itertools.permutations((7, 8, 9))))
def test_news_of_which_no_reply_arrived_is_told_again(order: Sequence[int]) -> None:
    book = ran(ran(Playbook() >> kernel(), 1, ANN), 2, BEN)
    book = book >> reply(ANN, as_reply=7) << tells("code 2") >> reply(ANN, as_reply=8)
    book = ran(book, 3, BEN) >> reply(ANN, as_reply=9) << tells("code 3")
    (book >> lost(*order) >> reply(ANN) << tells("code 2; sales@analysis/3: code 3") >> reply(ANN)).ends()


def test_news_that_a_later_reply_told_again_is_not_told_a_third_time() -> None:
    book = ran(ran(Playbook() >> kernel(), 1, ANN), 2, BEN)
    book = book >> reply(ANN, as_reply=7) << tells("code 2") >> reply(ANN, as_reply=8) >> lost(7)
    book = book >> reply(ANN, as_reply=9) << tells("code 2") >> e.Delivered("ann", 9, at=10) >> lost(8)
    (book >> reply(ANN)).ends()


@pytest.mark.parametrize("order", [(5, 6), (6, 5)])
def test_a_loss_that_two_replies_told_and_none_brought_is_not_known(order: Sequence[int]) -> None:
    book = ran(Playbook() >> kernel(), 1) >> died("SIGKILL", "x") >> kernel(2)
    book = book >> submit(2, asked=3) << not_run(2, "SIGKILL") >> submit(3, asked=4) << not_run(3, "SIGKILL")
    book = book >> reply(ANN, 2, as_reply=5) << A_NEW_KERNEL >> reply(ANN, 3, as_reply=6)
    book = book >> e.Delivered("ann", 5, at=7) >> e.Delivered("ann", 6, at=8) >> lost(*order)
    (book >> submit(4, asked=9) << not_run(4, "SIGKILL")).ends()


@pytest.mark.parametrize("missed", [5, 6])
def test_a_loss_that_one_of_two_replies_brought_is_known(missed: int) -> None:
    book = ran(Playbook() >> kernel(), 1) >> died("SIGKILL", "x") >> kernel(2)
    book = book >> submit(2, asked=3) << not_run(2, "SIGKILL") >> submit(3, asked=4) << not_run(3, "SIGKILL")
    book = book >> reply(ANN, 2, as_reply=5) << A_NEW_KERNEL >> reply(ANN, 3, as_reply=6)
    book = book >> e.Delivered("ann", 5, at=7) >> e.Delivered("ann", 6, at=8) >> lost(missed)
    (book >> submit(4, asked=9) << begin(4)).ends()


def test_a_loss_stays_unknown_where_the_reply_after_the_lost_one_gets_lost_too() -> None:
    book = ran(Playbook() >> kernel(), 1) >> died("SIGKILL", "x") >> kernel(2)
    book = book >> reply(ANN, as_reply=5) << tells("SIGKILL") >> reply(ANN, as_reply=6) >> lost(5, 6)
    (book >> submit(2, asked=9) << not_run(2, "SIGKILL")).ends()


def test_news_of_a_refused_run_whose_reply_was_lost_tells_the_loss() -> None:
    book = ran(Playbook() >> kernel(), 1) >> died("SIGKILL", "x") >> kernel(2)
    book = book >> submit(2, asked=5) << not_run(2, "SIGKILL") >> e.ReplyLost("ann", 2, "cancelled")
    book = book >> reply(ANN, as_reply=6) << tells("your run") >> e.Delivered("ann", 6, at=7)
    (book >> submit(3, asked=8) << begin(3)).ends()


def test_a_run_that_goes_on_is_told_of_again_where_the_reply_that_told_of_it_was_lost() -> None:
    book = running(Playbook()) >> e.ReplyLost("ann", 1, "timed out")
    book = book >> reply(ANN, as_reply=4) << tells("your run") >> lost(4)
    book = book >> reply() << tells("your run") >> reply() >> ended(1) << ends(1)
    (book >> reply() << tells("your run") >> reply()).ends()


def test_the_next_hub_hears_that_a_lost_reply_is_still_to_be_told_of() -> None:
    book = ran(Playbook() >> kernel(), 1) >> e.ReplyLost("ann", 1, "disconnected")
    book = book >> reply(ANN_AGAIN, as_reply=4) << tells("connection before this one")
    book = book >> e.NotDelivered("ann-2", 4)
    book = book << e.Note("reply_lost", {"caller": "ann", "n": 1, "why": "disconnected"})
    third = e.CallerId("ann-3", ANN.client, ANN.directory)
    (book >> reply(third) << tells("connection before this one")).ends()


def test_who_comes_again_before_the_end_of_the_connection_is_certain_is_told_too() -> None:
    book = running(Playbook()) >> e.Left("ann") >> reply(ANN_AGAIN) << e.Tell(is_first=True)
    book = book >> e.ReplyLost("ann", 1, "disconnected")
    (book >> reply(ANN_AGAIN) << tells("connection before this one")).ends()


def test_another_window_that_was_there_before_is_not_told() -> None:
    book = ran(running(Playbook()) >> ended(1) << ends(1), 2, ANN_AGAIN) >> e.Left("ann")
    (book >> e.ReplyLost("ann", 1, "disconnected") >> reply(ANN_AGAIN)).ends()


def test_who_was_told_of_the_end_of_its_kernel_knows_that_the_next_is_another() -> None:
    book = ran(Playbook() >> kernel(), 1) >> died("SIGKILL", "x") >> kernel(2) >> reply(ANN, 1)
    book._pending.clear()
    book = ran(book, 2, BEN) >> died("SIGSEGV", generation=2) >> kernel(3)
    book = book >> e.Replying(ANN, introduces=False) << tells("SIGSEGV")
    book = book >> submit(3) << begin(3) >> sent(3) << becomes(3, State.SENT)
    (book >> reply(ANN, 3) << A_NEW_KERNEL).ends()


def test_what_others_ran_in_a_kernel_that_has_ended_is_not_said_to_be_on_this_one() -> None:
    book = ran(ran(Playbook() >> kernel(), 1, ANN), 2, BEN) >> died("it exited with code 3", "x")
    (book >> reply(ANN) << tells("code 3", "run by another client (codex) on it before it ended. ")).ends()
