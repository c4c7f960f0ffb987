"""Kernels on this machine: real processes to start, watch and find again; real sockets speak for them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from kernelexec.errors import KernelFailed
from kernelexec.kernels.host import OPTIONS, KernelGone, KernelUnreachable, Launch
from kernelexec.kernels.kernel import Death, KernelDied
from kernelexec.kernels.linked_kernel import LinkedKernel
from kernelexec.kernels.local import LocalKernels
from kernelexec.kernels.local_life import LocalPlace, read_death
from kernelexec.kernels.process import boot_id, identity
from kernelexec.kernels.registry import Registry
from kernelexec.kernels.wire import Message
from tests.fakes import run, settled
from tests.kernels.zmq_kernel import ZmqKernel, connection_in


def ignore(message: Message) -> None:
    pass


def sleeping() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], start_new_session=True)


def place_of(directory: Path, pid: int, **changes: Any) -> Mapping[str, Any]:
    """Of a kernel whose keeper is this process, and whose own is not known yet."""
    known = identity(pid)
    assert known is not None
    place = LocalPlace(str(directory), boot_id(), pid, known, None, None)
    return asdict(replace(place, **changes))


@asynccontextmanager
async def adopted(
    folder: Path, interrupts: str = "named", *, is_known: bool = True
) -> AsyncIterator[tuple[LinkedKernel, ZmqKernel, subprocess.Popen[bytes]]]:
    """An adopted kernel that is ready. Its process is a `sleep`, and the test's to kill.

    `is_known`: the kernel's process, and not only its keeper's.
    """
    directory = folder / "k"
    directory.mkdir()
    connection = connection_in(directory)
    (directory / "connection.json").write_text(json.dumps(connection))
    speaker = ZmqKernel(connection, welcome=True)
    with sleeping() as process:
        own = {"kernel_pid": process.pid, "kernel_identity": identity(process.pid)} if is_known else {}
        kernel = LocalKernels(folder).adopt(place_of(directory, process.pid, **own), ignore, interrupts)
        try:
            await asyncio.wait_for(kernel.ready(), 5)
            yield kernel, speaker, process
        finally:
            kernel.detach()
            speaker.close()
            process.kill()


def test_a_death_while_it_runs_code_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        async with adopted(tmp_path) as (kernel, speaker, process):
            speaker.silent.add("execute_request")
            running = asyncio.ensure_future(kernel.execute(*kernel.pack("x")))
            await settled(lambda: ("shell", "execute_request") in speaker.requests)
            process.kill()
            with pytest.raises(KernelDied):
                await asyncio.wait_for(running, 5)
            assert (await kernel.died).cause == "it is gone, and nobody saw how it ended"

    run(test())


def test_a_kernel_that_does_not_shut_down_by_itself_is_killed(tmp_path: Path) -> None:
    async def test() -> None:
        async with adopted(tmp_path) as (kernel, speaker, process):
            death = await asyncio.wait_for(kernel.stop("on request", grace=0.02), 5)
            assert death.asked
            assert process.wait() == -signal.SIGKILL
            assert ("control", "shutdown_request") in speaker.requests
            assert not (tmp_path / "k").exists()

    run(test())


def test_a_keeper_whose_kernel_nobody_knows_is_asked_to_end_it(tmp_path: Path) -> None:
    """To kill the keeper would leave the kernel running: where its directory was deleted, unseen."""

    async def test() -> None:
        async with adopted(tmp_path, is_known=False) as (kernel, _, process):
            await asyncio.wait_for(kernel.stop("on request", grace=0), 5)
            assert process.wait() == -signal.SIGTERM

    run(test())


def test_what_of_a_kernel_is_not_there_any_more_is_told_and_made_anew(tmp_path: Path) -> None:
    directory = tmp_path / "k"
    directory.mkdir()
    with sleeping() as process:
        place, kernels = place_of(directory, process.pid, connection={"key": "ours"}), LocalKernels(tmp_path)
        assert not kernels.keep(place)
        assert kernels.keep(place)
        shutil.rmtree(directory)
        assert not kernels.keep(place)
        assert kernels.keep(place)
        (directory / "connection.json").write_text('{"key": "of a kernel that found no file"}')
        assert not kernels.keep(place)
        process.kill()


def test_a_kernel_that_is_let_go_of_lives_on(tmp_path: Path) -> None:
    async def test() -> None:
        async with adopted(tmp_path) as (kernel, _, process):
            kernel.detach()
            await asyncio.sleep(0)
            assert process.poll() is None
            assert (tmp_path / "k").exists()

    run(test())


def test_a_foreign_kernel_is_interrupted_with_all_of_its_group(tmp_path: Path) -> None:
    async def test() -> None:
        async with adopted(tmp_path, "signal") as (kernel, _, process):
            assert await kernel.interrupt("m") is True
            await asyncio.wait_for(kernel.died, 5)
            assert process.wait() == -signal.SIGINT

    run(test())


# --- finding again --------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"keeper_identity": "a stranger"}, {"boot": "an earlier one"}])
def test_a_kernel_is_gone_whose_process_is_another_now(tmp_path: Path, changes: dict[str, str]) -> None:
    async def test() -> None:
        with sleeping() as process:
            with pytest.raises(KernelGone):
                LocalKernels(tmp_path).adopt(place_of(tmp_path, process.pid, **changes), ignore, "named")
            assert process.poll() is None
            process.kill()

    run(test())


def test_a_kernel_is_gone_whose_keeper_lives_on_without_it(tmp_path: Path) -> None:
    async def test() -> None:
        with sleeping() as process:
            place = place_of(tmp_path, process.pid, kernel_pid=process.pid, kernel_identity="a stranger")
            with pytest.raises(KernelGone):
                LocalKernels(tmp_path).adopt(place, ignore, "named")
            process.kill()

    run(test())


def test_a_kernel_that_lives_without_its_keeper_is_found(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "connection.json").write_text(json.dumps(connection_in(tmp_path)))
        for channel in range(1, 6):
            (tmp_path / f"s-{channel}").touch()
        with sleeping() as process:
            known = {"kernel_pid": process.pid, "kernel_identity": identity(process.pid)}
            place = place_of(tmp_path, process.pid, **known, keeper_identity="a stranger")
            kernel = LocalKernels(tmp_path).adopt(place, ignore, "named")
            assert kernel.memory()
            process.kill()
            await asyncio.wait_for(kernel.died, 5)

    run(test())


def test_a_kernel_that_the_version_before_entered_into_the_registry_is_found(tmp_path: Path) -> None:
    async def test() -> None:
        directory = tmp_path / "k" / "1a2b3c4d"
        directory.mkdir(parents=True)
        connection = connection_in(directory)
        (directory / "connection.json").write_text(json.dumps(connection))
        speaker = ZmqKernel(connection, welcome=True)
        with sleeping() as process:
            written = {
                "format": 1,
                "kernel_id": "1a2b3c4d",
                "directory": str(directory),
                "boot": boot_id(),
                "keeper_pid": process.pid,
                "keeper_identity": identity(process.pid),
                "kernel_pid": process.pid,
                "kernel_identity": identity(process.pid),
                "started": "2026-11-23T10:00:00+00:00",
                "generation": 3,
                "session_name": "sales",
                "storage_dir": "/data",
                "kernel_dir": "/data",
                "project": None,
                "environment": {"label": "analysis"},
            }
            registry = Registry(tmp_path / "kernels")
            (tmp_path / "kernels" / "1a2b3c4d.json").write_text(json.dumps(written))
            [entry] = registry.entries()
            assert (entry.kernel_id, entry.generation, entry.session_name) == ("1a2b3c4d", 3, "sales")
            kernel = LocalKernels(tmp_path).adopt(entry.place, ignore, "named")
            assert kernel.kernel_id == entry.kernel_id
            assert kernel.place().items() >= entry.place.items()
            await asyncio.wait_for(kernel.ready(), 5)
            assert (await asyncio.wait_for(kernel.execute(*kernel.pack("x")), 5)).status == "ok"
            registry.write(entry)
            assert json.loads((tmp_path / "kernels" / "1a2b3c4d.json").read_text()) == written
            kernel.detach()
            process.kill()
        speaker.close()

    run(test())


def test_a_kernel_whose_connection_file_is_gone_is_not_taken_for_dead(tmp_path: Path) -> None:
    async def test() -> None:
        with sleeping() as process:
            before = len(os.listdir("/dev/fd"))
            with pytest.raises(KernelUnreachable, match=r"connection\.json cannot be read"):
                LocalKernels(tmp_path).adopt(place_of(tmp_path, process.pid), ignore, "named")
            assert len(os.listdir("/dev/fd")) == before
            process.kill()

    run(test())


def test_a_place_that_is_none_of_this_machines_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(ValueError, match="not the place"):
            LocalKernels(tmp_path).adopt({"url": "https://example.org"}, ignore, "named")

    run(test())


# --- starting -----------------------------------------------------------------------------


def launch(folder: Path, program: str) -> Launch:
    """A start with this program in place of the launcher."""
    script = folder / "launcher.py"
    script.write_text(program)
    return Launch([sys.executable, str(script), OPTIONS, "-f", "{connection_file}"], folder, {})


async def start(folder: Path, planned: Launch) -> LinkedKernel:
    return await LocalKernels(folder).start(planned, ignore)


def directory_of(kernel: LinkedKernel) -> Path:
    return Path(kernel.place()["directory"])


def test_an_interpreter_that_cannot_be_started_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(KernelFailed, match="could not be started"):
            await start(tmp_path, Launch(["/no/such/python", "x", OPTIONS], tmp_path, {}))
        assert list((tmp_path / "k").iterdir()) == []

    run(test())


def test_a_working_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(KernelFailed, match="gone"):
            await start(tmp_path, Launch([sys.executable, "x", OPTIONS], tmp_path / "gone", {}))

    run(test())


def test_a_kernel_that_ends_at_its_start_is_told_at_once_with_its_stderr(tmp_path: Path) -> None:
    async def test() -> None:
        kernel = await start(tmp_path, launch(tmp_path, "import sys; sys.exit('No module named zmq')"))
        with pytest.raises(KernelFailed, match=r"(?s)did not start.*No module named zmq"):
            await asyncio.wait_for(kernel.ready(), 5)
        assert list((tmp_path / "k").iterdir()) == []

    run(test())


def test_a_kernel_is_told_its_files_and_nothing_of_them_is_open_to_others(tmp_path: Path) -> None:
    program = "import json, sys; print(json.dumps(sys.argv[1:]), file=sys.stderr)"

    async def test() -> None:
        kernel = await start(tmp_path, launch(tmp_path, program))
        directory = directory_of(kernel)
        assert directory.stat().st_mode & 0o777 == 0o700
        assert (directory / "connection.json").stat().st_mode & 0o777 == 0o600
        connection = json.loads((directory / "connection.json").read_text())
        assert (connection["transport"], connection["ip"]) == ("ipc", str(directory / "s"))
        assert len(connection["key"]) == 32
        death = await asyncio.wait_for(kernel.died, 5)
        arguments = json.loads(death.stderr)
        assert str(directory / "connection.json") in arguments
        assert arguments[arguments.index("--exit-file") + 1] == str(directory / "exit.json")

    run(test())


# --- deaths ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exit_file", "death"),
    [
        ('{"format": 1, "exit_code": 3, "signal": null, "oom_kills": 0}', Death(3, None, 0)),
        ('{"format": 1, "exit_code": null, "signal": 9, "oom_kills": 2}', Death(None, 9, 2)),
        (None, Death()),
        ("", Death()),
        ("{", Death()),
        ("[]", Death()),
    ],
)
def test_a_death_is_read_from_what_the_keeper_left(
    tmp_path: Path, exit_file: str | None, death: Death
) -> None:
    if exit_file is not None:
        (tmp_path / "exit.json").write_text(exit_file)
    assert read_death(tmp_path) == death


def test_only_the_end_of_a_long_stderr_is_told(tmp_path: Path) -> None:
    (tmp_path / "stderr.log").write_bytes(b"x" * 100_000 + b"\xff the end\n")
    stderr = read_death(tmp_path).stderr
    assert stderr.endswith("\ufffd the end")
    assert len(stderr) <= 12_000


def test_a_kernel_that_is_stopped_right_after_its_adoption_is_ended(tmp_path: Path) -> None:
    async def test() -> None:
        started = await start(tmp_path, launch(tmp_path, "import time; time.sleep(60)"))
        place = {**started.place(), "later": "what a later version has added"}
        adopted_again = LocalKernels(tmp_path).adopt(place, ignore, "named")
        assert (await asyncio.wait_for(adopted_again.stop("on request", grace=0), 5)).asked
        await asyncio.wait_for(started.died, 5)

    run(test())


def test_the_death_of_a_kernel_that_is_gone_is_the_systems_restart_or_what_was_left_of_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "exit.json").write_text('{"exit_code": 3, "signal": null, "oom_kills": 0}')
    here = place_of(tmp_path, os.getpid())
    kernels = LocalKernels(tmp_path)
    assert kernels.death(here).cause == "it exited with code 3"
    assert kernels.death({**here, "boot": "an earlier one"}).cause == "the system was restarted"
    kernels.clear_up(here)
    assert not tmp_path.exists()


def test_a_kernel_started_for_a_trial_knows_whom_to_end_with(tmp_path: Path) -> None:
    program = (
        "import os, sys, time; print(os.environ.get('JPY_PARENT_PID'), file=sys.stderr)\n"
        "while not os.path.exists('seen'): time.sleep(0.01)"  # who has ended at once has not been started
    )

    async def test() -> None:
        for ends_with_us, told in ((True, str(os.getpid())), (False, "None")):
            planned = replace(launch(tmp_path, program), ends_with_us=ends_with_us)
            kernel = await start(tmp_path / "run", planned)
            (tmp_path / "seen").touch()
            assert (await asyncio.wait_for(kernel.died, 5)).stderr == told
            (tmp_path / "seen").unlink()
        assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700

    run(test())


_WITH_FEW_DESCRIPTORS = """
import asyncio, os, resource, sys
from pathlib import Path
import psutil
from kernelexec.errors import KernelFailed
from kernelexec.kernels.host import OPTIONS, Launch
from kernelexec.kernels.local import LocalKernels

async def main(folder):
    host = LocalKernels(Path(folder))
    argv = [sys.executable, "-S", "-c", "import time; time.sleep(60)", OPTIONS]
    launch = Launch(argv, Path("/"), dict(os.environ))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    for spare in range(1, 80, 3):
        used = {int(name) for name in os.listdir("/proc/self/fd")}
        limit = [number for number in range(4000) if number not in used][spare]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
        try:
            kernel = await host.start(launch, lambda message: None)
            said = "started"
        except KernelFailed as error:
            said = str(error)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        if said == "started":
            await kernel.stop("it was tried", grace=0)
        children, left = psutil.Process().children(), os.listdir(Path(folder, "k"))
        print(said.splitlines()[0], len(children), len(left))

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it looks at /proc")
def test_a_kernel_that_there_are_no_descriptors_for_is_refused_and_gone(tmp_path: Path) -> None:
    """However many are missing; libzmq would end the process."""
    (tmp_path / "k").mkdir()
    said = subprocess.run(
        [sys.executable, "-c", _WITH_FEW_DESCRIPTORS, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    assert lines[0].startswith("The kernel could not be started: Too many open files."), lines[0]
    assert any(line.startswith("The kernel could not be watched: Too many open files.") for line in lines)
    assert lines[-1] == "started 0 0"
    assert all(line.endswith(" 0 0") for line in lines)
