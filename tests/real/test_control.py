"""Interrupts, questions, deaths and restarts, with real kernels and real clients."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mcp_types as types
import psutil
import pytest
from anyio.from_thread import BlockingPortal
from mcp import Client as EraClient
from mcp import StdioServerParameters

from tests.real.clients import Client, Reply
from tests.real.conftest import Connect, ConnectRaw
from tests.real.home import COMMAND, Home, eventually
from tests.real.terminal import Terminal


def call(client: Client, tool: str, **arguments: Any) -> Reply:
    return client.call(tool, arguments)


# --- interrupts -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(60)",
        "import asyncio; await asyncio.sleep(60)",
        "import subprocess; subprocess.run(['sleep', '60'])",
        "import concurrent.futures as f, time\nwith f.ThreadPoolExecutor() as pool:\n"
        "    list(pool.map(time.sleep, [0.5] * 4)); time.sleep(60)",
        "while True: pass",
        "input('? ')",
    ],
)
def test_an_interrupt_stops_what_python_can_stop_and_keeps_the_variables(client: Client, code: str) -> None:
    client.execute("kept = 41")
    run = client.execute(code, wait_seconds=0.3)
    eventually(lambda: client.wait_for(run.id, wait_seconds=0).state in ("RUNNING", "WAITING FOR INPUT"))
    reply = call(client, "interrupt_kernel")
    assert (reply.state, reply.id) == ("INTERRUPTED", run.id), reply.text
    assert "Variables are kept" in reply.text
    assert client.execute("kept + 1").block("result") == "42"


def test_an_interrupt_that_the_code_catches_is_told_with_where_it_goes_on(own_client: Client) -> None:
    own_client.execute("1")  # starts the kernel; until then there is nothing to interrupt
    code = "import time\nwhile True:\n    try: time.sleep(0.2)\n    except KeyboardInterrupt: pass"
    run = own_client.execute(code, wait_seconds=1)
    reply = call(own_client, "interrupt_kernel")
    assert (reply.state, reply.id) == ("RUNNING", run.id)
    assert "caught by the code" in reply.text
    assert "of the cell" in reply.text
    restarted = call(own_client, "restart_kernel")
    assert restarted.text.startswith("RESTARTED: "), restarted.text
    assert own_client.execute("'time' in dir()").block("result") == "False"


WITHIN = "import os, sys, time\ntry: time.sleep(60)\nexcept KeyboardInterrupt: "


def test_what_the_code_makes_of_an_interrupt_is_told_with_who_asked_for_it(own_client: Client) -> None:
    own_client.execute("1")
    raises = own_client.execute(WITHIN + "raise RuntimeError('gave up') from None", max_seconds=0.5)
    assert raises.state == "INTERRUPTED"
    assert "ended with RuntimeError" in raises.verdict
    assert "Interrupted after max_seconds=0.5. The code made RuntimeError of the interrupt." in raises.text
    leaves = own_client.execute(WITHIN + "sys.exit(1)", max_seconds=0.5)
    assert (leaves.state, "ended with SystemExit" in leaves.verdict) == ("INTERRUPTED", True), leaves.text
    cancelled = own_client.execute(
        "import asyncio\ntry: await asyncio.sleep(60)\n"
        "except asyncio.CancelledError: raise TimeoutError from None",
        max_seconds=0.5,
    )
    assert (cancelled.state, "ended with TimeoutError" in cancelled.verdict) == ("INTERRUPTED", True)
    passes = own_client.execute(WITHIN + "pass", max_seconds=0.5)
    assert (passes.state, "although it was interrupted" in passes.verdict) == ("OK", True)
    assert "Interrupted after max_seconds=0.5. That did not end it" in passes.text
    own = own_client.execute("raise KeyboardInterrupt")
    assert (own.state, "the code raised this itself" in own.text) == ("ERROR", True), own.text
    dies = own_client.execute(WITHIN + "os._exit(3)", max_seconds=0.5)
    assert (dies.state, "Before that: Interrupted after max_seconds=0.5." in dies.text) == ("DIED", True)


def test_a_failing_cell_magic_shows_no_code_of_ours(client: Client) -> None:
    reply = client.execute("%%bash\nexit 3")
    assert "CalledProcessError" in reply.verdict
    assert "named_interrupts" not in reply.text


def test_native_code_is_told_as_such_and_stops_when_it_returns(own_client: Client) -> None:
    own_client.execute("import collections, itertools")
    code = "collections.deque(itertools.repeat(1, 10**9), maxlen=0)\nwhile True: pass"
    run = own_client.execute(code, wait_seconds=0.5)
    reply = call(own_client, "interrupt_kernel")
    if reply.state == "RUNNING":  # on a fast machine it has returned by now
        assert "native code" in reply.text
    ended = own_client.wait_for(run.id, wait_seconds=40)
    assert ended.state == "INTERRUPTED", ended.text


def test_a_run_that_waits_is_told_from_one_that_works_without_an_interrupt(
    own_client: Client, connect: Connect, shared_home: Home
) -> None:
    works = connect(shared_home, shared_home.project("works"))
    code = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'while True: pass'])"
    works.execute("1")
    busy = works.start(code, wait_seconds=11)  # the kernel itself waits
    own_client.execute("import threading; lock = threading.Lock(); lock.acquire()")
    reply = own_client.execute("lock.acquire()", wait_seconds=11)
    assert (
        "used no processor: it waits for something. It is at line 1 of the cell: lock.acquire()" in reply.text
    )
    assert busy.result().state == "RUNNING", busy.result().text
    assert "used no processor" not in busy.result().text
    call(own_client, "interrupt_kernel")
    call(works, "stop_kernel")


def test_native_code_that_hangs_is_told_from_native_code_that_works(own_client: Client) -> None:
    own_client.execute("import ctypes; kept = 1")
    hangs = "ctypes.PyDLL(None).sleep(20)"  # with Python's lock, which PyDLL does not give up
    goes_on = "import time; time.sleep(60)"  # else it may have ended before the kernel reads of the interrupt
    run = own_client.execute(f"print('begun', flush=True)\n{hangs}\n{goes_on}", wait_seconds=1)
    reply = call(own_client, "interrupt_kernel")
    assert "It hangs: the kernel does not answer beside it and uses no processor" in reply.text
    assert own_client.wait_for(run.id, wait_seconds=40).state == "INTERRUPTED"
    assert own_client.execute("kept").block("result") == "1"


def test_a_stopped_kernel_is_stopped_and_not_dead(own_client: Client, shared_home: Home) -> None:
    pid = int(own_client.execute("import os; os.getpid()").block("result"))
    os.kill(pid, signal.SIGSTOP)
    try:
        reply = own_client.execute("1", wait_seconds=0.5)
        assert reply.state == "QUEUED"
        assert "stopped (signal SIGSTOP" in reply.text
    finally:
        os.kill(pid, signal.SIGCONT)
    assert own_client.wait_for(reply.id).state == "OK"


def test_a_crash_in_native_code_is_told_with_the_line_of_the_cell(own_client: Client) -> None:
    own_client.execute("import ctypes\ndef crash():\n    ctypes.string_at(0)")
    died = own_client.execute("x = 1\ncrash()")
    assert (died.state, "SIGSEGV" in died.text) == ("DIED", True), died.text
    assert "  an earlier cell, line 3 in crash" in died.text
    assert f"  {died.id}, line 2 in <module>: crash()" in died.text
    assert "IPython" not in died.text


@pytest.mark.parametrize(
    "dies",
    [
        "os._exit(3)",
        "os.abort()",
        "os.kill(os.getpid(), 9)",
        "import ctypes; ctypes.string_at(0)",
    ],
)
def test_what_was_printed_just_before_a_death_is_in_the_reply_and_in_the_notebook(
    own_client: Client, shared_home: Home, dies: str
) -> None:
    code = "import os, sys, time\nprint('first'); time.sleep(0.5)\nfor n in range(3): print('last', n, 'é')\n"
    died = own_client.execute(f"{code}print('oh', file=sys.stderr)\n{dies}")
    assert died.state == "DIED", died.text
    assert died.block("stdout") == "first\nlast 0 é\nlast 1 é\nlast 2 é"
    assert died.block("stderr") == "oh"


# --- questions --------------------------------------------------------------------------


def test_a_password_goes_past_the_assistant_and_is_recorded_nowhere(
    own_client: Client, shared_home: Home
) -> None:
    code = "import getpass; secret = getpass.getpass('DB password: '); print(len(secret))"
    asks = own_client.execute(code)
    assert asks.state == "WAITING FOR INPUT"
    assert f"kernelexec input {asks.id}" in asks.text
    assert call(own_client, "send_input", execution_id=asks.id, text="x").is_error
    typed = subprocess.run(
        [COMMAND, "input", asks.id],
        input="hunter2-hunter2\n",
        text=True,
        env=shared_home.environ,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert typed.returncode == 0, typed.stderr
    assert own_client.wait_for(asks.id).block("stdout") == "DB password: ········\n15"
    for path in [*shared_home.storage.rglob("*"), *shared_home.path.glob(".local/state/**/*")]:
        assert not path.is_file() or b"hunter2-hunter2" not in path.read_bytes(), path


def test_a_password_that_code_shows_comes_back_to_nobody(own_client: Client, shared_home: Home) -> None:
    password = "it's\\a/s3cret"
    asks = own_client.execute("secret = input('Password: ')")
    call(own_client, "send_input", execution_id=asks.id, text=password)
    shows = (
        "secret",
        "print(secret)",
        "for letter in secret: print(letter, end='', flush=True)",
        "print([secret], {secret: repr(secret)})",
        "import sys; print(secret, file=sys.stderr)",
        "import subprocess; subprocess.run(['echo', secret])",
        "import os; os.environ['PW'] = secret\n!printf '%s\\n' \"$PW\"",
        "from IPython.display import HTML; import html; HTML(f'<p>{html.escape(secret)}</p>')",
        "import urllib.parse; print(f'https://me:{urllib.parse.quote(secret, safe=str())}@host')",
        "raise ValueError(f'wrong: {secret}')",
        "import threading; t = threading.Thread(target=print, args=(secret,)); t.start(); t.join()",
        "secret.encode()",
    )
    for code in shows:
        reply = own_client.execute(code)
        assert "········" in reply.text, (code, reply.text)
        assert "s3cret" not in reply.text, (code, reply.text)
    assert "········" in call(own_client, "list_variables").text
    assert own_client.execute("print('its beginning: it', end='')").block("stdout") == "its beginning: it"
    assert own_client.execute("len(secret)").block("result") == str(len(password))
    for path in [*shared_home.storage.rglob("*"), *shared_home.path.glob(".local/state/**/*")]:
        assert not path.is_file() or b"s3cret" not in path.read_bytes(), path


def test_of_many_questions_answered_at_once_none_is_lost(own_client: Client) -> None:
    code = "for number in range(300):\n    print('row', number)\n    answer = input(f'{number}? ')\n"
    asks = own_client.execute(f"{code}print(answer)")
    for number in range(300):
        assert asks.state == "WAITING FOR INPUT", number
        assert asks.block("stdout").splitlines()[-1] == f"row {number}", "it was printed before the question"
        asks = call(own_client, "send_input", execution_id=asks.id, text=str(number), wait_seconds=30)
    assert (asks.state, asks.block("stdout")) == ("OK", "299? 299\n299")


@pytest.mark.parametrize("asks", ["input", "pdb"])
def test_three_clients_answer_a_hundred_questions_each_at_once_and_none_is_lost(
    connect_raw: ConnectRaw, shared_home: Home, asks: str
) -> None:
    answers = int(os.environ.get("KERNELEXEC_TEST_ANSWERS", "100"))  # by hand: 1,500

    def converse(name: str) -> str:
        client = connect_raw(shared_home, shared_home.project(f"answers-{asks}-{name}"))
        if asks == "input":
            code = f"said = [input(f'{{number}}? ') for number in range({answers})]"
            texts = [f"{name}{number}" for number in range(answers)]
        else:
            code = "said = []\nbreakpoint()\nimport os"
            texts = [*(f"said.append('{name}{number}')" for number in range(answers - 1)), "c"]
        reply = client.execute(code)
        for number, text in enumerate(texts):
            assert reply.state == "WAITING FOR INPUT", (name, number, reply.text)
            reply = client.call("send_input", execution_id=reply.id, text=text, wait_seconds=60)
        assert reply.state == "OK", reply.text
        return client.execute("len(said), len(set(said)), said[-1]").block("result")

    with ThreadPoolExecutor() as pool:
        told = list(pool.map(converse, ["ann", "ben", "cleo"]))
    count = answers if asks == "input" else answers - 1
    assert told == [f"({count}, {count}, '{name}{count - 1}')" for name in ("ann", "ben", "cleo")]


def test_a_terminal_answers_the_question_that_it_showed(own_client: Client, shared_home: Home) -> None:
    run = own_client.execute("first, second = input('First? '), input('Second? ')")
    terminal = Terminal(shared_home, COMMAND, "input", run.id)
    try:
        terminal.wait_for(r"First\? ")
        call(own_client, "send_input", execution_id=run.id, text="one")
        terminal.type("meant for the first\n")
        terminal.wait_for(r"asks something else by now \('Second\?'\)")
    finally:
        terminal.close()
    assert call(own_client, "send_input", execution_id=run.id, text="two").state == "OK"
    assert own_client.execute("first, second").block("result") == "('one', 'two')"


def test_the_debugger_is_answered_like_any_question(own_client: Client) -> None:
    asks = own_client.execute("a = 3\nbreakpoint()\nprint(a)")
    assert asks.state == "WAITING FOR INPUT"
    said = call(own_client, "send_input", execution_id=asks.id, text="a = 5", wait_seconds=30)
    assert said.state == "WAITING FOR INPUT"
    assert call(own_client, "send_input", execution_id=asks.id, text="c").state == "OK"


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("action", ["accept", "decline", "cancel"])
def test_a_client_with_a_form_has_its_person_asked(
    portal: BlockingPortal, shared_home: Home, mode: str, action: str
) -> None:
    asked: list[types.ElicitRequestFormParams] = []

    async def person(context: Any, params: Any) -> types.ElicitResult:
        asked.append(params)
        return types.ElicitResult(action=action, content={"answer": "Ann"} if action == "accept" else None)

    async def calls() -> list[Reply]:
        server = StdioServerParameters(
            command=COMMAND, env=shared_home.environ, cwd=str(shared_home.project(f"form-{mode}-{action}"))
        )
        async with EraClient(server, mode=mode, elicitation_callback=person) as client:
            code = "n = globals().get('n', 0) + 1\nname = input('Name? ')\nprint('Hello', name, n)"
            first = Reply(await client.call_tool("execute_code", {"code": code}))
            secret = Reply(
                await client.call_tool(
                    "execute_code",
                    {"code": "import getpass; getpass.getpass()", "session": "other", "wait_seconds": 1},
                )
            )
            if first.state == "WAITING FOR INPUT":
                assert "The person was asked" in first.text.splitlines()[1]
                answer = {"execution_id": first.id, "text": "Bob"}
                first = Reply(await client.call_tool("send_input", answer))
            await client.call_tool("stop_kernel", {"session": "other"})
            return [first, secret]

    first, secret = portal.call(calls)
    name = "Ann" if action == "accept" else "Bob"
    assert first.block("stdout") == f"Name? {name}\nHello {name} 1", first.text
    assert [params.message for params in asked] == [f"The code of {first.id} asks for input: Name?"]
    assert secret.state != "OK"


# --- death and restart ------------------------------------------------------------------


def test_exit_with_runs_queued_runs_none_of_them(own_client: Client) -> None:
    own_client.execute("x = 1")
    first = own_client.start("import time; time.sleep(0.5); exit()")
    time.sleep(0.2)
    second = own_client.start("open('written-after-exit', 'w')")
    left, queued = first.result(30), second.result(30)
    assert (left.state, queued.state) == ("OK", "NOT RUN"), queued.text
    assert "exited with code 0" in left.text
    assert "(x, time)" in left.text
    assert own_client.execute("import os; os.path.exists('written-after-exit')").block("result") == "False"


def test_a_kernel_that_dies_as_a_submission_comes_has_run_nothing(own_client: Client) -> None:
    for _ in range(3):
        pid = int(own_client.execute("import os; x = 1; os.getpid()").block("result"))
        os.kill(pid, signal.SIGKILL)
        reply = own_client.execute("print('ran')")
        assert reply.state == "NOT RUN", reply.text
        assert "SIGKILL" in reply.text
        assert "(x, os)" in reply.text
    own_client.execute("'a line since'")
    reply = call(own_client, "restart_kernel", replay=True)
    assert "All 2 submissions ran again and succeeded." in reply.text
    assert own_client.execute("x").block("result") == "1"


def test_a_replay_brings_the_variables_back_and_stops_at_what_fails(own_client: Client) -> None:
    own_client.execute("import pathlib, os\nx = 20")
    own_client.execute("y = x * 2")
    own_client.execute("raise ValueError")
    own_client.execute("flag = pathlib.Path('replay-flag'); assert not flag.exists(); flag.touch()")
    own_client.execute("z = 1")
    reply = call(own_client, "restart_kernel", replay=True)
    assert reply.state == "ERROR", reply.text
    assert "2 of 4 submissions ran again" in reply.text
    assert own_client.execute("y, 'z' in dir()").block("result") == "(40, False)"


def test_a_replaced_stdout_is_put_back_and_the_server_goes_on(own_client: Client) -> None:
    assert own_client.execute("import sys; sys.stdout = None; sys.stderr = None").state == "OK"
    assert own_client.execute("print('back')").block("stdout") == "back"
    assert own_client.execute("del __builtins__").state == "OK"
    assert own_client.execute("len('abc')").block("result") == "3"


def test_a_child_in_a_session_of_its_own_ends_with_its_kernel(own_client: Client) -> None:
    code = "import subprocess; subprocess.Popen(['sleep', '300'], start_new_session=True).pid"
    pid = int(own_client.execute(code).block("result"))
    session = own_client.config()["session"].split()[0]
    assert call(own_client, "stop_kernel", session=session).text.startswith("STOPPED: ")
    eventually(lambda: not psutil.pid_exists(pid))


def test_idle_kernels_are_stopped_and_busy_ones_are_not(connect: Connect, home: Home) -> None:
    client = connect(home, KERNELEXEC_KERNEL_IDLE_SECONDS="1.5")
    assert client.execute("import time; x = 1; time.sleep(3); x").block("result") == "1"
    reply = eventually(lambda: home.status()["sessions"][0]["state"] == "no kernel") and client.execute("x")
    assert reply.state == "NOT RUN"
    assert "idle for" in reply.text


# --- a new hub --------------------------------------------------------------------------


def test_a_run_goes_on_under_the_next_hub_with_all_its_output(connect_raw: ConnectRaw, home: Home) -> None:
    code = "import time\nfor n in range(30):\n    print('line', n, flush=True); time.sleep(0.1)\n'done'"
    first = connect_raw(home)
    first.execute("x = 1")
    running = first.begin_execute(code)
    journal = next((home.storage / ".kernelexec").glob("*.jsonl"))
    eventually(lambda: b"line 5" in journal.read_bytes())
    os.kill(home.status()["hub"]["pid"], signal.SIGKILL)
    first.kill()
    second = connect_raw(home)
    execution_id = f"{journal.stem}/2"
    waiting = second.begin(
        "tools/call", {"name": "wait_for_execution", "arguments": {"execution_id": execution_id}}
    )
    behind = second.begin_execute("x + 1")
    reply = second.reply(waiting)
    assert (reply.state, reply.block("result")) == ("OK", "'done'"), (reply.text, running)
    assert reply.block("stdout").splitlines() == [f"line {n}" for n in range(30)]
    assert second.reply(behind).block("result") == "2"


def test_progress_has_the_last_line_of_output(client: Client) -> None:
    code = "import time\nfor n in range(8):\n    print('step', n, flush=True); time.sleep(0.2)"
    reply, heard = client.call_with_progress("execute_code", {"code": code})
    assert reply.state == "OK"
    assert any(message.startswith("step ") for message in heard), heard
    assert len(heard) <= 8


def test_a_kernel_is_not_ended_by_a_restart_that_no_new_one_would_follow(
    connect: Connect, home: Home
) -> None:
    project = home.project("gone")
    client = connect(home, project)
    client.execute("kept = 'still'")
    project.rename(project.with_name("elsewhere"))
    for arguments in ({}, {"replay": True}):
        refused = client.call("restart_kernel", arguments)
        assert refused.is_error
        assert "its kernel was not ended, and its variables are there" in refused.text
        assert str(project) in refused.text
    project.with_name("elsewhere").rename(project)
    assert client.execute("kept").block("result") == "'still'"
    assert "RESTARTED" in client.call("restart_kernel", {}).text


def test_a_name_that_an_earlier_kernel_had_is_told_with_the_run_that_had_made_it(own_client: Client) -> None:
    made = own_client.execute("import json\nrows = [1, 2]\ndef total(): return sum(rows)")
    own_client.execute("rows = [1, 2, 3]")
    own_client.execute("1 / 0\nnever = 1")
    call(own_client, "restart_kernel")
    hint = own_client.execute("print(total())").text
    assert f"total was made by {made.id} in an earlier kernel, which ended." in hint, hint
    assert f"rows was made by {made.session}/{made.number + 1} in" in own_client.execute("rows").text
    for name in ("never", "typo"):
        assert "in an earlier kernel" not in own_client.execute(name).text
    replay = call(own_client, "restart_kernel", session=made.session, replay=True, generation=made_in(hint))
    assert replay.state == "OK", replay.text
    assert own_client.execute("total()").block("result") == "6"


def made_in(hint: str) -> int:
    found = re.search(r"replay=true, generation=(\d+)\)", hint)
    assert found is not None, hint
    return int(found[1])
