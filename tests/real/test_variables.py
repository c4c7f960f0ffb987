"""list_variables and list_kernels on real kernels: ours, and an ipykernel that somebody else set up."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.real.clients import Client
from tests.real.conftest import Connect
from tests.real.home import Home, eventually

UNTOUCHABLE = """
class Untouchable:
    def __init__(self):
        self.a, self.b = 1, 2
    def touched(self, *_):
        open({mark!r}, 'w').close()
        raise SystemExit
    __repr__ = __str__ = __len__ = __sizeof__ = __iter__ = touched
    def __getattr__(self, name):
        self.touched()
    @property
    def shape(self):
        self.touched()
"""


LIARS = """
import datetime
def touched(*_):
    open({mark!r}, 'w').close()
    raise SystemExit
class Meta(type):
    __name__ = __module__ = property(touched)
    __getattribute__ = __eq__ = __instancecheck__ = __subclasscheck__ = touched
    __hash__ = type.__hash__
class Zone(datetime.tzinfo):
    utcoffset = tzname = dst = __repr__ = touched
class Untouchable(metaclass=Meta):
    __class__ = property(touched)
class Own:
    __dict__ = property(touched)
class Repr:
    __repr__ = touched
Array = type('ndarray', (), dict.fromkeys(['shape', 'dtype', 'nbytes'], property(touched)))
type.__setattr__(Array, '__module__', 'numpy')
thing, array, own, piece = Untouchable(), Array(), Own(), slice(Repr())
moment = datetime.datetime(2026, 1, 1, tzinfo=Zone())
"""
HANGING = """
import sys, time, types
numpy = sys.modules['numpy'] = types.ModuleType('numpy')
class ndarray:
    shape = property(lambda self: time.sleep(600))
numpy.ndarray, ndarray.__module__ = ndarray, 'numpy'
array = ndarray()
"""


@pytest.fixture(scope="module")
def stock(shared_home: Home) -> dict[str, str]:
    """The settings of a client that uses a kernelspec of plain ipykernel, as Jupyter has it."""
    place = shared_home.path / "their jupyter"
    folder = place / "kernels" / "stock"
    folder.mkdir(parents=True)
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Stock",
        "language": "python",
    }
    (folder / "kernel.json").write_text(json.dumps(spec))
    return {"ENV_TYPE": "kernelspec", "KERNEL_NAME": "stock", "JUPYTER_PATH": str(place)}


@pytest.fixture(params=["ours", "stock"])
def somebody(
    request: pytest.FixtureRequest, connect: Connect, shared_home: Home, stock: dict[str, str]
) -> Client:
    project = shared_home.project(f"variables-{request.param}-{request.node.originalname[:20]}")
    return connect(shared_home, project, **(stock if request.param == "stock" else {}))


def variables(client: Client, **arguments: str) -> str:
    reply = client.call("list_variables", dict(arguments))
    assert not reply.is_error, reply.text
    return reply.text


def names(text: str) -> list[str]:
    table = text.partition("\n\n")[2].partition("\n\n")[0]
    return [line.split()[0] for line in table.splitlines()[1:]]


def test_variables_are_told_and_nothing_of_the_users_is_run(somebody: Client, tmp_path: Path) -> None:
    mark = tmp_path / "touched"
    somebody.execute(UNTOUCHABLE.format(mark=str(mark)))
    somebody.execute("import json as j\nx = [1, 2]\nthing = Untouchable()\nmany = [thing] * 1000\n'last'")
    text = variables(somebody)
    assert names(text) == ["many", "thing", "x"]
    assert re.search(r"^x +list +2 +\d+ B +\[1, 2\]$", text, re.MULTILINE)
    assert re.search(r"^thing +Untouchable +2 attributes: a, b$", text, re.MULTILINE)
    assert "Modules: j = json" in text
    assert "class Untouchable" in text
    assert not mark.exists()


def test_no_code_of_a_metaclass_or_of_a_class_that_lies_is_run(somebody: Client, tmp_path: Path) -> None:
    mark = tmp_path / "touched"
    assert somebody.execute(LIARS.format(mark=str(mark))).state == "OK"
    assert set(names(variables(somebody))) == {"thing", "array", "own", "piece", "moment"}
    assert not mark.exists()


def test_an_interrupt_does_not_wait_for_a_library_that_hangs_when_it_is_asked(own_client: Client) -> None:
    own_client.execute(HANGING)
    running = own_client.execute("while True:\n    pass", wait_seconds=0)
    eventually(lambda: own_client.wait_for(running.id, wait_seconds=0).state == "RUNNING")
    assert "does not answer" in own_client.call("list_variables", {}).text
    assert own_client.call("interrupt_kernel", {}).text.startswith("INTERRUPTED")


def test_a_look_leaves_no_trace(somebody: Client) -> None:
    somebody.execute("names, count = set(globals()), len(In)\n'last'")
    variables(somebody)
    assert somebody.execute("_").block("result") == "'last'"
    left = "{n for n in set(globals()) - names if not n.startswith('_')}, len(In) - count"
    assert somebody.execute(left).block("result") == "({'count', 'names'}, 2)"
    assert "namespace_report" not in somebody.execute("%history").text


def test_variables_are_told_while_a_cell_runs(somebody: Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    running = somebody.execute(
        f"import os, time\nbefore = 'here'\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)",
        wait_seconds=0,
    )
    eventually(lambda: "RUNNING" in somebody.wait_for(running.id, wait_seconds=0).text)
    text = eventually(lambda: "before" in (said := variables(somebody)) and said)
    assert f"{running.id} is running" in text
    gate.touch()
    assert somebody.wait_for(running.id).state == "OK"


def test_a_pattern_chooses_names_among_very_many(somebody: Client) -> None:
    somebody.execute("globals().update({f'v{n}': n for n in range(100_000)})\ndf_a = 1\ndf_b = 2")
    text = variables(somebody)
    assert "100,002 variables, of which 100 are shown" in text
    assert names(text)[:2] == ["df_b", "df_a"]
    assert names(variables(somebody, pattern="df_*")) == ["df_b", "df_a"]
    assert names(variables(somebody, pattern="v?9999")) == [f"v{n}9999" for n in "987654321"]
    assert "0 variables with names like 'nothing'" in variables(somebody, pattern="nothing")


def test_a_session_without_a_kernel_has_no_variables(connect: Connect, shared_home: Home) -> None:
    client = connect(shared_home, shared_home.project("no-kernel"))
    assert variables(client).startswith("NO VARIABLES: no-kernel@plain has no kernel now")


def processor_share(client: Client, session: str) -> int:
    """What list_kernels says that a busy kernel uses, in percent; 0 where it says nothing of it."""
    text = client.call("list_kernels", {}).text
    busy = re.search(rf"^{session}: busy.*?processor (\d+)%", text, re.MULTILINE | re.DOTALL)
    return int(busy[1]) if busy else 0


def test_kernels_are_listed_with_what_they_do(own_client: Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    mine = own_client.execute("import os\nos.getpid()")
    text = own_client.call("list_kernels", {}).text
    assert re.search(rf"^{mine.session}: idle for \d+ s$", text, re.MULTILINE), text
    assert "memory " in text
    assert str(mine.script.parent) + ".ipynb" in text
    running = own_client.execute(
        f"import time\nwhile not os.path.exists({str(gate)!r}): pass", wait_seconds=0
    )
    eventually(lambda: f"busy with {running.id}" in own_client.call("list_kernels", {}).text)
    # On a machine with much else to do it gets less, and the share is of the time since the last look.
    eventually(lambda: processor_share(own_client, mine.session) > 20)
    pid = int(mine.block("result"))
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: f"{mine.session}: stopped" in own_client.call("list_kernels", {}).text)
        refused = own_client.call("list_variables", {})
        assert "is stopped" in refused.text
    finally:
        os.kill(pid, signal.SIGCONT)
    gate.touch()
    assert own_client.wait_for(running.id).state == "OK"
