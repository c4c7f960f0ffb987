"""The person's commands: `kernelexec ps`, `stop` and `try`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kernelexec import __version__, paths
from kernelexec.errors import HubUnavailable, KernelexecError
from kernelexec.rendezvous import join_hub, read_line

_USAGE = 2  # exit status of a command that was called wrongly


def main(arguments: Sequence[str]) -> int:
    """Run one command. Exit status 0, 1 for a failure, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except KernelexecError as error:
        print(f"kernelexec: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kernelexec",
        description="Persistent Jupyter kernels for AI assistants. Without a command: the stdio MCP server.",
    )
    parser.add_argument("--version", action="version", version=f"kernelexec {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    ps = commands.add_parser("ps", help="show the hub and all sessions with their kernels")
    ps.add_argument("--json", action="store_true", help="print JSON")
    ps.set_defaults(run=_ps)

    stop = commands.add_parser("stop", help="stop the kernel of a session; its variables are lost")
    what = stop.add_mutually_exclusive_group(required=True)
    what.add_argument("session", nargs="?", metavar="SESSION", help="for example main@default")
    what.add_argument("--all", action="store_true", help="stop all kernels and the hub")
    stop.set_defaults(run=_stop)

    attempt = commands.add_parser("try", help="a short tour: analyse a dataset through the real server")
    attempt.add_argument("--notebook", type=Path, metavar="FILE", help="also copy the notebook to FILE")
    attempt.set_defaults(run=_try)
    return parser


def _ps(options: argparse.Namespace) -> int:
    status = _ask({"command": "ps"})
    if options.json:
        print(json.dumps(status, indent=1))
        return 0
    if not status:
        print(f"No hub is running and no kernels are left. Log: {paths.log_file(os.environ)}")
        return 0
    hub = status["hub"]
    print(f"hub {hub['version']}, pid {hub['pid']}, log {hub['log']}")
    sessions = status["sessions"]
    if not sessions:
        print("no sessions")
        return 0
    rows: list[tuple[str, ...]] = [("SESSION", "STATE", "GENERATION", "MEMORY", "IDLE", "NOTEBOOK")]
    rows += [_row(session) for session in sessions]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _row(session: Mapping[str, Any]) -> tuple[str, ...]:
    state = session["state"]
    if session["running"]:
        state += f" ({session['running'].rpartition('/')[2]})"
    if session["queued"]:
        state += f", {session['queued']} queued"
    memory = f"{session['memory_mb']} MB" if session["memory_mb"] else "-"
    notebook = session["notebook"] or session["storage_dir"]
    return (
        session["session"],
        state,
        str(session["generation"]),
        memory,
        _age(session["idle_seconds"]),
        notebook,
    )


def _age(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _stop(options: argparse.Namespace) -> int:
    command = {"command": "stop-all"} if options.all else {"command": "stop", "session": options.session}
    answer = _ask(command)
    if not answer and not options.all:
        answer = {"error": f"{options.session} has no running kernel", "sessions": []}
    if "error" in answer:
        print(f"kernelexec: {answer['error']}", file=sys.stderr)
        for name in answer["sessions"]:
            print(f"  kernelexec stop {name}", file=sys.stderr)
        return _USAGE
    stopped = ", ".join(answer.get("stopped", ()))
    print(f"stopped: {stopped}" if stopped else "nothing was running")
    return 0


def _try(options: argparse.Namespace) -> int:
    from kernelexec import tour  # here, because the MCP client takes half a second to import

    return tour.run(options.notebook)


def _ask(command: Mapping[str, str]) -> dict[str, Any]:
    """The hub's answer; empty if there is neither a hub nor a kernel that one would look after."""
    try:
        connection = join_hub("admin", os.environ, start=_has_kernels())
    except HubUnavailable:
        if _has_kernels():
            raise
        return {}
    connection.sendall(json.dumps(command).encode() + b"\n")
    line = read_line(connection)
    connection.close()
    if not line:
        raise HubUnavailable(
            "The hub ended before it answered.", f"Its log says why: {paths.log_file(os.environ)}"
        )
    answer: dict[str, Any] = json.loads(line)
    return answer


def _has_kernels() -> bool:
    return any(Path(paths.state_dir(os.environ), "kernels").glob("*.json"))
