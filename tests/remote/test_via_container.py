"""KERNELEXEC_VIA with a container's engine: `make container` builds the image."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from uuid import uuid4

import psutil
import pytest

from tests.container.test_container import ENGINE, IMAGE, engine, has_image
from tests.real.conftest import Connect
from tests.real.home import Home
from tests.remote.test_container_host import command_of

pytestmark = pytest.mark.skipif(not has_image(), reason=f"no image {IMAGE}: make container")


@pytest.fixture
def box() -> Iterator[str]:
    """What reaches a running container."""
    name = f"kx-{uuid4().hex[:8]}"
    engine("run", "-d", "--rm", "--name", name, "--entrypoint", "tini", IMAGE, "--", "sleep", "infinity")
    yield shlex.join([ENGINE, "exec", "-i", name])
    engine("rm", "--force", "--time", "0", name)


def test_a_kernel_in_a_container_outlives_its_link(connect: Connect, home: Home, box: str) -> None:
    client = connect(
        home, home.project("boxed"), KERNELEXEC_VIA=box, ENV_TYPE="", VENV_PATH="/opt/environment"
    )
    reply = client.execute("import socket\nruns = 1\nsocket.gethostname()", wait_seconds=50)
    assert reply.state == "OK", reply.text
    assert f"on {reply.block('result')[1:-1]}" in reply.text
    assert reply.script.is_relative_to(home.path), "scripts are here"
    for link in [each for each in psutil.process_iter() if command_of(each) == [*shlex.split(box), "sh"]]:
        link.kill()
    assert client.execute("runs + 1", wait_seconds=50).block("result") == "2"
