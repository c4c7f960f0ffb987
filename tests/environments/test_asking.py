"""Questions to real programs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from kernelexec.environments.asking import ask

CHILD = "import subprocess; child = subprocess.Popen(['sleep', '60'], start_new_session={})"


def test_the_answer_has_both_streams_and_the_exit_code() -> None:
    program = "import sys; print(sys.stdin.read()[::-1]); sys.stderr.write('but'); sys.exit(3)"
    answer = asyncio.run(ask((sys.executable, "-c", program), os.environ, 30, b"abc"))
    assert (answer.out, answer.err, answer.exit_code) == (b"cba\n", b"but", 3)


def test_what_cannot_be_started_is_an_oserror() -> None:
    with pytest.raises(FileNotFoundError):
        asyncio.run(ask(("/no/such/program",), os.environ, 30))


@pytest.mark.parametrize("own_session", [False, True])
def test_a_program_that_ended_while_its_child_holds_the_pipes_is_given_up(
    tmp_path: Path, own_session: bool
) -> None:
    told = tmp_path / "pid"
    program = CHILD.format(own_session) + f"; open({str(told)!r}, 'w').write(str(child.pid))"
    with pytest.raises(TimeoutError):
        asyncio.run(ask((sys.executable, "-c", program), os.environ, 2))
    child = int(told.read_text())
    if own_session:  # out of reach, and nobody waits for it
        os.kill(child, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(child)] if psutil.pid_exists(child) else [], timeout=10)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
