"""The Jupyter message protocol on the wire: what jupyter_client's Session does, at a third of its
cost for what a hub needs (no pickling, no date parsing, no copies of headers).

https://jupyter-client.readthedocs.io/en/stable/messaging.html#the-wire-protocol
"""

from __future__ import annotations

import hmac
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, TypeVar

PROTOCOL_VERSION = "5.4"
_DELIMITER = b"<IDS|MSG>"
_Frame = TypeVar("_Frame", bytes, "bytes | memoryview")
_LARGE = 1_000_000  # bytes
_LONGEST_SERIAL = 15  # digits: no kernel counts so far


@dataclass(frozen=True)
class Message:
    """One message from a kernel."""

    channel: str  # "shell", "control", "iopub" or "stdin"
    type: str
    content: Mapping[str, Any]
    msg_id: str
    parent_id: str | None
    parent_session: str | None  # which client's request it belongs to
    date: str  # ISO 8601, as the kernel wrote it
    metadata: Mapping[str, Any]
    buffers: tuple[bytes, ...] = ()
    sender: str = ""  # the session of who made it: a kernel's process, or a server before it

    @property
    def serial(self) -> int | None:
        """Its number among those of `numbered_by`, in the order in which they were made; None: not told.

        jupyter_client's ids end in `_` and this number, others may be anything.
        """
        before, _, number = self.msg_id.rpartition("_")
        is_number = number.isascii() and number.isdigit() and len(number) <= _LONGEST_SERIAL
        return int(number) if before and is_number else None

    @property
    def numbered_by(self) -> str:
        """Whose count `serial` is: a kernel, a server before it, a child that it forked have their own."""
        return self.msg_id.rpartition("_")[0]


def read_message(channel: str, body: Sequence[bytes], buffers: tuple[bytes, ...] = ()) -> Message:
    """The message with this header, parent header, metadata and content.

    Raises:
        BadMessage: it is none.
    """
    try:
        header, parent, metadata, content = map(read_part, body)
        return message_of(channel, header, parent, metadata, content, buffers)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadMessage(str(error)) from error


def message_of(
    channel: str,
    header: Mapping[str, Any],
    parent: Mapping[str, Any],
    metadata: Mapping[str, Any],
    content: Mapping[str, Any],
    buffers: tuple[bytes, ...] = (),
) -> Message:
    """The same from parts that were read.

    Raises:
        BadMessage: it is none.
    """
    names = (header.get("msg_type"), header.get("msg_id"), parent.get("msg_id", ""))
    if not all(isinstance(name, str) for name in names):
        raise BadMessage("a type or id that is missing, or no text")
    return Message(
        channel=channel,
        type=header["msg_type"],
        content=content,
        msg_id=header["msg_id"],
        parent_id=parent.get("msg_id"),
        parent_session=parent.get("session"),
        date=header.get("date", ""),
        metadata=metadata,
        buffers=buffers,
        sender=str(header.get("session", "")),
    )


def read_part(part: bytes) -> dict[str, Any]:
    """A header, a content and so on.

    Raises:
        ValueError, RecursionError, BadMessage: it is none.
    """
    if part == b"{}":
        return {}
    loaded = json.loads(part.decode())  # of bytes it would look for their encoding first
    if not isinstance(loaded, dict):
        raise BadMessage("not a JSON object")
    return loaded


def parts_of(frames: Sequence[_Frame]) -> tuple[_Frame, Sequence[_Frame], tuple[_Frame, ...]]:
    """The signature, the frames that it is of, and the buffers; nothing of it is checked.

    Raises:
        BadMessage: these are no frames of a message.
    """
    try:
        start = frames.index(_DELIMITER) + 1
        return frames[start], frames[start + 1 : start + 5], tuple(frames[start + 5 :])
    except (ValueError, IndexError) as error:
        raise BadMessage(str(error)) from error


class BadMessage(Exception):
    """Not a message of this kernel: malformed, or signed with another key."""


class WrongSignature(BadMessage):
    """Signed with another key, or changed on its way."""


class Wire:
    """Packs and unpacks messages for one connection to a kernel."""

    def __init__(self, key: str) -> None:
        self.session = uuid.uuid4().hex
        self._key = key.encode()
        self._sent = 0
        self._parent: tuple[bytes, dict[str, Any]] = b"{}", {}  # all that is said of a run has the same

    def pack(
        self, message_type: str, content: Mapping[str, Any], subshell: str | None = None
    ) -> tuple[str, list[bytes]]:
        """A request's msg_id and its frames; for the main shell, or one of its subshells (JEP 91)."""
        self._sent += 1
        msg_id = f"{self.session}_{self._sent}"
        header = {
            "msg_id": msg_id,
            "msg_type": message_type,
            "username": "kernelexec",
            "session": self.session,
            "date": datetime.now(timezone.utc).isoformat(),
            "version": PROTOCOL_VERSION,
        }
        if subshell is not None:
            header["subshell_id"] = subshell
        body = [json.dumps(header).encode(), b"{}", b"{}", json.dumps(content).encode()]
        return msg_id, [_DELIMITER, self._sign(body), *body]

    def unpack(self, channel: str, frames: Sequence[bytes]) -> Message:
        """The message in these frames.

        Raises:
            BadMessage: it is none, or its signature is wrong.
        """
        signature, body, buffers = parts_of(frames)
        try:
            if not hmac.compare_digest(self._sign(body), signature):
                raise WrongSignature("wrong signature")
            header, parent, metadata, content = body
            if parent != self._parent[0]:
                self._parent = parent, read_part(parent)
            parts = read_part(header), self._parent[1], read_part(metadata), read_part(content)
            return message_of(channel, *parts, buffers)
        except (ValueError, TypeError, RecursionError) as error:
            raise BadMessage(str(error)) from error

    @property
    def key(self) -> str:
        """What messages are signed with; empty: they are not."""
        return self._key.decode()

    def _sign(self, body: Sequence[bytes]) -> bytes:
        if not self._key:
            return b""
        if sum(map(len, body)) < _LARGE:
            return hmac.digest(self._key, b"".join(body), "sha256").hex().encode()
        signature = hmac.new(self._key, digestmod="sha256")  # without a copy of it all
        for part in body:
            signature.update(part)
        return signature.hexdigest().encode()
