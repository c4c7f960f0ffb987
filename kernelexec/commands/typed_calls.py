"""The calls that a reply recommends to an assistant, as the commands that a person types instead."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping

# A call with its arguments, as replies have them: quoted texts, a list of such, true, numbers, ...
_CALL = re.compile(r"\b(?P<tool>[a-z]+(?:_[a-z]+)+)\((?P<arguments>\w+=[^()\n]*)\)")
_ARGUMENT = re.compile(r'(\w+)=(\[[^\]]*\]|"[^"]*"|[\w.]+)')
_TEXT = re.compile(r'"([^"]*)"')
_TO_THE_PERSON_TOO = re.compile(r" The user can answer too: [^\n]*")  # who reads this
_LEFT_OUT = re.compile(r"^\[\.\.\. .*$", re.MULTILINE)  # what a reply says among the outputs

Given = Mapping[str, list[str]]

_COMMANDS: Mapping[str, Callable[[Given], list[str]]] = {
    "wait_for_execution": lambda given: ["wait", *given["execution_id"]],
    "read_output": lambda given: ["show", *given["execution_id"]],
    "send_input": lambda given: ["input", *given["execution_id"]],
    "interrupt_kernel": lambda given: ["interrupt", *given["session"]],
    "restart_kernel": lambda given: ["restart", *given["session"], *["--replay"] * ("replay" in given)],
    "install_dependencies": lambda given: [
        "install",
        *(f"--session={name}" for name in given.get("session", [])),
        *given["packages"],
    ],
}
_ONLY_IN_CALLS = {"generation"}  # what no command can be told


def as_typed(reply: str) -> str:
    """A reply whose recommendations are commands. What code has printed stays as it is."""
    head, gap, body = reply.partition("\n\n")
    head = _TO_THE_PERSON_TOO.sub("", head)
    return _CALL.sub(_command, head) + gap + _LEFT_OUT.sub(lambda line: _CALL.sub(_command, line[0]), body)


def _command(call: re.Match[str]) -> str:
    given = {name: _TEXT.findall(value) for name, value in _ARGUMENT.findall(call["arguments"])}
    if call["tool"] not in _COMMANDS or given.keys() & _ONLY_IN_CALLS:
        return call[0]
    try:
        return f"`{shlex.join(['kernelexec', *_COMMANDS[call['tool']](given)])}`"
    except KeyError:  # one that is not about a run or a session
        return call[0]
