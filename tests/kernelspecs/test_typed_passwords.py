"""What hides passwords that were typed. Runs what runs in the user's interpreter, without a kernel."""

from __future__ import annotations

import json
import random
import time
from types import SimpleNamespace
from typing import Any

import pytest

from kernelexec.model import execution
from tests.kernelspecs.test_live_kernel import load

typed_passwords = load("kernel", "typed_passwords")
DOTS = typed_passwords.HIDDEN


class Stream:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def write(self, text: str) -> int:
        self.texts.append(text)
        return len(text)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def knowing(*typed: str, stream: Stream | None = None) -> Any:
    passwords = typed_passwords.TypedPasswords()
    passwords.watch(SimpleNamespace(pack=json.dumps))
    for each in typed:
        passwords.remember(each, "", True, *([stream] if stream is not None else []))
    return passwords


def test_a_prompt_reads_like_one_for_a_secret_here_and_in_the_hub_alike() -> None:
    assert typed_passwords.SECRET == execution._SECRET
    assert typed_passwords.HIDDEN == execution._HIDDEN


@pytest.mark.parametrize(
    ("typed", "text", "told"),
    [
        ("hunter2-hunter2", "xhunter2-hunter2x", f"x{DOTS}x"),
        ("hunter2-hunter2 ", "hunter2-hunter2\n", f"{DOTS}\n"),
        ("test", "the latest test, test", f"the latest {DOTS}, {DOTS}"),
        ("a\\b\"c'dé", "'a\\\\b\"c\\'dé' b'a\\\\b\"c\\'d\\xc3\\xa9' \"a\\\\b\\\"c'd\\u00e9\"", None),
        ("abc", "abc", "abc"),
    ],
)
def test_what_was_typed_is_hidden_as_it_is_written(typed: str, text: str, told: str | None) -> None:
    hidden = knowing(typed).hidden({"a": [text, 1], text: None})
    if told is not None:
        assert hidden == {"a": [told, 1], told: None}
    else:
        assert hidden["a"][0] == f"'{DOTS}' b'{DOTS}' \"{DOTS}\""


@pytest.mark.parametrize(
    ("answer", "prompt", "password", "is_hidden"),
    [
        ("1024", "How many tokens? ", False, False),
        ("sk-0123456789", "API key: ", False, True),
        ("New York City", "Where? ", False, False),
        ("1024", "", True, True),
    ],
)
def test_an_answer_is_hidden_where_it_was_asked_for_as_a_secret(
    answer: str, prompt: str, password: bool, is_hidden: bool
) -> None:
    passwords = knowing()
    passwords.remember(answer, prompt, password)
    assert (DOTS in passwords.hidden(f"it was {answer}")) is is_hidden


def test_headers_and_code_are_sent_as_they_are() -> None:
    passwords, session = typed_passwords.TypedPasswords(), SimpleNamespace(pack=json.dumps)
    passwords.watch(session)
    passwords.remember("stream99", "", True)
    for part in ({"msg_type": "stream99"}, {"code": "stream99", "execution_count": 1}):
        assert json.loads(session.pack(part)) == part
    assert json.loads(session.pack({"text": "stream99"})) == {"text": DOTS}


def test_without_a_session_that_is_watched_nothing_is_hidden() -> None:
    passwords = typed_passwords.TypedPasswords()
    passwords.remember("hunter2-hunter2", "", True)
    assert passwords.hidden("hunter2-hunter2") == "hunter2-hunter2"


@pytest.mark.parametrize("seed", range(20))
def test_a_password_that_is_written_in_pieces_is_hidden_and_all_else_arrives(seed: int) -> None:
    chance, stream = random.Random(seed), Stream()
    passwords = knowing("hunter2-hunter2", "hunt99", stream=stream)
    text = " ".join(
        chance.choice(["hunter2-hunter2", "hunt99", "hunter", "h", "hunt99s", "\n"]) for _ in range(40)
    )
    rest = text
    while rest:
        length = chance.randint(1, 6)
        stream.write(rest[:length])
        rest = rest[length:]
    passwords.release()
    assert "hunter2-hunter2" not in stream.text
    assert "hunt99 " not in stream.text
    assert stream.text.replace("hunt99s", f"{DOTS}s") == passwords.hidden(text).replace("hunt99s", f"{DOTS}s")


def test_ten_megabytes_are_looked_through_quickly() -> None:
    passwords, text = knowing(*(f"password number {n}" for n in range(10))), "0123456789" * 1_000_000
    began = time.perf_counter()
    assert passwords.hidden(text) == text
    assert time.perf_counter() - began < 2  # 0.05 s on a fast machine
