"""The person's command line: `kernelexec COMMAND`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from kernelexec import __version__
from kernelexec.bridge.way import named_host
from kernelexec.commands.output import complain
from kernelexec.errors import KernelexecError

# The module of each command, in the order of --help. Only that of the one that was typed is imported: all of
# them together take a quarter of a second.
_MODULES = {
    "setup": "setup",
    "exec": "execute",
    "wait": "execute",
    "show": "execute",
    "history": "history",
    "watch": "history",
    "vars": "kernel",
    "interrupt": "kernel",
    "restart": "kernel",
    "install": "kernel",
    "open": "kernel",
    "console": "console",
    "ps": "sessions",
    "stop": "sessions",
    "logs": "logs",
    "lab": "lab",
    "input": "input",
    "doctor": "doctor",
    "kernelspecs": "kernelspecs",
    "rebuild": "rebuild",
    "export": "export",
    "run": "run",
    "gc": "gc",
    "try": "attempt",
    "host": "host",
    "completion": "completion",
}
# What configures this host, or asks at its terminal. Everything else is done on the other, if one is named.
_HERE = ("setup", "host", "input", "completion", "--version", "--help", "-h")
_BROKEN_PIPE = 128 + 13  # as a shell says it of a program that SIGPIPE ended
_INTERRUPTED = 128 + 2


def main(arguments: Sequence[str]) -> int:
    """Run one command. Exit status 0, 1 for a failure, 2 for wrong usage; some have others of their own."""
    host, arguments = _host_and_command(arguments)
    try:
        if host and arguments[:1] and arguments[0] not in _HERE:
            from kernelexec.commands import far  # here, because most do without

            return far.run(host, arguments)
        options = parser(arguments[0] if arguments else None).parse_args(arguments)
        status = int(options.run(options))
        sys.stdout.flush()  # here, where a pipe that was closed can still be taken for that
    except KernelexecError as error:
        complain(error)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else the interpreter's end complains
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        return _INTERRUPTED
    return status


def _host_and_command(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """What `--host HOST` names before a command, else KERNELEXEC_HOST; and the rest."""
    rest = list(arguments)
    if rest[:1] == ["--host"] and len(rest) > 1:
        os.environ["KERNELEXEC_HOST"], rest = rest[1], rest[2:]
    elif rest and rest[0].startswith("--host="):
        os.environ["KERNELEXEC_HOST"], rest = rest[0].removeprefix("--host="), rest[1:]
    return named_host(os.environ), rest


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """All commands; of one that is named, as much as it needs."""
    whole = argparse.ArgumentParser(
        prog="kernelexec",
        description="Persistent Jupyter kernels for AI assistants. Without a command: the stdio MCP server.",
    )
    whole.add_argument(
        "--host",
        metavar="HOST",
        help="do it on another host: one of ssh's, or a command such as 'podman exec -i box'",
    )
    whole.add_argument("--version", action="version", version=f"kernelexec {__version__}")
    whole.add_argument(  # `__main__` does it, where nothing else was typed
        "--in-process",
        action="store_true",
        help="the stdio MCP server with the hub in the same process, as in a container",
    )
    commands = whole.add_subparsers(title="commands", required=True, metavar="COMMAND")
    wanted = [_MODULES[command]] if command in _MODULES else dict.fromkeys(_MODULES.values())
    for name in wanted if command != "--version" else ():
        import_module(f"kernelexec.commands.{name}").add(commands)
    return whole
