"""`kernelexec rebuild`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from kernelexec.commands.output import sentence
from kernelexec.commands.places import absolute, storage_dir
from kernelexec.errors import BadRequest
from kernelexec.recording.journal import storage_failed
from kernelexec.recording.rebuild import Rebuilt, rebuild
from kernelexec.recording.records import find_records
from kernelexec.recording.whole_file import free_path, write_whole

if TYPE_CHECKING:
    from kernelexec.commands import Commands

_TRIES = 5  # a hub may make the missing notebook while it is being rebuilt


def add(commands: Commands) -> None:
    """Add `rebuild` to the parser."""
    command = commands.add_parser(
        "rebuild",
        help="make a notebook from its session's journal",
        description="Make a notebook from its session's journal, also while the session goes on. A missing "
        "notebook is made again; one that is there stays as it is, and NAME.rebuilt.ipynb is made beside it. "
        "The journal is looked for beside the notebook, then in CODE_STORAGE_DIR.",
    )
    command.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    command.add_argument("--output", type=Path, metavar="FILE", help="write to FILE instead")
    command.add_argument("--force", action="store_true", help="replace FILE if it is there")
    command.set_defaults(run=_rebuild)


def _rebuild(options: argparse.Namespace) -> int:
    notebook = absolute(options.notebook)
    records = find_records(notebook, [storage_dir()[0]])
    if options.output is None and options.force:
        raise BadRequest("--force goes with --output FILE.", "Without it nothing is ever replaced.")
    for _ in range(_TRIES):
        path = absolute(options.output) if options.output else _free(notebook)
        made = rebuild(records, in_place=_is_same(path, records.notebook))
        if made.waiting and not made.executions:
            print(f"{path} is about to be written by the hub that has its session open.")
            return 0
        try:
            write_whole(path, made.document.to_bytes(), replace=options.force)
        except FileExistsError:
            if options.output is None:
                continue
            raise BadRequest(f"{path} is there already.", "Give another name, or --force.") from None
        except OSError as error:
            raise storage_failed(path, error) from error
        print(_report(path, notebook, made))
        return 0
    raise BadRequest(f"{notebook} is being written by another program.", "Give another name: --output FILE.")


def _free(notebook: Path) -> Path:
    """The notebook itself if there is none, else a name beside it."""
    if notebook.suffix == ".ipynb" and not os.path.lexists(notebook):
        return notebook
    return free_path(notebook.with_name(f"{notebook.stem}.rebuilt.ipynb"))


def _is_same(path: Path, other: Path) -> bool:
    return os.path.realpath(path) == os.path.realpath(other)


def _report(path: Path, notebook: Path, made: Rebuilt) -> str:
    lines = [f"{path}: {sentence([(made.executions, 'execution', 'executions')]) or 'no executions'}"]
    left_out = sentence(
        [
            (made.running, "has not ended yet", "have not ended yet"),
            (made.not_run, "was not run", "were not run"),
            (made.waiting, "will be added by the running hub", "will be added by the running hub"),
        ]
    )
    if left_out:
        lines.append(f"not in it: {left_out}")
    if path != notebook and os.path.lexists(notebook):
        lines.append(f"{notebook.name} is as it was")
    return "\n".join(lines)
