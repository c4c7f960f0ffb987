"""Whether an exception comes of an interrupt. Runs what runs in the user's interpreter, without a kernel."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable

import pytest

from tests.kernelspecs.test_live_kernel import load

after_interrupts = load("kernel", "after_interrupts")
LATER = 60.0  # seconds after the interrupt


def comes_of_interrupt(error: BaseException | None, cancelled: bool, seconds: float = LATER) -> bool:
    comes: bool = after_interrupts.comes_of_interrupt(error, cancelled, seconds)
    return comes


def raised(code: str) -> BaseException:
    """What this code raises."""
    try:
        exec(code, {"asyncio": asyncio, "subprocess": subprocess})
    except BaseException as error:  # noqa: BLE001 - an interrupt, among others
        return error
    raise AssertionError("it raised nothing")


INTERRUPTED = "try: raise KeyboardInterrupt\nexcept KeyboardInterrupt as interrupt: "


@pytest.mark.parametrize(
    "code",
    [
        "raise KeyboardInterrupt",
        INTERRUPTED + "raise RuntimeError('gave up')",
        INTERRUPTED + "raise RuntimeError('gave up') from None",
        INTERRUPTED + "raise RuntimeError('gave up') from interrupt",
        INTERRUPTED + "raise SystemExit(1)",
        "try:\n    try: raise KeyboardInterrupt\n    except KeyboardInterrupt: raise OSError\n"
        "except OSError: raise SystemExit(1) from None",
        "raise subprocess.CalledProcessError(130, 'sh')",
        "raise subprocess.CalledProcessError(-2, 'sh')",
        "raise SystemExit(130)",
        "raise SystemExit('aborted')",
    ],
)
def test_what_the_code_makes_of_an_interrupt_comes_of_it(code: str) -> None:
    assert comes_of_interrupt(raised(code), False)


@pytest.mark.parametrize(
    "code",
    [
        "1/0",
        "try: raise KeyboardInterrupt\nexcept KeyboardInterrupt: pass\nraise ValueError",
        "raise subprocess.CalledProcessError(1, 'sh')",
        "raise SystemExit",
        "raise asyncio.CancelledError",
    ],
)
def test_what_only_comes_after_it_does_not(code: str) -> None:
    assert not comes_of_interrupt(raised(code), False)


def test_a_cancellation_is_an_interrupt_where_one_has_cancelled_the_cell() -> None:
    code = "try: raise asyncio.CancelledError\nexcept asyncio.CancelledError: raise TimeoutError from None"
    assert comes_of_interrupt(raised(code), True)
    assert not comes_of_interrupt(raised(code), False)


def test_what_comes_at_once_after_an_interrupt_comes_of_it() -> None:
    flagged = raised("try: raise KeyboardInterrupt\nexcept KeyboardInterrupt: pass\nraise ValueError")
    assert comes_of_interrupt(flagged, False, 0.2)
    assert not comes_of_interrupt(flagged, False, 2)


class Group(Exception):
    """Like an ExceptionGroup, which Python 3.10 has not."""

    def __init__(self, *exceptions: BaseException) -> None:
        super().__init__()
        self.exceptions = exceptions


def in_a_circle() -> BaseException:
    first, second = ValueError(), TypeError()
    first.__context__, second.__context__ = second, first
    return first


@pytest.mark.parametrize(
    ("error", "comes"),
    [
        (lambda: Group(ValueError(), Group(KeyboardInterrupt())), True),
        (lambda: Group(*(ValueError() for _ in range(1000))), False),
        (in_a_circle, False),
        (lambda: None, False),
    ],
)
def test_groups_and_circles_are_looked_through(
    error: Callable[[], BaseException | None], comes: bool
) -> None:
    assert comes_of_interrupt(error(), False) is comes
