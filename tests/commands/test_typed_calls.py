"""What a reply recommends to an assistant, as a person would type it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from kernelexec.commands import cli
from kernelexec.commands.typed_calls import as_typed

REPLIES = sorted((Path(__file__).parents[1] / "replies").glob("*.txt"))
_CALL = re.compile(r"\w+\((?:execution_id|session|packages)=")
_TYPED = re.compile(r"`(kernelexec [^`]+)`")


@pytest.mark.parametrize(
    ("call", "command"),
    [
        ('wait_for_execution(execution_id="main@default/7")', "kernelexec wait main@default/7"),
        ('read_output(execution_id="main@default/7", offset=2908)', "kernelexec show main@default/7"),
        ('send_input(execution_id="a b@c/7", text=...)', "kernelexec input 'a b@c/7'"),
        ('interrupt_kernel(session="main@default")', "kernelexec interrupt main@default"),
        ('restart_kernel(session="main@default")', "kernelexec restart main@default"),
        ('restart_kernel(session="main@default", replay=true)', "kernelexec restart main@default --replay"),
        ('install_dependencies(packages=["pandas>=2", "six"])', "kernelexec install 'pandas>=2' six"),
        (
            'install_dependencies(packages=["six"], session="main@x")',
            "kernelexec install --session=main@x six",
        ),
    ],
)
def test_a_call_becomes_the_command_that_does_the_same(call: str, command: str) -> None:
    assert as_typed(f"QUEUED: it waits\nOr do {call}.") == f"QUEUED: it waits\nOr do `{command}`."
    assert callable(cli.parser().parse_args(shlex.split(command)[1:]).run)


def test_a_person_is_not_told_of_the_user() -> None:
    shown = as_typed((Path(__file__).parents[1] / "replies" / "waiting_for_input.txt").read_text())
    assert shown.splitlines()[1] == (
        "Answer with `kernelexec input penguins@demo/19`, "
        "or end the run: `kernelexec interrupt penguins@demo`."
    )


def test_what_no_command_does_stays_a_call() -> None:
    for call in ('restart_kernel(session="a@b", replay=true, generation=2)', 'read_cells(ids=["below:x"])'):
        assert as_typed(call) == call


def test_what_code_printed_stays_as_it_is() -> None:
    call = 'wait_for_execution(execution_id="main@default/7")'
    text = f"OK: it ran\n\n[stdout]\n{call}\n\n[... 17 outputs left out; {call} ...]\n\n[stdout]\n{call}"
    typed = text.replace(f"out; {call}", "out; `kernelexec wait main@default/7`")
    assert as_typed(text) == typed


@pytest.mark.parametrize("file", REPLIES, ids=lambda path: path.stem)
def test_no_reply_sends_a_person_to_a_tool_about_a_run(file: Path) -> None:
    shown = as_typed(file.read_text().removeprefix("isError\n\n"))
    assert _CALL.findall(shown.partition("\n\n")[0]) == []
    for command in _TYPED.findall(shown):
        assert callable(cli.parser().parse_args(shlex.split(command)[1:]).run)
