"""The life of a kernel that a kernel provisioner has started, wherever: here is what stands for it.

The process here (kernelspecs/provisioned) listens and ends for the kernel, and is not the kernel: what it
uses of this machine is not what the kernel uses, and where it works no code runs. So, as one on a Jupyter
server, the kernel is asked to become one of ours, which says where it is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kernelexec.kernels.findings import read_usage
from kernelexec.kernels.kernel import Death, Usage, Where
from kernelexec.kernels.link import Link
from kernelexec.kernels.local_life import LocalLife
from kernelexec.kernels.moving_in import move_in
from kernelexec.kernels.wire import Message

_log = logging.getLogger(__name__)

_ENDED = "The kernel's provisioner says that it has ended."  # as kernelspecs/provisioned has it


class ProvisionedLife(LocalLife):
    """The process that stands for it, watched as a kernel's is (see life.Life, linked_kernel.Beyond)."""

    _usage: Usage | None = None

    async def settle(self, link: Link, info: Mapping[str, Any]) -> str:
        arrival = await move_in(link, info)
        if not arrival.is_ours:
            _log.info("kernel %s stays what it is: %s", self.kernel_id, arrival.why_not)
        self._place = replace(self._place, far_host=arrival.host, far_directory=arrival.directory)
        return "named" if arrival.is_ours else "message"

    def hear(self, message: Message) -> None:
        self._usage = read_usage(message) or self._usage

    @property
    def where(self) -> Where | None:
        place = self._place
        return Where(place.far_host, place.far_directory, "") if place.far_host else None

    def explained(self, death: Death) -> Death:
        """The exit code is of what stands for it: the kernel's only where its provisioner has told one, and
        most say 0 of whatever is gone."""
        if _ENDED not in death.stderr or death.exit_code is None:
            return death
        code = f", with exit code {death.exit_code}" if death.exit_code else ""
        return replace(death, asked=f"its provisioner says that it has ended{code}")

    def memory(self) -> int | None:
        """As it was when the kernel last told of a run."""
        return self._usage.memory if self._usage is not None else None

    def cpu_seconds(self) -> None:
        """It would be that of some time ago, so nobody could tell what is used now."""

    def family_cpu_seconds(self) -> None:
        """Nobody tells it."""
