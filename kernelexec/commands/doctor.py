"""`kernelexec doctor`."""

from __future__ import annotations

import argparse
import asyncio
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from kernelexec import __version__, paths
from kernelexec.commands.hub_client import ask_running
from kernelexec.commands.output import add_json_option, print_json
from kernelexec.errors import HubUnavailable

if TYPE_CHECKING:
    from kernelexec.commands import Commands
    from kernelexec.hub.examination import Finding


def add(commands: Commands) -> None:
    """Add `doctor` to the parser."""
    doctor = commands.add_parser("doctor", help="look for what is wrong, and say how to mend it")
    add_json_option(doctor)
    doctor.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from kernelexec.hub.examination import (  # here: a tenth of a second that others save
        is_well,
        summary,
    )

    findings = asyncio.run(_examined())
    if options.json:
        print_json([asdict(finding) for finding in findings])
    else:
        print(summary(findings))
    return 0 if is_well(findings) else 1


async def _examined() -> list[Finding]:
    """This shell's settings, and those that the clients' files give: either may be wrong alone."""
    from kernelexec.commands.clients.check import check_clients
    from kernelexec.hub.examination import examine

    of_shell = await examine(os.environ, os.getcwd(), _hub())
    return [*of_shell, *_owed(), *await check_clients(os.environ, Path(os.getcwd()))]


def _owed() -> list[Finding]:
    """Stops that were asked for while nothing led to the kernel."""
    from kernelexec.hub.examination import Finding, Level
    from kernelexec.kernels.owed_stops import owed_stops

    owed = owed_stops(Path(paths.state_dir(os.environ)))
    if not owed:
        return []
    where = ", ".join(sorted({each["host"] for each in owed}))
    kernels = "1 kernel" if len(owed) == 1 else f"{len(owed)} kernels"
    what = f"not yet carried out on {where}, where {kernels} may run on: the link was down"
    return [Finding(Level.NOTE, "stops", what, "kernelexec ps")]


def _hub() -> Finding:
    from kernelexec.hub.examination import Finding, Level
    from kernelexec.kernels.strays import living

    log = paths.log_file(os.environ)
    try:
        status = ask_running({"command": "ps"})
    except HubUnavailable as error:
        return Finding(Level.PROBLEM, "hub", error.what, error.next_step or f"its log says more: {log}")
    if status is None:
        registered = {path.stem for path in Path(paths.state_dir(os.environ), "kernels").glob("*.json")}
        left = len(registered | living(Path(paths.runtime_dir(os.environ))).keys())
        if left:
            what = f"not running; {left} kernels of an earlier one are left, which the next client's adopts"
            return Finding(Level.NOTE, "hub", what, "kernelexec ps")
        return Finding(Level.OK, "hub", "not running; it starts with the next client")
    version, sessions = status["hub"]["version"], len(status["sessions"])
    what = f"version {version}, pid {status['hub']['pid']}, sessions: {sessions}, log {log}"
    lost = [each for each in status.get("lost", ()) if not each["is_elsewhere"]]
    if lost:
        ends = "; ".join(f"kernelexec stop {each['kernel']}" for each in lost)
        return Finding(Level.PROBLEM, "hub", f"{what}; {len(lost)} kernels live and serve nobody", ends)
    if version != __version__:
        mend = "kernelexec stop --all (ends all kernels), or leave it: it serves this version too"
        return Finding(Level.NOTE, "hub", f"{what}; this is {__version__}", mend)
    return Finding(Level.OK, "hub", what)
