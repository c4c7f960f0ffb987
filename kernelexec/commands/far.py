"""`kernelexec --host HOST COMMAND`: one of the person's commands, on another host and through the same link.

Its output is the link's as it comes. What is typed and Control-C go as lines of JSON (bridge/far_end),
because the other program has no terminal there.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from threading import Thread
from types import FrameType

from kernelexec.bridge.far_link import FarHost, Link
from kernelexec.errors import BadRequest

_CHUNK = 1 << 16  # bytes


def run(said: str, arguments: Sequence[str]) -> int:
    """The command's exit status.

    Raises:
        KernelexecError: the host is not reached, or the command cannot be run there.
    """
    host = FarHost(said)
    if arguments[:1] == ["console"]:
        raise BadRequest(
            "console needs a terminal there, which this link has none of.",
            f"Start it there: {_with_terminal(host)} kernelexec console",
        )
    if arguments[:1] == ["lab"] and "--print-config" not in arguments:
        from kernelexec.commands import far_lab  # here, because few need it

        return far_lab.run(host, arguments[1:])
    columns = shutil.get_terminal_size().columns
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the link outlives Control-C, which it has to pass
    try:
        link = host.ask({"want": "command", "arguments": list(arguments), "columns": columns}, os.environ)
        _Typed(link).pass_on()
        while chunk := link.connection.recv(_CHUNK):
            _write(chunk)
        return link.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def _with_terminal(host: FarHost) -> str:
    """How a person would start a program there."""
    if host.command[:2] == ["ssh", "-T"]:
        return shlex.join(["ssh", "-t", *host.command[2:]])
    return host.shown


class _Typed:
    """What comes from this terminal."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._interrupts = 0

    def pass_on(self) -> None:
        signal.signal(signal.SIGINT, self._interrupt)
        Thread(target=self._pass_input, daemon=True).start()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupts += 1
        if self._interrupts > 1:  # it did not help
            os._exit(128 + number)
        self._say({"signal": number})

    def _pass_input(self) -> None:
        while chunk := os.read(0, _CHUNK):
            self._say({"input": base64.b64encode(chunk).decode()})
        self._say({"end": True})

    def _say(self, what: object) -> None:
        self._link.send(json.dumps(what).encode() + b"\n")


def _write(chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(sys.stdout.fileno(), rest) :]
