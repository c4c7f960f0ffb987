"""diagnose_setup: the doctor, for the assistant."""

from __future__ import annotations

import os

import mcp_types as types

from kernelexec import __version__, paths
from kernelexec.errors import ConfigError
from kernelexec.hub import examination
from kernelexec.hub.examination import Finding, Level
from kernelexec.hub.lost_kernels import named
from kernelexec.mcp_server import render
from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.tools.arguments import Arguments
from kernelexec.mcp_server.tools.base import Tool


class DiagnoseSetup(Arguments):
    pass


async def _diagnose_setup(call: Call, arguments: DiagnoseSetup) -> types.CallToolResult:
    log = paths.log_file(os.environ)
    sessions = len(call.hub.sessions)
    hub = Finding(
        Level.OK, "hub", f"version {__version__}, pid {os.getpid()}, sessions: {sessions}, log {log}"
    )
    lost = call.hub.lost_kernels.all()
    if lost:
        hub = Finding(
            Level.NOTE,
            hub.subject,
            f"{hub.what}; kernels that serve nobody: " + "; ".join(map(named, lost)),
            "the user ends one with: kernelexec stop KERNEL, e.g. " + lost[0].kernel_id,
        )
    try:
        chosen = call.hub.choice_of(call.caller)
    except ConfigError:  # which the doctor finds, too
        chosen = None
    findings = await examination.examine(call.caller.environ, call.caller.cwd, hub, chosen)
    return render.said(examination.summary(findings))


DIAGNOSE_SETUP = Tool(
    name="diagnose_setup",
    title="Check the setup",
    description=(
        "Check all that kernelexec needs (environments, folders, disk space, Jupyter's paths) and say how "
        "to mend what is wrong. Use it when a kernel does not start or something cannot be used."
    ),
    arguments=DiagnoseSetup,
    run=_diagnose_setup,
)
