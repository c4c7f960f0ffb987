"""ipykernel for environments that have none: a folder of ours with ipykernel and what it needs.

Nothing is written into the user's environment. The folder is copied from kernelexec's own
installation (which needs no network, and an installation by uvx may vanish under a running
kernel), holds nothing but ipykernel's dependencies, and is shared by all environments of the same
Python version. The launcher puts it at the end of the kernel's sys.path.
"""

from __future__ import annotations

import asyncio
import compileall
import hashlib
import importlib.metadata
import importlib.util
import shutil
import tempfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from kernelexec.environments.probe import own_abi
from kernelexec.environments.source import Progress
from kernelexec.errors import EnvironmentUnusable
from kernelexec.model.environment import Interpreter


async def borrow_ipykernel(data_dir: Path, interpreter: Interpreter, progress: Progress) -> Path:
    """The folder for this interpreter, made if there is none yet.

    Raises:
        EnvironmentUnusable: kernelexec has no ipykernel for this Python.
    """
    if interpreter.abi != own_abi():
        has = (
            f"ipykernel {interpreter.ipykernel}, which is too old"
            if interpreter.ipykernel
            else "no ipykernel"
        )
        raise EnvironmentUnusable(
            f"{interpreter.executable} (Python {interpreter.version_text}) has {has}, and kernelexec's own "
            "is for another version of Python.",
            f"Install it there: {interpreter.executable} -m pip install 'ipykernel>=6.29'",
        )
    folder = lent_folder(data_dir)
    if not folder.exists():
        progress("Preparing ipykernel for environments that have none (first use only).")
        try:
            await asyncio.to_thread(_make, folder)
        except OSError as error:
            raise EnvironmentUnusable(
                f"ipykernel could not be copied to {folder}: {error.strerror or error}.",
                f"Make room there, or install it: {interpreter.executable} -m pip install 'ipykernel>=6.29'",
            ) from error
    return folder


def lent_folder(data_dir: Path) -> Path:
    """Where this version's ipykernel is, or will be, for Pythons like our own."""
    versions = sorted(f"{name} {found.version}" for name, found in _closure("ipykernel").items())
    digest = hashlib.sha256(repr(versions).encode()).hexdigest()[:12]
    return data_dir / "ipykernel" / f"{own_abi().strip('.').split('.')[0]}-{digest}"


def _closure(name: str) -> dict[str, importlib.metadata.Distribution]:
    """A distribution and all that it requires here, by canonical name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    wanted = [name]
    while wanted:
        distribution = importlib.metadata.distribution(wanted.pop())
        canonical = canonicalize_name(distribution.metadata["Name"])
        if canonical in found:
            continue
        found[canonical] = distribution
        for text in distribution.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                wanted.append(requirement.name)
    return found


def _make(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    unfinished.chmod(0o755)
    for distribution in _closure("ipykernel").values():
        for file in distribution.files or ():
            if ".." not in file.parts:  # bin/, share/: not importable
                _copy(Path(str(distribution.locate_file(file))), unfinished / file)
    # Without compiled files a kernel starts three times slower.
    compileall.compile_dir(unfinished, quiet=2, workers=1)
    try:
        unfinished.rename(folder)
    except OSError:  # somebody else was faster
        shutil.rmtree(unfinished)


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)  # with its time, by which Python knows the compiled file as current
    if source.suffix == ".py":
        compiled = Path(importlib.util.cache_from_source(str(source)))
        if compiled.is_file():
            _copy(compiled, target.parent / "__pycache__" / compiled.name)
