"""The far end of `kernelexec --host HOST lab`: a JupyterLab here, whose port is at the other end."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Mapping, Sequence

from kernelexec.bridge.channels import Channels

_END_SECONDS = 10.0


def run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """JupyterLab until the link ends, or it does: its exit status."""
    return asyncio.run(_run(command, environ))


async def _run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """`command` says in its first line, in JSON, where it listens; the other end gets that line first."""
    server = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, env=dict(environ)
    )
    assert server.stdout is not None
    line = await server.stdout.readline()
    if not line.endswith(b"\n"):
        return await server.wait()
    reader, writer = await _link()
    writer.write(line)
    port = json.loads(line)["port"]
    channels = Channels(reader, writer, lambda: asyncio.open_connection("127.0.0.1", port))
    carrying = asyncio.create_task(channels.run())
    waiting = asyncio.create_task(server.wait())
    await asyncio.wait((carrying, waiting), return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        server.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(waiting), _END_SECONDS)
        except (asyncio.TimeoutError, TimeoutError):
            server.kill()
    carrying.cancel()
    return await waiting


async def _link() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Standard input and output."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    return reader, asyncio.StreamWriter(transport, protocol, None, loop)
