"""KERNELEXEC_VIA over a real ssh: the kernel runs there, everything else is here."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.real.clients import Client
from tests.real.conftest import Connect
from tests.real.home import Home, eventually, until
from tests.remote.sshd import FarHost, line_of

pytestmark = pytest.mark.timeout(300)
Via = Callable[..., Client]


@pytest.fixture(scope="module")
def there(bare_host: FarHost) -> FarHost:
    """A host with a virtual environment that has ipykernel, and no kernelexec."""
    uv = ". ./.profile; .local/bin/uv venv -q envs/analysis"
    done = bare_host.run(f"{uv} && .local/bin/uv pip install -q -p envs/analysis ipykernel")
    assert done.returncode == 0, done.stderr
    return bare_host


class Wire:
    """A way there that can be cut, and mended."""

    def __init__(self, folder: Path, there: FarHost) -> None:
        self.script = folder / "way.sh"
        self.is_down = folder / "down"
        self.script.write_text(
            f'[ -e "{self.is_down}" ] && {{ echo "No route to host" >&2; exit 255; }}\n'
            f'exec {there.command} "$@"\n'
        )
        self.command = f"sh {self.script}"

    def cut(self, home: Home) -> None:
        self.is_down.touch()
        drop(home)

    def mend(self) -> None:
        self.is_down.unlink()


@pytest.fixture
def wire(tmp_path: Path, there: FarHost) -> Wire:
    return Wire(tmp_path, there)


@pytest.fixture
def via(connect: Connect, home: Home, there: FarHost) -> Iterator[Via]:
    def client(project: str = "churn", **others: str) -> Client:
        settings = {"KERNELEXEC_VIA": there.command, "ENV_TYPE": "", "VENV_PATH": "~/envs/analysis"}
        folder = home.project(project)
        folder.chmod(0o700)  # it is not there, too
        return connect(home, folder, **{**settings, **others})

    yield client
    for each in kernels(there):
        with suppress(psutil.NoSuchProcess):
            each.kill()


def drop(home: Home) -> None:
    """Kill the commands that hold this home's links."""
    assert home.kill_commands("ssh ")


def kernels(far: FarHost) -> list[psutil.Process]:
    """Keepers and kernels there."""
    return [each for each in far.processes() if "launcher.py" in line_of(each)]


def gate(far: FarHost, name: str) -> tuple[str, Path, Path]:
    """Code that runs there until the first file is made, and makes the second when it begins."""
    path, begun = far.home / name, far.home / f"{name}.begun"
    return until(path, begun), path, begun


def open_(far: FarHost, path: Path) -> None:
    far.write(path.name, "")


def the_end_of(client: Client, execution_id: str) -> str:
    reply = client.wait_for(execution_id, wait_seconds=50)
    assert reply.state == "OK", reply.text[:3000]
    return reply.text


def test_code_runs_there_and_what_is_kept_is_here(via: Via, home: Home, there: FarHost) -> None:
    client = via()
    reply = client.execute("import getpass, os, sys\nx = 41\n[getpass.getuser(), os.getcwd(), sys.prefix]")
    assert reply.state == "OK", reply.text
    for said in (there.name, there.home, there.home / "envs" / "analysis"):
        assert f"'{said}'" in reply.block("result")
    assert f"Code reads and writes in {there.home} on {os.uname().nodename}" in reply.text
    assert reply.script.read_text().startswith("import getpass")
    assert "VIRTUAL_ENV" not in reply.text
    found = client.execute("import os; os.environ['VIRTUAL_ENV']")
    assert found.block("result") == f"'{there.home}/envs/analysis'"
    assert f"Code reads and writes in {there.home}" in found.text, "each reply says so"
    assert f"code reads and writes in {there.home}" in client.call("list_kernels", {}).text


def test_variables_stay_over_a_restart_of_client_and_hub(via: Via, home: Home, there: FarHost) -> None:
    via().execute("x = 41")
    assert via().execute("x + 1").block("result") == "42"
    home.end_hub(signal.SIGKILL)
    assert via().execute("x + 2").block("result") == "43"
    assert len(kernels(there)) == 2, "one keeper, one kernel"


def test_a_run_goes_on_while_there_is_no_hub(via: Via, home: Home, there: FarHost) -> None:
    code, path, begun = gate(there, "hubless")
    client = via()
    running = client.execute(f"print('before')\n{code}\nprint('after')", wait_seconds=0)
    eventually(begun.exists)
    home.end_hub(signal.SIGKILL)
    open_(there, path)
    text = the_end_of(via(), running.id)
    assert "before" in text
    assert "after" in text


def test_an_error_a_question_and_an_interrupt_are_as_at_home(via: Via, there: FarHost) -> None:
    client = via()
    failed = client.execute("1 / 0")
    assert failed.state == "ERROR"
    assert "ZeroDivisionError" in failed.verdict
    asked = client.execute("print(input('Name? ').upper())", wait_seconds=20)
    assert asked.state == "WAITING FOR INPUT", asked.text
    told = client.call("send_input", {"execution_id": asked.id, "text": "ann"})
    assert told.block("stdout") == "Name? ann\nANN", told.text
    code, _, begun = gate(there, "interrupted")
    running = client.execute(f"kept = 1\n{code}", wait_seconds=0)
    eventually(begun.exists)
    reply = client.call("interrupt_kernel", {"session": running.session})
    assert reply.state == "INTERRUPTED", reply.text
    assert client.execute("kept").block("result") == "1"


def test_fifty_megabytes_come_whole_and_in_order(via: Via) -> None:
    lines = 500_000
    client = via()
    reply = client.execute(f"for n in range({lines}): print(f'{{n:099d}}')", wait_seconds=50)
    text = reply.text if reply.state == "OK" else the_end_of(client, reply.id)
    file = Path(next(word for word in text.split() if "/outputs/" in word).strip(".,;:()"))
    assert file.read_text().splitlines() == [f"{n:099d}" for n in range(lines)]


def test_a_death_is_told_with_its_cause_and_nothing_is_left_there(via: Via, there: FarHost) -> None:
    folder = Path(f"/tmp/kernelexec-far-{there.uid}")
    before = set(folder.iterdir()) if folder.exists() else set()
    client = via()
    client.execute("1")
    reply = client.execute("import ctypes\nprint('seen')\nctypes.string_at(0)")
    assert reply.state == "DIED", reply.text
    assert "SIGSEGV" in reply.text
    assert "Segmentation fault" in reply.text, "what its process wrote last"
    assert "seen" in reply.text
    eventually(lambda: set(folder.iterdir()) <= before)
    assert not kernels(there)


def test_a_link_that_drops_in_mid_run_loses_nothing(via: Via, home: Home, there: FarHost) -> None:
    code, path, begun = gate(there, "dropped")
    client = via()
    running = client.start(
        f"runs = globals().get('runs', 0) + 1\nprint('before')\n{code}\n"
        "for n in range(20_000): print(n, flush=n % 5 == 0)\nprint('after', runs)"
    )
    eventually(begun.exists)
    drop(home)
    open_(there, path)
    reply = running.result(100)
    assert reply.state == "OK", reply.text[:3000]
    assert "after 1" in reply.text
    assert "19999" in reply.text
    assert client.execute("runs").block("result") == "1"


def test_what_is_not_known_while_the_link_is_down_is_said_and_then_had(
    via: Via, home: Home, there: FarHost, wire: Wire
) -> None:
    code, path, begun = gate(there, "away")
    client = via(KERNELEXEC_VIA=wire.command)
    running = client.execute(f"{code}\nprint('x' * 1000_000)\n'the end'", wait_seconds=0)
    eventually(begun.exists)
    wire.cut(home)
    eventually(lambda: "No route to host" in _down(client))
    waited = client.wait_for(running.id, wait_seconds=0)
    assert "link" in waited.text
    assert "not known" in waited.text
    open_(there, path)
    wire.mend()
    assert "the end" in the_end_of(client, running.id)


def _down(client: Client) -> str:
    listed = client.call("list_kernels", {}).text
    return listed if "has been down since" in listed else ""


def test_a_question_that_came_while_the_link_was_down_is_asked(
    via: Via, home: Home, there: FarHost, wire: Wire
) -> None:
    code, path, begun = gate(there, "asked")
    client = via(KERNELEXEC_VIA=wire.command)
    running = client.execute(f"{code}\nprint(input('Name? ').upper())", wait_seconds=0)
    eventually(begun.exists)
    wire.cut(home)
    eventually(lambda: _down(client))
    open_(there, path)
    wire.mend()
    asked = client.wait_for(running.id, wait_seconds=50)
    assert asked.state == "WAITING FOR INPUT", asked.text
    told = client.call("send_input", {"execution_id": asked.id, "text": "ann"})
    assert "ANN" in told.text


def test_a_kernel_that_died_while_the_link_was_down_is_told_as_such(
    via: Via, home: Home, there: FarHost, wire: Wire
) -> None:
    client = via(KERNELEXEC_VIA=wire.command)
    pid = int(client.execute("import os; os.getpid()").block("result"))
    wire.cut(home)
    eventually(lambda: _down(client))
    os.kill(pid, signal.SIGSEGV)
    wire.mend()
    reply = client.execute("1", wait_seconds=50)
    assert reply.state == "NOT RUN", reply.text
    assert "SIGSEGV" in reply.text


def test_stop_ends_it_there(via: Via, there: FarHost) -> None:
    client = via()
    session = client.execute("1").session
    assert kernels(there)
    client.call("stop_kernel", {"session": session})
    eventually(lambda: not kernels(there))


def test_a_stop_while_the_link_is_down_is_made_up_for(
    via: Via, home: Home, there: FarHost, wire: Wire
) -> None:
    client = via(KERNELEXEC_VIA=wire.command)
    session = client.execute("1").session
    wire.cut(home)
    eventually(lambda: _down(client))
    stopped = client.call("stop_kernel", {"session": session})
    assert "goes on there until the link is back" in stopped.text
    assert kernels(there)
    home.end_hub(signal.SIGKILL)
    wire.mend()
    via("another", KERNELEXEC_VIA=wire.command).call("list_kernels", {})
    eventually(lambda: not kernels(there), 60)


def test_what_is_not_there_is_told_with_what_to_do(via: Via) -> None:
    missing = via("a", VENV_PATH="~/envs/none").execute("1")
    assert "There is no interpreter ~/envs/none/bin/python where" in missing.text
    missing = via("b", VENV_PATH="", CONDA_ENV_NAME="nothing").execute("1")
    assert "no interpreter of a conda environment nothing" in missing.text
    nowhere = via("c", KERNELEXEC_CWD="~/nowhere").execute("1")
    assert "is no folder on" in nowhere.text
    unreached = via("d", KERNELEXEC_VIA="ssh -T -o BatchMode=yes -p 1 127.0.0.1").execute("1")
    assert "did not reach a shell" in unreached.text
    other = via("e", ENV_TYPE="kernelspec", KERNEL_NAME="python3").execute("1")
    assert "With KERNELEXEC_VIA" in other.text
