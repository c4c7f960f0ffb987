"""The stdio MCP server as clients start it: finds the hub and passes bytes both ways.

Standard library only; it knows nothing of MCP but how to refuse when there is no hub.
"""

from __future__ import annotations

import _thread
import os
import sys
from _socket import SHUT_WR, socket  # see rendezvous

from kernelexec.bridge.rendezvous import join_hub
from kernelexec.errors import HubUnavailable
from kernelexec.paths import log_file

_CHUNK = 1 << 16  # bytes
# Between the client's end of input and our own end: the hub answers what was already asked
# (`printf ... | kernelexec` gets its replies) and no client has to wait for longer.
_LAST_WORDS_SECONDS = 0.9
_INTERNAL_ERROR = -32603  # JSON-RPC


_input_ended = _thread.allocate_lock()  # locked once the client has closed its input


def main() -> int:
    """Serve one client until it or the hub closes. Exit status 0, or 1 where the hub is missing."""
    for descriptor in (0, 1):
        os.set_blocking(descriptor, True)  # some clients hand over sockets of their own event loop
    try:
        hub = join_hub("mcp", os.environ)
    except HubUnavailable as error:
        _refuse(error)
        return 1
    _thread.start_new_thread(_pass_input, (hub,))
    try:
        while chunk := hub.recv(_CHUNK):
            _write_all(1, chunk)
    except ConnectionResetError:
        pass
    except BrokenPipeError:  # the client is gone
        return 0
    if not _input_ended.locked():
        print(f"kernelexec: the hub ended; its log: {log_file(os.environ)}", file=sys.stderr)
        return 1
    return 0


def _pass_input(hub: socket) -> None:
    try:
        while chunk := os.read(0, _CHUNK):
            hub.sendall(chunk)
        _input_ended.acquire()
        hub.shutdown(SHUT_WR)
    except OSError:
        return  # the hub is gone: the main thread sees it too
    _wait_while_anybody_reads()
    os._exit(0)


def _wait_while_anybody_reads() -> None:
    """For the last words; no longer than the client lives: what we took from the hub would count as told."""
    import select  # here: as in _refuse

    output = select.poll()
    output.register(1, 0)  # only its end is waited for: POLLERR or POLLHUP
    output.poll(_LAST_WORDS_SECONDS * 1000)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _refuse(error: HubUnavailable) -> None:
    """Answer the client's first request with what is wrong: few clients show stderr."""
    import json  # here: the other path, which every client waits for, does without

    print(f"kernelexec: {error}", file=sys.stderr)
    for line in sys.stdin.buffer:
        try:
            request = json.loads(line)
        except ValueError:
            continue
        if isinstance(request, dict) and "id" in request:
            failure = {"code": _INTERNAL_ERROR, "message": f"kernelexec: {error}"}
            answer = {"jsonrpc": "2.0", "id": request["id"], "error": failure}
            _write_all(1, json.dumps(answer).encode() + b"\n")
            return
