"""The reply of each kind, from real calls: the texts in tests/replies, for a person to review.

`make replies` writes them anew. What differs from run to run (times, sizes, places) is made steady.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mcp.shared.exceptions import MCPError

from tests.real.clients import Client, Reply, official_client
from tests.real.conftest import Connect
from tests.real.home import Home, eventually
from tests.real.test_callers import state_of
from tests.real.test_opened_notebook import code, markdown, write
from tests.real.wheels import make_wheel

REPLIES = Path(__file__).parent.parent / "replies"
DEMO_VENV = Path(__file__).parents[2] / ".demo" / "venv"

Held = Callable[[str, Reply], None]

_STEADY = (
    (r"\b\d+(\.\d+)? (s|min)\b", "0.1 s"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d( UTC)?", r"2026-11-25 03:00:00\1"),
    (r"\bPython 3\.\d+\.\d+", "Python 3.12.1"),
    (r"\bPython 3\.\d+\)", "Python 3.12)"),
    (r"/lib/python3\.\d+/", "/lib/python3.12/"),
    (r"/cpython-3\d+-\S+", "/cpython-312-x86_64"),
    (r"memory [\d.]+ [kM]?B", "memory 50.0 MB"),
    (r"processor \d+%", "processor 5%"),
    (r" +\d+(\.\d)? k?B  ", "    100 B  "),
    (r"_[0-9a-f]{8}\.py", "_1a2b3c4d.py"),
    (r"/tmp/ipykernel_\d+/\d+\.py", "/tmp/ipykernel_1/2.py"),
    (r"\b(str|object), mass", "str, mass"),
    (r" at 0x[0-9a-f]+", " at 0x7f00"),
)


@pytest.fixture(scope="module")
def assistant(shared_home: Home, portal: object) -> Iterator[Client]:
    """A client of an environment with pandas and matplotlib, that of `make demo`."""
    assert DEMO_VENV.is_dir(), "make .demo/ready makes it"
    environ = {"VENV_PATH": str(DEMO_VENV)}
    with official_client(portal, shared_home, shared_home.project("penguins"), **environ) as client:  # type: ignore[arg-type]
        yield client


@pytest.fixture
def held(shared_home: Home) -> Held:
    """Compares a reply with its text."""

    def hold(name: str, reply: Reply) -> None:
        shown = f"{'isError' if reply.is_error else ''}\n{_steady(reply.text, shared_home)}\n".lstrip("\n")
        if reply.is_error:
            shown = shown.replace("isError\n", "isError\n\n", 1)
        shown += "".join(f"<{image.mime_type}>\n" for image in reply.images)
        file = REPLIES / f"{name}.txt"
        if os.environ.get("KERNELEXEC_WRITE_REPLIES"):
            file.write_text(shown)
        assert shown == file.read_text()

    return hold


def _steady(text: str, home: Home) -> str:
    for place, name in (
        (home.storage, "/home/me/kernelexec"),
        (Path(home.environ["XDG_DATA_HOME"]), "/home/me/.local/share"),
        (home.path, "/home/me"),
        (DEMO_VENV.resolve(), "/home/me/envs/venv"),
        (DEMO_VENV, "/home/me/envs/venv"),
    ):
        text = text.replace(str(place), name)
    for pattern, steady in _STEADY:
        text = re.sub(pattern, steady, text)
    return text


def test_the_replies_of_one_session_from_its_first_call_to_its_kernels_death(
    assistant: Client, held: Held
) -> None:
    held("list_executions_before_anything", assistant.call("list_executions", {}))
    held("first_call", assistant.execute("print('hello')\n41 + 1", filename="hello"))
    held("success_without_output", assistant.execute("def ratio(a, b):\n    return a / b"))
    held("error", assistant.execute("total = 10\nratio(total, 0)"))
    held("syntax_error", assistant.execute("for n in range(3)\n    print(n)"))
    held("stderr", assistant.execute("import warnings\nwarnings.warn('old')\nprint('done')"))
    held("file_not_found", assistant.execute("open('sales.csv')"))
    held("truncated", assistant.execute("for n in range(10_000):\n    print(f'{n:06d} {\"x\" * 190}')"))
    held("many_outputs", assistant.execute("for n in range(40):\n    display(f'{n:.<400}')"))
    held("progress_bar", assistant.execute("for n in range(101):\n    print(f'\\r{n:3d}%', end='')"))
    last = assistant.execute("print('\\x1b[31mred\\x1b[0m \\u202e\\x07')")
    held("escape_codes", last)
    held(
        "read_output",
        assistant.call("read_output", {"execution_id": "penguins@demo/7", "offset": 6_500, "limit": 500}),
    )
    pattern = {"execution_id": "penguins@demo/7", "pattern": "^00(1234|9999)"}
    held("read_output_pattern", assistant.call("read_output", pattern))


def test_the_replies_with_data(assistant: Client, held: Held) -> None:
    columns = "{'species': ['Adelie', 'Gentoo'], 'mass': [3750.0, 5000.0]}"
    frame = f"import pandas as pd\nlarge = bytes(10**7)\ndf = pd.DataFrame({columns})\ndf"
    held("dataframe", assistant.execute(frame))
    held("html_table", assistant.execute("from IPython.display import HTML\nHTML(df.to_html())"))
    held(
        "html",
        assistant.execute("from IPython.display import HTML\nHTML('<h3>Title</h3><p>one <b>two</b></p>')"),
    )
    held(
        "image",
        assistant.execute("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()", filename="plot"),
    )
    held("list_variables", assistant.call("list_variables", {}))
    held("list_variables_with_a_pattern", assistant.call("list_variables", {"pattern": "d*f"}))


def test_the_replies_about_code_files(assistant: Client, held: Held) -> None:
    made = assistant.call("initialize_code_file", {"content": "x = 1", "filename": "train model"})
    path = made.text.split()[2]
    held("initialize_code_file", made)
    held(
        "append_to_code_file",
        assistant.call("append_to_code_file", {"file_path": path, "content": "x / 0\n"}),
    )
    held("read_code_file", assistant.call("read_code_file", {"file_path": path}))
    held("execute_code_file", assistant.call("execute_code_file", {"file_path": path}))
    held("a_path_outside", assistant.call("read_code_file", {"file_path": "../secrets.py"}))


def test_the_replies_about_runs_that_take_long(assistant: Client, held: Held, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    wait = f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)"
    waiting = f"import os, time\nprint('epoch 1')\n{wait}\nprint('epoch 2')"
    running = assistant.execute(waiting, wait_seconds=1)
    eventually(lambda: "epoch 1" in assistant.call("read_output", {"execution_id": running.id}).text)
    held("running", running)
    queued = assistant.execute("'behind it'", wait_seconds=0)
    held("queued", queued)
    held("list_kernels", assistant.call("list_kernels", {}))
    held("running_without_news", assistant.wait_for(running.id, wait_seconds=0.1))
    gate.touch()
    held("wait_for_execution", assistant.wait_for(running.id))
    held("wait_for_execution_again", assistant.wait_for(running.id))
    assistant.wait_for(queued.id)
    held("interrupted", assistant.execute("print('begun')\nimport time\ntime.sleep(60)", max_seconds=1))


def test_the_replies_to_what_is_done_about_a_run(assistant: Client, held: Held) -> None:
    asking = assistant.execute("name = input('Your name: ')\nname.upper()", wait_seconds=20)
    held("waiting_for_input", asking)
    held("send_input", assistant.call("send_input", {"execution_id": asking.id, "text": "ann"}))
    running = assistant.execute("import time\nprint('begun')\ntime.sleep(60)", wait_seconds=0)
    eventually(lambda: "begun" in assistant.call("read_output", {"execution_id": running.id}).text)
    held("interrupt_kernel", assistant.call("interrupt_kernel", {}))
    held("wait_for_what_was_interrupted", assistant.wait_for(running.id))


def test_the_replies_about_what_was_lost(assistant: Client, held: Held, shared_home: Home) -> None:
    death = "print('half', flush=True)\nimport os, time\ntime.sleep(0.2)\nos.kill(os.getpid(), 9)"
    held("died", assistant.execute(death))
    held("new_kernel_after_a_death", assistant.execute("'a new one'"))
    pid = int(assistant.execute("import os\nos.getpid()").block("result"))
    os.kill(pid, 9)
    # Not with a tool of the assistant's, which would tell it.
    eventually(lambda: state_of(shared_home, "penguins@demo")["state"] == "no kernel")
    held("not_run_after_a_death_in_between", assistant.execute("df.describe()"))
    held("list_executions", assistant.call("list_executions", {"limit": 6}))
    assistant.execute("rows = [1]\ndef count(): return len(rows)")
    held("reset", assistant.execute("%reset -f"))
    assistant.execute("rows = [2]\nimport os\ndef count(): return len(rows)")
    held("quit", assistant.execute("quit()"))


def test_the_replies_about_a_kernel_that_is_ended_on_request(assistant: Client, held: Held) -> None:
    session = {"session": "fresh"}
    assistant.execute("import math\nradius = 2", **session)
    assistant.execute("radius / 0", **session)
    assistant.execute("math.pi * radius ** 2", **session)
    replayed = assistant.call("restart_kernel", {**session, "replay": True})
    held("replay", replayed)
    held("list_executions_after_a_replay", assistant.call("list_executions", session))
    held("restart_kernel", assistant.call("restart_kernel", session))
    assistant.execute("x = 1", **session)
    held("stop_kernel", assistant.call("stop_kernel", session))
    held("stop_kernel_without_one", assistant.call("stop_kernel", session))
    held("nothing_to_interrupt", assistant.call("interrupt_kernel", session))
    held("list_variables_without_a_kernel", assistant.call("list_variables", session))


def test_the_replies_about_a_password(assistant: Client, held: Held) -> None:
    session = {"session": "fresh"}
    asking = assistant.execute("import getpass\nlen(getpass.getpass('Token: '))", wait_seconds=20, **session)
    held("waiting_for_a_password", asking)
    answer = {"execution_id": asking.id, "text": "secret"}
    held("send_input_for_a_password", assistant.call("send_input", answer))
    assistant.call("interrupt_kernel", session)
    assistant.call("stop_kernel", session)


def test_the_replies_to_what_cannot_be_served(assistant: Client, held: Held) -> None:
    held("wrong_arguments", assistant.call("execute_code", {"cod": "1", "wait_seconds": -1}))
    with pytest.raises(MCPError, match=r"Unknown tool: run_code\. There are: execute_code, "):
        assistant.call("run_code", {"code": "1"})
    held("no_such_execution", assistant.call("read_output", {"execution_id": "penguins@demo/99999"}))
    held("no_execution_id", assistant.call("wait_for_execution", {"execution_id": "7"}))
    held("no_such_session", assistant.call("read_output", {"execution_id": "other@demo/1"}))
    held("bad_pattern", assistant.call("read_output", {"execution_id": "penguins@demo/1", "pattern": "(["}))


def test_the_replies_to_exits_and_imports(assistant: Client, held: Held) -> None:
    session = {"session": "fresh"}
    held("exit_in_a_cell", assistant.execute("import sys\nprint('no data')\nsys.exit(3)", **session))
    held("exit_with_an_argument", assistant.execute("exit(3)\n'still here'", **session))
    held("no_such_module", assistant.execute("import sklearn", **session))


def test_the_replies_about_packages_and_the_environment(
    connect: Connect, shared_home: Home, held: Held
) -> None:
    shelf, venv = shared_home.path / "shelf", shared_home.path / "envs" / "shop"
    for version in ("1.0", "2.0"):
        make_wheel(shelf, "kx-words", version)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(shelf), "VENV_PATH": str(venv)}
    client = connect(shared_home, shared_home.project("sales"), **index)
    held("install_dependencies", client.call("install_dependencies", {"packages": ["kx-words<2"]}))
    client.execute("import kx_words")
    update = {"packages": ["kx-words>=2"]}
    held("install_dependencies_of_what_is_imported", client.call("install_dependencies", update))
    missing = client.call("install_dependencies", {"packages": ["no-such-package"], "wait_seconds": 40})
    held("install_dependencies_that_fails", missing)
    asked = {"packages": ["kx_words", "pandas>=2"]}
    held("check_installed_packages", client.call("check_installed_packages", asked))
    held("get_environment_config", client.call("get_environment_config", {}))
    chosen = {"type": "venv", "venv_path": str(DEMO_VENV)}
    held("configure_environment", client.call("configure_environment", chosen))


def test_the_replies_about_a_notebook_of_the_persons(connect: Connect, shared_home: Home, held: Held) -> None:
    folder = shared_home.project("study")
    cells = [markdown("title", "# Study"), code("load", "rows = [1, 2, 3]"), code("sum", "sum(rows)")]
    write(folder / "study.ipynb", *cells)
    client = connect(shared_home, folder, VENV_PATH=str(DEMO_VENV))
    held("open_notebook", client.call("open_notebook", {"path": "study.ipynb"}))
    held("read_cells", client.call("read_cells", {"ids": ["load", "sum"]}))
    held("run_cells", client.call("run_cells", {"ids": "all"}))
    edit = {"op": "edit", "id": "load", "old": "3]", "new": "4]"}
    held("edit_notebook", client.call("edit_notebook", {"operations": [edit]}))
    changed = [markdown("title", "# Study"), code("load", "rows = [5, 6]"), code("sum", "sum(rows)")]
    write(folder / "study.ipynb", *changed)
    edit = {"op": "edit", "id": "load", "old": "4]", "new": "7]"}
    held("edit_notebook_that_is_refused", client.call("edit_notebook", {"operations": [edit]}))


def test_every_text_is_one_that_is_tested() -> None:
    source = Path(__file__).read_text()
    assert {path.stem for path in REPLIES.glob("*.txt")} == set(re.findall(r'held\(\s*"(\w+)"', source))
