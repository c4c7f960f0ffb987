"""`kernelexec ps` and `kernelexec stop`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kernelexec import paths
from kernelexec.commands import USAGE
from kernelexec.commands.hub_client import ask, ask_running
from kernelexec.commands.output import add_json_option, complain, print_json, print_table
from kernelexec.model.quantities import readable_age, readable_size

if TYPE_CHECKING:
    from kernelexec.commands import Commands

_WATCH_SECONDS = 2.0
_HEAD = ("SESSION", "STATE", "GENERATION", "MEMORY", "IDLE", "NOTEBOOK")


def add(commands: Commands) -> None:
    """Add `ps` and `stop` to the parser."""
    ps = commands.add_parser("ps", help="show the hub and all sessions with their kernels")
    add_json_option(ps)
    ps.add_argument(
        "--watch",
        nargs="?",
        type=_seconds,
        const=_WATCH_SECONDS,
        metavar="SECONDS",
        help="look again and again, until Ctrl-C; every 2 seconds if nothing is said",
    )
    ps.set_defaults(run=_ps)

    stop = commands.add_parser("stop", help="stop the kernel of a session; its variables are lost")
    what = stop.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "session", nargs="?", metavar="SESSION", help="for example main@default; or a kernel that `ps` names"
    )
    what.add_argument("--all", action="store_true", help="stop all kernels and the hub")
    stop.set_defaults(run=_stop)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0.1 to 3600")
    return seconds


def _ps(options: argparse.Namespace) -> int:
    while options.watch is not None:
        # What runs is only looked at: that starts no hub.
        status = ask_running({"command": "ps"}) or {}
        if sys.stdout.isatty():
            print("\033[H\033[2J", end="")
        _show(options, status)
        sys.stdout.flush()
        time.sleep(options.watch)
    return _show(options, ask({"command": "ps"}))


def _show(options: argparse.Namespace, status: Mapping[str, Any]) -> int:
    if options.json:
        print_json(status)
        return 0
    if not status:
        print(f"No hub is running and no kernels are left. Log: {paths.log_file(os.environ)}")
        return 0
    hub = status["hub"]
    print(f"hub {hub['version']}, pid {hub['pid']}, log {hub['log']}")
    sessions = status["sessions"]
    if sessions:
        print_table(_HEAD, map(_row, sessions))
    else:
        print("no sessions")
    for lost in status.get("lost", ()):  # a hub of an earlier version knows of none
        print(f"\n{_about_lost(lost)}")
    for owed in status.get("owed", ()):
        print(f"\n{_about_owed(owed)}")
    return 0


def _about_lost(lost: Mapping[str, Any]) -> str:
    """A kernel that lives and serves no session."""
    whose = f"of {lost['session']} in {lost['storage_dir']}" if lost["session"] else "of an unknown session"
    if lost["is_elsewhere"]:
        return f"kernel {lost['kernel']} {whose}: {lost['why']}; it can be seen and stopped there only"
    memory = readable_size(lost["memory_mb"] * 1e6)
    pids = ", ".join(map(str, lost["pids"]))
    return (
        f"kernel {lost['kernel']} {whose} lives and serves nobody: {lost['why']}.\n"
        f"  process {pids}, {memory}; to end it: kernelexec stop {lost['kernel']}"
    )


def _about_owed(owed: Mapping[str, str]) -> str:
    """A kernel that was stopped where nothing led to it."""
    since = datetime.fromisoformat(owed["since"]).astimezone()
    return (
        f"kernel {owed['kernel']} on {owed['host']} was stopped at {since:%Y-%m-%d %H:%M:%S}, while its link "
        "was down, and may run on.\n"
        f"  It is ended while a hub runs, once this leads there again: {owed['command']}"
    )


def _row(session: Mapping[str, Any]) -> tuple[str, ...]:
    # A hub of an earlier version does not say whether it is reached.
    state = session["state"] if session.get("is_reached", True) else "link down"
    if session["running"]:
        state += f" ({session['running'].rpartition('/')[2]})"
    if session["queued"]:
        state += f", {session['queued']} queued"
    memory = readable_size(session["memory_mb"] * 1e6) if session["memory_mb"] else "-"
    notebook = session["notebook"] or session["storage_dir"]
    return (
        session["session"],
        state,
        str(session["generation"]),
        memory,
        readable_age(session["idle_seconds"]),
        notebook,
    )


def _stop(options: argparse.Namespace) -> int:
    command = {"command": "stop-all"} if options.all else {"command": "stop", "session": options.session}
    answer = ask(command)
    if not answer and not options.all:
        answer = {"error": f"{options.session} has no running kernel", "sessions": []}
    if "error" in answer:
        complain(answer["error"])
        for name in answer["sessions"]:
            print(f"  kernelexec stop {name}", file=sys.stderr)
        return USAGE
    stopped = ", ".join(answer.get("stopped", ()))
    if stopped or not (answer.get("away") or answer.get("untold")):
        print(f"stopped: {stopped}" if stopped else "nothing was running")
    if answer.get("away"):
        away = ", ".join(answer["away"])
        print(f"not reached now, so ended as soon as a hub runs and the link is back: {away}")
    if answer.get("untold"):  # a hub of an earlier version does not say it
        untold = ", ".join(answer["untold"])
        print(f"let go of, but their server was not reached, so they may run on there: {untold}")
    if answer.get("left"):
        print(f"left as they are, because they are your Jupyter's: {', '.join(answer['left'])}")
    return 0
