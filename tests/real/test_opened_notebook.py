"""A notebook of the person's: opened, read, edited and run by an assistant, beside the person."""

from __future__ import annotations

import difflib
import json
import os
import re
import signal
import stat
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.real.clients import Client, Reply
from tests.real.conftest import Connect
from tests.real.home import Home, eventually, until


def code(name: str, source: str, outputs: Any = (), count: int | None = None) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": name,
        "metadata": {},
        "source": source,
        "outputs": list(outputs),
        "execution_count": count,
    }


def markdown(name: str, source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def write(path: Path, *cells: dict[str, Any], minor: int = 5) -> Path:
    made = nbformat.from_dict({"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": minor})
    path.write_text(nbformat.writes(made) + "\n")
    return path


def cells(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_bytes())["cells"])


def sources(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(path)]


def shown(path: Path, name: str) -> str:
    """The text that a cell shows."""
    [cell] = [cell for cell in cells(path) if cell.get("id") == name]
    parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell["outputs"]]
    return "".join("".join(part) for part in parts)


def edit(client: Client, *operations: dict[str, Any], **more: Any) -> Reply:
    return client.call("edit_notebook", {"operations": list(operations), **more})


def diff(old: bytes, new: bytes) -> list[str]:
    lines = difflib.unified_diff(old.decode().splitlines(), new.decode().splitlines(), n=0, lineterm="")
    return [line for line in lines if line[0] in "+-" and not line.startswith(("+++", "---"))]


@pytest.fixture
def project(shared_home: Home, request: pytest.FixtureRequest) -> Path:
    return shared_home.project(re.sub(r"\W+", "-", request.node.name)[:40])


@pytest.fixture
def person(connect: Connect, shared_home: Home, project: Path) -> Client:
    return connect(shared_home, project)


def test_the_notebook_of_a_project_is_read_edited_and_run_in_its_own_directory(
    person: Client, project: Path
) -> None:
    folder = project / "study"
    folder.mkdir()
    path = write(
        folder / "study.ipynb", markdown("t", "# Study"), code("a", "import os\nx = 20"), code("b", "x + 1")
    )
    before = path.read_bytes()
    opened = person.call("open_notebook", {"path": "study/study.ipynb"})
    assert opened.text.startswith(f"OPENED: {path}, 3 cells; session study@"), opened.text
    assert "a | code, not run | - | import os ..." in opened.text
    assert "t | markdown | - | # Study" in opened.text
    assert path.read_bytes() == before

    ran = person.call("run_cells", {"ids": "all"})
    assert ran.state == "OK", ran.text
    assert "b = study@" in ran.text
    assert "21" in ran.text
    eventually(lambda: shown(path, "b") == "21")
    assert {line[1:].strip() for line in diff(before, path.read_bytes()) if line[0] == "-"} == {
        '"execution_count": null,',
        '"outputs": [],',
    }

    done = edit(
        person,
        {"op": "edit", "id": "a", "old": "x = 20", "new": "x = 41"},
        {"op": "insert", "after": "b", "source": "print(os.getcwd())"},
        {"op": "insert", "after": "", "source": "Intro", "kind": "markdown"},
    )
    assert done.text.startswith("DONE: 3 of 3"), done.text
    assert sources(path) == ["Intro", "# Study", "import os\nx = 41", "x + 1", "print(os.getcwd())"]
    new = cells(path)[-1]["id"]
    again = person.call("run_cells", {"ids": ["a", "b", new]})
    assert again.state == "OK", again.text
    eventually(lambda: shown(path, new) == f"{folder}\n")
    assert shown(path, "b") == "42"
    read = person.call("read_cells", {"ids": [new, "b"], "outputs": True})
    assert str(folder) in read.text
    assert "42" in read.text
    nbformat.validate(nbformat.read(path, nbformat.NO_CONVERT))


def test_execute_code_adds_a_cell_after_the_last_that_was_touched_or_where_it_is_told(
    person: Client, project: Path
) -> None:
    path = write(project / "n.ipynb", code("a", "1"), code("b", "2"))
    person.call("open_notebook", {"path": "n.ipynb"})
    person.call("run_cells", {"ids": ["a"]})
    first = person.execute("3", note="Three")
    assert "; cell " in first.verdict
    person.execute("4")
    person.execute("5", after="b")
    eventually(lambda: sources(path) == ["1", "Three", "3", "4", "2", "5"])
    nowhere = person.execute("6", after="zz")
    assert nowhere.is_error
    assert "Nothing was run" in nowhere.text
    assert person.execute("7", session="other", after="a").is_error


def test_what_the_person_did_is_told_and_what_conflicts_is_refused_with_both_texts(
    person: Client, project: Path
) -> None:
    path = write(project / "n.ipynb", code("a", "mine"), code("b", "2"), code("c", "3"))
    person.call("open_notebook", {"path": "n.ipynb"})
    write(path, code("a", "yours = 1"), code("n", "new = 1"), code("c", "3"))
    refused = edit(person, {"op": "delete", "id": "a"})
    assert refused.is_error
    assert "mine" in refused.text
    assert "yours" in refused.text
    ran = person.call("run_cells", {"ids": ["c"]})
    assert "News: in the notebook, since you looked: new: n (new = 1)" in ran.text, ran.text
    assert "deleted: b (2)" in ran.text
    assert "News: in the" not in person.call("run_cells", {"ids": ["c"]}).text
    assert edit(person, {"op": "delete", "id": "a"}).text.startswith("DONE")
    assert sources(path) == ["new = 1", "3"]


def test_a_cell_that_the_person_ran_or_deleted_meanwhile_stays_so(
    person: Client, project: Path, tmp_path: Path
) -> None:
    path = write(project / "n.ipynb", code("a", "1"), code("b", until(tmp_path / "gate") + "print('b')"))
    person.call("open_notebook", {"path": "n.ipynb"})
    running = person.call("run_cells", {"ids": ["b"], "wait_seconds": 0})
    assert running.state in ("RUNNING", "QUEUED")
    outline = person.call("read_cells", {})
    assert re.search(r"b \| code, (running|sent|queued)", outline.text), outline.text
    theirs = [{"output_type": "stream", "name": "stdout", "text": "theirs\n"}]
    write(path, code("b", "print('theirs')", theirs, 99))
    time.sleep(0.3)
    (tmp_path / "gate").touch()
    assert person.wait_for(running.id).state == "OK"
    time.sleep(0.5)
    assert shown(path, "b") == "theirs\n"
    write(path, code("z", "9"))
    time.sleep(0.3)
    gone = person.call("run_cells", {"ids": ["b"]})
    assert "no cell 'b'" in gone.text
    assert sources(path) == ["9"]


def test_a_running_cell_shows_in_the_file_what_there_is_of_its_output(
    person: Client, project: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    path = write(project / "n.ipynb", code("a", f"print('begins')\n{until(gate)}print('ends')", count=3))
    person.call("open_notebook", {"path": "n.ipynb"})
    running = person.call("run_cells", {"ids": ["a"], "wait_seconds": 0})
    eventually(lambda: shown(path, "a") == "begins\n")
    assert cells(path)[0]["execution_count"] is None
    assert "begins" in person.call("read_cells", {"ids": ["a"], "outputs": True}).text
    person.call("execute_code", {"code": "2", "wait_seconds": 0})
    gate.touch()
    assert person.wait_for(running.id).state == "OK"
    eventually(lambda: shown(path, "a") == "begins\nends\n")
    eventually(lambda: len(cells(path)) == 2)
    assert [cell["execution_count"] for cell in cells(path)] == [1, 2]


PRINTED = [{"output_type": "stream", "name": "stdout", "text": "before\n"}]


@pytest.mark.parametrize("before", [(), PRINTED], ids=["fresh", "run before"])
def test_what_the_person_clears_in_the_file_stays_empty(
    person: Client, project: Path, tmp_path: Path, before: Any
) -> None:
    gate = tmp_path / "gate"
    source = f"print('begins', flush=True)\n{until(gate)}print('ends')"
    count = 5 if before else None
    path = write(
        project / "n.ipynb", code("a", source, before, count), code("b", "print('b')", before, count)
    )
    person.call("open_notebook", {"path": "n.ipynb"})
    running = person.call("run_cells", {"ids": ["a"], "wait_seconds": 0})
    eventually(lambda: shown(path, "a") == "begins\n")
    write(path, code("a", source), code("b", "print('b')", before, count))
    gate.touch()
    assert person.wait_for(running.id).block("stdout") == "begins\nends"
    assert person.call("run_cells", {"ids": ["b"]}).state == "OK"
    eventually(lambda: shown(path, "b") == "b\n")
    assert shown(path, "a") == ""
    assert cells(path)[0]["execution_count"] is None


def test_a_run_is_in_the_file_although_another_program_saves_it_as_it_was_before(
    person: Client, project: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    source = f"print('begins', flush=True)\n{until(gate)}print('ends')"
    path = write(project / "n.ipynb", code("a", source, PRINTED, 5), code("b", "mine = 1"))
    stale = path.read_text()
    person.call("open_notebook", {"path": "n.ipynb"})
    running = person.call("run_cells", {"ids": ["a"], "wait_seconds": 0})
    eventually(lambda: shown(path, "a") == "begins\n")
    path.write_text(stale.replace("mine = 1", "mine = 2"))
    gate.touch()
    assert person.wait_for(running.id).state == "OK"
    eventually(lambda: shown(path, "a") == "begins\nends\n")
    assert sources(path)[1] == "mine = 2"


def test_what_comes_late_does_not_fill_a_cell_that_was_cleared(
    person: Client, project: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    waits = until(gate).replace("\n", "\n    ")
    begin = "from threading import Thread\nThread(target=f).start()\nprint('now')"
    source = f"def f():\n    {waits}print('late')\n{begin}"
    path = write(project / "n.ipynb", code("a", source), code("b", source))
    person.call("open_notebook", {"path": "n.ipynb"})
    for name in "ab":
        assert person.call("run_cells", {"ids": [name]}).state == "OK"
    eventually(lambda: shown(path, "b") == "now\n")
    write(path, code("a", source, (), 1), cells(path)[1])  # by a program that leaves the count
    gate.touch()
    eventually(lambda: "late" in shown(path, "b"))
    person.call("read_cells", {})  # all that is to be written is
    assert shown(path, "a") == ""


def test_a_running_cell_that_the_person_deletes_is_not_brought_back(
    person: Client, project: Path, tmp_path: Path
) -> None:
    gate, path = tmp_path / "gate", write(project / "n.ipynb", code("a", "1"))
    person.call("open_notebook", {"path": "n.ipynb"})
    running = person.execute(f"print('begins', flush=True)\n{until(gate)}print('ends')", wait_seconds=0)
    eventually(lambda: len(cells(path)) == 2 and cells(path)[1]["outputs"])
    write(path, code("a", "1"))
    gate.touch()
    ended = person.wait_for(running.id)
    assert ended.block("stdout") == "begins\nends"
    told = f"{running.id} is not shown: its cell was deleted"
    assert told in ended.text or told in person.execute("2").text
    eventually(lambda: sources(path) in (["1"], ["1", "2"]))


def test_a_run_of_several_cells_stops_at_the_first_error_unless_told_otherwise(
    person: Client, project: Path
) -> None:
    path = write(
        project / "n.ipynb", code("a", "x = 1"), code("b", "1/0"), code("c", "x"), markdown("m", "# M")
    )
    person.call("open_notebook", {"path": "n.ipynb"})
    stopped = person.call("run_cells", {"ids": ["all"]})
    assert stopped.state == "ERROR"
    assert "1 of 3 cells succeeded. b (" in stopped.text
    assert "Not run: c." in stopped.text
    assert "ZeroDivisionError" in stopped.text
    on = person.call("run_cells", {"ids": ["below:b"], "stop_on_error": False})
    assert "1 of 2 cells succeeded; failed: b." in on.text
    eventually(lambda: shown(path, "c") == "1")
    above = person.call("run_cells", {"ids": ["above:b"]})
    assert above.state == "OK"
    assert person.call("run_cells", {"ids": ["m"]}).is_error


def test_an_interrupt_ends_all_cells(person: Client, project: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    write(project / "n.ipynb", code("a", until(tmp_path / "never", begun)), code("b", "2"))
    opened = person.call("open_notebook", {"path": "n.ipynb"})
    session = re.search(r"session (\S+)", opened.text)
    assert session
    running = person.call("run_cells", {"ids": "all", "wait_seconds": 0})
    eventually(begun.exists)
    person.call("interrupt_kernel", {"session": session[1]})
    ended = person.wait_for(running.id)
    assert ended.state == "INTERRUPTED", ended.text
    assert "Not run: b" in ended.text


def test_a_notebook_is_made_where_it_is_missing_and_opens_in_jupyter(person: Client, project: Path) -> None:
    made = person.call("open_notebook", {"path": "deep/new.ipynb"})
    assert made.text.startswith(f"NOTEBOOK MADE: {project}/deep/new.ipynb, 0 cells"), made.text
    path = project / "deep" / "new.ipynb"
    person.execute("40 + 2")
    eventually(lambda: sources(path) == ["40 + 2"])
    read = nbformat.read(path, nbformat.NO_CONVERT)
    nbformat.validate(read)
    assert read.metadata.kernelspec.name.startswith("kernelexec-")
    assert shown(path, read.cells[0].id) == "42"


def test_the_kernel_is_that_of_the_notebooks_kernelspec_and_what_cannot_be_used_is_said(
    person: Client, project: Path
) -> None:
    person.call("open_notebook", {"path": "first.ipynb"})
    ours = json.loads((project / "first.ipynb").read_text())["metadata"]["kernelspec"]
    named = {"ours": ours["name"], "anybodys": "python3", "gone": "kernelexec-of-nobody"}
    replies = {}
    for called, name in named.items():
        path = write(project / f"{called}.ipynb", code("a", "1"))
        notebook = json.loads(path.read_text())
        notebook["metadata"]["kernelspec"] = {"name": name, "display_name": name, "language": "python"}
        path.write_text(json.dumps(notebook))
        replies[called] = person.call("open_notebook", {"path": path.name}).text
        assert replies[called].startswith("OPENED"), replies[called]
        assert person.call("run_cells", {"ids": ["a"]}).block("result") == "1"
        assert json.loads(path.read_text())["metadata"]["kernelspec"]["name"] == name
    assert "The notebook names the kernel 'kernelexec-of-nobody', which cannot be used" in replies["gone"]
    assert "it runs in your environment instead" in replies["gone"]
    for called in ("ours", "anybodys"):
        assert "cannot be used" not in replies[called]


def test_a_notebook_that_is_too_large_is_refused_with_how_large_it_may_be(
    person: Client, project: Path
) -> None:
    path = project / "large.ipynb"
    with open(path, "wb") as file:
        file.truncate(300_000_001)  # takes no room
    os.utime(path, (1, 1))
    refused = person.call("open_notebook", {"path": "large.ipynb"})
    assert refused.is_error
    assert "has 300,000,001 bytes; up to 300,000,000 can be worked in" in refused.text
    assert path.stat().st_size == 300_000_001
    path.unlink()


MERGED = b'{\n "cells": [\n<<<<<<< HEAD\n  {}\n=======\n>>>>>>> x\n ],\n "nbformat": 4\n}\n'


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (MERGED, "merge"),
        (b'{"worksheets": [], "nbformat": 3, "nbformat_minor": 0, "metadata": {}}', "format 3"),
        (b"", "empty"),
        (b"no notebook }", "no JSON"),
    ],
)
def test_what_is_no_notebook_is_refused_and_left_as_it_is(
    person: Client, project: Path, content: bytes, why: str
) -> None:
    path = project / "bad.ipynb"
    path.write_bytes(content)
    os.utime(path, (1, 1))
    reply = person.call("open_notebook", {"path": "bad.ipynb"})
    assert reply.is_error
    assert why in reply.text
    assert path.read_bytes() == content


def test_a_path_outside_or_through_a_link_is_refused(person: Client, project: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "secret.ipynb", code("a", "1"))
    for path in (str(outside), "../x.ipynb", "a/../../x.ipynb", "n.txt", "\0.ipynb"):
        reply = person.call("open_notebook", {"path": path})
        assert reply.is_error, path
    (project / "link.ipynb").symlink_to(outside)
    assert "link" in person.call("open_notebook", {"path": "link.ipynb"}).text
    inner = write(project / "inner.ipynb", code("a", "1"))
    (project / "alias.ipynb").symlink_to(inner)
    assert person.call("open_notebook", {"path": "alias.ipynb"}).text.startswith(f"OPENED: {inner}")
    os.mkfifo(project / "pipe.ipynb")
    assert person.call("open_notebook", {"path": "pipe.ipynb"}).is_error


def test_a_read_only_notebook_can_be_read_and_run_and_is_not_written(person: Client, project: Path) -> None:
    path = write(project / "n.ipynb", code("a", "6*7"))
    path.chmod(0o444)
    before = path.read_bytes()
    person.call("open_notebook", {"path": "n.ipynb"})
    refused = edit(person, {"op": "insert", "source": "1"})
    assert refused.is_error
    assert "read-only" in refused.text
    ran = person.call("run_cells", {"ids": ["a"]})
    assert ran.block("result") == "42"
    assert "read-only" in eventually(
        lambda: "read-only" in (r := person.call("read_cells", {})).text and r.text
    )
    assert path.read_bytes() == before
    path.chmod(0o644)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    eventually(lambda: shown(path, "a") == "42")


def test_before_format_4_5_cells_have_ids_that_the_file_does_not(person: Client, project: Path) -> None:
    old = [{key: value for key, value in code("x", source).items() if key != "id"} for source in ("1", "2")]
    path = project / "old.ipynb"
    notebook = {"cells": old, "metadata": {}, "nbformat": 4, "nbformat_minor": 2}
    path.write_text(json.dumps(notebook, indent=2))
    opened = person.call("open_notebook", {"path": "old.ipynb"})
    names = re.findall(r"^(nameless-\S+) \|", opened.text, re.MULTILINE)
    assert len(names) == 2
    edit(person, {"op": "edit", "id": names[1], "old": "2", "new": "20 + 1"})
    person.call("run_cells", {"ids": [names[1]]})
    eventually(lambda: cells(path)[1]["outputs"])
    person.execute("22")
    eventually(lambda: sources(path) == ["1", "20 + 1", "22"])
    assert b'"id"' not in path.read_bytes()
    nbformat.validate(nbformat.read(path, nbformat.NO_CONVERT))


def test_a_new_hub_knows_the_notebook_of_a_caller_and_its_kernel(connect: Connect, home: Home) -> None:
    project = home.project("kept")
    path = write(project / "n.ipynb", code("a", "x = 5"), code("b", "x + 1"))
    client = connect(home, project)
    client.call("open_notebook", {"path": "n.ipynb"})
    client.call("run_cells", {"ids": ["a"]})
    home.end_hub(signal.SIGKILL)
    ran = client.call("run_cells", {"ids": ["b"]})
    assert ran.state == "OK", ran.text
    assert ran.block("result") == "6"
    eventually(lambda: shown(path, "b") == "6")


def kept(home: Home) -> str:
    """What the hub has kept of who has seen what."""
    return "".join(file.read_text() for file in home.storage.glob(".kernelexec/*.looks"))


def test_a_new_hub_knows_what_its_callers_have_seen_of_the_notebook(connect: Connect, home: Home) -> None:
    project = home.project("seen")
    path = write(project / "n.ipynb", code("a", "mine = 1"), code("b", "2"), code("c", "3"))
    first, second = connect(home, project), connect(home, project)
    for client in (first, second):
        client.call("open_notebook", {"path": "n.ipynb"})
    edit(first, {"op": "edit", "id": "c", "old": "3", "new": "30"})
    eventually(lambda: '"30"' in kept(home))
    home.end_hub(signal.SIGKILL)
    write(path, code("a", "yours = 1"), code("n", "new = 1"), code("c", "30"))
    first.call("list_kernels", {})  # the bridge has joined the next hub

    refused = edit(first, {"op": "delete", "id": "a"})
    assert refused.is_error
    assert "has changed since you saw it" in refused.text
    assert "yours = 1" in refused.text
    assert "mine = 1" in refused.text
    assert "deleted since you saw it" in edit(first, {"op": "delete", "id": "b"}).text
    done = edit(first, {"op": "delete", "id": "c"})
    assert done.text.startswith("DONE"), "it was its own text"
    assert "deleted: b (2)" in done.text

    told = second.call("read_cells", {})
    assert "changed: a (yours = 1)" in told.text, told.text
    assert "new: n (new = 1)" in told.text
    assert "deleted: b (2), c (3)" in told.text
    home.end_hub(signal.SIGTERM)
    assert "News: in the" not in second.call("read_cells", {}).text


def test_what_a_caller_did_not_get_to_see_before_a_hub_was_killed_is_told_by_the_next(
    connect: Connect, home: Home
) -> None:
    project = home.project("killed")
    path = write(project / "n.ipynb", code("a", "1"), code("b", "2"))
    client = connect(home, project)
    client.call("open_notebook", {"path": "n.ipynb"})
    home.end_hub(signal.SIGKILL)
    write(path, code("a", "1"), code("b", "20"))
    ran = client.call("run_cells", {"ids": ["a"]})
    assert ran.state == "OK", ran.text
    assert "changed: b (20)" in ran.text
    eventually(lambda: '"20"' in kept(home))
    home.end_hub(signal.SIGKILL)
    again = client.call("run_cells", {"ids": ["a"]})
    assert "News: in the" not in again.text, again.text
    write(path, code("a", "1"))
    assert "deleted: b (20)" in client.call("read_cells", {}).text


def test_an_outline_of_a_thousand_cells_is_short_and_finds_the_rest(person: Client, project: Path) -> None:
    write(project / "n.ipynb", *(code(f"c{n}", f"value_{n} = {n}  # {'x' * 50}") for n in range(1_000)))
    opened = person.call("open_notebook", {"path": "n.ipynb"})
    assert len(opened.text) < 10_000
    assert "c0 |" in opened.text
    assert "c999 |" in opened.text
    found = person.call("read_cells", {"pattern": r"value_55\d\b"})
    assert found.text.count("c55") == 10
    whole = person.call("read_cells", {"ids": ["all"]})
    assert len(whole.text) < 11_000
    assert "next: read_cells(ids=" in whole.text


def test_a_page_that_is_saved_over_the_assistants_cells_is_told_with_their_ids(
    person: Client, project: Path
) -> None:
    path = write(project / "n.ipynb", code("a", "1"))
    page = path.read_bytes()
    opened = person.call("open_notebook", {"path": "n.ipynb"})
    edit(person, {"op": "insert", "source": "fresh = 2"})
    name = cells(path)[-1]["id"]
    time.sleep(0.3)
    path.write_bytes(page)  # what JupyterLab calls Overwrite
    told = person.call("run_cells", {"ids": ["a"]})
    assert f"deleted: {name} (fresh = 2)" in told.text, told.text
    eventually(lambda: shown(path, "a") == "1")
    session = re.search(r"session (\S+)", opened.text)
    assert session
    [resource] = person.read(f"kernelexec://session/{session[1]}/notebook")
    assert getattr(resource, "text", "") == path.read_text()
