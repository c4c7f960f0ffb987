"""A journal is a log of events: told to a heart again, it leads to the same states.

The histories, the crashes and the real tests hold their journals against the same (tests/journals.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelexec.kernels.kernel import Death
from kernelexec.model.execution import State
from kernelexec.recording.journal import Journal
from kernelexec.session.journal_events import read_past
from tests.fakes import (
    ANN,
    BEN,
    FakeStarter,
    aborted,
    dying,
    failing,
    fine,
    finish,
    journal_path,
    ran,
    run,
    session_in,
    settled,
    stalling,
    submit,
    told,
)
from tests.journals import replayed

EARLIER = Path(__file__).with_name("journals")


def test_a_busy_life_leads_to_the_ends_that_its_journal_says(tmp_path: Path) -> None:
    async def test() -> None:
        first = [fine, failing("E"), aborted, fine, dying(Death(signal=9), "half")]
        starter = FakeStarter(first, [fine, stalling()])
        async with session_in(tmp_path, starter) as session:
            await finish(session, *[submit(session, code) for code in "abcde"])
            told(session)
            await ran(session, "f", caller=BEN)
            running = submit(session, "g")
            await settled(lambda: running.state is State.RUNNING)
            waiting = submit(session, "h", caller=BEN)
            await session.cancel(waiting, "Enough.")
            await session.interrupt("Enough.")
            session.reply_lost(running, ANN, "cancelled")
            execution = await session.replay("it was restarted", {}, BEN)
            assert execution is not None
            await finish(session, execution)
            told(session)

    run(test())
    heart = replayed(journal_path(tmp_path))
    assert heart.generation == 3
    assert heart.turn is None


def test_the_next_hub_knows_what_each_caller_was_told(tmp_path: Path) -> None:
    async def first() -> None:
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            await ran(session, "a")
            await ran(session, "b", caller=BEN)
            told(session)
            told(session, caller=BEN)
            starter.kernels[0].die(Death(signal=9))
            await settled(lambda: session.kernel is None)
            assert "SIGKILL" in told(session)[0]

    async def second() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            assert (await ran(session, "c")).state is State.OK, "Ann was told before"
            refused = submit(session, "d", caller=BEN)
            assert refused.state is State.NOT_RUN
            assert "SIGKILL" in refused.problem

    run(first())
    run(second())
    replayed(journal_path(tmp_path))


def test_a_reply_that_was_lost_is_told_by_the_next_hub(tmp_path: Path) -> None:
    async def first() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            execution = await ran(session, "a")
            session.reply_lost(execution, ANN, "timed out")

    async def second() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            [text] = [each for each in told(session) if "sales@analysis/1" in each]
            assert "your client gave up waiting for it" in text
            assert "ended well" in text

    run(first())
    run(second())


def test_a_reply_that_came_after_all_is_not_told_of_by_the_next_hub(tmp_path: Path) -> None:
    async def first() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            execution = await ran(session, "a")
            session.reply_lost(execution, ANN, "timed out")
            assert not [each for each in told(session, execution) if "did not get" in each]

    async def second() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            assert not [each for each in told(session) if "did not get" in each]

    run(first())
    run(second())


@pytest.mark.parametrize("path", sorted(EARLIER.glob("*.jsonl")), ids=lambda path: path.stem)
def test_a_journal_of_an_earlier_version_is_understood(tmp_path: Path, path: Path) -> None:
    copy = tmp_path / ".kernelexec" / path.name
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    journal = Journal(copy)
    try:
        past = read_past(journal, path.stem, tmp_path)
    finally:
        journal.close()
    assert past.history.last_number > 0
    assert past.heart.generation == past.history.generation
    assert past.history.unfinished
    for each in past.history.unfinished:
        assert past.heart.state_of(each.number) is each.state
