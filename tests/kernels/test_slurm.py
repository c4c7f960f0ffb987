"""What Slurm says of a job, in words; the real one is in tests/remote."""

from __future__ import annotations

import pytest

from kernelexec.kernels.slurm import JobState, is_slurm


@pytest.mark.parametrize(
    ("said", "means"),
    [("slurm", True), ("slurm --time=60", True), ("ssh -T slurm", False), ("slurmhost", False), ("", False)],
)
def test_only_the_word_itself_means_slurm(said: str, means: bool) -> None:
    assert is_slurm(said) is means


def test_an_end_that_slurm_has_brought_about_is_told_with_its_cause() -> None:
    state = JobState("7", "TIMEOUT", "TimeLimit")
    assert state.is_over
    assert state.was_ended
    assert state.in_words == "its Slurm job 7 ended: it came to its time limit (TIMEOUT, TimeLimit)"


def test_a_job_that_waits_or_runs_is_not_over() -> None:
    assert not any(JobState("7", name).is_over for name in ("PENDING", "RUNNING", "COMPLETING", "SUSPENDED"))


def test_a_job_that_slurm_has_forgotten_is_over_and_nobody_knows_how() -> None:
    state = JobState("7", "")
    assert state.is_over
    assert not state.was_ended
    assert "does not say any more how" in state.in_words
