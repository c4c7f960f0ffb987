"""`kernelexec host install HOST`: kernelexec on another host, made of this installation."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kernelexec import __version__
from kernelexec.bridge.far_link import FarHost, Link
from kernelexec.commands.own_wheel import own_wheel
from kernelexec.errors import KernelexecError

if TYPE_CHECKING:
    from kernelexec.commands import Commands

_READY, _DONE = "kernelexec-ready", "kernelexec-done"

_SCRIPT = Path(__file__).with_name("host_install.sh")  # says its words in two halves: see far_link
_NEEDS = "It needs Python 3.10 or newer with venv, or uv, there, and a package index. It said why, above."


def add(commands: Commands) -> None:
    """Add `host` to the parser."""
    parser = commands.add_parser(
        "host", help="put kernelexec onto another host, for KERNELEXEC_HOST and --host"
    )
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    install = actions.add_parser(
        "install",
        help="put this version there, with uv or pip, into the user's own data directory",
        description="Put this version of kernelexec onto another host, into the user's own data directory "
        "there. It needs a shell there, and uv or Python 3.10.",
    )
    install.add_argument(
        "host", metavar="HOST", help="a host of ssh's, or a command such as 'podman exec -i box'"
    )
    install.add_argument("--lab", action="store_true", help="with JupyterLab, for kernelexec --host HOST lab")
    install.set_defaults(run=_install)


def _install(options: argparse.Namespace) -> int:
    host = FarHost(options.host)
    name, wheel = own_wheel()
    print(f"kernelexec {__version__} to {host.said} ({len(wheel):,} bytes)", flush=True)
    extra = "[lab]" if options.lab else ""
    script = _SCRIPT.read_text(encoding="utf-8").replace("@NAME@", name).replace("@EXTRA@", extra)
    link = host.start(script)
    try:
        if not _said(link, _READY):
            raise link.why(f"`{host.shown}` did not reach a shell")
        link.send(wheel)
        link.end_input()
        if not _said(link, _DONE):
            raise KernelexecError(f"kernelexec could not be installed through `{host.shown}`.", _NEEDS)
    finally:
        link.end()
    print(f"installed; it is used by KERNELEXEC_HOST={host.said!r} and kernelexec --host {host.said!r}")
    return 0


def _said(link: Link, word: str) -> bool:
    """Once it has been; what else comes is passed on. False: the link ended first."""
    while line := link.receive_line(seconds=None):
        if line.endswith(f"{word}\n".encode()):
            return True
        os.write(sys.stderr.fileno(), line)
    return False
