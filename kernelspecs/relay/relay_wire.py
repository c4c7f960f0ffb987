"""Jupyter's messages as the relay sees them: a list of frames, of which few need a look.

    identities..., DELIMITER, signature, header, parent header, metadata, content, buffers...

For Python 3.8 and newer.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from datetime import datetime, timezone

DELIMITER = b"<IDS|MSG>"


class Signer:
    """Signs and checks messages with the key of one connection file, and makes ones of a session of its own."""

    def __init__(self, connection: dict, session: str) -> None:
        self.session = session
        self.key = connection.get("key", "").encode()
        digest = connection.get("signature_scheme", "hmac-sha256").partition("-")[2]
        self.hmac = hmac.new(self.key, digestmod=getattr(hashlib, digest))

    def sign(self, frames: list[bytes], start: int) -> None:
        """Put the signature where it belongs."""
        frames[start] = self.signature(frames[start + 1 : start + 5])

    def check(self, frames: list[bytes], start: int) -> None:
        if not hmac.compare_digest(self.signature(frames[start + 1 : start + 5]), frames[start]):
            raise ValueError("a wrong signature")

    def signature(self, body: list[bytes]) -> bytes:
        if not self.key:
            return b""
        signature = self.hmac.copy()
        for part in body:
            signature.update(part)
        return signature.hexdigest().encode()

    def pack(self, message_type: str, content: dict, parent: bytes = b"{}") -> list[bytes]:
        header = {
            "msg_id": f"{self.session}_{uuid.uuid4().hex}",
            "msg_type": message_type,
            "username": "kernelexec",
            "session": self.session,
            "date": datetime.now(timezone.utc).isoformat(),
            "version": "5.4",
        }
        body = [json.dumps(header).encode(), parent, b"{}", json.dumps(content).encode()]
        return [DELIMITER, self.signature(body), *body]

    def pack_reply(self, frames: list[bytes], start: int, message_type: str, content: dict) -> list[bytes]:
        return [*frames[: start - 1], *self.pack(message_type, content, frames[start + 1])]


def json_object(frame: bytes) -> dict:
    """What a frame says; ValueError if that is no JSON object."""
    try:
        said = json.loads(frame)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(said, dict):
        raise ValueError("no JSON object where there must be one")
    return said


def is_type(header: bytes, message_type: str) -> bool:
    """Looks into the JSON only where the name is, which spares the time for most messages."""
    return message_type.encode() in header and json_object(header).get("msg_type") == message_type


def signature_at(frames: list[bytes]) -> int:
    """The place of the signature, which header, parent, metadata and content follow."""
    start = frames.index(DELIMITER) + 1
    if len(frames) < start + 5:
        raise ValueError("it is cut short")
    return start


def address(connection: dict, channel: str) -> str:
    ip, port = connection["ip"], connection[f"{channel}_port"]
    return f"ipc://{ip}-{port}" if connection.get("transport") == "ipc" else f"tcp://{ip}:{port}"
