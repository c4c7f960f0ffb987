"""The person's command line: `kernelexec COMMAND`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from kernelexec import __version__
from kernelexec.commands import doctor, export, gc, kernelspecs, lab, rebuild, run, sessions, setup
from kernelexec.commands import input as input_command
from kernelexec.commands.output import complain
from kernelexec.errors import KernelexecError


def main(arguments: Sequence[str]) -> int:
    """Run one command. Exit status 0, 1 for a failure, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except KernelexecError as error:
        complain(error)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kernelexec",
        description="Persistent Jupyter kernels for AI assistants. Without a command: the stdio MCP server.",
    )
    parser.add_argument("--version", action="version", version=f"kernelexec {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    setup.add(commands)
    sessions.add(commands)
    doctor.add(commands)
    kernelspecs.add(commands)
    lab.add(commands)
    input_command.add(commands)
    rebuild.add(commands)
    export.add(commands)
    run.add(commands)
    gc.add(commands)

    attempt = commands.add_parser("try", help="a short tour: analyse a dataset through the real server")
    attempt.add_argument("--notebook", type=Path, metavar="FILE", help="also copy the notebook to FILE")
    attempt.set_defaults(run=_try)
    return parser


def _try(options: argparse.Namespace) -> int:
    from kernelexec.commands import tour  # here, because the MCP client takes half a second to import

    return tour.run(options.notebook)
