"""KERNELEXEC_HOST with a container's engine: `make container` builds the image."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from uuid import uuid4

import psutil
import pytest

from tests.container.test_container import ENGINE, IMAGE, engine, has_image
from tests.real.conftest import Connect
from tests.real.home import COMMAND, Home, eventually

pytestmark = pytest.mark.skipif(not has_image(), reason=f"no image {IMAGE}: make container")


@pytest.fixture(scope="module")
def box() -> Iterator[str]:
    """What reaches a running container that has kernelexec."""
    name = f"kx-{uuid4().hex[:8]}"
    engine("run", "-d", "--rm", "--name", name, "--entrypoint", "tini", IMAGE, "--", "sleep", "infinity")
    yield shlex.join([ENGINE, "exec", "-i", name])
    engine("rm", "--force", "--time", "0", name)


def test_code_runs_in_a_container_and_outlives_its_link(connect: Connect, home: Home, box: str) -> None:
    client = connect(home, home.project("boxed"), KERNELEXEC_HOST=box, ENV_TYPE="", VENV_PATH="")
    reply = client.execute("runs = 1\nimport os; os.getcwd()")
    assert reply.state == "OK", reply.text
    assert reply.block("result") == "'/storage'", "what the image has set counts there"
    running = client.start("runs += 1\nopen('begun', 'w').close()\nwhile not os.path.exists('gate'): pass")
    name = shlex.split(box)[-1]
    eventually(lambda: exists(name, "begun"))
    for link in [each for each in psutil.process_iter() if command_of(each) == [*shlex.split(box), "sh"]]:
        link.kill()
    engine("exec", name, "touch", "gate")
    assert running.result(60).state == "OK"
    assert client.execute("runs").block("result") == "2"


def test_the_persons_commands_reach_into_a_container(home: Home, box: str) -> None:
    done = subprocess.run(
        [COMMAND, "--host", box, "exec", "--session", "typed", "print(6 * 7)"],
        env={**home.environ, "ENV_TYPE": "", "VENV_PATH": ""},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "42" in done.stdout


def exists(name: str, file: str) -> bool:
    return subprocess.run([ENGINE, "exec", name, "test", "-e", file], check=False).returncode == 0


def command_of(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
