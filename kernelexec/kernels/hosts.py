"""Which host runs a kernel: one for each way in which kernels run, known by the kind that places name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernelexec.kernels.far_kernels import FarKernels
from kernelexec.kernels.host import FAR, JOINED, HostedKernel, KernelHost, Launch
from kernelexec.kernels.joined import JoinedKernels
from kernelexec.kernels.kernel import Death, OnMessage
from kernelexec.kernels.local import LocalKernels
from kernelexec.kernels.servers import ServerKernels
from kernelexec.kernels.strays import Stray

_KIND = "kind"  # in a place; one without it is of this machine, as all were in earlier versions


def here(runtime_dir: Path, state_dir: Path) -> KernelHost:
    """All hosts; connection files and sockets of this machine's are in folders of `runtime_dir`, what is to
    outlive a reboot in `state_dir`."""
    return Hosts(
        {
            "": LocalKernels(runtime_dir),
            JOINED: JoinedKernels(runtime_dir),
            "server": ServerKernels(),
            FAR: FarKernels(runtime_dir, state_dir),
        }
    )


class Hosts:
    """Several hosts as one (see host.KernelHost)."""

    def __init__(self, by_kind: Mapping[str, KernelHost]) -> None:
        self._by_kind = by_kind

    def meet(self, environ: Mapping[str, str], cwd: str) -> None:
        for host in self._by_kind.values():
            host.meet(environ, cwd)

    async def start(self, launch: Launch, on_message: OnMessage) -> HostedKernel:
        return await self._by_kind[launch.kind].start(launch, on_message)

    def adopt(self, place: Mapping[str, Any], on_message: OnMessage, interrupts: str) -> HostedKernel:
        return self._of(place).adopt(place, on_message, interrupts)

    def strays(self) -> Mapping[str, Stray]:
        return {name: stray for host in self._by_kind.values() for name, stray in host.strays().items()}

    def elsewhere(self, place: Mapping[str, Any]) -> str | None:
        return self._of(place).elsewhere(place)

    def keep(self, place: Mapping[str, Any]) -> bool:
        return self._of(place).keep(place)

    def death(self, place: Mapping[str, Any]) -> Death:
        return self._of(place).death(place)

    def clear_up(self, place: Mapping[str, Any]) -> None:
        self._of(place).clear_up(place)

    def _of(self, place: Mapping[str, Any]) -> KernelHost:
        """Raises ValueError: it was written by a later version, or is damaged."""
        kind = place.get(_KIND, "")
        if kind not in self._by_kind:
            raise ValueError(f"this version knows no kernels of the kind {kind!r}")
        return self._by_kind[kind]
