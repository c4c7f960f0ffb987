"""`kernelexec ps` and `kernelexec stop`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kernelexec import paths
from kernelexec.commands import USAGE
from kernelexec.commands.hub_client import ask

if TYPE_CHECKING:
    from kernelexec.commands import Commands


def add(commands: Commands) -> None:
    """Add `ps` and `stop` to the parser."""
    ps = commands.add_parser("ps", help="show the hub and all sessions with their kernels")
    ps.add_argument("--json", action="store_true", help="print JSON")
    ps.set_defaults(run=_ps)

    stop = commands.add_parser("stop", help="stop the kernel of a session; its variables are lost")
    what = stop.add_mutually_exclusive_group(required=True)
    what.add_argument("session", nargs="?", metavar="SESSION", help="for example main@default")
    what.add_argument("--all", action="store_true", help="stop all kernels and the hub")
    stop.set_defaults(run=_stop)


def _ps(options: argparse.Namespace) -> int:
    status = ask({"command": "ps"})
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
    answer = ask(command)
    if not answer and not options.all:
        answer = {"error": f"{options.session} has no running kernel", "sessions": []}
    if "error" in answer:
        print(f"kernelexec: {answer['error']}", file=sys.stderr)
        for name in answer["sessions"]:
            print(f"  kernelexec stop {name}", file=sys.stderr)
        return USAGE
    stopped = ", ".join(answer.get("stopped", ()))
    print(f"stopped: {stopped}" if stopped else "nothing was running")
    return 0
