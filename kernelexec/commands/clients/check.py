"""Whether what stands in the clients' files works, in the environment that each of them would give it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kernelexec import paths
from kernelexec.bridge.way import named_host
from kernelexec.commands.clients.config_file import ConfigFile
from kernelexec.commands.clients.entry import Started, started
from kernelexec.commands.clients.known import CLIENTS, Client
from kernelexec.config import read_config
from kernelexec.errors import BadRequest
from kernelexec.hub.examination import Finding, Level, examine_settings

_AT_ONCE = 4  # files whose environments are tried at a time


async def check_clients(environ: Mapping[str, str], project: Path) -> list[Finding]:
    """What there is to say of each file that has an entry of ours, for the project and for the user."""
    few = asyncio.Semaphore(_AT_ONCE)

    async def one(client: Client, path: Path) -> list[Finding]:
        async with few:
            return await _file(client, path, environ, project)

    files = {}
    for client in CLIENTS.values():
        for scope in client.files:
            path = client.path(scope, environ, project)
            if path.is_file():
                files[os.path.realpath(path)] = client, path
    found = await asyncio.gather(*(one(client, path) for client, path in files.values()))
    return [finding for each in found for finding in each]


async def _file(client: Client, path: Path, environ: Mapping[str, str], project: Path) -> list[Finding]:
    shown = _short(path, environ)
    try:
        entries = ConfigFile(client, path).entries()
    except BadRequest as error:
        return [Finding(Level.PROBLEM, client.name, error.what, f"mend {path}")]
    findings = []
    for name, entry in entries.items():
        where = shown if name == "kernelexec" else f"{shown}, {name}"
        findings += [
            replace(finding, subject=client.name, what=f"{where}: {finding.what}")
            for finding in await _entry(client, entry, environ, project)
        ]
    return findings


async def _entry(
    client: Client, entry: Mapping[str, Any], environ: Mapping[str, str], project: Path
) -> list[Finding]:
    server = started(client, entry, environ, project)
    mend = f"kernelexec setup {client.name}"
    if server.program is None:
        return [Finding(Level.PROBLEM, "", f"its command, {server.command}, is not found", mend)]
    findings = await examine_settings(server.environ, str(server.cwd))
    if named_host(server.environ):
        return findings
    told = [finding for finding in findings if finding.level is not Level.OK]
    if _runs_elsewhere(server, environ):
        what = "its hub is not this shell's: KERNELEXEC_RUNTIME_DIR differs, so ps does not show its kernels"
        told.append(Finding(Level.NOTE, "", what, mend))
    if any(finding.level is Level.PROBLEM for finding in told):
        return told
    runs = next(finding.what for finding in findings if finding.subject == "environment")
    directory = read_config(server.environ, str(server.cwd)).kernel_dir()
    return [Finding(Level.OK, "", f"code runs in {directory} with {runs}"), *told]


def _runs_elsewhere(server: Started, environ: Mapping[str, str]) -> bool:
    return paths.runtime_dir(server.environ) != paths.runtime_dir(environ)


def _short(path: Path, environ: Mapping[str, str]) -> str:
    home = paths.home(environ)
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
