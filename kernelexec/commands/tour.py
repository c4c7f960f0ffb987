"""`kernelexec try`: a short analysis of a real dataset, through the real server.

Starts the server the way a client does and talks to it with the official MCP client over stdio.
The dataset is Palmer Penguins (https://allisonhorst.github.io/palmerpenguins/, CC0), which ships
in the PyPI package palmerpenguins.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp import ClientSession

from kernelexec.commands.mcp_client import PATIENCE_SECONDS, connected, shown, text_of
from kernelexec.environments.probe import bare, probe
from kernelexec.environments.remedies import install_command

_NEEDED = ("pandas", "matplotlib", "palmerpenguins")


@dataclass(frozen=True)
class _Step:
    label: str
    note: str
    code: str


_STEPS = (
    _Step(
        "load",
        "## Palmer Penguins\nMeasurements of 344 penguins (Gorman, Williams and Fraser 2014; CC0).",
        """
        import matplotlib.pyplot as plt
        import pandas as pd
        from palmerpenguins import load_penguins

        penguins = load_penguins()
        print(penguins.shape[0], "penguins,", penguins.shape[1], "columns")
        penguins.head()
        """,
    ),
    _Step(
        "clean",
        "Rows without a measurement do not help; how many are there?",
        """
        measured = penguins.dropna(subset=["bill_length_mm", "flipper_length_mm", "body_mass_g"])
        print(len(penguins) - len(measured), "rows left out")
        measured.groupby("species")[["bill_length_mm", "flipper_length_mm", "body_mass_g"]].mean().round(1)
        """,
    ),
    _Step(
        "plot",
        "Heavier penguins have longer flippers, in each species.",
        """
        figure, axes = plt.subplots(figsize=(6, 4))
        for species, group in measured.groupby("species"):
            axes.scatter(group.flipper_length_mm, group.body_mass_g, s=12, label=species)
        axes.set(xlabel="flipper length (mm)", ylabel="body mass (g)")
        axes.legend()
        plt.show()
        """,
    ),
)
_MISTAKE = _Step(
    "mistake", "A mistake is an error in the reply, and the variables stay.", "measured_penguins.describe()"
)
_AFTER = _Step(
    "reuse",
    "Another client, the same variables: the server process above is gone, the kernel is not.",
    'measured[["flipper_length_mm", "body_mass_g"]].corr().round(3)',
)


def run(copy_to: Path | None) -> int:
    """Show the tour on the terminal; exit status 0, or 1 with what to do."""
    return asyncio.run(_tour(copy_to))


async def _tour(copy_to: Path | None) -> int:
    print("Starting the server as an MCP client does: kernelexec (stdio)\n")
    # A session of its own, so that a tour does not mix with the person's work.
    environ = {"KERNELEXEC_SESSION": "tour", **os.environ}
    async with connected(environ) as client:
        tools = (await client.list_tools()).tools
        print("Tools:", ", ".join(tool.name for tool in tools), "\n")
        if not await _has_packages(client):
            return 1
        for step in (*_STEPS, _MISTAKE):
            await _show(client, step)
    print("The client is closed and its server process has ended. A new client connects:\n")
    async with connected(environ) as client:
        await _show(client, _AFTER)
        print(">>> get_environment_config()")
        config = await client.call_tool("get_environment_config", {})
        _print_reply(config)
    return await _report(Path(_facts(config)["notebook"]), copy_to)


async def _has_packages(client: ClientSession) -> bool:
    """Whether the environment has what the tour needs; says what to do if not."""
    code = f"""
        import importlib.util

        needed = {_NEEDED}
        [name for name in needed if importlib.util.find_spec(name) is None] or "nothing is missing"
        """
    step = _Step("check", "", code)
    reply = await _show(client, step)
    if text_of(reply).startswith("NOT RUN"):  # news of a kernel that an earlier tour left, and that is gone
        reply = await _show(client, step)
    text = text_of(reply)
    if reply.is_error or "nothing is missing" in text:
        return not reply.is_error
    missing = [name for name in _NEEDED if repr(name) in text]
    python = _facts(await client.call_tool("get_environment_config", {}))["interpreter"]
    interpreter = await probe(Path(python), bare(os.environ))
    print(
        "The environment lacks packages that this tour needs. Install them with\n\n"
        f"    {install_command(interpreter, missing, os.environ)}\n\n"
        "or point the tour at an environment that has them: ENV_TYPE=venv VENV_PATH=/path kernelexec try"
    )
    return False


async def _show(client: ClientSession, step: _Step) -> types.CallToolResult:
    print(f'>>> execute_code(filename="{step.label}", code=...)')
    print(textwrap.indent(textwrap.dedent(step.code).strip(), "  | "))
    reply = await _call(client, step)
    _print_reply(reply)
    return reply


async def _call(client: ClientSession, step: _Step) -> types.CallToolResult:
    arguments: dict[str, Any] = {"code": textwrap.dedent(step.code).strip(), "filename": step.label}
    if step.note:
        arguments["note"] = step.note

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        print(f"  ... {message}", flush=True)

    return await client.call_tool(
        "execute_code", arguments, read_timeout_seconds=PATIENCE_SECONDS, progress_callback=progress
    )


def _print_reply(reply: types.CallToolResult) -> None:
    print(textwrap.indent(shown(reply), "    "))
    print(flush=True)


def _facts(config: types.CallToolResult) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text_of(config).splitlines())


async def _written(notebook: Path, label: str) -> None:
    """Wait until the notebook, which follows each reply within two seconds, has the last cell."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if notebook.exists() and f"-{label}.py" in notebook.read_text(encoding="utf-8"):
            return
        await asyncio.sleep(0.1)


async def _report(notebook: Path, copy_to: Path | None) -> int:
    folder = notebook.with_suffix("")
    print("Kept for you:")
    print(f"  notebook  {notebook}")
    for script in sorted(folder.glob("*.py")):
        print(f"  script    {script}")
    await _written(notebook, _AFTER.label)
    if copy_to is not None:
        shutil.copyfile(notebook, copy_to)
        print(f"  copied to {copy_to}")
    print("\nThe kernel still runs: `kernelexec ps` shows it, `kernelexec stop tour` ends it.")
    return 0
