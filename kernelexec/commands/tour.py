"""`kernelexec try`: a short analysis of a real dataset, through the real server.

Starts the server the way a client does and talks to it with the official MCP client over stdio. What it
starts it ends, unless it is asked to keep it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shlex
import shutil
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp import ClientSession

from kernelexec.commands.hub_client import ask_running
from kernelexec.commands.mcp_client import PATIENCE_SECONDS, connected, shown, text_of
from kernelexec.commands.tour_steps import AFTER, CHECK, PLAIN_AFTER, PLAIN_STEPS, STEPS, Step
from kernelexec.commands.verdict import verdict_of


def run(copy_to: Path | None, *, keep: bool = False) -> int:
    """Show the tour on the terminal; exit status 0, or 1 with what to do. `keep`: its kernel goes on."""
    before = ask_running({"command": "ps"})
    session = os.environ.get("KERNELEXEC_SESSION") or "tour"
    had_kernel = before is not None and any(_is_live(each, session) for each in before["sessions"])
    try:
        return asyncio.run(_tour(session, copy_to, keep=keep or had_kernel))
    finally:
        if not (keep or had_kernel):
            _end(session, had_hub=before is not None)


def _is_live(described: Mapping[str, Any], session: str) -> bool:
    return str(described["session"]).partition("@")[0] == session and described["state"] != "no kernel"


def _end(session: str, *, had_hub: bool) -> None:
    """Stop the tour's kernel, and the hub where there was none before and nobody else has come."""
    status = ask_running({"command": "ps"})
    if status is None:
        return
    others = any(str(each["session"]).partition("@")[0] != session for each in status["sessions"])
    ask_running({"command": "stop", "session": session} if had_hub or others else {"command": "stop-all"})


async def _tour(session: str, copy_to: Path | None, *, keep: bool) -> int:
    print("Starting the server as an MCP client does: kernelexec (stdio)\n")
    # A session of its own, so that a tour does not mix with the person's work.
    environ = {**os.environ, "KERNELEXEC_SESSION": session}
    async with connected(environ) as client:
        tools = (await client.list_tools()).tools
        print("Tools:", ", ".join(tool.name for tool in tools), "\n")
        reply = await _checked(client)
        if reply.is_error:
            print("The tour is in Python, and needs a Python environment that works.")
            return 1
        has_packages = "nothing is missing" in text_of(reply)
        if not has_packages:
            print("Without all of pandas, matplotlib and palmerpenguins: with what every Python has.\n")
        for step in STEPS if has_packages else PLAIN_STEPS:
            await _show(client, step)
    after = AFTER if has_packages else PLAIN_AFTER
    print("The client is closed and its server process has ended. A new client connects:\n")
    async with connected(environ) as client:
        last = verdict_of(text_of(await _show(client, after)))
        print(">>> get_environment_config()")
        config = await client.call_tool("get_environment_config", {})
        _print_reply(config)
    if last is None:
        return 1
    await _report(Path(_facts(config)["notebook"]), copy_to, last.session, keep=keep)
    return 0


async def _checked(client: ClientSession) -> types.CallToolResult:
    """Which packages the environment has."""
    reply = await _show(client, CHECK)
    if text_of(reply).startswith("NOT RUN"):  # news of a kernel that an earlier tour left, and that is gone
        reply = await _show(client, CHECK)
    return reply


async def _show(client: ClientSession, step: Step) -> types.CallToolResult:
    print(f'>>> execute_code(filename="{step.label}", code=...)')
    print(textwrap.indent(textwrap.dedent(step.code).strip(), "  | "))
    reply = await _call(client, step)
    _print_reply(reply)
    return reply


async def _call(client: ClientSession, step: Step) -> types.CallToolResult:
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


async def _report(notebook: Path, copy_to: Path | None, session: str, *, keep: bool) -> None:
    folder = notebook.with_suffix("")
    print("Kept for you:")
    print(f"  notebook  {notebook}")
    for script in sorted(folder.glob("*.py")):
        print(f"  script    {script}")
    await _written(notebook, AFTER.label)
    if copy_to is not None:
        shutil.copyfile(notebook, copy_to)
        print(f"  copied to {copy_to}")
    program = shlex.join(_program())
    print("\nWhat you can do next:")
    for command, what in _next_steps(notebook, session, keep=keep):
        print(f"\n  {what}\n    {program} {command}")
    if not keep:
        print("\nThe tour's kernel is ended, and nothing of it runs on; with --keep it stays.")


def _next_steps(notebook: Path, session: str, *, keep: bool) -> list[tuple[str, str]]:
    """Commands that work as they are printed, in the terminal that shows them."""
    path = shlex.quote(str(notebook))
    whole = shlex.quote(f"{notebook.parent}:{session}")
    steps = [("setup", "put kernelexec into your assistants' configuration, and try it")]
    if keep:
        steps.append((f"exec -s {whole} 'len(measured)'", "run something yourself, in the tour's kernel"))
        steps.append((f"vars {whole}", "see its variables"))
        if importlib.util.find_spec("jupyterlab") is not None:
            steps.append((f"lab {whole}", "open the notebook in JupyterLab, on that kernel"))
    steps.append((f"export {path}", "make a clean copy of the notebook for a colleague"))
    if keep:
        steps.append((f"stop {whole}", "end the tour's kernel"))
    return steps


def _program() -> list[str]:
    """What starts this kernelexec, from here."""
    found = shutil.which("kernelexec")
    ours = Path(sys.argv[0])
    if ours.name != "kernelexec":
        return [sys.executable, "-m", "kernelexec"]
    if found is not None and os.path.realpath(found) == os.path.realpath(ours):
        return ["kernelexec"]
    return [os.path.relpath(ours) if os.access(ours, os.X_OK) else str(ours)]
