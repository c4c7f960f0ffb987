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
from tests.real.test_foreign_kernels import uv_venv


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


@pytest.fixture(scope="module")
def with_widgets(place: Path) -> str:
    """An environment with ipywidgets and what draws its bars with them."""
    return str(uv_venv(place / "widgets", "ipykernel", "ipywidgets", "tqdm", "rich"))


@pytest.fixture
def shown(connect: Connect, shared_home: Home, with_widgets: str) -> Client:
    return connect(shared_home, ENV_TYPE="venv", VENV_PATH=with_widgets, KERNELEXEC_SESSION="widgets")


def test_a_bar_of_tqdm_and_what_was_printed_are_told_and_not_the_bars_that_are_gone(shown: Client) -> None:
    code = (
        "from tqdm.notebook import tqdm, trange\n"
        "for i in trange(20, desc='outer'):\n"
        "    for j in tqdm(range(3), desc=f'inner {i}', leave=False): pass\n"
        "    print('epoch', i)\n"
        "'the result'"
    )
    reply = shown.execute(code)
    assert reply.block("widget").startswith("outer: 100% 20/20 [")
    assert reply.block("stdout").splitlines() == [f"epoch {i}" for i in range(20)]
    assert reply.block("result") == "'the result'"
    assert reply.text.count("[widget]") == 1
    assert "[display]" not in reply.text
    assert "left out" not in reply.text


def test_controls_layouts_and_interact_of_ipywidgets_are_told_in_words(shown: Client) -> None:
    shown.execute("import ipywidgets as w")
    assert shown.execute("w.IntSlider(value=3, max=9, description='n')").block("widget") == (
        "n: 3 [slider, 0 to 9]"
    )
    tabs = "w.Tab([w.Label('first'), w.Dropdown(options=['q', 'r'])], titles=['A', 'B'], selected_index=1)"
    assert shown.execute(tabs).block("widget") == "[tabs: A, B; B is shown]\nq [of q, r]"
    interact = "_ = w.interact(lambda x, flag=True: x * x, x=(0, 10))"
    assert shown.execute(interact).block("widget") == "x: 5 [slider, 0 to 10]\n[x] flag\n25"
    hidden = (
        "l = w.Label('secret'); l.layout.visibility = 'hidden'; c = w.Label('gone'); display(l, c); c.close()"
    )
    reply = shown.execute(hidden)
    assert "[widget]" not in reply.text
    assert "[display]" not in reply.text


def test_a_bar_of_rich_is_told_as_it_ends(shown: Client) -> None:
    code = "from rich.progress import track\nimport time\nfor _ in track(range(3), 'rich'): time.sleep(.2)"
    reply = shown.execute(code)
    assert "rich " in reply.block("widget")
    assert "100%" in reply.block("widget")
    assert "Output()" not in reply.text
