"""The programs that run in the user's interpreter (kernelspecs/), as they were when they were first read."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from kernelexec import paths
from kernelexec.errors import KernelFailed

_FOLDERS = ("launcher", "kernel", "relay", "provisioned", "far")


def sources() -> dict[str, bytes]:
    """Each of their files, by its path below the folder they are copied to.

    Raises:
        KernelFailed: the installation was removed before they were read.
    """
    return _sources_in(paths.kernelspec_templates())


def digest() -> str:
    """By which this version of them is known: the name of the folder they are copied to."""
    return hashlib.sha256(b"\0".join(sources().values())).hexdigest()[:12]


@cache
def _sources_in(folder: str) -> dict[str, bytes]:
    """Read once: the installation may be upgraded or removed while the hub that came from it runs on."""
    root = Path(folder)
    files = sorted(file for program in _FOLDERS for file in (root / program).glob("*.py"))
    if not files:
        raise KernelFailed(
            f"kernelexec's own files in {folder} were removed while its hub runs.",
            "Install it again, or end the hub: kernelexec stop --all. The kernels that run are as they were.",
        )
    return {str(file.relative_to(root)): file.read_bytes() for file in files}
