"""The cluster that other tests run on is a real one: what they rely on holds."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.home import eventually
from tests.remote.slurm import Slurm

_LASTING = "#!/bin/sh\necho here\nexec sleep 600\n"


@pytest.fixture(autouse=True)
def _no_jobs_left(cluster: Slurm) -> Iterator[None]:
    yield
    cluster.end_jobs()


def running(cluster: Slurm, *options: str) -> str:
    number = cluster.submit(_LASTING, *options)
    eventually(lambda: cluster.state(number) == "RUNNING")
    return number


def test_a_program_joins_a_job_with_stdin_and_stdout(cluster: Slurm) -> None:
    number = running(cluster, "-n1", "-c1", "--mem=200")
    line = f"srun --jobid={number} --overlap --quiet --unbuffered --mem=0 -n1 sh -c 'cat; echo $SLURM_JOB_ID'"
    joined = subprocess.run(
        [*shlex.split(cluster.login), "sh", "-c", line],
        input="sent\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert joined.stdout == f"sent\n{number}\n", joined.stderr
    assert cluster.state(number) == "RUNNING", "it outlives who has joined it"


def test_what_a_step_has_started_ends_with_the_step_and_not_with_the_job(cluster: Slurm) -> None:
    """As clusters do that follow processes by their cgroup: leaving the session does not help. What has to
    outlive a link is started by the job's own script."""
    number = running(cluster, "-n1", "-c1", "--mem=200")
    leaves = "setsid sleep 600 >/dev/null 2>&1 & echo $!"
    done = cluster.call(
        "srun", f"--jobid={number}", "--overlap", "--quiet", "--mem=0", "-n1", "sh", "-c", leaves
    )
    left = Path(f"/proc/{int(done.stdout)}")
    eventually(lambda: not left.exists())
    assert cluster.state(number) == "RUNNING"


def test_a_job_that_does_not_fit_waits_with_a_reason(cluster: Slurm) -> None:
    running(cluster, "-n1", "-c2")
    waiting = cluster.submit(_LASTING, "-n1")
    eventually(lambda: cluster.job(waiting)["Reason"] in ("Resources", "Priority"))
    assert cluster.state(waiting) == "PENDING"


def test_a_job_is_cancelled_and_its_processes_end(cluster: Slurm, tmp_path: Path) -> None:
    number = cluster.submit(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    pid = int(eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    cluster.call("scancel", number)
    eventually(lambda: cluster.state(number) == "CANCELLED")
    eventually(lambda: not Path(f"/proc/{pid}").exists())


def test_a_job_ends_at_its_time_limit(cluster: Slurm) -> None:
    number = running(cluster)
    cluster.reach_time_limit(number)
    eventually(lambda: cluster.state(number) == "TIMEOUT", 100)


def test_a_node_that_fails_ends_its_jobs(cluster: Slurm) -> None:
    number, again = running(cluster, "--no-requeue"), running(cluster)
    cluster.fail_node()
    try:
        eventually(lambda: cluster.state(number) == "NODE_FAIL")
        assert cluster.state(again) == "PENDING", "unless it is told not to, Slurm runs a batch job anew"
    finally:
        cluster.mend_node()
