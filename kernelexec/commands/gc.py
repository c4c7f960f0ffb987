"""`kernelexec gc`."""

from __future__ import annotations

import argparse
import os
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kernelexec import paths
from kernelexec.commands.hub_client import ask_running
from kernelexec.commands.output import table
from kernelexec.commands.places import absolute, storage_dir
from kernelexec.errors import BadRequest, KernelexecError
from kernelexec.kernels.registry import Registry
from kernelexec.model.quantities import readable_size
from kernelexec.recording.housekeeping import Item, Kind, Left, Retention, remove, survey

if TYPE_CHECKING:
    from kernelexec.commands import Commands
    from kernelexec.commands.leftovers import Leftover

_UNITS = {"h": 3_600, "d": 86_400, "w": 7 * 86_400}
_AGE = re.compile(r"([1-9][0-9]{0,5})([hdw])")


def add(commands: Commands) -> None:
    """Add `gc` to the parser."""
    command = commands.add_parser(
        "gc",
        help="show what could be removed of old sessions, or with --yes remove it",
        description="Show what sessions have left in the storage directory, and what of it would be removed; "
        "--yes removes it. Without --older-than or --keep-generations all of it is kept. Both together: "
        "what is old and not among the newest. Sessions that have a kernel, or were used within the "
        "last minute, are left alone, and so is every file that is not called as kernelexec calls its own. "
        "Launchers of earlier versions and the like, which nothing uses any more, are removed as well.",
    )
    command.add_argument(
        "storage", nargs="?", type=Path, metavar="DIR", help="default: CODE_STORAGE_DIR, else ~/kernelexec"
    )
    command.add_argument("--older-than", type=_age, metavar="AGE", help="not used for AGE: 12h, 90d, 8w")
    command.add_argument(
        "--keep-generations", type=_number, metavar="N", help="beyond each session's newest N notebooks"
    )
    kinds = command.add_argument_group("what to remove (default: journals and outputs)")
    kinds.add_argument("--journals", action="store_true", help="without them no notebook can be rebuilt")
    kinds.add_argument("--outputs", action="store_true", help="output too large for a notebook")
    kinds.add_argument("--scripts", action="store_true", help="the code as it was sent, or as you edited it")
    kinds.add_argument("--notebooks", action="store_true", help="notebooks, with what you wrote into them")
    command.add_argument("--yes", action="store_true", help="remove it")
    command.set_defaults(run=_gc)


def _age(text: str) -> float:
    found = _AGE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age like 12h, 90d or 8w")
    return float(found[1]) * _UNITS[found[2]]


def _number(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _gc(options: argparse.Namespace) -> int:
    storage, origin = (absolute(options.storage), "") if options.storage else storage_dir()
    if options.storage and not storage.is_dir():
        raise BadRequest(f"{storage} is not a directory.", "Give the one that notebooks are kept in.")
    print(f"{storage}{f' ({origin})' if origin else ''}")
    real = Path(os.path.realpath(storage))
    now = time.time()
    # What a hub has open without a kernel, it lets go of; one of an earlier version does not.
    with suppress(KernelexecError):
        ask_running({"command": "release"})
    found = survey(real, _with_kernels(real).__contains__)
    print(_table(found) if found else "no sessions")
    kinds = {kind for kind in Kind if getattr(options, kind.value)} or {Kind.JOURNALS, Kind.OUTPUTS}
    retention = Retention(frozenset(kinds), options.older_than, options.keep_generations)
    chosen = [item for left in found for item in retention.chosen(left, now)]
    # Here: it takes a tenth of a second, in each command.
    from kernelexec.commands.leftovers import find_leftovers

    leftovers = find_leftovers(os.environ, now)
    print()
    if not chosen and not leftovers:
        print(_nothing(found, options))
        return 0
    return _remove_all(real, chosen, leftovers) if options.yes else _show(real, chosen, leftovers)


def _with_kernels(storage: Path) -> set[str]:
    """The sessions there whose kernel may be alive, whether or not a hub runs."""
    folder = Path(paths.state_dir(os.environ), "kernels")
    entries = Registry(folder).entries() if folder.is_dir() else []
    return {
        f"{entry.session_name}@{entry.environment.get('label')}"
        for entry in entries
        if os.path.realpath(entry.storage_dir) == str(storage)
    }


def _nothing(found: Sequence[Left], options: argparse.Namespace) -> str:
    if options.older_than is None and options.keep_generations is None:
        return "Nothing would be removed. Choose with --older-than 90d or --keep-generations 3."
    busy = any(left.in_use for left in found)
    left_alone = (
        " What is in use is left alone: it was used in the last minute, or has a kernel, which is ended by: "
        "kernelexec stop SESSION"
    )
    return f"Nothing to remove.{left_alone if busy else ''}"


def _table(found: Sequence[Left]) -> str:
    head = ("SESSION", "LAST USED", *(kind.value.upper() for kind in Kind))
    return table(head, map(_row, found))


def _row(left: Left) -> Sequence[str]:
    used = datetime.fromtimestamp(left.last_used).strftime("%Y-%m-%d")
    sizes = (readable_size(left.size(kind)) for kind in Kind)
    return (left.session, "in use" if left.in_use else used, *sizes)


def _show(storage: Path, chosen: Sequence[Item], leftovers: Sequence[Leftover]) -> int:
    print("would be removed:")
    for item in chosen:
        files = "" if len(item.names) == 1 else f", {len(item.names)} files"
        print(f"  {item.kind.value:<9}  {storage / item.path} ({readable_size(item.size)}{files})")
    for leftover in leftovers:
        print(f"  {leftover.what}  {leftover.path} ({readable_size(leftover.size)})")
    size = sum(item.size for item in chosen) + sum(leftover.size for leftover in leftovers)
    print(f"{readable_size(size)} in all. Nothing was removed; --yes removes it.")
    return 0


def _remove_all(storage: Path, chosen: Sequence[Item], leftovers: Sequence[Leftover]) -> int:
    size = 0
    problems: list[str] = []
    for items in _by_session(chosen).values():
        gone, failed = remove(storage, items)
        size, problems = size + gone, problems + failed
    for leftover in leftovers:
        try:
            leftover.remove()
            size += leftover.size
        except OSError as error:
            problems.append(f"{leftover.path}: {error.strerror or error}")
    print(f"{readable_size(size)} removed")
    for problem in problems:
        print(f"not removed: {problem}")
    return 1 if problems else 0


def _by_session(items: Sequence[Item]) -> Mapping[str, list[Item]]:
    found: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        found[item.session].append(item)
    return found
