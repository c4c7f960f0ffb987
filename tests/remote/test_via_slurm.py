"""KERNELEXEC_VIA=slurm on a real cluster of one node: a kernel is a job."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.clients import Client
from tests.real.conftest import Connect
from tests.real.home import Home, eventually, until
from tests.remote.slurm import Slurm

pytestmark = pytest.mark.timeout(300)
Via = Callable[..., Client]
_LASTING = "#!/bin/sh\nexec sleep 600\n"
_MEMORY = "--mem=500"


@pytest.fixture
def via(connect: Connect, home: Home, cluster: Slurm) -> Iterator[Via]:
    def client(project: str = "churn", options: str = "", **others: str) -> Client:
        settings = {"KERNELEXEC_VIA": f"slurm -n1 -c1 {_MEMORY} {options}", "PATH": cluster.path}
        return connect(home, home.project(project), **{**settings, **others})

    yield client
    cluster.end_jobs()


def jobs(cluster: Slurm) -> list[str]:
    return cluster.call("squeue", "-h", "-o", "%i").stdout.split()


def ended(client: Client, cluster: Slurm, seconds: float = 60) -> str:
    """What is told of a run in mid-air whose job has ended."""
    running = client.execute("import time\nbegun = 1\ntime.sleep(600)", wait_seconds=1)
    assert running.state == "RUNNING", running.text
    return running.id


def test_a_kernel_is_a_job_that_outlives_client_hub_and_link(via: Via, home: Home, cluster: Slurm) -> None:
    client = via()
    reply = client.execute("import os\nx = 41\nos.environ['SLURM_JOB_ID']", wait_seconds=50)
    assert reply.state == "OK", reply.text
    (job,) = jobs(cluster)
    assert reply.block("result") == f"'{job}'"
    assert home.kill_commands(r"(.*/)?srun ")
    assert client.execute("x + 1", wait_seconds=50).block("result") == "42"
    home.end_hub(signal.SIGKILL)
    again = via()
    assert again.execute("x + 2", wait_seconds=50).block("result") == "43"
    failed = again.execute("1 / 0")
    assert "ZeroDivisionError" in failed.verdict
    again.call("stop_kernel", {"session": reply.session})
    eventually(lambda: not jobs(cluster), 60)


def test_an_interrupt_a_question_and_much_output_are_as_at_home(via: Via, tmp_path: Path) -> None:
    client = via()
    client.execute("kept = 0", wait_seconds=50)  # the environment is prepared
    begun = tmp_path / "begun"
    running = client.execute("kept = 1\n" + until(tmp_path / "never", begun), wait_seconds=0)
    eventually(begun.exists, 60)
    reply = client.call("interrupt_kernel", {"session": running.session})
    assert reply.state == "INTERRUPTED", reply.text
    asked = client.execute("print(input('Name? ').upper())", wait_seconds=20)
    assert asked.state == "WAITING FOR INPUT", asked.text
    told = client.call("send_input", {"execution_id": asked.id, "text": "ann"})
    assert told.block("stdout") == "Name? ann\nANN", told.text
    reply = client.execute("for n in range(100_000): print(f'{n:099d}')\nkept", wait_seconds=50)
    assert reply.state == "OK", reply.text[:1000]
    file = Path(next(word for word in reply.text.split() if "/outputs/" in word).strip(".,;:()"))
    assert file.read_text().splitlines()[:100_000] == [f"{n:099d}" for n in range(100_000)]


def test_a_job_that_waits_is_told_as_such_and_no_call_hangs(via: Via, cluster: Slurm) -> None:
    other = cluster.submit(_LASTING, "-n2", "--mem=1900")
    eventually(lambda: cluster.state(other) == "RUNNING")
    client = via()
    reply = client.execute("6 * 7", wait_seconds=8)
    assert "is PENDING" in reply.text, reply.text
    cluster.call("scancel", other)
    done = client.wait_for(reply.id, wait_seconds=50)
    assert done.block("result") == "42", done.text


def test_a_kernel_that_dies_in_its_job_is_told_with_its_signal(via: Via, cluster: Slurm) -> None:
    client = via()
    client.execute("import os", wait_seconds=50)
    died = client.execute("os.kill(os.getpid(), 9)", wait_seconds=50)
    assert died.state == "DIED", died.text
    assert "SIGKILL" in died.text
    eventually(lambda: not jobs(cluster), 60)


def test_the_end_of_a_job_is_told_with_its_cause(via: Via, cluster: Slurm) -> None:
    client = via()
    client.execute("1", wait_seconds=50)
    (job,) = jobs(cluster)
    running = ended(client, cluster)
    cluster.call("scancel", job)
    told = client.wait_for(running, wait_seconds=50)
    assert told.state == "DIED", told.text
    assert f"Slurm job {job} ended: somebody cancelled it (CANCELLED" in told.text


def test_the_time_limit_is_told(via: Via, cluster: Slurm) -> None:
    client = via(options="--time=60")
    client.execute("1", wait_seconds=50)
    (job,) = jobs(cluster)
    running = ended(client, cluster)
    cluster.reach_time_limit(job)
    told = client.wait_for(running, wait_seconds=50)
    told = told if told.state == "DIED" else client.wait_for(running, wait_seconds=50)
    assert "it came to its time limit (TIMEOUT" in told.text, told.text


def test_a_failed_node_is_told(via: Via, cluster: Slurm) -> None:
    client = via(options="--no-requeue")
    client.execute("1", wait_seconds=50)
    running = ended(client, cluster)
    try:
        cluster.fail_node()
        told = client.wait_for(running, wait_seconds=50)
    finally:
        cluster.mend_node()
    assert "its node failed (NODE_FAIL" in told.text, told.text


def test_options_that_slurm_does_not_take_are_told(via: Via) -> None:
    reply = via(options="--partition=none").execute("1", wait_seconds=50)
    assert "Slurm did not take the job" in reply.text
    assert "partition" in reply.text
