"""What a client says while the SDK is still being imported, which takes the first hub half of its start.

A handshake of the ordinary kind is answered here, as the SDK would (a test holds it against that), and
told to the SDK later, whose own answer is dropped. All else waits for it. But where code is to run, a kernel
starts meanwhile, so that a first client waits for the longer of the two and not for both.

Nothing of the SDK is imported here, nor pydantic.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping
from typing import Any

from kernelexec import __version__
from kernelexec.errors import ConfigError, KernelexecError
from kernelexec.hub.caller import Caller
from kernelexec.hub.hub import Hub
from kernelexec.hub.kernels import why_not_in
from kernelexec.model.text import clip_line, one_line

_log = logging.getLogger(__name__)

# What a connection's buffers hold: of a client that sends faster than it is served, and of one that does not
# read. The bridge has to wait then, and its client.
READ_AHEAD = 2 << 20  # bytes; twice that at most
UNREAD = 4 << 20  # bytes

INSTRUCTIONS = (
    "kernelexec runs code in Jupyter kernels that stay: variables are kept between calls, between restarts "
    "of this client and between clients that work in the same directory. Begin with execute_code. The "
    "first line of each reply is the verdict; the rest says what happened and what to do next. What takes "
    "long goes on after the reply: get its end with wait_for_execution, never submit it again. What a "
    "reply leaves out, read_output reads or searches. list_variables and list_executions show what there "
    "is and what has been done, also in earlier conversations."
)
_WHERE = " Relative paths begin in {}."
_LONGEST_NAME = 60  # characters of a client's

# As the SDK has them.
VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
CAPABILITIES = {
    "prompts": {"listChanged": False},
    "resources": {"listChanged": False, "subscribe": False},
    "tools": {"listChanged": False},
}
# What a client can do, where it says no more of it than this. Of what is said in another way, or of more,
# only the SDK knows whether it takes it.
_OF_CAPABILITIES: Mapping[str, Mapping[str, type]] = {
    "elicitation": {"form": dict, "url": dict},
    "roots": {"listChanged": bool},
    "sampling": {"context": dict, "tools": dict},
}
_MAPS = ("experimental", "extensions")  # of objects
_DEEPEST = 20  # objects and lists in one another; of nearly 200 the SDK reads the line no more
_OF_CLIENT = ("description", "name", "title", "version", "websiteUrl")


def where_code_runs(caller: Caller) -> str:
    """Where a kernel that is started for this caller works; of one that runs the first reply tells it, and of
    one elsewhere, where the directory is another."""
    try:
        config = caller.config()
        if config.environment.is_elsewhere:
            return ""
        directory = config.kernel_dir()
        # The storage directory is made when it is needed.
        problem = why_not_in(directory) if directory != config.storage_dir else None
        where = f"{one_line(str(directory))}{caller.on_host}"
        return _WHERE.format(where + (f", which {problem}" if problem else ""))
    except ConfigError:
        return ""  # each call says what is wrong


def clients_name(name: str) -> str:
    """As it calls itself, in one short line: other clients are told it, and journals keep it."""
    return clip_line(name, _LONGEST_NAME)


class Opening:
    """How a connection begins. `lines`: what the SDK is to be told of it."""

    def __init__(self, hub: Hub, caller: Caller) -> None:
        self.lines: list[bytes] = []
        self._answered: int | str | None = None  # the id of the handshake, until the SDK has answered it, too
        self._hub = hub
        self._caller = caller
        self._foreseen: asyncio.Task[None] | None = None

    async def until(
        self, ready: asyncio.Future[Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Listen to the client until this is done."""
        size = 0
        while not ready.done() and size < READ_AHEAD:
            reading = asyncio.ensure_future(reader.readuntil(b"\n"))
            try:
                await asyncio.wait({reading, ready}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                reading.cancel()  # what it has not taken yet stays in the reader
            await asyncio.wait({reading})
            line, is_last = _outcome(reading)
            if line:
                self.lines.append(line)
                size += len(line)
                await self._hear(line, writer)
            if is_last:
                return

    def has_answered(self, identity: int | str) -> bool:
        """Whether the client has the answer to this request, which the SDK gives now, already."""
        if self._answered is None or identity != self._answered:
            return False
        self._answered = None  # the id may be used again
        return True

    async def _hear(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            message = json.loads(line.decode())
        except (ValueError, RecursionError):
            return  # told by the stream
        if not isinstance(message, dict):
            return
        if len(self.lines) == 1:
            answer = initialized(message, INSTRUCTIONS + where_code_runs(self._caller))
            if answer is not None:
                self._answered = message["id"]
                self._caller.client = clients_name(message["params"]["clientInfo"]["name"])
                with contextlib.suppress(ConnectionError):  # the reader sees the end, too
                    writer.write(answer + b"\n")
                    await writer.drain()
        elif self._answered is not None and self._foreseen is None and _runs_code(message):
            session = message["params"]["arguments"].get("session") or None
            self._foreseen = asyncio.create_task(self._foresee(session))

    async def _foresee(self, session_name: str | None) -> None:
        """Have the kernel that a call will need. What is wrong the call finds, too, and tells."""
        try:
            session = await self._hub.session_of(self._caller, session_name, lambda text: None)
            await session.have_kernel(self._caller.surroundings(session))
        except (KernelexecError, OSError) as error:
            _log.info("no kernel ahead of the call: %s", error)


def _outcome(reading: asyncio.Future[bytes]) -> tuple[bytes, bool]:
    """What was read, and whether it is the last that is read here."""
    try:
        return reading.result(), False
    except asyncio.CancelledError:
        return b"", False
    except asyncio.IncompleteReadError as end:
        return end.partial, True
    except (asyncio.LimitOverrunError, ConnectionError):  # the stream finds the same
        return b"", True


def _runs_code(message: Mapping[str, Any]) -> bool:
    params = message.get("params")
    if message.get("method") != "tools/call" or not isinstance(params, dict):
        return False
    arguments = params.get("arguments")
    return (
        params.get("name") == "execute_code"
        and isinstance(arguments, dict)
        and isinstance(arguments.get("code"), str)
        and isinstance(arguments.get("session"), str | None)
    )


def initialized(message: Mapping[str, Any], instructions: str) -> bytes | None:
    """The answer to a handshake; None: this is none, or one that is left to the SDK."""
    if message.keys() != {"jsonrpc", "id", "method", "params"} or message["jsonrpc"] != "2.0":
        return None
    identity, params = message["id"], message["params"]
    if message["method"] != "initialize" or not _is_plain_id(identity) or not isinstance(params, dict):
        return None
    if params.keys() != {"protocolVersion", "capabilities", "clientInfo"}:
        return None
    version, client = params["protocolVersion"], params["clientInfo"]
    if not isinstance(version, str) or not _are_plain(params["capabilities"]) or not _is_plain_client(client):
        return None
    result = {
        "capabilities": CAPABILITIES,
        "instructions": instructions,
        "protocolVersion": version if version in VERSIONS else VERSIONS[-1],
        "serverInfo": {"name": "kernelexec", "title": "kernelexec", "version": __version__},
    }
    answer = {"jsonrpc": "2.0", "id": identity, "result": result}
    try:
        json.dumps(message, ensure_ascii=False).encode()
        return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a lone surrogate
        return None


def _is_plain_id(identity: object) -> bool:
    if isinstance(identity, str):
        return identity.isascii() and identity.isprintable() and not identity.strip().lstrip("+-").isdigit()
    return isinstance(identity, int) and not isinstance(identity, bool) and abs(identity) < 2**53


def _is_plain_client(client: object) -> bool:
    return (
        isinstance(client, dict)
        and {"name", "version"} <= client.keys() <= set(_OF_CLIENT)
        and all(isinstance(value, str) for value in client.values())
    )


def _are_plain(capabilities: object) -> bool:
    if not isinstance(capabilities, dict) or not _is_flat(capabilities, _DEEPEST):
        return False
    return all(
        isinstance(said, dict)
        and (
            all(isinstance(value, dict) for value in said.values())
            if name in _MAPS
            else said.keys() <= _OF_CAPABILITIES.get(name, {}).keys()
            and all(isinstance(value, _OF_CAPABILITIES[name][each]) for each, value in said.items())
        )
        and (name in _MAPS or name in _OF_CAPABILITIES)
        for name, said in capabilities.items()
    )


def _is_flat(value: object, levels: int) -> bool:
    """Whether what is in it goes no deeper than this."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels >= 0 and all(_is_flat(each, levels - 1) for each in inner)
