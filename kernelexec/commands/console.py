"""`kernelexec console`: jupyter-console on a session's live kernel."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kernelexec import paths
from kernelexec.commands.session_choice import add_session_argument, chosen
from kernelexec.environments.extras import install_command
from kernelexec.errors import BadRequest

if TYPE_CHECKING:
    from kernelexec.commands import Commands


def add(commands: Commands) -> None:
    """Add `console` to the parser."""
    console = commands.add_parser(
        "console", help="a prompt on a session's live kernel (needs jupyter-console); Control-D leaves it"
    )
    add_session_argument(console)
    console.set_defaults(run=_console)


def _console(options: argparse.Namespace) -> int:
    session, journal = chosen(options.session).journal()
    connection = _connection_file(session, journal.parent.parent)
    command = [*_program(), "--existing", str(connection)]
    # Else it asks on leaving whether to shut down a kernel that is not its own.
    command.append("--JupyterConsoleApp.confirm_exit=False")
    sys.stdout.flush()
    os.execvp(command[0], command)  # its keys and signals are that program's


def _connection_file(session: str, storage_dir: Path) -> Path:
    from kernelexec.kernels.registry import Registry  # here: other commands do without

    name = session.partition("@")[0]
    for entry in Registry(Path(paths.state_dir(os.environ), "kernels")).entries():
        is_meant = entry.session_name == name and os.path.realpath(entry.storage_dir) == os.path.realpath(
            storage_dir
        )
        label = entry.environment.get("label")
        if is_meant and label in (None, session.partition("@")[2]):
            joined = entry.place.get("connection_file")
            found = Path(joined or Path(str(entry.place.get("directory", "")), "connection.json"))
            if found.is_file():
                return found
    raise BadRequest(
        f"{session} has no running kernel.", "kernelexec exec starts one. Those that run: kernelexec ps"
    )


def _program() -> list[str]:
    if importlib.util.find_spec("jupyter_console") is not None:
        return [sys.executable, "-m", "jupyter_console"]
    found = shutil.which("jupyter-console")
    if found is None:
        raise BadRequest(
            "jupyter-console is not installed here.", f"Install it with: {install_command('console')}"
        )
    return [found]
