"""Which run an interrupt reaches. Runs what runs in the user's interpreter, without a kernel."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.kernelspecs.test_live_kernel import load

interrupts = load("kernel", "named_interrupts")


@pytest.fixture(autouse=True)
def _sigint_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_run_that_was_interrupted_before_it_listens_is_interrupted_when_it_does() -> None:
    runs = interrupts.Interrupts()
    runs.expect("a")
    assert runs.interrupt("a")
    with pytest.raises(KeyboardInterrupt):
        runs.listen("a")
    runs.deafen()
    runs.expect("b")
    runs.listen("b")
    assert not runs.sent


def test_an_interrupt_of_a_run_that_was_aborted_reaches_no_other() -> None:
    runs = interrupts.Interrupts()
    runs.expect("a")
    assert runs.interrupt("a")
    runs.expect("b")
    assert not runs.interrupt("a")
    runs.listen("b")
    assert not runs.sent


def test_a_comm_message_during_a_run_does_not_make_it_forget_an_interrupt() -> None:
    runs = interrupts.Interrupts()
    runs.expect("a")
    assert runs.interrupt("a")
    runs.expect("a")  # ipykernel sets the parent again when it has handled the message
    with pytest.raises(KeyboardInterrupt):
        runs.listen("a")


def test_nobody_is_interrupted_without_a_name_or_after_the_end() -> None:
    runs = interrupts.Interrupts()
    assert not runs.interrupt(None)
    runs.expect("a")
    runs.listen("a")
    runs.deafen()
    assert not runs.interrupt("a")
