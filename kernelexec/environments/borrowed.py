"""ipykernel for environments that have none: a folder of ours with it, nbformat and what they need.

Nothing is written into the user's environment. One folder for each version of Python, shared by all
its environments: for kernelexec's own version copied from kernelexec's own installation (which needs
no network, and an installation by uvx may vanish under a running kernel), for others fetched (see
fetched.py). The launcher puts it at the end of the kernel's sys.path.

A folder is made beside its place and renamed into it when it is whole; it is never changed then, for
kernels import from it as long as they live. A newer kernelexec means a new folder.
"""

from __future__ import annotations

import asyncio
import compileall
import functools
import hashlib
import importlib.util
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelexec.environments.fetched import REQUIREMENTS, fetch
from kernelexec.environments.probe import own_abi
from kernelexec.environments.remedies import install_command, quoted
from kernelexec.environments.source import Places, Progress
from kernelexec.errors import EnvironmentUnusable
from kernelexec.model.environment import Interpreter
from kernelexec.plain_file import read_text

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_log = logging.getLogger(__name__)

FORMAT = 1
# nbformat is with ipykernel wherever Jupyter is: Plotly shows nothing without it.
LENT = ("ipykernel", "nbformat")
_MARK = "kernelexec.json"  # written last: what the folder holds when it is whole
_RETRY_SECONDS = 86_400.0  # after a newer one could not be fetched, where an older one serves
_SWEEP_SECONDS = 86_400.0  # after which what was left half made is nobody's work any more

_making: dict[Path, asyncio.Task[None]] = {}  # so that two environments do not fetch the same


async def borrow_ipykernel(places: Places, interpreter: Interpreter, progress: Progress) -> Path:
    """The folder for this interpreter, made if there is no whole one yet.

    Raises:
        EnvironmentUnusable: it could not be made; with the command that helps.
    """
    folder = _place(places, interpreter)
    if is_whole(folder):
        return folder
    older = _older(folder)
    if older is not None and _failed_lately(folder):
        return older
    progress(f"Preparing ipykernel for environments of Python {_minor(interpreter)} that have none (once).")
    try:
        await _once(folder, lambda: _make(folder, places, interpreter, progress))
    except (OSError, EnvironmentUnusable) as error:
        if older is None:
            raise _failed(interpreter, folder, error, places.environ) from error
        _log.warning("a newer ipykernel for %s could not be had: %s", interpreter.executable, error)
        _mark_as_failed(folder)
        return older
    return folder


def is_current(folder: Path, places: Places, interpreter: Interpreter) -> bool:
    """Whether this interpreter would be given this folder today, as it is."""
    wanted = _place(places, interpreter)
    return is_whole(folder) and (folder == wanted or (not is_whole(wanted) and _failed_lately(wanted)))


def is_whole(folder: Path) -> bool:
    """Whether nothing of it is missing, as far as a look at its top tells."""
    try:
        said = json.loads(read_text(folder / _MARK))
        return said["format"] == FORMAT and all((folder / name).exists() for name in said["holds"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def lent_folder(data_dir: Path) -> Path:
    """Where this version's ipykernel is, or will be, for Pythons like our own."""
    return _folder(data_dir, own_abi(), _own_versions())


def _place(places: Places, interpreter: Interpreter) -> Path:
    if interpreter.abi == own_abi():
        return lent_folder(places.data_dir)
    # Fetched anew whenever kernelexec's own is another, so that it does not grow old.
    return _folder(places.data_dir, interpreter.abi, (*REQUIREMENTS, *_own_versions()))


def _folder(data_dir: Path, abi: str, made_of: tuple[str, ...]) -> Path:
    digest = hashlib.sha256(repr(made_of).encode()).hexdigest()[:12]
    return data_dir / "ipykernel" / f"{abi.strip('.').split('.')[0]}-{digest}"


def _minor(interpreter: Interpreter) -> str:
    return ".".join(map(str, interpreter.version[:2]))


def _older(folder: Path) -> Path | None:
    """The newest whole folder of an earlier kernelexec for the same Python."""
    tag = folder.name.rpartition("-")[0]
    found = [other for other in folder.parent.glob(f"{tag}-*") if other != folder and is_whole(other)]
    return max(found, key=lambda other: other.stat().st_mtime, default=None)


async def _once(folder: Path, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
    task = _making.get(folder)
    if task is None:
        task = asyncio.create_task(make())
        _making[folder] = task
        task.add_done_callback(lambda _: _making.pop(folder, None))
    await asyncio.shield(task)


async def _make(folder: Path, places: Places, interpreter: Interpreter, progress: Progress) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder.parent)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        unfinished.chmod(0o755)
        if interpreter.abi == own_abi():
            await asyncio.to_thread(_copy_own, unfinished)
        else:
            await fetch(unfinished, interpreter, places.environ, progress)
        holds = sorted(path.name for path in unfinished.iterdir())
        (unfinished / _MARK).write_text(json.dumps({"format": FORMAT, "holds": holds}))
        await asyncio.to_thread(_put_in_place, unfinished, folder)
    finally:
        await asyncio.to_thread(shutil.rmtree, unfinished, ignore_errors=True)


def _put_in_place(unfinished: Path, folder: Path) -> None:
    if folder.exists() and not is_whole(folder):  # something of it was deleted
        damaged = folder.with_name(f"{unfinished.name}.damaged")
        folder.rename(damaged)
        shutil.rmtree(damaged, ignore_errors=True)
    try:
        unfinished.rename(folder)
    except OSError:
        if not is_whole(folder):  # else another hub was faster
            raise


def _sweep(parent: Path) -> None:
    """Remove what a hub that was killed left half made."""
    for path in parent.glob("*-*.*"):
        if path.is_dir() and time.time() - path.stat().st_mtime > _SWEEP_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def _failed_lately(folder: Path) -> bool:
    try:
        return time.time() - folder.with_suffix(".failed").stat().st_mtime < _RETRY_SECONDS
    except OSError:
        return False


def _mark_as_failed(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.with_suffix(".failed").touch()


def _failed(
    interpreter: Interpreter, folder: Path, error: Exception, environ: Mapping[str, str]
) -> EnvironmentUnusable:
    has = f"ipykernel {interpreter.ipykernel}, which is too old" if interpreter.ipykernel else "no ipykernel"
    if isinstance(error, OSError):
        why = f"{folder} cannot be written: {error.strerror or error}."
    else:
        why = str(error)
    return EnvironmentUnusable(
        f"{interpreter.executable} (Python {interpreter.version_text}) has {has}, and none could be lent "
        f"to it. {why}",
        "Mend that and call again, or install it there: "
        f"{install_command(interpreter, ['ipykernel>=6.29'], environ)} (in a conda environment: conda "
        f"install -p {quoted(interpreter.prefix)} 'ipykernel>=6.29').",
    )


# --- kernelexec's own ------------------------------------------------------------------


@functools.cache
def _own_versions() -> tuple[str, ...]:
    return tuple(sorted(f"{name} {found.version}" for name, found in _closure(*LENT).items()))


def _closure(*names: str) -> dict[str, Distribution]:
    """Distributions and all that they require here, by canonical name."""
    # Here: a hub's first client would wait for it, and few environments borrow.
    from importlib.metadata import distribution as distribution_of

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, Distribution] = {}
    wanted = list(names)
    while wanted:
        distribution = distribution_of(wanted.pop())
        canonical = canonicalize_name(distribution.metadata["Name"])
        if canonical in found:
            continue
        found[canonical] = distribution
        for text in distribution.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                wanted.append(requirement.name)
    return found


def _copy_own(folder: Path) -> None:
    for distribution in _closure(*LENT).values():
        for file in distribution.files or ():
            if ".." not in file.parts:  # bin/, share/: not importable
                _copy(Path(str(distribution.locate_file(file))), folder / file)
    # Without compiled files a kernel starts three times slower.
    compileall.compile_dir(folder, quiet=2, workers=1)


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)  # with its time, by which Python knows the compiled file as current
    if source.suffix == ".py":
        compiled = Path(importlib.util.cache_from_source(str(source)))
        if compiled.is_file():
            _copy(compiled, target.parent / "__pycache__" / compiled.name)
