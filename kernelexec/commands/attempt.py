"""`kernelexec try`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernelexec.commands import Commands


def add(commands: Commands) -> None:
    """Add `try` to the parser."""
    attempt = commands.add_parser("try", help="a short tour: analyse a dataset through the real server")
    attempt.add_argument("--notebook", type=Path, metavar="FILE", help="also copy the notebook to FILE")
    attempt.add_argument("--keep", action="store_true", help="leave its kernel running, to look around in it")
    attempt.set_defaults(run=_try)


def _try(options: argparse.Namespace) -> int:
    from kernelexec.commands import tour  # here, because the MCP client takes half a second to import

    return tour.run(options.notebook, keep=options.keep)
