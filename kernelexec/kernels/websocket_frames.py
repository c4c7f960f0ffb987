"""Jupyter's messages as a kernel server's websocket carries them, in the two ways that there are. Pure.

- the subprotocol v1.kernel.websocket.jupyter.org: a message's parts one after the other, with a table of
  where each begins (https://jupyter-server.readthedocs.io/en/latest/developers/websocket-protocols.html)
- the default: one JSON object, and where it has buffers a table of its own kind before it
Which of them is spoken the server says. It signs nothing: what vouches for a message is the connection.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

from kernelexec.kernels.wire import BadMessage, Message, message_of, read_message

V1 = "v1.kernel.websocket.jupyter.org"
_PARTS = 4  # header, parent header, metadata, content
_MOST_PARTS = 100_000  # buffers of one message; a table of more is none


class Frames(Protocol):
    """One of the two ways."""

    def pack(self, channel: str, body: Sequence[bytes]) -> bytes | str:
        """A request from the four parts of its body."""

    def unpack(self, data: bytes | str) -> Message:
        """The message in what came.

        Raises:
            BadMessage: there is none in it.
        """


class V1Frames:
    """The subprotocol."""

    def pack(self, channel: str, body: Sequence[bytes]) -> bytes:
        parts = [channel.encode(), *body]
        count = len(parts) + 1  # where each begins, and where the last ends
        begins = [8 * (count + 1)]
        for part in parts:
            begins.append(begins[-1] + len(part))
        return b"".join([struct.pack(f"<{count + 1}Q", count, *begins), *parts])

    def unpack(self, data: bytes | str) -> Message:
        if isinstance(data, str):
            raise BadMessage("text, where the server has chosen the binary protocol")
        try:
            (count,) = struct.unpack_from("<Q", data)
            if count > _MOST_PARTS:
                raise BadMessage("not a table of parts")
            begins = struct.unpack_from(f"<{count}Q", data, 8)
            channel = data[begins[0] : begins[1]].decode()
            parts = [data[begin:end] for begin, end in pairwise(begins[1:])]
        except (struct.error, IndexError, UnicodeDecodeError) as error:
            raise BadMessage(str(error)) from error
        return read_message(channel, parts[:_PARTS], tuple(parts[_PARTS:]))


class JsonFrames:
    """The default."""

    def pack(self, channel: str, body: Sequence[bytes]) -> str:
        header, parent, metadata, content = (part.decode() for part in body)
        return (
            f'{{"channel": {json.dumps(channel)}, "header": {header}, "parent_header": {parent}, '
            f'"metadata": {metadata}, "content": {content}, "buffers": []}}'
        )

    def unpack(self, data: bytes | str) -> Message:
        buffers: tuple[bytes, ...] = ()
        if isinstance(data, bytes):
            data, buffers = _with_buffers(data)
        try:
            said: dict[str, Any] = json.loads(data)
            return message_of(
                said.get("channel") or "iopub",
                said["header"],
                said.get("parent_header") or {},
                said.get("metadata") or {},
                said["content"],
                buffers,
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadMessage(str(error)) from error


def frames_for(subprotocol: str | None) -> Frames:
    """The way that a server has chosen; None: it knows of no choice."""
    return V1Frames() if subprotocol == V1 else JsonFrames()


def _with_buffers(data: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    try:
        (count,) = struct.unpack_from("!I", data)
        if not 0 < count <= _MOST_PARTS:
            raise BadMessage("not a table of buffers")
        begins = [*struct.unpack_from(f"!{count}I", data, 4), len(data)]
    except struct.error as error:
        raise BadMessage(str(error)) from error
    parts = [data[begin:end] for begin, end in pairwise(begins)]
    return parts[0], tuple(parts[1:])
