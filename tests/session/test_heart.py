"""The rules of a session, as conversations with its heart."""

from __future__ import annotations

import pytest

from kernelexec.model.execution import State
from kernelexec.session import events as e
from kernelexec.session.heart import NEXT, Heart
from tests.session.playbook import (
    ANN,
    ANN_AGAIN,
    BEN,
    SESSION,
    Impossible,
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
    submit_job,
    submit_replay,
    tells,
)

SENT, RUNNING, QUEUED = State.SENT, State.RUNNING, State.QUEUED
LATE = [state for state in State if state not in NEXT]


# --- what may follow what ----------------------------------------------------------------------------


def test_nothing_leaves_a_final_state() -> None:
    assert set(LATE) == {State.OK, State.ERROR, State.INTERRUPTED, State.DIED, State.UNKNOWN, State.NOT_RUN}


def test_what_is_not_final_can_still_end() -> None:
    assert all(set(NEXT[state]) & set(LATE) for state in NEXT)


def test_what_has_begun_is_never_called_not_run() -> None:
    assert State.NOT_RUN not in NEXT[RUNNING]


def test_a_fast_reply_may_overtake_the_news_that_the_kernel_is_busy() -> None:
    assert set(NEXT[SENT]) >= {State.OK, State.ERROR, State.INTERRUPTED, State.DIED, State.UNKNOWN}


# --- turns -------------------------------------------------------------------------------------------


def test_submissions_have_their_turns_one_at_a_time_first_come_first_served() -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> submit(2, BEN) >> submit(3)
    book = book >> sent(1) << becomes(1, SENT) >> e.Began(1) << becomes(1, RUNNING)
    book = book >> ended(1) << ends(1) << begin(2) >> sent(2) << becomes(2, SENT)
    (book >> ended(2, State.ERROR) << ends(2, State.ERROR) << begin(3)).ends()


def test_what_waits_is_not_sent_before_its_turn() -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> submit(2) >> sent(2) << Impossible()
    assert book.heart.in_flight == []


def test_what_has_begun_is_not_sent_again() -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> sent(1) << becomes(1, SENT)
    book = book >> sent(1) << Impossible() >> e.Began(1) << becomes(1, RUNNING) >> sent(1) << Impossible()
    (book >> ended(1) << ends(1) >> sent(1) << Impossible()).ends()


def test_what_the_kernel_gave_back_is_sent_again_and_others_hear_of_it_once() -> None:
    book = ran(Playbook() >> kernel(), 1, BEN)
    book = book >> submit(2) << begin(2) >> sent(2) << becomes(2, SENT) >> e.Aborted(2) << becomes(2, QUEUED)
    book = book >> sent(2) << becomes(2, SENT) >> ended(2) << ends(2)
    (book >> reply(BEN) << tells("1 cell was run by another client (claude-code)")).ends()


def test_what_is_taken_back_is_not_run_and_the_next_has_its_turn() -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> submit(2) >> submit(3)
    book = book >> e.TakenBack(2, "Cancelled.") << not_run(2, "Cancelled.")
    (book >> e.TakenBack(1, "Cancelled.") << not_run(1, "Cancelled.") << begin(3)).ends()


def test_to_take_back_what_was_sent_changes_nothing() -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> sent(1) << becomes(1, SENT)
    (book >> e.TakenBack(1, "Cancelled.")).ends()
    assert book.heart.state_of(1) is SENT


def test_without_a_kernel_all_that_waits_is_not_run_after_one_try() -> None:
    book = Playbook() >> submit(1) << begin(1) >> submit(2)
    (book >> e.NoKernel("It does not start.") << not_run(2, "not start") << not_run(1, "not start")).ends()


def test_a_fault_of_ours_ends_what_it_is_about_and_nothing_else() -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> submit(2)
    book = book >> e.Failed(1, "A fault.") << not_run(1, "A fault.") << begin(2)
    (book >> sent(2) << becomes(2, SENT) >> e.Failed(2, "A fault.") << ends(2, State.UNKNOWN)).ends()


def test_a_replay_holds_its_turn_for_what_it_runs_again() -> None:
    book = Playbook() >> kernel() >> submit_replay(5) << begin(5) >> submit(6)
    book = book >> e.Sent(5) << becomes(5, SENT) >> e.Began(5) << becomes(5, RUNNING)
    book = book >> submit(7, within=5) << begin(7) >> sent(7) << becomes(7, SENT)
    book = book >> ended(7) << ends(7) >> submit(8, within=5) << begin(8)
    book = book >> sent(8) << becomes(8, SENT) >> ended(8) << ends(8)
    (book >> ended(5) << ends(5) << begin(6)).ends()


def test_a_replay_that_does_not_have_its_turn_runs_nothing() -> None:
    book = Playbook() >> kernel() >> submit(4) << begin(4) >> submit_replay(5)
    (book >> submit(6, within=5) << Impossible() >> sent(5) << Impossible()).ends()


def test_an_installation_waits_for_nothing_and_nothing_waits_for_it() -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> submit_job(2) >> submit_job(3)
    book = book >> e.Sent(2) << becomes(2, SENT) >> e.Began(2) << becomes(2, RUNNING)
    book = book >> sent(1) << becomes(1, SENT) >> ended(2) << ends(2)
    assert book.heart.in_flight == [1]


# --- deaths (K1, K5, K18) ------------------------------------------------------------------------------


def test_a_run_whose_kernel_dies_is_told_so_and_what_waits_is_not_run() -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> submit(2) >> sent(1) << becomes(1, SENT)
    book = book >> e.Began(1) << becomes(1, RUNNING) >> died("SIGKILL", "x") << not_run(2, "SIGKILL")
    (book >> e.NoReply(1) << ends(1, State.DIED, "lost (x)")).ends()


@pytest.mark.parametrize(
    ("begun", "state"), [("m1", State.DIED), (None, State.DIED), ("m0", State.NOT_RUN), ("", State.NOT_RUN)]
)
def test_what_the_kernel_is_known_not_to_have_begun_was_not_run(begun: str | None, state: State) -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> sent(1) << becomes(1, SENT)
    (book >> died("SIGKILL", begun=begun) >> e.NoReply(1) << ends(1, state, "SIGKILL")).ends()


def test_what_was_seen_to_begin_has_died_whatever_the_kernel_had_written() -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> sent(1) << becomes(1, SENT)
    book = book >> e.Began(1) << becomes(1, RUNNING) >> died("SIGKILL", begun="m0")
    (book >> e.NoReply(1) << ends(1, State.DIED)).ends()


def test_what_has_its_turn_and_was_not_sent_is_not_run_in_the_next_kernel() -> None:
    book = ran(Playbook() >> kernel(), 1) >> submit(2) << begin(2)
    (book >> died("SIGKILL", "x") << not_run(2, "SIGKILL")).ends()


def test_a_run_that_ends_with_its_kernel_has_its_own_end() -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> sent(1) << becomes(1, SENT)
    (book >> died("it exited with code 0") >> ended(1) << ends(1) >> e.NoReply(1)).ends()


def test_a_run_that_took_its_kernel_along_says_that_all_is_lost_whatever_its_own_end_was() -> None:
    for state in (State.OK, State.ERROR, State.INTERRUPTED):
        book = Playbook() >> kernel() >> submit(1) << begin(1) >> sent(1) << becomes(1, SENT)
        book = book >> died("it exited with code 0", "x") >> e.Ended(1, state, "Why.", with_kernel=True)
        (finish,) = book.heard()
        assert isinstance(finish, e.Finish)
        assert finish.lost == "its kernel ended with it: all variables are lost"
        assert (finish.problem or "").startswith(
            "Why.\nThe kernel of sales@analysis (generation 1) ended: it exited"
        )


def test_how_to_replay_is_said_where_something_had_succeeded() -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> sent(1) << becomes(1, SENT)
    (book >> died("SIGKILL", "x") >> e.NoReply(1) << ends(1, State.DIED, never="restart_kernel(")).ends()
    book = ran(Playbook() >> kernel(), 2) >> submit(3) << begin(3) >> sent(3) << becomes(3, SENT)
    book = book >> submit(4) >> died("SIGKILL", "x")
    how = 'To run again what had succeeded in it: restart_kernel(session="sales@analysis", replay=true).'
    (book << not_run(4, how) >> e.NoReply(3) << ends(3, State.DIED, how)).ends()


def test_how_to_replay_a_kernel_names_it_where_another_runs_already() -> None:
    book = ran(ran(Playbook() >> kernel(), 1), 2, BEN) >> died("SIGKILL", "x") >> kernel(2)
    how = 'in place of what runs now: restart_kernel(session="sales@analysis", replay=true, generation=1).'
    (book >> submit(3) << not_run(3, how)).ends()


def test_a_run_that_ended_its_kernel_is_nothing_to_replay() -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> sent(1) << becomes(1, SENT)
    book = (
        book
        >> died("it exited")
        >> e.Ended(1, State.OK, with_kernel=True)
        << ends(1, never="restart_kernel(")
    )
    (book >> submit(2) << not_run(2, never="restart_kernel(")).ends()


# --- each caller is told (O1, O2, K18) -------------------------------------------------------------------


def test_who_knew_a_kernel_that_another_ended_gets_the_next_submission_back_once() -> None:
    book = ran(Playbook() >> kernel(), 1) >> e.Met(BEN)
    book = book >> died("it was restarted on request (restart_kernel)", "shared", by=BEN) >> kernel(2)
    refused = not_run(2, "restart_kernel) by another client (codex). All its variables are lost (shared)")
    book = book >> submit(2) << refused
    (book >> submit(3) << begin(3)).ends()


def test_who_had_a_run_or_something_waiting_in_it_is_told_who_ended_the_kernel() -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> sent(1) << becomes(1, SENT)
    book = book >> submit(2) >> submit(3, BEN) >> died("it was restarted", "x", by=BEN, begun="m1")
    book = book << not_run(2, "it was restarted by another client (codex).")
    book = book << not_run(3, "it was restarted. All") >> e.NoReply(1)
    book = book << ends(1, State.DIED, "it was restarted by another client (codex).")
    (book >> submit(4, BEN) << begin(4)).ends()


def test_a_crash_that_another_was_told_of_is_told_to_each_who_knew_the_kernel() -> None:
    book = ran(ran(Playbook() >> kernel(), 1, ANN), 2, BEN)
    book = book >> submit(3, BEN) << begin(3) >> sent(3) << becomes(3, SENT) >> died("SIGSEGV", "x")
    book = book >> e.NoReply(3) << ends(3, State.DIED) >> reply(BEN, 3) << tells("SIGSEGV")
    book = book >> submit(4, BEN) << begin(4) >> kernel(2) >> submit(5, ANN) << not_run(5, "SIGSEGV")
    (book >> submit(6, ANN)).ends()


def test_a_client_that_had_no_reply_is_not_refused_after_a_death() -> None:
    book = ran(Playbook() >> kernel(), 1, ANN) >> died("it was stopped on request (kernelexec stop)", "x")
    (book >> submit(2, BEN) << begin(2) >> submit(3, ANN) << not_run(3, "kernelexec stop")).ends()


def test_who_ends_a_kernel_knows_it() -> None:
    book = ran(Playbook() >> kernel(), 1, BEN) >> died("it was stopped on request (stop_kernel)", by=BEN)
    (book >> submit(2, BEN) << begin(2)).ends()


def test_a_reply_that_tells_of_the_end_is_enough() -> None:
    book = ran(Playbook() >> kernel(), 1) >> died("SIGKILL", "x") >> reply() << tells("lost (x)")
    (book >> reply() >> submit(2) << begin(2)).ends()


def test_a_kernel_in_which_nothing_was_run_is_no_loss() -> None:
    book = Playbook() >> kernel() >> reply() << e.Tell(is_first=True) >> died("SIGKILL")
    (book >> submit(1) << begin(1)).ends()


def test_the_end_of_a_kernel_that_a_caller_never_knew_does_not_concern_it() -> None:
    book = ran(Playbook() >> kernel(), 1) >> died("SIGKILL", "x") >> reply() << tells("SIGKILL")
    book = ran(book >> kernel(2), 2, BEN) >> died("SIGSEGV", "y", generation=2)
    (book >> submit(3) << begin(3)).ends()


def test_of_many_ends_the_first_and_the_last_are_told() -> None:
    book = ran(Playbook() >> kernel(), 1) >> died("the first end", "x")
    for generation in range(2, 30):
        book = ran(book >> kernel(generation), generation, BEN)
        book = book >> died(f"end {generation}", by=BEN, generation=generation)
    book = book >> submit(30) << not_run(30, "the first end")
    assert book.heart.state_of(30) is State.NOT_RUN


def test_a_run_of_its_own_makes_a_kernel_known_though_no_reply_came() -> None:
    book = (
        Playbook() >> kernel() >> submit(1) << begin(1) >> sent(1) << becomes(1, SENT) >> ended(1) << ends(1)
    )
    (book >> died("SIGKILL", "x") >> submit(2) << not_run(2, "SIGKILL")).ends()


def test_what_others_ran_is_told_to_each_caller_once() -> None:
    book = ran(ran(Playbook() >> kernel(), 1, ANN), 2, BEN)
    told = tells(
        "1 cell was run by another client (codex) on this kernel, which may have changed variables. "
        f"{SESSION}/2: code 2"
    )
    (book >> reply(ANN) << told >> reply(ANN) >> reply(BEN)).ends()


def test_what_the_person_ran_is_told_to_each_who_was_there_and_to_who_comes_first_after_it() -> None:
    book = ran(ran(Playbook() >> kernel(), 1, ANN), 2, BEN) >> reply(ANN) << tells("code 2")
    book = book >> e.ForeignRun("In [3]: x = 3") >> reply(ANN) << tells("the user in JupyterLab")
    book = book >> reply(BEN) << tells("In [3]: x = 3") >> reply(ANN_AGAIN) << e.Tell(is_first=True)
    book = book >> e.ForeignRun("In [4]: del x")
    late = e.CallerId("cy", "gemini", "/")
    (book >> reply(late) << tells("In [4]: del x")).ends()


def test_what_other_clients_ran_before_it_came_is_not_told_to_a_new_caller() -> None:
    book = Playbook() >> kernel() >> submit(1, BEN) << begin(1) >> sent(1) << becomes(1, SENT)
    (book >> reply(ANN) << e.Tell(is_first=True)).ends()


def test_what_was_run_in_a_kernel_that_is_gone_is_not_told() -> None:
    book = ran(ran(Playbook() >> kernel(), 1, ANN), 2, BEN) >> died("SIGKILL", by=BEN) >> kernel(2)
    (book >> reply(ANN) << tells("SIGKILL")).ends()


@pytest.mark.parametrize("why", ["cancelled", "timed out", "disconnected", "overtaken"])
def test_a_run_whose_reply_was_lost_is_told_with_the_next_reply_once(why: str) -> None:
    book = ran(Playbook() >> kernel(), 1) >> e.ReplyLost("ann", 1, why)
    (book >> reply() << tells(f"your run {SESSION}/1") >> reply()).ends()


def test_a_reply_about_the_run_itself_is_its_reply() -> None:
    book = ran(Playbook() >> kernel(), 1) >> e.ReplyLost("ann", 1, "cancelled")
    (book >> reply(ANN, 1) >> reply(ANN)).ends()


def test_a_reply_that_a_connection_lost_is_told_to_the_same_client_when_it_comes_again() -> None:
    book = ran(Playbook() >> kernel(), 1) >> e.ReplyLost("ann", 1, "disconnected")
    book = book >> reply(BEN) << e.Tell(is_first=True)
    book = book >> reply(ANN_AGAIN) << tells("a run of your client's connection before this one")
    (book >> reply(ANN_AGAIN)).ends()


def test_a_cancel_is_told_to_who_cancelled_and_to_nobody_else() -> None:
    book = ran(Playbook() >> kernel(), 1) >> e.ReplyLost("ann", 1, "cancelled")
    (
        book >> reply(ANN_AGAIN) << e.Tell(is_first=True) >> reply(ANN) << tells("the call was cancelled")
    ).ends()


def test_strangers_are_forgotten_before_they_fill_the_memory() -> None:
    heart = Heart(SESSION)
    heart.handle(kernel())
    for number in range(2_000):
        heart.handle(reply(e.CallerId(f"caller {number}")))
    assert not heart.callers.knows("caller 1")
    assert heart.callers.knows("caller 1999")


# --- what a reply tells is known once it was delivered ----------------------------------------------------


def test_what_was_asked_before_a_loss_was_told_is_not_run_either() -> None:
    book = ran(Playbook() >> kernel(), 1) >> died("SIGKILL", "x") >> kernel(2)
    book = book >> submit(2, asked=5) << not_run(2, "SIGKILL") >> submit(3, asked=6) << not_run(3, "SIGKILL")
    book = book >> reply(ANN, 2, as_reply=5) << e.Tell(is_first=True, knew_another=True)
    book = book >> submit(4, asked=7) << not_run(4, "SIGKILL")
    book = book >> e.Delivered("ann", 5, at=8) >> submit(5, asked=7) << not_run(5, "SIGKILL")
    (book >> submit(6, asked=9) << begin(6)).ends()


def test_a_loss_whose_reply_was_not_delivered_is_not_known() -> None:
    book = ran(Playbook() >> kernel(), 1) >> died("SIGKILL", "x") >> kernel(2)
    book = book >> submit(2, asked=5) << not_run(2, "SIGKILL") >> reply(ANN, 2, as_reply=5)
    book = book << e.Tell(is_first=True, knew_another=True) >> e.NotDelivered("ann", 5)
    book = book >> submit(3, asked=6) << not_run(3, "SIGKILL") >> reply(ANN, 3, as_reply=6)
    book = book << e.Tell(is_first=True, knew_another=True) >> e.Delivered("ann", 6, at=7)
    (book >> submit(4, asked=8) << begin(4)).ends()


def test_what_a_reply_told_that_was_not_delivered_is_told_again() -> None:
    book = ran(ran(Playbook() >> kernel(), 1, ANN), 2, BEN) >> e.ReplyLost("ann", 1, "cancelled")
    book = book >> reply(ANN, as_reply=7) << tells("your run", "code 2") >> e.NotDelivered("ann", 7)
    book = book >> reply(ANN, as_reply=9) << tells("your run", "code 2") >> e.Delivered("ann", 9, at=10)
    (book >> reply(ANN, as_reply=11)).ends()


def test_a_late_cancel_of_a_reply_that_was_written_undoes_it() -> None:
    book = ran(ran(Playbook() >> kernel(), 1, ANN), 2, BEN) >> reply(ANN, as_reply=7) << tells("code 2")
    book = book >> e.Delivered("ann", 7, at=8) >> e.NotDelivered("ann", 7)
    (book >> reply(ANN) << tells("code 2")).ends()


def test_two_connections_of_a_client_that_live_do_not_hear_of_each_others_runs() -> None:
    book = ran(ran(Playbook() >> kernel(), 1, ANN), 2, ANN_AGAIN) >> reply(ANN) << tells("code 2")
    book = book >> e.ReplyLost("ann", 1, "disconnected") >> reply(ANN_AGAIN)
    third = e.CallerId("ann-3", ANN.client, ANN.directory)
    (book >> reply(third) << tells("a run of your client's connection before this one")).ends()


def test_the_end_of_a_run_that_went_on_when_it_was_told_of_is_told_too() -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> sent(1) << becomes(1, SENT)
    book = book >> e.ReplyLost("ann", 1, "timed out") >> reply() << tells("your run") >> reply()
    (book >> ended(1) << ends(1) >> reply() << tells("your run") >> reply()).ends()


def test_who_ends_a_kernel_without_knowing_of_an_earlier_end_is_told_of_that() -> None:
    book = ran(ran(Playbook() >> kernel(), 1, ANN), 2, BEN) >> died("the first end", "x", by=ANN) >> kernel(2)
    book = ran(book, 3, ANN) >> died("the second end", by=BEN, generation=2) >> kernel(3)
    (book >> reply(BEN) << tells("the first end")).ends()


def test_a_loss_does_not_say_that_nothing_ran_again_where_a_replay_did() -> None:
    book = ran(Playbook() >> kernel(), 1) >> e.Met(BEN) >> died("restarted", "x", by=BEN)
    book = book >> submit_replay(2, BEN) << begin(2) >> kernel(2)
    (book >> submit(3) << not_run(3, "a replay ran again what had succeeded")).ends()


# --- one hub after the other (H2, H3) ----------------------------------------------------------------------


def test_what_waited_when_the_hub_ended_is_not_run_by_the_next() -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> submit(2) >> sent(1) << becomes(1, SENT)
    book = book >> e.HubReplaced(kernel_left=True) << not_run(2, "hub ended")
    book = book >> e.Adopted(1) << e.Rejoin(1) >> submit(3, BEN)
    (book >> ended(1) << ends(1) << begin(3)).ends()


def test_what_ran_when_hub_and_kernel_ended_has_an_end_that_nobody_saw() -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> sent(1) << becomes(1, SENT)
    book = book >> e.HubReplaced(kernel_left=True)
    (book >> died("it is gone") << ends(1, State.UNKNOWN, "hub ended")).ends()


def test_what_a_kernel_had_begun_that_died_while_no_hub_watched_has_died() -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> sent(1) << becomes(1, SENT)
    book = book >> e.HubReplaced(kernel_left=True)
    (book >> died("SIGKILL", begun="m1") << ends(1, State.DIED, "SIGKILL")).ends()


def test_an_installer_that_outlived_its_hub_is_looked_after() -> None:
    book = Playbook() >> submit_job(1) >> e.Sent(1) << becomes(1, SENT) >> e.Began(1) << becomes(1, RUNNING)
    (
        book
        >> e.HubReplaced(kernel_left=False)
        << e.LookAfter(1)
        >> ended(1, State.UNKNOWN)
        << ends(1, State.UNKNOWN)
    ).ends()


def test_a_replay_is_not_gone_on_with_by_the_next_hub() -> None:
    book = Playbook() >> kernel() >> submit_replay(1) << begin(1)
    book = book >> e.Sent(1) << becomes(1, SENT) >> e.Began(1) << becomes(1, RUNNING)
    book = book >> e.HubReplaced(kernel_left=True) << e.LookAfter(1)
    (book >> ended(1, State.INTERRUPTED) << ends(1, State.INTERRUPTED)).ends()


def test_a_run_under_way_when_the_hub_ended_is_told_to_its_caller_by_the_next() -> None:
    book = Playbook() >> kernel() >> submit(1) << begin(1) >> sent(1) << becomes(1, SENT)
    book = book >> e.HubReplaced(kernel_left=True) >> e.Adopted(1) << e.Rejoin(1) >> ended(1) << ends(1)
    (book >> reply(ANN) << tells("may not have got (the hub was replaced)") >> reply(ANN)).ends()
