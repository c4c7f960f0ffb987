"""What is kept of each submission: the journal, the `.py` file and the notebook, which agree."""

from __future__ import annotations

import base64
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from tests.real.clients import Client, Reply
from tests.real.conftest import Connect, ConnectRaw
from tests.real.home import Home, eventually, until
from tests.real.test_execute_code import PNG, show


def notebook_of(home: Home, session: str, cells: int, generation: int = 1) -> Any:
    """The notebook once it has so many cells; checked to be valid as it stands on disk."""
    path = home.storage / f"{session}-{generation}.ipynb"

    def whole() -> Any:
        if not path.exists() or not path.read_text(encoding="utf-8").startswith("{"):
            return None
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=nbformat.NO_CONVERT)
        return notebook if len(notebook.cells) >= cells else None

    notebook = eventually(whole, 10)
    nbformat.validate(notebook)
    assert len(notebook.cells) == cells
    return notebook


def journal_of(home: Home, session: str) -> list[dict[str, Any]]:
    text = (home.storage / ".kernelexec" / f"{session}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def finished(home: Home, session: str) -> dict[int, dict[str, Any]]:
    return {line["n"]: line for line in journal_of(home, session) if line["event"] == "finished"}


def stream(cell: Any, name: str) -> str:
    return "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == name)


def test_script_journal_notebook_and_reply_agree(own_client: Client, shared_home: Home) -> None:
    codes = [
        "print('out')\nimport sys\nprint('err', file=sys.stderr)\n6 * 7",
        "raise ValueError('wrong')",
        "import time\nprint('so far', flush=True)\ntime.sleep(60)",
        show(PNG, "image/png"),
        "",
    ]
    replies = [own_client.execute(code, max_seconds=1 if "sleep" in code else 30) for code in codes]
    assert [reply.state for reply in replies] == ["OK", "ERROR", "INTERRUPTED", "OK", "OK"]
    session = replies[0].session
    notebook = notebook_of(shared_home, session, len(codes))
    journal = journal_of(shared_home, session)
    submitted = {line["n"]: line for line in journal if line["event"] == "submitted"}
    ended = finished(shared_home, session)

    for number, (code, reply, cell) in enumerate(zip(codes, replies, notebook.cells, strict=True), 1):
        assert reply.number == number
        assert reply.script.read_bytes() == code.encode()
        assert submitted[number]["code"] == code
        assert shared_home.storage / submitted[number]["script"] == reply.script
        assert cell.cell_type == "code"
        assert cell.source == code
        assert cell.metadata.kernelexec.execution == reply.id
        assert shared_home.storage / cell.metadata.kernelexec.script == reply.script
        assert reply.result.meta is not None
        state = reply.result.meta["kernelexec/state"]
        assert cell.metadata.kernelexec.state == ended[number]["state"] == state
        count = reply.result.meta["kernelexec/execution_count"]
        assert cell.execution_count == ended[number]["execution_count"] == count
    first, failed, interrupted, image, empty = notebook.cells
    assert stream(first, "stdout") == "out\n"
    assert stream(first, "stderr") == "err\n"
    assert first.outputs[-1].data["text/plain"] == "42"
    assert failed.outputs[-1].ename == "ValueError"
    assert stream(interrupted, "stdout") == "so far\n"
    assert interrupted.outputs[-1].ename == "KeyboardInterrupt"
    assert base64.b64decode(image.outputs[0].data["image/png"]) == PNG
    assert empty.outputs == []


def test_cell_ids_are_unique_and_stay(own_client: Client, shared_home: Home) -> None:
    session = own_client.execute("1").session
    own_client.execute("2", note="a note")
    before = [cell.id for cell in notebook_of(shared_home, session, 3).cells]
    own_client.execute("3")
    after = [cell.id for cell in notebook_of(shared_home, session, 4).cells]
    assert after[:3] == before
    assert len(set(after)) == 4


def test_execution_counts_are_the_kernels_own(own_client: Client, shared_home: Home) -> None:
    session = own_client.execute("'first'").session
    own_client.execute("1/0")
    own_client.execute("Out[1]")
    counts = [cell.execution_count for cell in notebook_of(shared_home, session, 3).cells]
    assert counts == [1, 2, 3]


def test_timing_is_recorded_as_jupyterlab_does(own_client: Client, shared_home: Home) -> None:
    session = own_client.execute("import time\ntime.sleep(0.05)").session
    (cell,) = notebook_of(shared_home, session, 1).cells
    times = {key: datetime.fromisoformat(value) for key, value in cell.metadata.execution.items()}
    assert {
        "iopub.execute_input",
        "iopub.status.busy",
        "iopub.status.idle",
        "shell.execute_reply",
        "shell.execute_reply.started",
    } == times.keys()
    ran = times["shell.execute_reply"] - times["shell.execute_reply.started"]
    assert timedelta(seconds=0.05) <= ran < timedelta(seconds=20)
    assert abs(datetime.now(timezone.utc) - times["iopub.status.idle"]) < timedelta(minutes=1)
    # As freezegun does it, from the middle of the run on.
    frozen = "import datetime, jupyter_client.session as s\ns.utcnow = lambda: datetime.datetime(2012, 1, 14)"
    reply = own_client.execute(frozen)
    took = re.search(r"ran in (\d+\.\d+) s;", reply.verdict)
    assert took, reply.verdict
    assert float(took[1]) < 60
    _, cell = notebook_of(shared_home, session, 2).cells
    assert "2012" not in str(cell.metadata.execution)


def test_a_note_becomes_a_markdown_cell_above(own_client: Client, shared_home: Home) -> None:
    note = "## Why\n\nBecause *that* is what was `asked`."
    session = own_client.execute("1 + 1", note=note).session
    markdown, code = notebook_of(shared_home, session, 2).cells
    assert (markdown.cell_type, markdown.source) == ("markdown", note)
    assert (code.cell_type, code.source) == ("code", "1 + 1")


def test_the_notebooks_kernelspec_is_installed_under_a_name_a_person_understands(
    own_client: Client, shared_home: Home
) -> None:
    session = own_client.execute("1").session
    notebook = notebook_of(shared_home, session, 1)
    listed = subprocess.run(
        [sys.executable, "-m", "jupyter_client.kernelspecapp", "list", "--json"],
        env=shared_home.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    specs = json.loads(listed.stdout)["kernelspecs"]
    spec = specs[notebook.metadata.kernelspec.name]["spec"]
    assert notebook.metadata.kernelspec.display_name == spec["display_name"]
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert spec["display_name"] == f"plain (venv, Python {version})"
    assert spec["language"] == notebook.metadata.kernelspec.language == "python"
    assert notebook.metadata.language_info.name == "python"


@pytest.mark.parametrize(
    "code",
    [
        "x = 1\n\n\n",
        "\ufeffx = 1",
        "a = 1\r\nb = 2\r\n",
        "s = '\u2028 \x0c \x85'",
        "x = '🐧'  # \U0010fffe",
        "\n",
    ],
)
def test_scripts_hold_the_code_byte_for_byte_and_the_cell_the_same_text(
    own_client: Client, shared_home: Home, code: str
) -> None:
    reply = own_client.execute(code)
    assert reply.script.read_bytes() == code.encode()
    (cell,) = notebook_of(shared_home, reply.session, 1).cells
    assert cell.source == code


def test_the_code_is_on_disk_before_it_runs(own_client: Client, shared_home: Home) -> None:
    own_client.execute("1")
    reply = own_client.execute(
        "import pathlib\n"
        f"folder = pathlib.Path({str(shared_home.storage)!r})\n"
        "[p.name for p in folder.rglob('*early*')], "
        "any('marker' '-7431' in p.read_text() for p in folder.glob('.kernelexec/*.jsonl'))  # marker-7431",
        filename="early",
    )
    assert reply.block("result") == "(['0002-early.py'], True)"


def test_code_that_reads_its_own_source_again_finds_it(own_client: Client) -> None:
    own_client.execute("def known():\n    return 'the body'")
    reply = own_client.execute("import inspect\nprint(inspect.getsource(known))")
    assert "the body" in reply.block("stdout")


def test_a_deleted_and_a_changed_script_are_never_overwritten(own_client: Client) -> None:
    first = own_client.execute("1", filename="mine")
    next_one = first.script.with_name("0002-mine.py")
    next_one.write_text("# the person's own")
    reply = own_client.execute("2", filename="mine")
    assert reply.script.read_text() == "2"
    assert next_one.read_text() == "# the person's own"


def test_a_generation_that_succeeded_can_be_executed_again_with_the_same_outputs(
    connect: Connect, shared_home: Home
) -> None:
    project = shared_home.project("again")
    client = connect(shared_home, project)
    for code in (
        "import os, sys\nvalues = [n * n for n in range(5)]",
        "print(values)\nsum(values)",
        "print('aside', file=sys.stderr)\n{'name': os.name, 'prefix': sys.prefix}",
        show(PNG, "image/png"),
        "for n in range(3):\n    display(n)",
    ):
        assert client.execute(code, note="As before.").state == "OK"
    before = notebook_of(shared_home, "again@plain", 10)
    environ = {**shared_home.environ, "PATH": os.environ["PATH"]}
    subprocess.run(
        [
            *(sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute"),
            *("--output", "again-done", "again@plain-1.ipynb"),
        ],
        cwd=shared_home.storage,
        env=environ,
        capture_output=True,
        timeout=100,
        check=True,
    )
    after = nbformat.read(shared_home.storage / "again-done.ipynb", as_version=4)
    assert [cell.source for cell in after.cells] == [cell.source for cell in before.cells]
    assert [cell.get("outputs") for cell in after.cells] == [cell.get("outputs") for cell in before.cells]


def test_a_new_kernel_goes_on_in_the_notebook_of_its_sitting(connect: Connect, shared_home: Home) -> None:
    client = connect(shared_home, shared_home.project("generations"))
    client.execute("'one'")
    shared_home.command("stop", "generations@plain")
    assert client.execute("'not run'").state == "NOT RUN"
    client.execute("'two'")
    one, heading, two = notebook_of(shared_home, "generations@plain", 3).cells
    assert (one.source, two.source) == ("'one'", "'two'")
    assert "A new kernel" in heading.source
    assert (shared_home.storage / "generations@plain-1" / "0003.py").read_text() == "'two'"
    assert finished(shared_home, "generations@plain")[2]["state"] == "not_run"


def test_a_run_whose_kernel_died_is_in_the_notebook(own_client: Client, shared_home: Home) -> None:
    reply = own_client.execute(
        "print('last words', flush=True)\nimport os, time\ntime.sleep(.2)\nos._exit(9)"
    )
    assert reply.state == "DIED"
    (cell,) = notebook_of(shared_home, reply.session, 1).cells
    assert cell.metadata.kernelexec.state == "died"
    assert stream(cell, "stdout") == "last words\n"


def test_a_run_is_in_the_notebook_although_its_client_is_gone(
    connect_raw: ConnectRaw, shared_home: Home
) -> None:
    client = connect_raw(shared_home, shared_home.project("gone"))
    begun, gate = shared_home.path / "gone-begun", shared_home.path / "gone-gate"
    client.begin_execute(
        "import os, time\n"
        f"open({str(begun)!r}, 'w').close()\n"
        f"while not os.path.exists({str(gate)!r}): time.sleep(.01)\n"
        "print('nobody listened')"
    )
    eventually(begun.exists)
    client.kill()
    gate.touch()
    (cell,) = notebook_of(shared_home, "gone@plain", 1).cells
    assert stream(cell, "stdout") == "nobody listened\n"


def test_a_notebook_that_is_not_one_is_set_aside_and_a_new_one_begun(
    own_client: Client, shared_home: Home
) -> None:
    session = own_client.execute("1").session
    notebook_of(shared_home, session, 1)
    path = shared_home.storage / f"{session}-1.ipynb"
    path.write_text("<<<<<<< merge markers")
    os.utime(path, (1_700_000_000, 1_700_000_000))  # no save that is under way
    own_client.execute("2")
    notebook = notebook_of(shared_home, session, 2)
    assert [cell.source for cell in notebook.cells] == ["1", "2"]
    aside = [p for p in shared_home.storage.glob(f"{session}-1*") if p.is_file() and p != path]
    assert [p.read_text() for p in aside] == ["<<<<<<< merge markers"]


def test_what_a_person_writes_into_the_notebook_stays(own_client: Client, shared_home: Home) -> None:
    session = own_client.execute("1").session
    notebook = notebook_of(shared_home, session, 1)
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell("My own words."))
    notebook.cells[1].outputs = []
    path = shared_home.storage / f"{session}-1.ipynb"
    nbformat.write(notebook, path)
    own_client.execute("2")
    assert [c.source for c in notebook_of(shared_home, session, 3).cells] == ["My own words.", "1", "2"]


def test_ten_megabytes_of_output_are_on_disk_and_the_reply_has_both_ends(
    own_client: Client, shared_home: Home
) -> None:
    reply = own_client.execute(
        "for n in range(200_000):\n    print(f'line {n:06} ' + '.' * 40)\nprint('the end')"
    )
    whole = "".join(f"line {n:06} {'.' * 40}\n" for n in range(200_000)) + "the end\n"
    assert len(whole) > 10_000_000
    assert reply.state == "OK"
    assert len(reply.text) < 12_000
    assert "line 000000" in reply.text
    assert "the end" in reply.text
    assert "left out" in reply.text

    path = shared_home.storage / f"{reply.session}-1" / "outputs" / "0001.txt"
    assert path.read_text() == whole
    notebook = notebook_of(shared_home, reply.session, 1)
    assert path.name in str(notebook.cells[0].outputs)
    assert (shared_home.storage / f"{reply.session}-1.ipynb").stat().st_size < 10_000_000
    again = own_client.wait_for(reply.id)
    assert "the end" in again.text


def test_flushed_lines_are_all_kept(own_client: Client, shared_home: Home) -> None:
    reply = own_client.execute("for n in range(10_000):\n    print(n, flush=True)")
    (cell,) = notebook_of(shared_home, reply.session, 1).cells
    assert stream(cell, "stdout") == "".join(f"{n}\n" for n in range(10_000))
    assert len(reply.text) < 12_000


def test_what_a_thread_prints_after_the_cells_end_is_kept(own_client: Client, shared_home: Home) -> None:
    go = shared_home.path / "thread-go"
    reply = own_client.execute(
        "import os, threading, time\n"
        "def late():\n"
        f"    while not os.path.exists({str(go)!r}): time.sleep(.01)\n"
        "    print('late words', flush=True)\n"
        "threading.Thread(target=late).start()"
    )
    assert reply.state == "OK"
    go.touch()

    def kept() -> bool:
        (cell,) = notebook_of(shared_home, reply.session, 1).cells
        return "late words" in stream(cell, "stdout")

    eventually(kept)


def test_old_runs_can_be_read_again_in_full(own_client: Client) -> None:
    first = own_client.execute("print('the first words')\n'and its value'")
    for _ in range(12):
        own_client.execute("pass")
    again = own_client.wait_for(first.id, wait_seconds=0)
    assert again.state == "OK"
    assert again.block("stdout") == "the first words"
    assert again.block("result") == "'and its value'"
    assert again.script == first.script


def test_numbers_go_on_in_the_next_generation_and_hub(connect_raw: ConnectRaw, home: Home) -> None:
    client = connect_raw(home)
    for _ in range(3):
        last = client.execute("1")
    assert last.number == 3
    home.command("stop", "--all")
    eventually(lambda: not home.hubs())
    client = connect_raw(home)
    reply = client.execute("'four'")
    assert reply.number == 4
    assert reply.state == "OK"
    assert "The one before ended: it was stopped" in reply.text
    assert "generation 2" in reply.text


# --- storage that cannot be written ----------------------------------------------------------------


def _below_proc(home: Home) -> Path:
    return Path("/proc/nope")


def _below_a_file(home: Home) -> Path:
    (home.path / "file").write_text("a file")
    return home.path / "file" / "storage"


def _a_file(home: Home) -> Path:
    (home.path / "file").write_text("a file")
    return home.path / "file"


@pytest.mark.parametrize("storage", [_below_proc, _below_a_file, _a_file])
def test_a_storage_directory_that_cannot_be_written_is_an_error_at_once_and_nothing_runs(
    connect: Connect, home: Home, storage: Callable[[Home], Path]
) -> None:
    path, ran = storage(home), home.path / "ran"
    client = connect(home, CODE_STORAGE_DIR=str(path), KERNELEXEC_CWD=str(home.path))
    assert {tool.name for tool in client.tools()} >= {"execute_code"}
    for reply in (
        client.execute(f"open({str(ran)!r}, 'w')"),
        client.call("get_environment_config", {}),
    ):
        assert reply.is_error
        assert str(path) in reply.text
        assert "CODE_STORAGE_DIR" in reply.text
    assert not ran.exists()
    assert connect(home).execute("1 + 1").block("result") == "2"


def test_storage_that_becomes_unwritable_is_an_error_and_the_variables_stay(
    connect: Connect, home: Home
) -> None:
    client = connect(home, KERNELEXEC_CWD=str(home.path))
    client.execute("kept = 'still'")
    notebook_of(home, "main@plain", 1)
    folder, aside = home.storage / "main@plain-1", home.path / "aside"
    folder.rename(aside)
    folder.write_text("a file where the scripts' folder was")
    reply = client.execute("kept = 'changed'")
    assert reply.is_error, reply.text
    assert "not run" in reply.text.lower()
    assert str(folder) in reply.text
    folder.unlink()
    aside.rename(folder)
    assert client.execute("kept").block("result") == "'still'"


def limit_file_size(home: Home, size: int | None) -> None:
    """What the hub writes beyond fails as on a full disk: Python ignores SIGXFSZ, so write(2) says EFBIG."""
    limit = resource.RLIM_INFINITY if size is None else size
    resource.prlimit(home.hub(), resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="prlimit is Linux's")
def test_on_a_full_disk_nothing_runs_and_nothing_of_it_is_left(own_client: Client, shared_home: Home) -> None:
    session = own_client.execute("kept = 'still'").session
    notebook_of(shared_home, session, 1)
    limit_file_size(shared_home, 1)
    try:
        reply = own_client.execute("kept = 'changed'")
        assert reply.is_error, reply.text
        assert "not run" in reply.text.lower()
    finally:
        limit_file_size(shared_home, None)
    assert own_client.execute("kept").block("result") == "'still'"
    left = [path.read_text() for path in (shared_home.storage / f"{session}-1").glob("*.py")]
    assert [text for text in left if text] == left, "an empty script looks like a whole one"
    assert len(notebook_of(shared_home, session, 2).cells) == 2


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="prlimit is Linux's")
def test_how_a_run_ended_on_a_full_disk_is_known_to_the_next_hub(
    connect: Connect, connect_raw: ConnectRaw, home: Home
) -> None:
    client = connect(home)
    client.execute("'x' * 100_000")
    gate = home.path / "gate"
    running = client.execute(until(gate) + "print('its output')", wait_seconds=0)
    journal = home.storage / ".kernelexec" / "main@plain.jsonl"
    home.may_log_tracebacks = True
    limit_file_size(home, journal.stat().st_size)
    gate.touch()
    ended = client.wait_for(running.id)
    assert ended.state == "OK"
    assert "File too large. What happened since waits in" in ended.text
    assert client.execute("'not run'").is_error
    home.end_hub(signal.SIGKILL)
    assert journal.read_text().count('"event":"finished"') == 1
    listed = client.call("list_executions", {}).text
    assert re.search(rf"^{running.number} .* ok ", listed, re.MULTILINE), listed
    again = client.wait_for(running.id)
    assert again.state == "OK"
    assert again.block("stdout") == "its output"
    eventually(lambda: journal.read_text().count('"event":"finished"') == 2)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="prlimit is Linux's")
def test_a_notebook_that_cannot_be_written_is_told_and_written_later(connect: Connect, home: Home) -> None:
    client = connect(home)
    client.execute("'first'")
    notebook = notebook_of(home, "main@plain", 1)
    notebook.cells.append(nbformat.v4.new_markdown_cell("My own words, at length. " * 50_000))
    path = home.storage / "main@plain-1.ipynb"
    nbformat.write(notebook, path)
    limit_file_size(home, 500_000)
    home.may_log_tracebacks = True
    assert client.execute("1 + 1").block("result") == "2"

    def told() -> Reply | None:
        reply = client.execute("2")
        return reply if "notebook cannot be written" in reply.text else None

    assert eventually(told).state == "OK"
    notebook_of(home, "main@plain", 2)  # whole, as the person left it
    limit_file_size(home, None)
    last = client.execute("'last'").number
    eventually(lambda: len(nbformat.read(path, as_version=4).cells) == last + 1)
    nbformat.validate(nbformat.read(path, as_version=4))
    assert [p.name for p in home.storage.glob(".*.tmp*")] == []


def test_a_huge_string_and_a_huge_picture_are_in_files_and_nowhere_else(
    own_client: Client, shared_home: Home
) -> None:
    first = own_client.execute("'x' * 200_000_000")
    assert first.state == "OK"
    assert len(first.text) < 12_000
    picture = own_client.execute(
        "import base64\n"
        "display({'image/png': base64.b64encode(bytes(50_000_000)).decode(), 'text/plain': 'P'}, raw=True)"
    )
    assert picture.state == "OK"
    assert not picture.images
    folder = shared_home.storage / f"{first.session}-1" / "outputs"
    assert (folder / "0001-1.txt").stat().st_size == 200_000_002
    assert (folder / "0002-1.png").stat().st_size == 50_000_000
    notebook_of(shared_home, first.session, 2)
    for file in (f"{first.session}-1.ipynb", f".kernelexec/{first.session}.jsonl"):
        assert (shared_home.storage / file).stat().st_size < 50_000
    assert own_client.execute("1 + 1").block("result") == "2"
    memory = psutil.Process(shared_home.hub()).memory_info().rss
    assert memory < 500_000_000, f"the hub holds {memory / 1e6:.0f} MB"
