"""`kernelexec input ID`: the person answers what running code asks, without the assistant."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import TYPE_CHECKING

from kernelexec.commands import USAGE
from kernelexec.commands.hub_client import ask
from kernelexec.commands.output import complain

if TYPE_CHECKING:
    from kernelexec.commands import Commands


def add(commands: Commands) -> None:
    """Add `input` to the parser."""
    parser = commands.add_parser("input", help="answer input() or getpass() of a run, past the assistant")
    parser.add_argument("execution", metavar="ID", help="the run's id, for example main@default/7")
    parser.set_defaults(run=_input)


def _input(options: argparse.Namespace) -> int:
    asked = ask({"command": "question", "execution": options.execution})
    if "prompt" not in asked:
        return _refused(asked.get("error", f"{options.execution} does not wait for input."))
    prompt = asked["prompt"] or "Answer: "
    try:
        text = getpass.getpass(prompt) if asked["password"] and sys.stdin.isatty() else _line(prompt)
    except (EOFError, KeyboardInterrupt):
        return _refused("Nothing was sent; the run still waits.")
    answer = {"command": "answer", "execution": options.execution, "question": asked.get("name")}
    answered = ask({**answer, "text": text})
    if "error" in answered:
        return _refused(answered["error"])
    print(f"sent to {options.execution}")
    return 0


def _line(prompt: str) -> str:
    """A line of standard input, which is not shown where it is no terminal."""
    return input(prompt) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")


def _refused(why: str) -> int:
    complain(why)
    return USAGE
