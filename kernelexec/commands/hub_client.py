"""Asking the hub, as an admin client: one JSON line each way."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelexec import paths
from kernelexec.bridge.rendezvous import join_hub, read_line
from kernelexec.bridge.way import FarAway, named_host
from kernelexec.errors import HubUnavailable, NoHub

if TYPE_CHECKING:
    from _socket import socket  # the light one, which rendezvous uses


def ask(command: Mapping[str, Any]) -> dict[str, Any]:
    """The hub's answer, of the other host's where KERNELEXEC_HOST names one; empty if
    there is neither a hub nor a kernel that one would look after."""
    host = named_host(os.environ)
    if host:
        from kernelexec.bridge.far_link import FarHost  # here, because few need it

        return _exchange(FarAway(FarHost(host), os.environ, "admin").join(), command)
    answer = ask_running(command)
    if answer is not None:
        return answer
    if not _has_kernels():
        return {}
    return _exchange(join_hub("admin", os.environ), command)


def ask_running(command: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answer of the hub that runs; None if none does."""
    try:
        connection = join_hub("admin", os.environ, start=False)
    except NoHub:
        return None
    return _exchange(connection, command)


def _exchange(connection: socket, command: Mapping[str, Any]) -> dict[str, Any]:
    connection.sendall(json.dumps(command).encode() + b"\n")
    line = read_line(connection)
    connection.close()
    if not line:
        raise HubUnavailable(
            "The hub ended before it answered.", f"Its log says why: {paths.log_file(os.environ)}"
        )
    answer: dict[str, Any] = json.loads(line)
    return answer


def _has_kernels() -> bool:
    """By the registry, by what lives, or by what is owed to a kernel elsewhere."""
    state_dir = Path(paths.state_dir(os.environ))
    if any(any((state_dir / folder).glob("*.json")) for folder in ("kernels", "owed-stops")):
        return True
    from kernelexec.kernels.strays import living  # here: few come so far, and it takes a while

    return bool(living(Path(paths.runtime_dir(os.environ))))
