"""Programs that install: followed, stopped with all that they started, and alone after the hub's end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from kernelexec.environments import program
from kernelexec.environments.program import Lock, Programs
from kernelexec.errors import EnvironmentUnusable
from tests.fakes import run, settled

ENVIRON = {"PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"}


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_output_is_told_as_it_comes_and_kept_for_each_program(tmp_path: Path) -> None:
    async def test() -> None:
        said: list[str] = []
        lock = Lock(tmp_path)
        programs = Programs(tmp_path / "log", lock, ENVIRON, said.append)
        first = python("import time; print('é one', flush=True); time.sleep(0.1); print('two')")
        assert await programs.run(first) == 0
        assert len(said) >= 2
        assert "".join(said) == programs.last_output == "é one\ntwo\n"
        assert await programs.run(python("import sys; print('three', file=sys.stderr); sys.exit(7)")) == 7
        assert programs.last_output == "three\n"
        assert programs.output() == "é one\ntwo\nthree\n"
        lock.release()

    run(test())


def test_a_password_that_is_printed_in_pieces_is_told_and_kept_nowhere(tmp_path: Path) -> None:
    async def test() -> None:
        said: list[str] = []
        programs = Programs(tmp_path / "log", Lock(tmp_path), ENVIRON, said.append)
        pieces = python(
            "import time\n"
            "for piece in ('at https', ':/', '/ann:s3', 'cret', '@host/simple'):\n"
            "    print(piece, end='', flush=True); time.sleep(0.05)"
        )
        assert await programs.run(pieces) == 0
        assert "".join(said) == programs.output() == programs.last_output == "at https://ann:****@host/simple"

    run(test())


def test_a_program_cannot_ask_and_works_nowhere_in_particular(tmp_path: Path) -> None:
    async def test() -> None:
        programs = Programs(tmp_path / "log", Lock(tmp_path), ENVIRON, lambda text: None)
        await programs.run(python("import os, sys; print(os.getcwd(), repr(sys.stdin.read()))"))
        assert programs.last_output == "/ ''\n"

    run(test())


def test_what_cannot_be_started_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        programs = Programs(tmp_path / "log", Lock(tmp_path), ENVIRON, lambda text: None)
        with pytest.raises(EnvironmentUnusable, match="/nowhere/pip cannot be run"):
            await programs.run(["/nowhere/pip"])

    run(test())


_DEAF = """
import os, signal, time
{parent}
child = os.fork()
if child:
    print(os.getpid(), child, flush=True)
else:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("parent", "end"),
    [("", -signal.SIGINT), ("signal.signal(signal.SIGINT, signal.SIG_IGN)", -signal.SIGKILL)],
    ids=["child", "both"],
)
def test_a_stop_ends_all_that_was_started_even_if_it_does_not_listen(
    parent: str, end: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "GRACE_SECONDS", 0.1)

    async def test() -> None:
        programs = Programs(tmp_path / "log", Lock(tmp_path), ENVIRON, lambda text: None)
        running = asyncio.create_task(programs.run(python(_DEAF.format(parent=parent))))
        await settled(lambda: programs.last_output.endswith("\n"))
        pids = list(map(int, programs.last_output.split()))
        programs.stop()
        assert await running == end
        await settled(lambda: not any(map(is_alive, pids)))

    run(test())


def test_the_lock_has_one_holder(tmp_path: Path) -> None:
    async def test() -> None:
        first, second = Lock(tmp_path), Lock(tmp_path)
        assert first.try_take()
        assert not second.try_take()
        waiting = asyncio.create_task(second.take())
        await asyncio.sleep(0)
        assert not waiting.done()
        first.release()
        await waiting
        second.release()
        assert not list(tmp_path.iterdir())  # it leaves nothing behind

    run(test())


def test_a_program_keeps_the_lock_when_who_started_it_lets_go(tmp_path: Path) -> None:
    async def test() -> None:
        lock, other = Lock(tmp_path), Lock(tmp_path)
        assert lock.try_take()
        programs = Programs(tmp_path / "log", lock, ENVIRON, lambda text: None)
        go = tmp_path / "go"
        wait = f"while not os.path.exists({str(go)!r}): time.sleep(0.01)"
        begun = "import os, time\nprint('begun', flush=True)\n"
        running = asyncio.create_task(programs.run(python(begun + wait)))
        await settled(lambda: programs.last_output != "")
        process = programs._running
        assert process is not None
        running.cancel()  # as when the hub ends
        lock.release()
        assert not other.try_take()
        go.touch()
        await other.take()
        process.wait()
        other.release()

    run(test())


def test_an_environment_that_is_gone_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentUnusable, match="nowhere cannot be read"):
        Lock(tmp_path / "nowhere")
