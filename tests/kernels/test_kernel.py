"""What a death is called."""

from __future__ import annotations

import pytest

from kernelexec.kernels.kernel import Death


@pytest.mark.parametrize(
    ("death", "cause"),
    [
        (Death(signal=9), "it was killed by signal 9 (SIGKILL)"),
        (
            Death(signal=9, oom_kills=2),
            "it was killed by signal 9 (SIGKILL) and the system's OOM killer ran: "
            "it probably used too much memory",
        ),
        (Death(signal=11, oom_kills=2), "it was killed by signal 11 (SIGSEGV)"),
        (Death(signal=250), "it was killed by signal 250 (unknown)"),
        (Death(exit_code=0), "it exited with code 0"),
        (Death(), "it is gone, and nobody saw how it ended"),
    ],
)
def test_a_death_is_told_as_far_as_anybody_saw_it(death: Death, cause: str) -> None:
    assert death.cause == cause


def test_a_kernel_that_was_asked_to_end_was_stopped_whatever_the_signal() -> None:
    assert Death(signal=9, asked="it was stopped on request").cause.startswith("it was stopped")
