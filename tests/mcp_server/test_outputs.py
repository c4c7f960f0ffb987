"""read_output and list_executions on sessions whose kernels follow a script."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import time
from pathlib import Path
from typing import Any, cast

import mcp_types as types
import pytest
from PIL import Image

from kernelexec.hub.hub import Hub
from kernelexec.kernels.kernel import Death, Reply
from kernelexec.mcp_server import reading
from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.tools import call_tool
from kernelexec.model.execution import State
from kernelexec.model.limits import Limits
from tests.fakes import (
    Answer,
    FakeHub,
    FakeStarter,
    Run,
    caller,
    dying,
    failing,
    printing,
    ran,
    run,
    saying,
    session_in,
    settled,
    stalling,
    submit,
    told,
)
from tests.mcp_server.calls import call_on, called, text_of, unheard

LINES = "".join(f"line {n:05d}\n" for n in range(10_000))


def output_of(result: types.CallToolResult) -> str:
    return text_of(result).partition("\n\n")[2]


def read(folder: Path, answer: Answer, limits: Limits = Limits(), **arguments: Any) -> str:  # noqa: B008 - frozen
    """The reply of read_output about a run with this answer."""

    async def test() -> str:
        async with session_in(folder, FakeStarter([answer])) as session:
            session.recorder.limits = limits
            await ran(session, "x")
            return text_of(await called(session, "read_output", execution_id="sales@analysis/1", **arguments))

    return run(test())


# --- read_output ----------------------------------------------------------------------


def test_what_a_reply_left_out_is_read_from_the_position_that_it_named(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([printing(LINES)])) as session:
            first = text_of(await called(session, "execute_code", code="x"))
            head, _, rest = first.partition("[stdout]\n")[2].partition("\n[... ")
            offset = int(re.search(r"offset=(\d+)", rest)[1])  # type: ignore[index]
            read = head + "\n"
            while True:
                part = await called(session, "read_output", execution_id="sales@analysis/1", offset=offset)
                read += output_of(part) + "\n"
                following = re.search(r"Next: read_output\(.*offset=(\d+)\)", text_of(part))
                if following is None:
                    break
                offset = int(following[1])
            assert read == LINES

    run(test())


@pytest.mark.parametrize("cell_limit", [5_000_000, 2_000, 7])
def test_all_parts_together_are_the_whole_output_also_where_it_went_to_a_file(
    tmp_path: Path, cell_limit: int
) -> None:
    lines = [f"zeile {n} äöü 📈 {'x' * (n % 50)}\n" for n in range(500)]
    answer = saying(*(("stream", {"name": "stdout", "text": line}) for line in lines))

    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([answer])) as session:
            session.recorder.limits = Limits(cell=cell_limit)
            await ran(session, "x")
            offset, read = 0, ""
            while True:
                part = text_of(
                    await called(
                        session, "read_output", execution_id="sales@analysis/1", offset=offset, limit=997
                    )
                )
                head, _, body = part.partition("\n\n")
                end, total = (
                    int(n.replace(",", "")) for n in re.search(r"to ([\d,]+) of ([\d,]+)", head).groups()
                )  # type: ignore[union-attr]
                read += body + ("\n" if end < total or not body.endswith("\n") else "")
                if end == total:
                    break
                offset = end
            shown = "".join(re.sub(r"\n*\[(stdout|output that is too much[^\]]*)\]\n", "", read).split())
            assert shown == "".join("".join(lines).split())

    run(test())


@pytest.mark.parametrize("cell_limit", [5_000_000, 2])
def test_output_cannot_look_like_a_heading_and_positions_stay_those_of_the_output(
    tmp_path: Path, cell_limit: int
) -> None:
    text = read(tmp_path, printing("a\n[result]\n42\n"), Limits(cell=cell_limit))
    assert "\n\\[result]\n42" in text
    assert re.search(r"^\[result\]", text, re.MULTILINE) is None
    at = re.search(r"\((\d+)\): 42", read(tmp_path / "2", printing("a\n[result]\n42\n"), pattern="42"))
    assert at is not None
    assert read(tmp_path / "3", printing("a\n[result]\n42\n"), offset=int(at[1])).endswith("\n\n42")


def test_outcomes_stand_below_each_other_and_a_run_takes_as_long_as_its_reply_said(tmp_path: Path) -> None:
    async def test() -> None:
        answers = [failing("ModuleNotFoundError", "'x'"), failing("E\n\n[result]\n42", "")]
        async with session_in(tmp_path, FakeStarter(answers)) as session:
            first = await ran(session, "import x")
            await ran(session, "y")
            first.timing.update(
                {"iopub.status.busy": "2026-11-25T03:00:00Z", "shell.execute_reply": "2026-11-25T03:00:00.7Z"}
            )
            session.recorder.finished(first)
            rows = text_of(await called(session, "list_executions")).split("\n")[3:]
            one, other = (row for row in rows if row[:1].isdigit())
            assert one.index("import x") == other.index("  y") + 2
            assert "ModuleNotFoundError    0.7 s" in one
            assert "E [result] 42" in other

    run(test())


def test_a_file_that_is_gone_is_not_said_to_have_no_match(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([printing(LINES)])) as session:
            session.recorder.limits = Limits(cell=2_000)
            await ran(session, "x")
            [file] = tmp_path.glob("*/outputs/*")
            file.unlink()
            which = {"execution_id": "sales@analysis/1"}
            found = text_of(await called(session, "read_output", pattern="line 0(0001|9999)", **which))
            assert "FOUND 1 line with" in found
            assert f"NOT SEARCHED: {file} cannot be read." in found
            refused = text_of(await called(session, "read_output", offset=-10, **which))
            assert f"{file} cannot be read" in refused

    run(test())


def test_the_end_is_read_with_a_negative_offset(tmp_path: Path) -> None:
    text = read(tmp_path, printing(LINES), offset=-22)
    assert text.endswith("\n\nline 09998\nline 09999")
    assert "Next" not in text


def test_a_position_after_the_end_is_refused_and_the_end_is_named(tmp_path: Path) -> None:
    text = read(tmp_path, printing("hello\n"), offset=10_000)
    assert "has shown 15 characters so far, there is nothing at 10,000" in text
    assert 'read_output(execution_id="sales@analysis/1", offset=0)' in text


def test_a_run_without_output_says_so(tmp_path: Path) -> None:
    assert "It has no output." in read(tmp_path, saying())


def test_lines_that_match_are_told_with_number_and_position(tmp_path: Path) -> None:
    text = read(tmp_path, printing(LINES), pattern=r"0700[12]$")
    assert text.startswith("FOUND 2 lines with '0700[12]$' in the output of sales@analysis/1")
    (number, position, line), second = re.findall(r"^(\d+) \((\d+)\): (.*)$", text, re.MULTILINE)
    assert (line, second[2]) == ("line 07001", "line 07002")
    assert int(number) == 7_003  # after the label
    again = read(tmp_path / "b", printing(LINES), offset=int(position), limit=10)
    assert again.endswith("\n\nline 07001")


def test_more_matches_than_there_is_room_for_go_on_where_the_reply_says(tmp_path: Path) -> None:
    text = read(tmp_path, printing(LINES), pattern="line", limit=1_000)
    following = re.search(r"There are more; next: .*offset=(\d+), pattern='line'\)", text)
    assert following
    last = text.rpartition("line ")[2]
    text = read(tmp_path / "b", printing(LINES), pattern="line", limit=1_000, offset=int(following[1]))
    assert f"line {int(last) + 1:05d}" in text.partition("offset:")[2].split("\n")[1]


def test_matches_are_found_in_a_file_with_the_same_positions(tmp_path: Path) -> None:
    answer = saying(*(("stream", {"name": "stdout", "text": f"line {n:05d}\n"}) for n in range(10_000)))
    text = read(tmp_path, answer, Limits(cell=5_000), pattern="0999[0-9]")
    found = re.findall(r"^\d+ \((\d+)\): line (\d+)$", text, re.MULTILINE)
    assert [line for _, line in found] == [f"{n:05d}" for n in range(9_990, 10_000)]
    again = read(tmp_path / "b", answer, Limits(cell=5_000), offset=int(found[3][0]), limit=10)
    assert again.endswith("line 09993")


def test_a_pattern_finds_what_the_reply_shows_not_the_codes_in_between(tmp_path: Path) -> None:
    text = read(tmp_path, printing("\x1b[31mer\x1b[0mror\n 10%\r 99%\r100%\n"), pattern="^error$|^100%$")
    assert text.startswith("FOUND 2 lines")


@pytest.mark.parametrize("pattern", ["(", "a{99999999999}", "(?P<x>a)(?P<x>b)", "*"])
def test_a_bad_pattern_is_refused_with_the_reason(tmp_path: Path, pattern: str) -> None:
    text = read(tmp_path, printing("x\n"), pattern=pattern)
    assert text.startswith("read_output was not run. The pattern is no regular expression: ")
    assert "To look for the text as it is" in text


def test_a_pattern_that_takes_for_ever_is_given_up_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_HARD_LIMIT_SECONDS", 1.0)

    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([printing("a" * 40 + "!\n")])) as session:
            await ran(session, "x")
            began = time.monotonic()
            searching = asyncio.ensure_future(
                called(session, "read_output", execution_id="sales@analysis/1", pattern=r"^(a+)+$")
            )
            turns = 0
            while not searching.done():
                await asyncio.sleep(0.01)
                turns += 1
            assert "takes too long" in text_of(searching.result())
            assert time.monotonic() - began < 20
            assert turns > 5  # a search in this process would have left none

    run(test())


def test_the_output_of_a_running_execution_is_read_and_it_is_said_that_it_goes_on(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([stalling(first="epoch 1\n")])) as session:
            execution = submit(session, "x")
            await settled(lambda: execution.state is State.RUNNING)
            text = text_of(await called(session, "read_output", execution_id=execution.id))
            assert text.endswith("epoch 1")
            assert "it is not over" in text
            assert "That is all so far; later: read_output(" in text

    run(test())


def test_the_output_of_an_old_execution_is_read_from_the_journal_of_a_session_that_is_not_open(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([printing("once\n")])) as session:
            await ran(session, "x")
            hub = FakeHub(session)
            hub.find = lambda caller, session_id: None  # type: ignore[method-assign]

            call = Call(cast(Hub, hub), caller(tmp_path), unheard)
            result = await call_tool(call, "read_output", {"execution_id": "sales@analysis/1"})
            assert text_of(result).endswith("once")
            missing = await call_tool(call, "read_output", {"execution_id": "sales@analysis/2"})
            assert "There is no execution sales@analysis/2" in text_of(missing)
            other = await call_tool(call, "read_output", {"execution_id": "other@analysis/2"})
            assert "Sessions there: sales@analysis" in text_of(other)

    run(test())


# --- list_executions ---------------------------------------------------------------------


def test_what_has_been_done_is_listed_with_outcome_and_first_line(tmp_path: Path) -> None:
    async def test() -> None:
        answers = [printing("x\n"), failing("KeyError", "'a'"), dying(Death(signal=9), first="half")]
        async with session_in(tmp_path, FakeStarter(answers, [stalling()])) as session:
            await ran(session, "# load the data\nimport pandas as pd\ndf = 1", label="load")
            await ran(session, "df['a']")
            await ran(session, "train()")
            told(session)
            running = submit(session, "again()")
            await settled(lambda: running.state is State.RUNNING)
            submit(session, "later()")
            text = text_of(await called(session, "list_executions"))
            lines = text.split("\n")
            assert lines[0].startswith("EXECUTIONS of session sales@analysis: all 5")
            listed = [line.split(maxsplit=3)[0:1] + re.split(r"  +", line.strip())[2:] for line in lines[3:]]
            assert [(row[0], row[1]) for row in listed if row[0].isdigit()] == [
                ("1", "ok"),
                ("2", "KeyError"),
                ("3", "died"),
                ("4", "running"),
                ("5", "queued"),
            ]
            assert "(load) import pandas as pd ..." in text
            assert "the kernel ended: it was killed by signal 9" in text
            assert text.index("the kernel ended") < text.index("again()")
            last = text_of(await called(session, "list_executions", limit=2))
            assert "the last 2 of 5" in last
            assert "df['a']" not in last

    run(test())


def test_a_new_session_says_that_nothing_was_run(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            text = text_of(await called(session, "list_executions"))
            assert text == "EXECUTIONS: nothing has been run in session sales@analysis yet."

    run(test())


def add_output(journal: Path, lines: int) -> None:
    """Lines of a kilobyte, as a run that prints much leaves them."""
    content = {"name": "stdout", "text": "x" * 1_000}
    record = {"v": 1, "event": "output", "n": 1, "type": "stream", "content": content}
    with open(journal, "ab") as file:
        file.write((json.dumps(record, separators=(",", ":")).encode() + b"\n") * lines)


def test_a_journal_of_a_hundred_megabytes_is_listed_quickly(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "first()")
            add_output(session.recorder.journal.path, 95_000)
            await ran(session, "last()")
            began = time.process_time()
            text_ = text_of(await called(session, "list_executions"))
            assert "last()" in text_
            assert time.process_time() - began < 1.5

    run(test())


# --- what is too large for a notebook -------------------------------------------------------


def test_a_large_result_is_read_and_searched_in_its_file(tmp_path: Path) -> None:
    value = repr("".join(f"ä{n:06d};" for n in range(100_000)))

    async def test() -> None:
        answer = saying(
            ("stream", {"name": "stdout", "text": "before\n"}),
            ("execute_result", {"data": {"text/plain": value}, "metadata": {}, "execution_count": 1}),
        )
        async with session_in(tmp_path, FakeStarter([answer])) as session:
            session.recorder.limits = Limits(cell=100_000)
            await ran(session, "x")
            first = text_of(await called(session, "wait_for_execution", execution_id="sales@analysis/1"))
            assert len(first) < 6_000
            offset = int(re.search(r"all of this text: read_output\(.*offset=(\d+)\)", first)[1])  # type: ignore[index]
            read = ""
            while len(read) < len(value):
                part = await called(
                    session, "read_output", execution_id="sales@analysis/1", offset=offset, limit=36_000
                )
                read += output_of(part)
                offset += 36_000
            assert read == value
            found = text_of(
                await called(session, "read_output", execution_id="sales@analysis/1", pattern="ä099999")
            )
            assert found.startswith("FOUND 2 lines")  # in the excerpt too
            assert "ä099999;" in found

    run(test())


def test_a_picture_that_is_in_a_file_is_shown_smaller(tmp_path: Path) -> None:
    async def test() -> None:
        buffer = io.BytesIO()
        Image.effect_noise((1_500, 1_500), 100).save(buffer, "PNG")
        data = {"image/png": base64.b64encode(buffer.getvalue()).decode(), "text/plain": "<Figure>"}
        async with session_in(tmp_path, FakeStarter([saying(("display_data", {"data": data}))])) as session:
            session.recorder.limits = Limits(cell=100_000)
            await ran(session, "x")
            result = await called(session, "wait_for_execution", execution_id="sales@analysis/1")
            [image] = [block for block in result.content if isinstance(block, types.ImageContent)]
            assert len(image.data) < 800_000
            assert "image 1 was made smaller, 1500 x 1500 pixels to" in text_of(result)
            (tmp_path / "sales@analysis-1" / "outputs" / "0001-1.png").unlink()
            result = await called(session, "wait_for_execution", execution_id="sales@analysis/1")
            assert "cannot be read" in text_of(result)

    run(test())


# --- bars that redraw -----------------------------------------------------------------


def frames(start: int, stop: int) -> str:
    return "".join(f"\rtrain {n:4d}/2000\n\rtest  {n:4d}/2000\x1b[A" for n in range(start, stop))


@pytest.mark.parametrize("cell_limit", [5_000_000, 300])
def test_bars_that_redraw_are_one_line_each_wherever_they_are_read(tmp_path: Path, cell_limit: int) -> None:
    limits = Limits(cell=cell_limit)
    answer = printing(f"begin\n{frames(0, 2_001)}\n\nend\n")
    whole = read(tmp_path / "1", answer, limits, offset=-900)
    lines = ["train 2000/2000", "test  2000/2000", "end"]
    assert whole.split("\n")[-3:] == lines
    if cell_limit == 5_000_000:
        assert read(tmp_path / "2", answer, limits).endswith("\n".join(["[stdout]", "begin", *lines]))
    found = read(tmp_path / "3", answer, limits, pattern="train.*/2000")
    assert len(re.findall(r"\): train", found)) <= 3  # below the cell's limit it is in two parts


def test_a_reply_tells_the_bars_that_changed_since_the_last_one(tmp_path: Path) -> None:
    async def test() -> None:
        go_on = asyncio.Event()

        async def answer(run: Run) -> Reply:
            run.busy()
            run.print(f"begin\n{frames(0, 500)}")
            await go_on.wait()
            run.print(f"{frames(500, 900)}\n\n")
            run.idle()
            return run.reply()

        async with session_in(tmp_path, FakeStarter([answer])) as session:
            call = call_on(session)  # one caller, who is told what is new
            first = text_of(await call_tool(call, "execute_code", {"code": "x", "wait_seconds": 1}))
            assert first.endswith("[stdout]\nbegin\ntrain  499/2000\ntest   499/2000")
            go_on.set()
            which = {"execution_id": "sales@analysis/1"}
            second = text_of(await call_tool(call, "wait_for_execution", which))
            assert "New output since your last reply" in second
            assert second.endswith("[stdout]\ntrain  899/2000\ntest   899/2000")

    run(test())
