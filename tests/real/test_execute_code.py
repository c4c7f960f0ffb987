"""execute_code and wait_for_execution through the official client."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import sys
import time

import pytest
from mcp.shared.exceptions import MCPError
from PIL import Image

from tests.real.clients import Client
from tests.real.conftest import Connect, ConnectRaw
from tests.real.home import Home, eventually


def encoded_as(kind: str) -> bytes:
    """A picture of one pixel."""
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, kind)
    return buffer.getvalue()


PNG = encoded_as("PNG")
JPEG = encoded_as("JPEG")


def show(data: bytes, mime: str) -> str:
    """Code that displays these bytes as an image."""
    return (
        "import base64\nfrom IPython.display import display\n"
        f"display({{{mime!r}: {base64.b64encode(data).decode()!r}, 'text/plain': '<a picture>'}}, raw=True)"
    )


# --- what comes back ------------------------------------------------------------------------------


def test_a_variable_is_there_in_the_next_call(client: Client) -> None:
    client.execute("kept = 41")
    assert client.execute("kept + 1").block("result") == "42"


def test_the_first_line_is_the_verdict_with_id_duration_and_script(client: Client) -> None:
    code = "verdict = 1\nverdict"
    reply = client.execute(code, filename="first line.py")
    found = re.fullmatch(
        r"OK: (main@plain/(\d+)) ran in \d+\.\d+ s; saved as (/.*/main@plain-1/(\d+)-first_line\.py)",
        reply.verdict,
    )
    assert found, reply.verdict
    assert int(found[2]) == int(found[4])
    assert reply.script.read_text() == code


def test_numbers_count_up_by_one(client: Client) -> None:
    first = client.execute("1")
    assert client.execute("2").number == first.number + 1


def test_meta_names_the_run_and_there_is_no_structured_content(client: Client) -> None:
    reply = client.execute("1 + 1")
    assert reply.result.structured_content is None
    assert reply.result.meta is not None
    assert reply.result.meta["kernelexec/execution"] == reply.id
    assert reply.result.meta["kernelexec/state"] == "ok"
    assert isinstance(reply.result.meta["kernelexec/execution_count"], int)


def test_text_comes_before_images(client: Client) -> None:
    reply = client.execute(show(PNG, "image/png"))
    assert [block.type for block in reply.result.content] == ["text", "image"]


def test_stdout_and_stderr_are_told_apart_and_stderr_is_no_error(client: Client) -> None:
    reply = client.execute("import sys\nprint('to out')\nprint('to err', file=sys.stderr)")
    assert reply.state == "OK"
    assert not reply.is_error
    assert reply.block("stdout") == "to out"
    assert reply.block("stderr") == "to err"


def test_a_statement_alone_gives_no_output(client: Client) -> None:
    reply = client.execute("x = 1")
    assert reply.state == "OK"
    assert "[result]" not in reply.text


def test_a_semicolon_hides_the_last_value(client: Client) -> None:
    assert "[result]" not in client.execute("'hidden';").text


def test_outputs_come_in_the_order_in_which_they_were_made(client: Client) -> None:
    reply = client.execute("print('one')\ndisplay('two')\nprint('three')\n'four'")
    assert [reply.text.index(word) for word in ("one", "two", "three", "four")] == sorted(
        reply.text.index(word) for word in ("one", "two", "three", "four")
    )


def test_display_data_comes_back_as_text(client: Client) -> None:
    reply = client.execute("from IPython.display import Markdown, display\ndisplay(Markdown('**shown**'))")
    assert "[display]" in reply.text
    assert "shown" in reply.text


@pytest.mark.parametrize(("data", "mime"), [(PNG, "image/png"), (JPEG, "image/jpeg")])
def test_an_image_comes_back_as_image_content(client: Client, data: bytes, mime: str) -> None:
    reply = client.execute(show(data, mime))
    (image,) = reply.images
    assert image.mime_type == mime
    assert base64.b64decode(image.data, validate=True) == data
    assert "<a picture>" in reply.text


def test_an_image_of_ipython_as_last_value_comes_back_as_image_content(client: Client) -> None:
    reply = client.execute(f"from IPython.display import Image\nImage(data={PNG!r})")
    (image,) = reply.images
    assert base64.b64decode(image.data) == PNG


def test_more_images_than_a_client_takes_are_left_out_and_told(client: Client) -> None:
    reply = client.execute("\n".join([show(PNG, "image/png")] * 6))
    assert len(reply.images) == 4
    assert "images 5 to 6 are left out" in reply.text


def test_an_image_over_the_limit_is_made_smaller_and_told(client: Client) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((1200, 1000), 100).save(buffer, "PNG")
    reply = client.execute(show(buffer.getvalue(), "image/png"))
    (image,) = reply.images
    assert len(image.data) < 850_000
    assert "image 1 was made smaller" in reply.text or "made JPEG" in reply.text


def test_an_exception_is_an_error_with_its_traceback(client: Client) -> None:
    reply = client.execute("def divide(a, b):\n    return a / b\n\ndivide(1, 0)")
    assert reply.is_error
    assert reply.state == "ERROR"
    assert "with ZeroDivisionError" in reply.verdict
    traceback = reply.block("error")
    assert "return a / b" in traceback
    assert "ZeroDivisionError: division by zero" in traceback
    assert "\x1b" not in reply.text


def test_output_before_an_exception_is_shown(client: Client) -> None:
    reply = client.execute("print('before')\n1/0")
    assert reply.block("stdout") == "before"
    assert reply.is_error


def test_an_error_with_an_image_keeps_the_image(client: Client) -> None:
    """Some clients drop the images of a result that is marked as an error."""
    reply = client.execute(show(PNG, "image/png") + "\n1/0")
    assert reply.state == "ERROR"
    assert len(reply.images) == 1
    assert not reply.is_error


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("def broken(:", "SyntaxError"),
        ("  indented = 1\nnot_indented = 2", "IndentationError"),
        ("undefined_name", "NameError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("raise BaseException('odd')", "BaseException"),
    ],
)
def test_every_kind_of_error_is_told_by_its_name(client: Client, code: str, error: str) -> None:
    reply = client.execute(code)
    assert reply.state == "ERROR", reply.text
    assert error in reply.text
    assert client.execute("'still there'").block("result") == "'still there'"


def test_top_level_await_works(client: Client) -> None:
    reply = client.execute("import asyncio\nawait asyncio.sleep(0, 'awaited')")
    assert reply.block("result") == "'awaited'"


def test_magics_and_shell_commands_work(client: Client) -> None:
    assert "plain" in client.execute("!echo $VIRTUAL_ENV").block("stdout")
    assert client.execute("%pwd").state == "OK"
    assert client.execute("%%bash\necho from bash").block("stdout") == "from bash"
    assert client.execute("%nosuchmagic").block("stderr").startswith("UsageError")


def test_the_environments_own_python_runs_the_code(client: Client, shared_home: Home) -> None:
    reply = client.execute("import sys\nprint(sys.prefix)")
    assert reply.block("stdout") == shared_home.environ["VENV_PATH"]


def test_text_is_what_a_terminal_would_show(client: Client) -> None:
    code = r"print('\x1b[31mred\x1b[0m \x1b]52;c;aGk=\x07. 10%\r100%\u202e')"
    shown = client.execute(code).text
    assert "100%" in shown
    assert "10%\r" not in shown
    assert not set("\x1b\x07\r\u202e") & set(shown)


def test_unicode_goes_there_and_back(client: Client) -> None:
    text = "Grüße 東京 🐧 \u0301 \U0010ffff"
    reply = client.execute(f"text = {text!r}\nprint(text)\nlen(text)")
    assert reply.block("stdout") == text
    assert reply.block("result") == str(len(text))


def test_a_lone_surrogate_is_shown_as_its_escape_and_loses_nothing(client: Client) -> None:
    reply = client.execute(r"print('before')" + "\n" + r"print('\ud800 \udcff', end='')")
    assert reply.state == "OK"
    assert reply.block("stdout") == "before\n" + r"\ud800 \udcff"
    failed = client.execute(r"raise ValueError('\udfff')")
    assert "failed after" in failed.verdict
    assert "with ValueError" in failed.verdict
    assert failed.block("error").endswith(r"ValueError: \udfff")


def test_a_cleared_output_is_gone(client: Client) -> None:
    code = "from IPython.display import clear_output\nprint('old')\nclear_output()\nprint('new')"
    reply = client.execute(code)
    assert reply.block("stdout") == "new"


def test_a_display_that_is_updated_is_shown_once(client: Client) -> None:
    code = "h = display('first', display_id=True)\nh.update('second')"
    reply = client.execute(code)
    assert "second" in reply.text
    assert "first" not in reply.text


def test_warnings_and_log_records_name_the_saved_file(client: Client) -> None:
    code = "import logging, warnings\ndef old():\n    warnings.warn('old')\nold()\nlogging.warning('here')"
    logged = "%(pathname)s:%(lineno)d %(message)s"
    client.execute(f"import logging; logging.basicConfig(format={logged!r}, force=True)")
    reply = client.execute(code, filename="say")
    script = reply.script
    assert reply.block("stderr").splitlines() == [
        f"{script}:3: UserWarning: old",
        "  warnings.warn('old')",
        f"{script}:5 here",
    ]
    later = client.execute("old()\n1 / 0")
    assert f"{script}:3: UserWarning: old" in later.block("stderr")
    assert f"{later.script.name}, line 2" in later.block("error")
    assert "/ipykernel_" not in reply.text + later.text


def test_input_waits_for_an_answer_and_goes_on_with_it(client: Client) -> None:
    asks = client.execute("name = input('Name? ')\nprint('Hello', name)")
    assert asks.state == "WAITING FOR INPUT"
    assert "'Name?'" in asks.verdict
    reply = client.call("send_input", {"execution_id": asks.id, "text": "Ann"})
    assert (reply.state, reply.id, reply.block("stdout")) == ("OK", asks.id, "Name? Ann\nHello Ann")


def test_many_outputs_are_cut_in_the_middle_and_the_reply_says_where_all_are(client: Client) -> None:
    reply = client.execute("for n in range(100):\n    display(f'{n:400}')")
    assert re.search(r"\d+ outputs left out; read_output\(", reply.text), reply.text
    assert reply.text.count("[display]") < 30
    assert reply.text.endswith("99'")
    assert len(reply.text) < 12_000


def test_a_working_directory_is_the_storage_directory(client: Client, shared_home: Home) -> None:
    assert client.execute("import os\nprint(os.getcwd())").block("stdout") == str(shared_home.storage)


# --- time ------------------------------------------------------------------------------------------


def test_a_run_that_outlasts_wait_seconds_goes_on_and_another_client_gets_its_end(
    connect: Connect, shared_home: Home
) -> None:
    project = shared_home.project("patient")
    first = connect(shared_home, project)
    first.execute("import os, time")
    gate = project / "gate"
    reply = first.execute(
        f"print('begun')\nwhile not os.path.exists({str(gate)!r}): time.sleep(.01)\n'done'", wait_seconds=0
    )
    assert reply.state in ("QUEUED", "RUNNING")
    assert not reply.is_error
    assert f'wait_for_execution(execution_id="{reply.id}")' in reply.text

    second = connect(shared_home, project)
    eventually(lambda: "begun" in second.wait_for(reply.id, wait_seconds=0).text)
    still = second.wait_for(reply.id, wait_seconds=0.05)
    assert still.state == "RUNNING"
    assert still.id == reply.id
    queued = second.execute("'behind it'", wait_seconds=0)
    assert queued.state == "QUEUED"
    assert reply.id in queued.text

    gate.touch()
    end = second.wait_for(reply.id)
    assert end.state == "OK"
    assert "begun" not in end.text  # it has been told that
    assert second.wait_for(reply.id).block("stdout") == "begun"
    assert end.block("result") == "'done'"
    assert first.wait_for(queued.id).block("result") == "'behind it'"


def test_max_seconds_interrupts(own_client: Client) -> None:
    own_client.execute("import time")
    began = time.monotonic()
    reply = own_client.execute("print('begun', flush=True)\ntime.sleep(60)", max_seconds=0.5)
    assert reply.state == "INTERRUPTED", reply.text
    assert "max_seconds=0.5" in reply.text
    assert reply.block("stdout") == "begun"
    assert 0.5 <= time.monotonic() - began < 20
    assert own_client.execute("time.time() > 0").block("result") == "True"


def test_max_seconds_of_a_run_that_is_done_in_time_interrupts_nothing(own_client: Client) -> None:
    own_client.execute("1", max_seconds=0.2)
    reply = own_client.execute("import time\ntime.sleep(0.6)\n'whole'")
    assert reply.block("result") == "'whole'"


def test_a_clients_cancel_interrupts_its_run(own_client: Client, shared_home: Home) -> None:
    begun = shared_home.path / "cancel-begun"
    own_client.execute("import pathlib, time")
    call = own_client.start(f"pathlib.Path({str(begun)!r}).touch()\ntime.sleep(60)\nnot_reached = 1")
    eventually(begun.exists)
    call.cancel()
    began = time.monotonic()
    after = own_client.execute("'not_reached' in globals()")
    assert after.block("result") == "False"
    assert time.monotonic() - began < 20
    last = own_client.wait_for(f"{after.session}/{after.number - 1}")
    assert last.state == "INTERRUPTED"
    assert "ancelled" in last.text


def test_a_clients_cancel_takes_a_queued_submission_back(own_client: Client, shared_home: Home) -> None:
    begun, gate = shared_home.path / "queue-begun", shared_home.path / "queue-gate"
    first = own_client.start(
        "import os, pathlib, time\n"
        f"pathlib.Path({str(begun)!r}).touch()\n"
        f"while not os.path.exists({str(gate)!r}): time.sleep(.01)\n'undisturbed'"
    )
    eventually(begun.exists)
    behind = own_client.start("ran_after_all = True")
    scripts = shared_home.storage
    eventually(lambda: [p for p in scripts.rglob("0002*.py") if "ran_after_all" in p.read_text()])
    behind.cancel()
    third = own_client.start("'ran_after_all' in globals()")
    eventually(lambda: [p for p in scripts.rglob("0003*.py") if "ran_after_all" in p.read_text()])
    gate.touch()
    assert first.result(60).block("result") == "'undisturbed'"
    answer = third.result(60)
    assert answer.block("result") == "False"
    taken_back = own_client.wait_for(f"{answer.session}/2")
    assert taken_back.state == "NOT RUN"
    assert taken_back.is_error


def test_one_clients_error_does_not_abort_what_another_has_queued(
    connect: Connect, shared_home: Home
) -> None:
    project = shared_home.project("no-abort")
    one, other = connect(shared_home, project), connect(shared_home, project)
    one.execute("import time")
    replies = [
        client.start(code)
        for client, code in (
            (one, "time.sleep(.3)\n1/0"),
            (other, "'mine'"),
            (one, "raise ValueError"),
            (other, "'mine too'"),
        )
    ]
    states = [reply.result(60).state for reply in replies]
    assert states == ["ERROR", "OK", "ERROR", "OK"]


# --- arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "code"),
        ({"code": 5}, "code"),
        ({"code": None}, "code"),
        ({"code": ["1"]}, "code"),
        ({"code": "1", "wait_seconds": -1}, "wait_seconds"),
        ({"code": "1", "wait_seconds": "soon"}, "wait_seconds"),
        ({"code": "1", "wait_seconds": True}, "wait_seconds"),
        ({"code": "1", "wait_seconds": [1]}, "wait_seconds"),
        ({"code": "1", "max_seconds": -1}, "max_seconds"),
        ({"code": "1", "max_seconds": True}, "max_seconds"),
        ({"code": "1", "session": "../up"}, "../up"),
        ({"code": "1", "session": "a/b"}, "a/b"),
        ({"code": "1", "session": "nul\0"}, "nul"),
        ({"code": "1", "session": 7}, "session"),
        ({"code": "1", "filename": 7}, "filename"),
        ({"code": "1", "filename": "x" * 5000}, "filename"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_run(
    client: Client, arguments: dict[str, object], named: str
) -> None:
    before = client.execute("1").number
    reply = client.call("execute_code", arguments)
    assert reply.is_error, reply.text
    assert named in reply.text
    assert "not run" in reply.text.lower()
    assert client.execute("1").number == before + 1


def test_what_is_left_out_or_added_in_a_clients_own_way_refuses_no_call(client: Client) -> None:
    left_out = {"filename": "", "session": None, "note": "", "wait_seconds": "45", "max_seconds": 0}
    reply = client.call("execute_code", {"code": "1 + 1", **left_out, "colour": "red"})
    assert (reply.state, reply.block("result")) == ("OK", "2")
    assert reply.text.splitlines()[1] == "Ignored: colour, which execute_code does not take."


@pytest.mark.parametrize("seconds", ["NaN", "Infinity", "-Infinity", "1e400"])
@pytest.mark.parametrize("argument", ["wait_seconds", "max_seconds"])
def test_a_number_of_seconds_that_is_none_is_refused(
    connect_raw: ConnectRaw, shared_home: Home, argument: str, seconds: str
) -> None:
    client = connect_raw(shared_home)
    before = client.execute("1").number
    line = (
        '{"jsonrpc": "2.0", "id": 77, "method": "tools/call", "params": {"name": "execute_code", '
        f'"arguments": {{"code": "1", "{argument}": {seconds}}}}}}}'
    )
    client.send_line(line.encode())
    answer = client.answer(77)
    assert "error" in answer or answer["result"]["isError"], answer
    assert client.execute("1").number == before + 1


@pytest.mark.parametrize("seconds", [0, 1, 2.5, 1e18, 1e308])
def test_any_real_number_of_seconds_is_taken(client: Client, seconds: float) -> None:
    reply = client.execute("1 + 1", wait_seconds=seconds)
    assert client.wait_for(reply.id, wait_seconds=seconds).state in ("OK", "RUNNING", "QUEUED")
    client.wait_for(reply.id)  # an earlier reply may have had the result, before the run was over
    assert "2" in client.call("read_output", {"execution_id": reply.id}).text.splitlines()


def test_a_huge_max_seconds_is_taken(client: Client) -> None:
    assert client.execute("1 + 1", max_seconds=1e18).block("result") == "2"


def test_a_number_as_text_is_either_read_or_refused(client: Client) -> None:
    reply = client.execute("1 + 1", wait_seconds="5")
    assert reply.state == "OK" or (reply.is_error and "wait_seconds" in reply.text)


def test_an_unknown_tool_is_answered_with_those_that_exist(client: Client) -> None:
    with pytest.raises(
        MCPError, match=r"Unknown tool: run_code\. There are: execute_code, wait_for_execution,"
    ):
        client.call("run_code", {"code": "1"})


@pytest.mark.parametrize(
    "execution_id",
    ["", "7", "main@plain", "main@plain/0", "main@plain/-1", "main@plain/x", "x" * 290, "../a@b/1"],
)
def test_what_is_no_execution_id_is_refused(client: Client, execution_id: str) -> None:
    reply = client.wait_for(execution_id, wait_seconds=0)
    assert reply.is_error
    assert "/7" in reply.text or "execution_id" in reply.text or "session" in reply.text, reply.text


def test_an_unknown_execution_is_refused_with_the_last_one(client: Client) -> None:
    last = client.execute("1").id
    reply = client.wait_for("main@plain/99999", wait_seconds=0)
    assert reply.is_error
    assert last in reply.text


def test_asking_for_a_run_of_an_unknown_session_makes_no_session(client: Client, shared_home: Home) -> None:
    client.execute("1")
    reply = client.wait_for("typo@plain/3", wait_seconds=0)
    assert reply.is_error
    assert "typo@plain/0" not in reply.text
    assert "main@plain" in reply.text
    assert "typo@plain" not in [session["session"] for session in shared_home.status()["sessions"]]
    assert not list(shared_home.storage.rglob("*typo*"))


def test_a_session_of_an_unknown_environment_is_refused_with_those_that_exist(client: Client) -> None:
    client.execute("1")
    reply = client.execute("1", session="main@nosuch")
    assert reply.is_error
    assert "main@plain" in reply.text


def test_a_named_session_has_variables_of_its_own(client: Client) -> None:
    client.execute("only_in_main = 1")
    reply = client.execute("'only_in_main' in globals()", session="another")
    assert reply.session == "another@plain"
    assert reply.block("result") == "False"
    assert client.execute("1", session="another@plain").session == "another@plain"
    assert client.execute("'only_in_main' in globals()").block("result") == "True"


# --- odd code --------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["", " ", "\n\n", "# only a comment", "\t# and\n# another\n", "pass"])
def test_code_that_does_nothing_runs(client: Client, code: str) -> None:
    reply = client.execute(code)
    assert reply.state == "OK", reply.text
    assert reply.script.read_bytes() == code.encode()
    assert client.execute("1").number == reply.number + 1


@pytest.mark.parametrize("code", ["\ufeffbom = 1\nbom", "a = 1\r\nb = 2\r\na + b", "a = 1\rb = 2\ra + b"])
def test_a_bom_and_foreign_line_ends_are_kept_in_the_script(client: Client, code: str) -> None:
    reply = client.execute(code)
    assert reply.state in ("OK", "ERROR")  # as Python itself decides
    assert reply.script.read_bytes() == code.encode()


def test_lines_that_end_as_on_windows_run(client: Client) -> None:
    code = "if True:\r\n    a = 1\r\n    b = '''x\r\ny'''\r\na"
    assert client.execute(code).block("result") == "1"


def test_a_null_character_in_the_code_is_pythons_error(client: Client) -> None:
    reply = client.execute("a = 1\0")
    assert reply.state == "ERROR"
    assert client.execute("1").state == "OK"


def test_a_hundred_thousand_lines_are_run(own_client: Client) -> None:
    reply = own_client.execute("x = 0\n" + "\n" * 100_000 + "x += 1\nx")
    assert reply.block("result") == "1"


def test_a_reset_forgets_the_variables_and_nothing_else(own_client: Client) -> None:
    own_client.execute("forgotten = 1")
    assert own_client.execute("%reset -f").state == "OK"
    reply = own_client.execute("forgotten")
    assert "NameError" in reply.verdict
    assert own_client.execute("1 + 1").block("result") == "2"


def test_the_kernel_survives_the_loss_of_builtins(own_client: Client) -> None:
    own_client.execute("del __builtins__")
    assert own_client.execute("1 + 1").block("result") == "2"


TICKING = """
import asyncio
async def tick():
    await asyncio.sleep(0.2)
    print("tick")
task = asyncio.create_task(tick())
"""
WORKER = """
import subprocess, sys, time
program = "import time; print('worker 1'); time.sleep(60)"
process = subprocess.Popen([sys.executable, "-c", program])
"""


def test_what_a_task_prints_later_is_told_with_the_next_reply(own_client: Client) -> None:
    first = own_client.execute(TICKING)
    second = own_client.execute("await task; print('awaited')")
    late = f"[meanwhile, from {first.id}, after its run had ended]\ntick"
    assert second.text.endswith(f"[stdout]\nawaited\n\n{late}")
    assert "meanwhile" not in own_client.execute("1").text
    assert own_client.call("read_output", {"execution_id": first.id}).text.endswith("tick")


def test_a_stream_that_is_put_back_prints_into_the_cell_that_does_it(own_client: Client) -> None:
    own_client.execute("import sys, io\nkept = sys.stdout, sys.stderr")
    own_client.execute("sys.stdout = sys.stderr = io.StringIO()")
    own_client.execute("1")
    reply = own_client.execute("sys.stdout, sys.stderr = kept\nprint('out'); print('err', file=sys.stderr)")
    assert (reply.block("stdout"), reply.block("stderr")) == ("out", "err")


def test_what_a_program_prints_that_code_has_started_arrives_while_it_runs(own_client: Client) -> None:
    started = own_client.execute(WORKER)
    assert "worker 1" in started.text + own_client.execute("time.sleep(3)").text
    own_client.execute("process.kill(); process.wait()")


def test_the_kernel_survives_the_loss_of_its_streams(own_client: Client) -> None:
    own_client.execute("import os, sys\nsys.stdout.close()")
    assert own_client.execute("1 + 1").state in ("OK", "ERROR")


def test_a_changed_working_directory_stays_and_may_vanish(own_client: Client, shared_home: Home) -> None:
    folder = shared_home.path / "elsewhere"
    folder.mkdir()
    own_client.execute(f"%cd {folder}")
    assert own_client.execute("import os\nos.getcwd()").block("result") == repr(str(folder))
    os.rmdir(folder)
    reply = own_client.execute("os.getcwd()")
    assert "FileNotFoundError" in reply.verdict
    assert own_client.execute("1 + 1").block("result") == "2"
    assert own_client.execute(f"os.chdir({str(shared_home.path)!r})\nos.getcwd()").state == "OK"


def test_code_of_the_largest_size_is_run_and_larger_is_refused_with_the_limit(client: Client) -> None:
    limit = 5_000_000
    code = "#" * (limit - 2) + "\n7"
    assert client.execute(code).block("result") == "7"
    reply = client.execute(code + " ")
    assert reply.is_error
    assert "5,000,000" in reply.text


# --- the tools as a model sees them ----------------------------------------------------------------


def test_the_tools_describe_themselves_briefly(client: Client) -> None:
    tools = {tool.name: tool for tool in client.tools()}
    assert {"execute_code", "get_environment_config"} <= tools.keys()
    for tool in tools.values():
        assert tool.description
        assert len(tool.model_dump_json()) < 3000
    arguments = tools["execute_code"].input_schema["properties"]
    expected = ["code", "filename", "session", "note", "wait_seconds", "max_seconds", "after"]
    assert list(arguments) == expected
    assert tools["execute_code"].input_schema["required"] == ["code"]


def test_get_environment_config_names_what_there_is(client: Client, shared_home: Home) -> None:
    client.execute("1")
    facts = client.config()
    assert facts["session"] == "main@plain"
    assert facts["prefix"] == shared_home.environ["VENV_PATH"]
    assert facts["interpreter"].startswith(shared_home.environ["VENV_PATH"])
    assert facts["storage directory"] == str(shared_home.storage)
    assert facts["your directory"] == str(shared_home.path)
    assert "generation 1" in facts["kernel"]


@pytest.mark.skipif(sys.platform != "linux", reason="macOS bounds no process's memory")
def test_the_memory_of_an_environments_kernels_is_limited_for_every_client_and_no_client_lifts_it(
    home: Home, connect: Connect
) -> None:
    file = home.path / ".config" / "kernelexec" / "limits.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({home.environ["VENV_PATH"]: {"memory_mb": 600, "kernels": 1}}))
    too_much, enough = "large = bytearray(700_000_000)", "large = bytearray(100_000_000)"
    client = connect(home, KERNELEXEC_MEMORY_MB="5000")
    reply = client.execute(too_much)
    assert reply.state == "ERROR"
    assert "at most 600 MB of memory (memory_mb in limits.json, for its environment)" in reply.text
    another = connect(home, KERNELEXEC_MEMORY_MB="500", KERNELEXEC_KERNELS="9")
    refused = another.execute("1", session="other")
    assert refused.state == "NOT RUN"
    assert f'"kernels": 1 in {file} allows no more' in refused.text
    assert "RESTARTED" in another.call("restart_kernel", {}).text
    assert client.execute(enough).state in ("OK", "NOT RUN")  # it is told of the restart first
    reply = client.execute(too_much)
    assert "at most 500 MB of memory (KERNELEXEC_MEMORY_MB)" in reply.text
    facts = client.call("get_environment_config", {}).text
    assert f"limits: memory_mb 600, kernels 1 ({file})" in facts
    file.write_text(json.dumps({home.environ["VENV_PATH"]: {}}))
    assert "RESTARTED" in connect(home).call("restart_kernel", {}).text
    client.execute("1")
    assert client.execute(too_much).state == "OK"


@pytest.mark.skipif(sys.platform != "linux", reason="macOS bounds no process's memory")
def test_where_the_memory_of_a_kernel_is_limited_the_reply_says_by_what(home: Home, connect: Connect) -> None:
    client = connect(home, KERNELEXEC_MEMORY_MB="600", KERNELEXEC_SESSION_MB="1")
    reply = client.execute("large = bytearray(700_000_000)")
    assert reply.state == "ERROR"
    assert "at most 600 MB of memory (KERNELEXEC_MEMORY_MB)" in reply.text
    assert client.execute("1 + 1").block("result") == "2"
    client.execute("for _ in range(3): print('x' * 1_000_000)", session="large")
    time.sleep(10.5)  # what is measured is believed for ten seconds
    refused = client.execute("1", session="large")
    assert refused.is_error
    assert "KERNELEXEC_SESSION_MB=1 allows no more" in refused.text
