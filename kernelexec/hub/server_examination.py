"""What the doctor finds out about a Jupyter server by a kernel of it: limits, and whether idle kernels end.

No server tells these when it is asked. Its limits stand in the notice that it sends where it drops output, so
more is printed than is usually let through. What ends idle kernels stands in its command line and
environment, which a kernel beside it may read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kernelexec.kernels.host import HostedKernel
from kernelexec.kernels.wire import Message
from kernelexec.model.quantities import readable_size

_MARK = "kernelexec-facts "
# More than the usual limit in its window: 1 MB a second, 3 seconds.
_LOOK = f"""
def _kernelexec_words(name):
    import os
    try:
        with open("/proc/%d/%s" % (os.getppid(), name), "rb") as file:
            return file.read().decode("utf-8", "replace").split(chr(0))
    except OSError:
        return []
import json, os
print({_MARK!r} + json.dumps({{
    "said": [
        word
        for name in ("cmdline", "environ")
        for word in _kernelexec_words(name)
        if "cull" in word.lower()
    ],
    "hub": "JUPYTERHUB_API_URL" in os.environ,
}}))
print("x" * 4_000_000)
"""
_RATE = re.compile(r"iopub_data_rate_limit=([\d.]+)")
_IDLE = re.compile(r"cull_idle_timeout\W+(\d+)", re.IGNORECASE)
_CONNECTED = re.compile(r"cull_connected\W+(true|1)", re.IGNORECASE)


@dataclass
class ServerFacts:
    """What was found out."""

    bytes_a_second: float | None = None  # of output, that the server passes on; None: it has not said
    is_made_good: bool = False  # whether the kernel remembers what is not passed on
    idle_seconds: int | None = None  # after which it ends a kernel
    ends_connected: bool = False  # also one that we are connected to
    is_of_a_hub: bool = False
    heard: list[str] = field(default_factory=list)

    def hear(self, message: Message) -> None:
        """All of the kernel's."""
        if message.type == "stream":
            self.heard.append(str(message.content.get("text", "")))

    async def look(self, kernel: HostedKernel, info: Mapping[str, Any]) -> None:
        """At a kernel that runs nothing, and is not needed any more."""
        language = (info.get("language_info") or {}).get("name")
        if language != "python":
            return
        self.is_made_good = kernel.interrupts_by_name
        await kernel.execute(*kernel.pack(_LOOK))
        text = "".join(self.heard)
        told = str(kernel.place().get("limits", "")) or text
        rate = _RATE.search(told)
        self.bytes_a_second = float(rate[1]) if rate is not None else None
        self._read(next((line for line in text.splitlines() if line.startswith(_MARK)), _MARK + "{}"))

    def _read(self, line: str) -> None:
        said = json.loads(line.removeprefix(_MARK))
        words = "\n".join(said.get("said", ()))
        idle = _IDLE.search(words)
        self.idle_seconds = int(idle[1]) or None if idle is not None else None
        self.ends_connected = _CONNECTED.search(words) is not None
        self.is_of_a_hub = bool(said.get("hub"))

    def told(self, say: Callable[[bool, str, str], None]) -> None:
        """`say(is_well, what, mend)` for each thing that the person may want to know."""
        if self.bytes_a_second is not None:
            most = f"its server passes on {readable_size(self.bytes_a_second)} of output a second"
            if self.is_made_good:
                say(True, f"{most}; what is more is had from the kernel's memory", "")
            else:
                mend = (
                    "start the server with --ServerApp.iopub_data_rate_limit=1e9 and iopub_msg_rate_limit=1e6"
                )
                say(False, f"{most}; what is more is lost, and counted", mend)
        if self.idle_seconds is not None:
            mend = "have its cull_idle_timeout raised, or keep what matters in files"
            when = "" if self.ends_connected else " while no hub is connected to it"
            what = f"its server ends a kernel that was idle for {self.idle_seconds} s{when}"
            say(
                not self.ends_connected,
                f"{what}: variables are lost then",
                mend if self.ends_connected else "",
            )
        if self.is_of_a_hub:
            say(True, "a JupyterHub may stop the whole server when it is idle; kernels end with it", "")
