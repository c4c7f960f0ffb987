"""Who reads from a terminal, and what is taken for a question: programs on terminals, without a kernel."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pexpect
import pytest

from tests.kernelspecs.test_live_kernel import load
from tests.real.home import eventually

linux = pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell who reads")
READS = {
    "cat": "cat",
    "read -p name: x": "sh",
    f"{sys.executable} -c 'input()'": "python",
    f"{sys.executable} -c 'import readline; input()'": "python",
    f"{sys.executable} -c 'import getpass; getpass.getpass()'": "python",
    f"{sys.executable} -c 'import threading as t; t.Thread(target=input).start()'": "python",
}
DOES_NOT_READ = [
    "printf 'Continue? '; sleep 60",
    "sleep 60 | cat",
    f"{sys.executable} -c 'import asyncio; asyncio.run(asyncio.sleep(60))'",
    "cat < /dev/zero > /dev/null",
]


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setitem(sys.modules, "terminal_readers", load("kernel", "terminal_readers"))
    return load("kernel", "terminal_programs")


@contextlib.contextmanager
def on_a_terminal(command: str) -> Iterator[Any]:
    child = pexpect.spawn("/bin/bash", ["-c", command])
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # a hangup is ignored below nohup
        child.close(force=True)


@linux
@pytest.mark.parametrize(("command", "name"), READS.items())
def test_who_reads_from_a_terminal_is_found(command: str, name: str) -> None:
    reader_of = load("kernel", "terminal_readers").reader_of
    with on_a_terminal(command) as child:
        found = eventually(lambda: reader_of(os.tcgetpgrp(child.child_fd)))
        assert found.startswith(name) or found == "bash"


@linux
@pytest.mark.parametrize("command", DOES_NOT_READ)
def test_who_does_something_else_is_not_said_to_read(command: str) -> None:
    reader_of = load("kernel", "terminal_readers").reader_of
    with on_a_terminal(command) as child:
        time.sleep(0.5)
        assert reader_of(os.tcgetpgrp(child.child_fd)) is None


@linux
def test_where_it_cannot_be_told_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("kernel", "terminal_readers")
    monkeypatch.setattr(module, "READ", ())
    with on_a_terminal("cat") as child:
        time.sleep(0.2)
        with pytest.raises(module.Unknown):
            module.reader_of(os.tcgetpgrp(child.child_fd))


@pytest.mark.parametrize(
    ("text", "echo", "rest"),
    [
        ("y\r\nok", "y\r\n", ("ok", "")),
        ("y", "yes\r\n", ("", "es\r\n")),
        ("other", "y\r\n", ("other", "")),
        ("", "y\r\n", ("", "y\r\n")),
        ("text", "", ("text", "")),
    ],
)
def test_the_answer_that_a_terminal_says_back_is_not_shown_twice(
    programs: ModuleType, text: str, echo: str, rest: tuple[str, str]
) -> None:
    assert programs.without_echo(text, echo) == rest


@pytest.mark.parametrize(
    ("line", "is_question"),
    [
        ("Proceed (Y/n)? ", True),
        ("[sudo] password for ann: ", True),
        ("Do you want to continue? [Y/n]", True),
        (">>> ", True),
        ("Downloading... ", False),
        ("\r 10%", False),
        ("", False),
    ],
)
def test_what_looks_like_a_question(programs: ModuleType, line: str, is_question: bool) -> None:
    assert bool(programs.QUESTION.search(line)) is is_question
