"""What programs ask on their terminals that `!command` has started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.clients import Client, Reply
from tests.real.home import COMMAND, Home

ASKS = "name = input('Your name? ')\nprint('hello', name)\nage = input('And age? ')\nprint(int(age) + 1)\n"
HIDDEN = "import getpass\nword = getpass.getpass('Word: ')\nprint(len(word))\n"


@pytest.fixture
def folder(own_client: Client) -> Path:
    return Path(own_client.execute("import os, sys; print(os.getcwd())").block("stdout"))


def answer(client: Client, asks: Reply, text: str) -> Reply:
    return client.call("send_input", {"execution_id": asks.id, "text": text, "wait_seconds": 30})


def test_what_a_program_asks_is_answered_and_stands_in_its_cell_once(
    own_client: Client, folder: Path
) -> None:
    (folder / "ask.py").write_text(ASKS)
    asks = own_client.execute("!{sys.executable} ask.py\nprint('code', _exit_code)")
    assert asks.state == "WAITING FOR INPUT"
    assert "asks 'Your name?'" in asks.verdict
    asks = answer(own_client, asks, "Ann")
    assert "asks 'And age?'" in asks.verdict
    done = answer(own_client, asks, "41")
    assert done.state == "OK"
    whole = own_client.call("wait_for_execution", {"execution_id": done.id}).block("stdout")
    assert whole == "Your name? Ann\nhello Ann\nAnd age? 41\n42\ncode 0"


def test_a_hidden_question_is_one_for_a_password(own_client: Client, folder: Path, shared_home: Home) -> None:
    (folder / "hidden.py").write_text(HIDDEN)
    asks = own_client.execute("!{sys.executable} hidden.py")
    assert "asks 'Word:'" in asks.verdict
    assert "password" in asks.text
    assert answer(own_client, asks, "x").result.is_error
    command = [COMMAND, "input", asks.id]
    typed = subprocess.run(
        command, input="se3cret-word\n", text=True, env=shared_home.environ, timeout=60, check=False
    )
    assert typed.returncode == 0
    assert own_client.wait_for(asks.id).block("stdout") == "Word: ········\n12"


def test_a_program_that_reads_without_a_question_is_named_and_its_input_ended(
    own_client: Client,
) -> None:
    asks = own_client.execute("!cat; echo after")
    assert "[cat reads from its terminal" in asks.verdict
    assert answer(own_client, asks, "a line").state == "WAITING FOR INPUT"
    done = answer(own_client, asks, "\x04")
    assert done.state == "OK"
    assert done.block("stdout").endswith("after")


def test_a_program_that_waits_is_interrupted(own_client: Client) -> None:
    asks = own_client.execute("!cat")
    assert asks.state == "WAITING FOR INPUT"
    assert own_client.call("interrupt_kernel", {}).state == "INTERRUPTED"
    assert own_client.execute("1").block("result") == "1"


def test_a_question_is_withdrawn_when_the_program_goes_on_without_an_answer(own_client: Client) -> None:
    asks = own_client.execute("!bash -c 'read -t 2 -p \"quick? \" x; echo; sleep 4; echo went on'")
    assert asks.state == "WAITING FOR INPUT"
    going_on = own_client.call("wait_for_execution", {"execution_id": asks.id, "wait_seconds": 0})
    while going_on.state == "WAITING FOR INPUT":
        going_on = own_client.call("wait_for_execution", {"execution_id": asks.id, "wait_seconds": 0})
    assert going_on.state == "RUNNING"
    done = own_client.call("wait_for_execution", {"execution_id": asks.id})
    assert done.state == "OK"
    assert "went on" in done.text


def test_what_a_program_prints_and_how_it_ends_is_as_ever(own_client: Client) -> None:
    command = "printf 'Working... '; sleep 1; echo done; printf '\\303'; sleep 0.3; printf '\\244\\n'; exit 3"
    reply = own_client.execute(f"!{command}\nprint(_exit_code)")
    assert reply.block("stdout") == "Working... done\nä\n3"
    assert own_client.execute("!kill -9 $$\nprint(_exit_code)").block("stdout") == "-9"
    big = own_client.execute(f"!{sys.executable} -c \"print('x' * 3_000_000)\"")
    assert big.state == "OK"


def test_where_the_system_does_not_tell_who_reads_what_looks_like_a_question_is_asked(
    own_client: Client,
) -> None:
    own_client.execute("import sys; sys.modules['terminal_readers'].READ = ()")
    done = own_client.execute("!printf 'Downloading... '; sleep 4; echo done")
    assert done.block("stdout") == "Downloading... done"
    asks = own_client.execute('!bash -c \'read -p "Go on? " x; echo got "$x"\'')
    assert "asks 'Go on?'" in asks.verdict
    assert answer(own_client, asks, "yes").block("stdout") == "Go on? yes\ngot yes"
    asks = own_client.execute("!bash -c 'read -s -p \"Word: \" x; echo got it'")
    assert "password" in asks.text


def test_a_command_that_fails_is_told_by_its_program_and_exit_code(own_client: Client) -> None:
    own_client.execute("word = 'se3cret-word'")
    reply = own_client.execute("!/bin/sh -c 'exit 3' {word}")
    assert reply.state == "OK"
    assert "\n`!sh ...` exited with 3." in reply.text
    assert "se3cret-word" not in reply.text
    reply = own_client.execute(
        "for n in range(1, 6): get_ipython().system(f'exit {n}')\n!A={word} false; kill -9 $$"
    )
    assert (
        "6 commands failed, at last: `!exit ...` exited with 4; `!exit ...` exited with 5; A `!command`"
        in reply.text
    )
    assert "was ended by signal 9" in reply.text
    assert "exited" not in own_client.execute("!true").text
