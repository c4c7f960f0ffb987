"""Kernels of a Jupyter server, which starts them where it likes: `ENV_TYPE=gateway`.

Nothing of such an environment is on this machine: what it is, its server says.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernelexec.config import Gateway, read_gateway
from kernelexec.environments.extras import install_command
from kernelexec.environments.inventory import Listed
from kernelexec.environments.languages import script_extension
from kernelexec.environments.source import Places, Progress
from kernelexec.errors import ConfigError, EnvironmentUnusable
from kernelexec.kernels.server_access import Access
from kernelexec.kernels.server_api import ServerApi
from kernelexec.kernels.server_troubles import ServerTrouble
from kernelexec.model.environment import Environment
from kernelexec.model.naming import clean_name
from kernelexec.model.server_address import host_of, kernel_at

_NEEDED = ("httpx", "websockets")  # of the extra `remote`
_MOST_NAMED = 12  # kernelspecs


class GatewayKernel:
    """One kernelspec of a server; its default one where the name is empty."""

    kind = "gateway"

    def __init__(self, url: str, kernelspec: str) -> None:
        self.url = url
        self.kernelspec = kernelspec
        self.prefix = Path(url, kernelspec)  # by which it is told from others, and found nowhere

    async def prepare(self, places: Places, progress: Progress) -> Environment:
        missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            raise EnvironmentUnusable(
                f"Kernels on a Jupyter server need {' and '.join(missing)}, which are not beside kernelexec.",
                f"{install_command('remote')}\nThen have the hub started anew, which ends its kernels: "
                "kernelexec stop --all",
            )
        progress(f"{self.url} is asked for its kernelspecs.")
        found = await kernelspecs_of(self._gateway(places.environ))
        name = self.kernelspec or str(found.get("default") or "")
        specs: Mapping[str, Any] = found["kernelspecs"]
        if name not in specs:
            there = ", ".join(sorted(specs)[:_MOST_NAMED]) or "none"
            raise EnvironmentUnusable(
                f"{self.url} has no kernelspec {name!r}. It has: {there}.",
                "Set GATEWAY_KERNEL to one of them in the MCP configuration, or leave it out.",
            )
        spec = _spec(specs[name])
        language = str(spec.get("language") or "unknown")
        return Environment(
            kind=self.kind,
            label=clean_name(f"{name}-{host_of(self.url)}") or "server",
            prefix=Path(self.url, name),
            interpreter=None,
            kernelspec=name,
            display_name=str(spec.get("display_name") or name),
            argv=(self.url,),
            variables=(),
            borrowed_ipykernel=None,
            language=language,
            extension=script_extension(language),
            interrupts="signal",  # until it has answered: see kernels/moving_in.py
            transport="websocket",
            host=self.url,
        )

    def _gateway(self, environ: Mapping[str, str]) -> Gateway:
        gateway = read_gateway(environ, environ.get("PWD") or os.sep)
        if gateway is None or gateway.url != self.url:
            raise EnvironmentUnusable(
                f"The kernel is one of {self.url}, which this client has no access to.",
                f"Set GATEWAY_URL={self.url} and its token in the MCP configuration.",
            )
        return gateway


async def listed(environ: Mapping[str, str]) -> list[Listed]:
    """The kernelspecs of the server that a client's configuration names, if any; or what is wrong."""
    try:
        gateway = read_gateway(environ, environ.get("PWD") or os.sep)
    except ConfigError:  # told with each call
        return []
    if gateway is None:
        return []
    try:
        found = await kernelspecs_of(gateway)
    except EnvironmentUnusable as error:
        return [Listed("gateway", gateway.name, Path(gateway.url), "unknown", None, error.what)]
    specs = {name: _spec(said) for name, said in sorted(found["kernelspecs"].items())}
    return [
        Listed(
            "gateway",
            kernel_at(gateway.url, name),
            Path(gateway.url, name),
            f"{spec.get('language') or 'unknown'}, {str(spec.get('display_name') or name)!r}",
        )
        for name, spec in specs.items()
    ]


async def kernelspecs_of(gateway: Gateway) -> Mapping[str, Any]:
    """What a server says of its kernelspecs (see ServerApi.kernelspecs).

    Raises:
        EnvironmentUnusable: why it does not, and what mends that.
    """
    try:
        return await ServerApi(Access(gateway)).kernelspecs()
    except ServerTrouble as error:
        raise EnvironmentUnusable(error.trouble.what, error.trouble.next_step) from error


def _spec(said: Any) -> Mapping[str, Any]:
    """What a server tells of one: the kernel.json is within."""
    inner = said.get("spec") if isinstance(said, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}
