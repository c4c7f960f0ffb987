"""The image of packaging/container, with podman or docker: `make container` builds it first."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from uuid import uuid4

import nbformat
import pytest

from tests.real.clients import RawClient
from tests.real.home import Home, eventually
from tests.real.wheels import make_wheel

ENGINE = shutil.which("podman") or shutil.which("docker") or ""
IMAGE = os.environ.get("KXTEST_IMAGE", "kernelexec")
_STOP_SECONDS = 9.0  # docker kills what has not ended ten seconds after it was asked to


def engine(*arguments: str) -> str:
    done = subprocess.run([ENGINE, *arguments], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def has_image() -> bool:
    command = [ENGINE, "image", "inspect", IMAGE]
    return bool(ENGINE) and subprocess.run(command, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not has_image(), reason=f"no image {IMAGE}: make container")


@dataclass
class Host:
    """Where clients start the engine: all that they need of a `Home`."""

    path: Path
    environ: Mapping[str, str]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return cast("Home", Host(tmp_path, dict(os.environ)))


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    folder = tmp_path / "analyses"
    folder.mkdir()
    folder.chmod(0o777)  # as it were the container's user's
    return folder


class Box:
    """A container that stays."""

    def __init__(self, storage: Path, *options: str) -> None:
        self.name = f"kx-{uuid4().hex[:8]}"
        engine("run", "-d", "--name", self.name, "-v", f"{storage}:/storage", *options, IMAGE)

    def is_ready(self) -> bool:
        return "hub" in json.loads(self.command("kernelexec", "ps", "--json"))

    @contextmanager
    def client(self, home: Home, *options: str) -> Iterator[RawClient]:
        command = (ENGINE, "exec", "-i", *options, self.name, "kernelexec")
        with RawClient(home, command=command) as client:
            client.initialize()
            yield client

    def command(self, *arguments: str) -> str:
        return engine("exec", self.name, *arguments)

    def remove(self) -> None:
        engine("rm", "-f", self.name)


@pytest.fixture
def box(storage: Path) -> Iterator[Box]:
    box = Box(storage)
    try:
        eventually(box.is_ready)
        yield box
    finally:
        box.remove()


@contextmanager
def run(home: Home, storage: Path, *options: str) -> Iterator[RawClient]:
    """The client of a container of its own, which ends with it."""
    command = (ENGINE, "run", "-i", "--rm", "-v", f"{storage}:/storage", *options, IMAGE)
    with RawClient(home, command=command) as client:
        client.initialize()
        yield client


def test_a_client_has_a_container_whose_notebook_is_in_its_folder(home: Home, storage: Path) -> None:
    with run(home, storage) as client:
        reply = client.execute("import os, sys\nos.getuid() != 0, os.getcwd(), sys.prefix")
        assert reply.block("result") == "(True, '/storage', '/opt/environment')"
        assert client.execute("x = 42; print(x)").block("stdout") == "42"
        client.close()
        assert client.process.returncode == 0
    (notebook,) = storage.glob("*.ipynb")
    assert "x = 42; print(x)" in [cell.source for cell in nbformat.read(notebook, as_version=4).cells]


def test_the_next_container_is_told_that_the_one_before_was_stopped(home: Home, storage: Path) -> None:
    with run(home, storage) as client:
        client.execute("x = 42")
        client.close()  # and not killed, as a test's end does it
    with run(home, storage) as client:
        reply = client.execute("print(1)")
        assert "The one before ended: its container was stopped." in reply.text
        assert reply.number == 2


def test_what_runs_when_a_container_is_stopped_is_told_to_its_caller(home: Home, storage: Path) -> None:
    name = f"kx-{uuid4().hex[:8]}"
    with run(home, storage, "--name", name) as client:
        client.execute("1")
        request = client.begin_execute("import time; time.sleep(600)")
        eventually(lambda: "busy" in engine("exec", name, "kernelexec", "ps"))
        begun = time.monotonic()
        engine("stop", name)
        assert time.monotonic() - begun < _STOP_SECONDS
        reply = client.reply(request)
        assert reply.state == "DIED"
        assert "its container was stopped" in reply.text


def test_kernels_stay_while_clients_come_and_go(home: Home, box: Box) -> None:
    with box.client(home) as client:
        client.execute("x = 42")
    with box.client(home) as first, box.client(home) as second:
        assert first.execute("x").block("result") == "42"
        assert second.execute("x + 1").block("result") == "43"
    assert "idle" in box.command("kernelexec", "ps")
    assert box.command("kernelexec", "exec", "x + 2").endswith("44\n")
    with box.client(home, "-e", "KERNELEXEC_SESSION=sales") as other:
        assert other.execute("'x' in globals()").block("result") == "False"


def test_one_process_is_all_that_the_image_adds(home: Home, box: Box) -> None:
    with box.client(home) as client:
        client.execute("1")
        lines = [
            line.replace("\0", " ")
            for line in box.command(
                "sh", "-c", "for f in /proc/[0-9]*/cmdline; do cat $f; echo; done"
            ).splitlines()
        ]
        assert sum("--in-process" in line for line in lines if not line.startswith("tini")) == 1
        assert not any("kernelexec.daemon.process" in line for line in lines)


def test_what_code_leaves_behind_does_not_stay_as_zombies(home: Home, box: Box) -> None:
    with box.client(home) as client:
        client.execute(
            "import subprocess\nsubprocess.run(['sh', '-c', 'setsid sleep 0.3 & setsid sleep 0.3 &'])\n"
        )
        client.call("stop_kernel")
        seen = "grep -l '^State:.Z' /proc/[0-9]*/status || true"
        eventually(lambda: not box.command("sh", "-c", seen).strip())


def test_a_container_that_is_stopped_and_started_says_what_was_lost(home: Home, box: Box) -> None:
    with box.client(home) as client:
        client.execute("x = 42")
    begun = time.monotonic()
    engine("stop", box.name)
    assert time.monotonic() - begun < _STOP_SECONDS
    state = json.loads(engine("inspect", box.name))[0]["State"]
    assert state["ExitCode"] == 0
    engine("start", box.name)
    with box.client(home) as client:
        assert "its container was stopped" in client.execute("1").text


def test_any_user_with_nothing_but_the_folder_may_run_and_install(home: Home, storage: Path) -> None:
    make_wheel(storage / "wheels", "kx-words", "1.0")
    options = ["--user", "12345:12345", "--network", "none", "--cap-drop", "ALL", "-e", "UV_OFFLINE=1"]
    with run(home, storage, *options, "-e", "UV_FIND_LINKS=/storage/wheels") as client:
        assert client.execute("import os; os.getuid()").block("result") == "12345"
        client.call("install_dependencies", packages=["kx-words"])
        assert client.execute("import kx_words; kx_words.VERSION").block("result") == "'1.0'"


def test_a_root_file_system_that_is_read_only_is_enough(home: Home, storage: Path) -> None:
    options = ("--read-only", "--tmpfs", "/tmp", "--tmpfs", "/home/kernelexec:mode=1777")
    with run(home, storage, *options) as client:
        assert client.execute("6 * 7").block("result") == "42"
