"""`kernelexec lab`: the notebook in JupyterLab, on the assistant's live kernel."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kernelexec import paths
from kernelexec.commands import jupyterlab, live_extension, places
from kernelexec.commands.hub_client import ask
from kernelexec.commands.lab_sessions import Here, choose, on_disk
from kernelexec.hub import storage_dirs

if TYPE_CHECKING:
    from kernelexec.commands import Commands


def add(commands: Commands) -> None:
    """Add `lab` to the parser."""
    parser = commands.add_parser("lab", help="open a session's notebook in JupyterLab, on its live kernel")
    parser.add_argument(
        "session",
        nargs="?",
        metavar="SESSION",
        help="for example main@default; the one used last if left out",
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="only print what makes a JupyterLab of your own show the assistant at work",
    )
    parser.set_defaults(run=_lab)


def main_for_link() -> int:
    """`lab` as the far end of a link starts it (bridge/far_lab), with the same arguments."""
    parser = argparse.ArgumentParser()
    add(parser.add_subparsers())
    return _lab(parser.parse_args(["lab", *sys.argv[1:]]), for_link=True)


def _lab(options: argparse.Namespace, *, for_link: bool = False) -> int:
    if options.print_config:
        print(live_extension.config(), end="")
        return 0
    folder, _ = places.storage_dir()
    given = bool(os.environ.get("CODE_STORAGE_DIR", "").strip())
    sessions = ask({"command": "ps"}).get("sessions", [])
    sessions += on_disk([folder, *storage_dirs.known(Path(paths.state_dir(os.environ)))], sessions)
    target = choose(sessions, options.session, Here(folder, given, Path.cwd()))
    target.folder.mkdir(parents=True, exist_ok=True)
    return jupyterlab.run(target, browser=not options.no_browser, for_link=for_link)
