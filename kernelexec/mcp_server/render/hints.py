"""What an error alone does not tell an assistant that cannot look around: what to do about it."""

from __future__ import annotations

import asyncio
import os
import re

from kernelexec.environments.kernelspec import ENVIRONMENTS_MEMORY
from kernelexec.hub.caller import Caller
from kernelexec.mcp_server.render.import_hints import about_import
from kernelexec.mcp_server.render.lost_names import about_lost_name
from kernelexec.model.execution import Execution, State
from kernelexec.model.shown_errors import error_names, is_error
from kernelexec.session.session import Session

# What asyncio says where a loop runs already, as one does in each cell.
_LOOP_RUNS = re.compile(r"cannot be called from a running event loop|loop is (?:already )?running")
_USAGE = re.compile(r"^usage: ", re.MULTILINE)


async def hints_on(execution: Execution, session: Session, caller: Caller) -> list[str]:
    """Lines for the reply about a run that has failed."""
    if execution.state is not State.ERROR:
        return []
    name, text = error_of(execution)
    hint: str | None = None
    match name:
        case "FileNotFoundError":
            own = "" if str(session.directory) == caller.cwd else f"; your own directory is {caller.cwd}"
            hint = f"The kernel was started in {session.directory}{own}."
        case "PermissionError" if not os.access(session.directory, os.W_OK):
            hint = f"The kernel was started in {session.directory}, where you cannot write."
        case "StdinNotImplementedError":
            hint = "Nobody can answer a question of the code: put the value into the code instead."
        case "RuntimeError" if _LOOP_RUNS.search(text):
            hint = (
                "Cells run in an event loop: write `await main()` instead of `asyncio.run(main())`. A "
                "library that starts a loop of its own can do so in a thread: "
                "`await asyncio.to_thread(function)`."
            )
        case "MemoryError" | "_ArrayMemoryError":
            hint = _about_memory(session)
        case "SystemExit":
            hint = _about_exit(execution)
        case "NameError":
            hint = await asyncio.to_thread(about_lost_name, text, session)
        case "ModuleNotFoundError" | "ImportError" if session.environment.is_python:
            hint = await asyncio.to_thread(about_import, text, execution.code, session, caller)
        case _:
            pass
    return [hint] if hint else []


def _about_memory(session: Session) -> str | None:
    """Where the memory ended at the limit that somebody has set."""
    environ = session.generations.surroundings.environ
    by_source = {
        "KERNELEXEC_MEMORY_MB": environ.get("KERNELEXEC_MEMORY_MB", "").strip(),
        "memory_mb in limits.json, for its environment": environ.get(ENVIRONMENTS_MEMORY, "").strip(),
    }
    limits = [(int(said), source) for source, said in by_source.items() if said.isdigit()]
    if not limits:
        return None
    limit, source = min(limits)
    return (
        f"A process of this kernel may have at most {limit} MB of memory ({source}). Variables "
        "are kept: delete what is not needed, work in parts. The user can raise the limit for a new kernel."
    )


def error_of(execution: Execution) -> tuple[str, str]:
    """The name of the exception that ended it, and its text; empty where they are not known."""
    outputs = execution.outputs.to_notebook()
    shown = list(error_names(outputs))
    errors = [output for output in outputs if is_error(output)]
    text = str(errors[-1].get("evalue", "")) if errors else ""
    return execution.error or (shown[-1] if shown else ""), text


def _about_exit(execution: Execution) -> str | None:
    if execution.lost:
        return None
    kept = "That ended the cell, not the kernel: variables are kept."
    streams = (o for o in execution.outputs.to_notebook() if o["output_type"] == "stream")
    if any(_USAGE.search(str(output["text"])) for output in streams):
        return (
            f"{kept} argparse and the like read sys.argv, which is the kernel's own: give the arguments, "
            'as in parse_args(["--name", "value"]).'
        )
    return kept
