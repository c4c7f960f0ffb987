"""Which host runs a kernel."""

from __future__ import annotations

from pathlib import Path

from kernelexec.kernels.host import KernelHost
from kernelexec.kernels.local import LocalKernels


def here(runtime_dir: Path) -> KernelHost:
    """This machine; connection files and sockets are in folders of `runtime_dir`."""
    return LocalKernels(runtime_dir)
