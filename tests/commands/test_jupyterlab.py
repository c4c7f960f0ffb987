"""Which notebook `kernelexec lab` opens, and what it says where JupyterLab is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kernelexec.commands.lab_sessions import Here, Target, choose, on_disk
from kernelexec.errors import BadRequest

NOWHERE = Path("/nowhere")


def session(
    folder: Path, name: str, *, state: str = "idle", idle: int = 0, written: bool = True
) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    notebook = folder / f"{name}-1.ipynb"
    if written:
        notebook.write_text("{}")
    return {
        "session": name,
        "state": state,
        "idle_seconds": idle,
        "storage_dir": str(folder),
        "notebook": str(notebook),
    }


def test_the_session_that_was_used_last_is_opened(tmp_path: Path) -> None:
    sessions = [session(tmp_path, "a@x", idle=50), session(tmp_path, "b@x", idle=3)]
    assert choose(sessions, None, Here(tmp_path, True, NOWHERE)) == Target(
        tmp_path, tmp_path / "b@x-1.ipynb", "b@x", True
    )


def test_a_live_kernel_comes_before_one_that_was_used_later_and_is_gone(tmp_path: Path) -> None:
    sessions = [session(tmp_path, "a@x", idle=50), session(tmp_path, "b@x", state="no kernel")]
    assert choose(sessions, None, Here(tmp_path, True, NOWHERE)).session == "a@x"


def test_a_storage_directory_that_is_given_leaves_others_out(tmp_path: Path) -> None:
    sessions = [session(tmp_path / "one", "a@x", idle=50), session(tmp_path / "two", "b@x")]
    assert choose(sessions, None, Here(tmp_path / "one", True, NOWHERE)).session == "a@x"
    assert choose(sessions, None, Here(tmp_path / "one", False, NOWHERE)).session == "b@x"


def test_without_a_session_the_folder_is_opened(tmp_path: Path) -> None:
    assert choose([], None, Here(tmp_path, False, NOWHERE)) == Target(tmp_path, None)
    unwritten = session(tmp_path, "a@x", written=False)
    assert choose([unwritten], None, Here(tmp_path, False, NOWHERE)) == Target(tmp_path, None)


@pytest.mark.parametrize("wanted", ["a@x", "a"])
def test_a_session_is_named_in_full_or_by_its_name(tmp_path: Path, wanted: str) -> None:
    sessions = [session(tmp_path / "one", "a@x"), session(tmp_path / "two", "b@x")]
    target = choose(sessions, wanted, Here(tmp_path, False, NOWHERE))
    assert (target.session, target.folder, target.is_live) == ("a@x", tmp_path / "one", True)


def test_an_ambiguous_name_is_refused_with_commands_that_are_not(tmp_path: Path) -> None:
    sessions = [session(tmp_path / "one", "a@x"), session(tmp_path / "two", "a@x")]
    with pytest.raises(BadRequest) as refused:
        choose(sessions, "a", Here(tmp_path, False, NOWHERE))
    exact = f"{tmp_path / 'two'}:a@x"
    assert f"kernelexec lab {exact}" in str(refused.value)
    assert choose(sessions, exact, Here(tmp_path, False, NOWHERE)).folder == tmp_path / "two"


def test_the_last_notebook_of_a_session_without_a_hub_is_found(tmp_path: Path) -> None:
    for name in ("a@x-2.ipynb", "a@x-10.ipynb", "a@x-copy.ipynb", "aa@x-11.ipynb"):
        (tmp_path / name).write_text("{}")
    left = on_disk([tmp_path / "gone", tmp_path, tmp_path], [])
    assert [one["session"] for one in left] == ["a@x", "aa@x"]
    for wanted in ("a@x", "a"):
        target = choose(left, wanted, Here(tmp_path / "another", False, NOWHERE))
        assert (target.folder, target.notebook) == (tmp_path, tmp_path / "a@x-10.ipynb")
        assert not target.is_live
    assert on_disk([tmp_path], [session(tmp_path, "a@x"), session(tmp_path, "aa@x")]) == []


def test_until_a_new_notebook_is_written_the_last_one_of_the_session_is_opened(tmp_path: Path) -> None:
    fresh = session(tmp_path, "a@x", written=False)
    for name in ("a@x-2.ipynb", "a@x-10.ipynb", "a@x-30.clean.ipynb", "b@x-40.ipynb"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "a@x-50").mkdir()  # scripts of what was not run
    fresh["notebook"] = str(tmp_path / "a@x-50.ipynb")
    for wanted in ("a", None):
        target = choose([fresh], wanted, Here(tmp_path, True, NOWHERE))
        assert target.notebook == tmp_path / "a@x-10.ipynb"
    (left,) = [each for each in on_disk([tmp_path], []) if each["session"] == "a@x"]
    assert left["notebook"] == str(tmp_path / "a@x-10.ipynb")


def test_a_session_of_the_current_directory_comes_first(tmp_path: Path) -> None:
    here, there = session(tmp_path, "here@x", idle=99), session(tmp_path, "there@x", idle=1)
    here["directory"], there["directory"] = str(tmp_path / "project"), str(tmp_path / "another")
    assert choose([there, here], None, Here(tmp_path, False, tmp_path / "project")).session == "here@x"
    assert choose([there, here], None, Here(tmp_path, False, NOWHERE)).session == "there@x"
    twins = [session(tmp_path / "one", "a@x"), session(tmp_path / "two", "a@x")]
    assert choose(twins, "a", Here(tmp_path, False, tmp_path / "two")).folder == tmp_path / "two"


def test_a_notebook_of_the_persons_is_opened_in_its_own_folder(tmp_path: Path) -> None:
    own = tmp_path / "work" / "mine.ipynb"
    own.parent.mkdir()
    own.write_text("{}")
    one = {**session(tmp_path / "storage", "mine@x"), "notebook": str(own)}
    assert choose([one], "mine", Here(tmp_path, False, NOWHERE)).folder == own.parent


def test_an_unknown_session_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    sessions = [session(tmp_path, f"{name}@x") for name in ("sales", "salary", "weather")]
    with pytest.raises(BadRequest, match="Near to it: sales@x") as refused:
        choose(sessions, "sale", Here(tmp_path, False, NOWHERE))
    assert "weather" not in str(refused.value)
    with pytest.raises(BadRequest, match="There are: sales@x, salary@x, weather@x"):
        choose(sessions, "[", Here(tmp_path, False, NOWHERE))
    with pytest.raises(BadRequest, match="no notebooks yet"):
        choose([], "a", Here(tmp_path / "empty", False, NOWHERE))
