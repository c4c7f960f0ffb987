"""`kernelexec kernelspecs install|list|remove`: what JupyterLab's launcher shows of kernelexec."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kernelexec import paths
from kernelexec.commands import USAGE
from kernelexec.commands.output import add_json_option, complain, print_json, print_table
from kernelexec.config import ENVIRONMENT_KINDS, ENVIRONMENT_VARIABLES, read_config
from kernelexec.errors import KernelexecError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernelexec.commands import Commands
    from kernelexec.environments.our_kernelspecs import OurKernelspec
    from kernelexec.model.environment import Environment

_COLUMNS = ("name", "runs", "ipykernel", "environment", "problem")


def add(commands: Commands) -> None:
    """Add `kernelspecs` to the parser."""
    parser = commands.add_parser("kernelspecs", help="environments as JupyterLab lists them")
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")

    install = actions.add_parser("install", help="list an environment in JupyterLab (without options: yours)")
    which = install.add_mutually_exclusive_group()
    which.add_argument("--conda", metavar="NAME", help="a conda environment's name or path")
    which.add_argument("--venv", metavar="FOLDER", help="a virtual environment")
    which.add_argument("--venv-uv", metavar="FOLDER", help="a virtual environment that uv installs into")
    which.add_argument("--default", action="store_true", help="kernelexec's own environment")
    install.add_argument(
        "--with-ipykernel",
        action="store_true",
        help="also install ipykernel into the environment, so that none is lent to it",
    )
    install.set_defaults(run=_install)

    listing = actions.add_parser("list", help="show kernelexec's kernelspecs")
    add_json_option(listing)
    listing.set_defaults(run=_list)

    remove = actions.add_parser("remove", help="take kernelspecs away; their environments stay")
    remove.add_argument("names", nargs="*", metavar="NAME", help="as `kernelexec kernelspecs list` shows it")
    remove.add_argument("--stale", action="store_true", help="all whose environment is gone")
    remove.set_defaults(run=_remove)


# The imports inside the functions spare all other commands, and `--help`, a tenth of a second.


def _install(options: argparse.Namespace) -> int:
    return asyncio.run(_install_one(_environ_of(options), options.with_ipykernel))


def _environ_of(options: argparse.Namespace) -> dict[str, str]:
    """The person's variables, with the environment that the options name."""
    named = {kind: getattr(options, kind.replace("-", "_"), None) for kind in ENVIRONMENT_KINDS}
    for kind, value in named.items():
        if value:
            kept = {k: v for k, v in os.environ.items() if k not in ENVIRONMENT_VARIABLES.values()}
            chosen = {ENVIRONMENT_VARIABLES[kind]: value} if kind in ENVIRONMENT_VARIABLES else {}
            return {**kept, "ENV_TYPE": kind, **chosen}
    return dict(os.environ)


async def _install_one(environ: Mapping[str, str], with_ipykernel: bool) -> int:
    from kernelexec.environments import catalog
    from kernelexec.environments.jupyter_paths import find_kernelspec

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    source = catalog.source_of(read_config(environ, os.getcwd()).environment, environ)
    environment = await catalog.prepare(source, environ, say)
    if with_ipykernel:
        if not await _with_ipykernel(environment, environ):
            return 1
        environment = await catalog.prepare(source, environ, say)
    folder = find_kernelspec(environment.kernelspec, environ)
    print(f"{environment.kernelspec}: {environment.display_name!r}, {environment.runs}; {folder}")
    own = Path(paths.jupyter_data_dir(environ), "kernels", environment.kernelspec)
    if environment.is_ours and not folder.samefile(own):
        complain(f"Jupyter takes that one, which it finds first, instead of {own}")
        return 1
    return 0


async def _with_ipykernel(environment: Environment, environ: Mapping[str, str]) -> bool:
    """Install ipykernel with the environment's own installer, whose output the person sees."""
    from kernelexec.environments.requirements import read_requirement
    from kernelexec.session.installation import Installation, Place
    from kernelexec.session.jobs import Reports

    place = Place(environment, environ, Path(paths.state_dir(environ), "installations"), lambda _: ())
    installation = Installation(place, [read_requirement("ipykernel>=6.29")])
    outcome = await installation.run(
        Reports(begun=lambda fields: None, output=lambda text: print(text, end="", file=sys.stderr))
    )
    print(outcome.summary, file=sys.stderr)
    return outcome.succeeded


def _kernelspecs() -> list[OurKernelspec]:
    from kernelexec.environments.our_kernelspecs import our_kernelspecs

    return our_kernelspecs(Path(paths.jupyter_data_dir(os.environ), "kernels"))


def _list(options: argparse.Namespace) -> int:
    described = [_described(spec) for spec in _kernelspecs()]
    if options.json:
        print_json(described)
        return 0
    if not described:
        print("none yet; each environment gets one when it is first used")
        return 0
    rows = [[said[column] for column in _COLUMNS] for said in described]
    print_table([column.upper() for column in _COLUMNS[:-1]] + [""], rows)
    return 0


def _described(spec: OurKernelspec) -> dict[str, str]:
    environment = spec.environment
    ipykernel = ""
    if environment is not None and environment.interpreter is not None:
        own = environment.interpreter.ipykernel or "none"
        ipykernel = "lent" if environment.borrowed_ipykernel else f"{own}, its own"
    return {
        "name": spec.name,
        "runs": environment.runs if environment else "",
        "ipykernel": ipykernel,
        "environment": str(environment.prefix) if environment else str(spec.folder),
        "problem": spec.problem or "",
    }


def _remove(options: argparse.Namespace) -> int:
    from kernelexec.environments.our_kernelspecs import remove

    names = list(options.names)
    if options.stale:
        names += [spec.name for spec in _kernelspecs() if spec.is_stale]
    elif not names:
        complain("name a kernelspec, or use --stale")
        return USAGE
    failed = False
    for name in dict.fromkeys(names):
        try:
            remove(name, Path(paths.jupyter_data_dir(os.environ), "kernels"))
            print(f"removed: {name}")
        except KernelexecError as error:
            complain(error)
            failed = True
    if not names:
        print("none is stale")
    return 1 if failed else 0
