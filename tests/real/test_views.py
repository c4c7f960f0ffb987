"""What a front end shows beside the outputs: the pager, the next cell's code, widgets."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.real.clients import Client
from tests.real.conftest import Connect, ConnectRaw
from tests.real.home import Home, eventually


@pytest.fixture
def client(connect: Connect, shared_home: Home) -> Client:
    return connect(shared_home)


def last_cell(notebook: Path, source: str) -> dict[str, Any]:
    def look() -> Any:
        cells = json.loads(notebook.read_text())["cells"] if notebook.exists() else []
        found: list[Any] = [cell for cell in cells if "".join(cell["source"]) == source]
        return found[-1] if found else None

    cell: dict[str, Any] = eventually(look)
    return cell


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("len?", "Return the number of items in a container."),
        ("def doubled(n):\n    return 2 * n\ndoubled??", "    return 2 * n"),
        ("%prun -l 3 sorted(range(1000))", "function calls in"),
        ("%pinfo print", "Prints the values to a stream"),
        ("*int*?", "int"),
        ("%psearch isinst*", "isinstance"),
        ("open('shown.py', 'w').write('said = 1')\n%pycat shown.py", "said = 1"),
    ],
)
def test_what_goes_to_the_pager_is_in_the_reply_and_in_the_cell(client: Client, code: str, said: str) -> None:
    reply = client.execute(code)
    assert reply.state == "OK"
    assert said in reply.block("display")
    assert "\x1b" not in reply.text
    [*_, output] = last_cell(Path(client.config()["notebook"]), code)["outputs"]
    assert output["output_type"] == "display_data"
    assert output["data"]["text/plain"]


def test_the_help_on_several_things_in_one_cell_is_all_there(client: Client) -> None:
    text = client.execute("len?\nabs?").block("display")
    assert "number of items" in text
    assert "absolute value" in text


def test_code_for_the_next_cell_is_told_and_has_not_run(client: Client) -> None:
    client.execute("open('loaded.py', 'w').write('ran_it = 1\\n')")
    loaded = client.execute("%load loaded.py").block("display")
    assert loaded.startswith("[")
    assert "has not run]\n# %load loaded.py\nran_it = 1" in loaded
    assert client.execute("'ran_it' in globals()").block("result") == "False"
    count = (client.execute("kept = 41 + 1").result.meta or {})["kernelexec/execution_count"]
    assert "has not run]\nkept = 41 + 1" in client.execute(f"%recall {count}").block("display")
    assert "loaded.py yourself" in client.execute("%edit loaded.py").text


def test_a_page_that_came_while_there_was_no_hub_is_there(
    home: Home, connect_raw: ConnectRaw, connect: Connect
) -> None:
    begun, gate, done = home.path / "begun", home.path / "gate", home.path / "done"
    first = connect_raw(home)
    first.execute("import os, time")
    first.begin_execute(
        f"open({str(begun)!r}, 'w').close()\n"
        f"while not os.path.exists({str(gate)!r}): time.sleep(.01)\n"
        f"get_ipython().run_line_magic('pinfo', 'len')\n"
        f"open({str(done)!r}, 'w').close()"
    )
    eventually(begun.exists)
    home.end_hub(signal.SIGKILL)
    gate.touch()
    eventually(done.exists)
    reply = connect(home).wait_for("main@plain/2")
    assert "number of items" in reply.block("display"), reply.text
