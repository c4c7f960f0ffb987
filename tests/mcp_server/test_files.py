"""The tools for code files, on a session whose kernel follows a script."""

from __future__ import annotations

from pathlib import Path

from tests.fakes import FakeStarter, failing, journal_lines, run, session_in
from tests.mcp_server.calls import called, text_of

TRACEBACK = [
    "ValueError      Traceback (most recent call last)",
    "Cell In[1], line 2\n----> 2 1/0\n",
    "ValueError: x",
]


def path_in(text: str) -> Path:
    return Path(text.split()[2])


def test_a_file_is_run_as_one_submission_and_a_traceback_names_it(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([failing("ValueError", "x", TRACEBACK)])
        async with session_in(tmp_path, starter) as session:
            made = text_of(
                await called(session, "initialize_code_file", content="x = 1", filename="train model")
            )
            assert made.startswith(f"FILE MADE: {tmp_path}/train_model_")
            assert "(1 line, 5 characters); nothing was run." in made
            path = path_in(made)
            added = text_of(
                await called(session, "append_to_code_file", file_path=str(path), content="1/0\n")
            )
            assert added.startswith("ADDED 1 line, 4 characters to ")
            assert starter.executed == []
            ran = await called(session, "execute_code_file", file_path=path.name)
            assert ran.is_error
            assert text_of(ran).startswith("ERROR: sales@analysis/1 failed after ")
            assert f"{path.name}, line 2" in text_of(ran)
            assert starter.executed == ["x = 1\n1/0\n"]
            assert starter.kernels[0].files == [str(path)]
            assert session.executions.get(1).script == tmp_path / "sales@analysis-1" / f"0001-{path.stem}.py"
            [submitted] = [line for line in journal_lines(tmp_path) if line["event"] == "submitted"]
            assert submitted["source"] == path.name
            assert f"({path.name})" in text_of(await called(session, "list_executions"))

    run(test())


def test_a_long_file_is_read_in_parts(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            code = "".join(f"x{n} = {n}\n" for n in range(3_000))
            path = path_in(text_of(await called(session, "initialize_code_file", content=code)))
            offset, read = 0, ""
            while True:
                text = text_of(await called(session, "read_code_file", file_path=str(path), offset=offset))
                head, _, part = text.partition("\n\n")
                read += part
                if "Next: " not in head:
                    break
                offset = int(head.rpartition("offset=")[2].rstrip(")"))
            assert read == code
            assert "from line " in head

    run(test())


def test_what_was_run_is_read_but_not_added_to(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await called(session, "execute_code", code="x = 1")
            path = "sales@analysis-1/0001.py"
            assert text_of(await called(session, "read_code_file", file_path=path)).endswith("\n\nx = 1")
            for form in (path, str(tmp_path / path)):
                refused = await called(session, "append_to_code_file", file_path=form, content="y = 2")
                assert refused.is_error
                assert "stays as it is; nothing was written" in text_of(refused)
            assert (tmp_path / path).read_text() == "x = 1"

    run(test())


def test_a_path_outside_is_refused_before_anything_is_run(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter()
        async with session_in(tmp_path / "data", starter) as session:
            (tmp_path / "x.py").write_text("x = 1")
            for tool in ("execute_code_file", "read_code_file", "append_to_code_file"):
                arguments = {"file_path": "../x.py", **({"content": "y"} if "append" in tool else {})}
                refused = await called(session, tool, **arguments)
                assert refused.is_error
                assert text_of(refused).startswith(
                    f"{tool} was not run. '../x.py' is not inside the storage directory"
                )
            assert starter.executed == []
            assert (tmp_path / "x.py").read_text() == "x = 1"

    run(test())
