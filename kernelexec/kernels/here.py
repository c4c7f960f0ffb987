"""Which machine this is, and which of its containers: a pid means something only there.

A home may be shared by machines (a cluster) and containers. A process that one of them has started can
neither be seen nor be said to have ended by the others.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass

from kernelexec.kernels.process import boot_id


@dataclass(frozen=True)
class Machine:
    """`boot` changes with each boot, and is never another machine's; the others may be unknown ("")."""

    boot: str
    host: str = ""
    pid_namespace: str = ""  # Linux: differs from container to container

    @classmethod
    def this(cls) -> Machine:
        return cls(boot_id(), socket.gethostname(), _pid_namespace())

    def seen_from(self, here: Machine) -> str | None:
        """None: its processes are seen from there; "": it was restarted, none is left; else which it is."""
        if self.boot == here.boot:
            unlike = self.pid_namespace not in ("", here.pid_namespace)
            return f"another container of this machine ({self.host})" if unlike else None
        return "" if self.host in ("", here.host) else self.host


def _pid_namespace() -> str:
    if sys.platform != "linux":
        return ""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
