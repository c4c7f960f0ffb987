"""`kernelexec --host HOST lab`: JupyterLab there, in this host's browser, through the same link."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from kernelexec.bridge.channels import Channels
from kernelexec.bridge.far_link import FarHost, Link
from kernelexec.errors import HubUnavailable

_START_SECONDS = 90.0  # of JupyterLab, on a cold disk


def run(host: FarHost, arguments: Sequence[str]) -> int:
    """Until it is ended with Control-C, or JupyterLab there ends.

    Raises:
        KernelexecError: the host is not reached, or JupyterLab did not start.
    """
    opens = "--no-browser" not in arguments
    link = host.ask({"want": "lab", "arguments": list(arguments)}, os.environ)
    try:
        said = json.loads(link.receive_line(_START_SECONDS) or b"null")
        if said is None:
            raise HubUnavailable(
                f"JupyterLab did not start where `{host.shown}` leads.", "What was said there is above."
            )
        with suppress(KeyboardInterrupt):
            asyncio.run(_serve(link, said, opens=opens))
    finally:
        link.end()
    return 0


async def _serve(link: Link, said: Mapping[str, Any], *, opens: bool) -> None:
    reader, writer = await asyncio.open_connection(sock=link.connection)
    channels = Channels(reader, writer)
    server = await _server(channels, said["port"])
    port = server.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}{said['path']}"
    # Whoever reads a terminal may use the server; a log may be read by others, later.
    print(f"JupyterLab: {url}?token={said['token'] if sys.stdout.isatty() else '...'}")
    print(said["about"], flush=True)
    if opens:
        webbrowser.open(f"{url}?token={said['token']}")
    try:
        await channels.run()
    finally:
        server.close()


async def _server(channels: Channels, wanted: int) -> asyncio.Server:
    """On the port that it has there, if it is free here."""
    for port in (wanted, 0):
        with suppress(OSError):
            return await asyncio.start_server(channels.carry, "127.0.0.1", port)
    raise HubUnavailable("No port can be opened here.")
