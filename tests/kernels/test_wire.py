"""Messages on the wire, held against jupyter_client's own Session both ways."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import Session

from kernelexec.kernels.wire import BadMessage, Message, Wire

KEY = "1f0c4a"
CONTENT = {"code": "x = 'ä 📈'", "silent": False, "user_expressions": {}, "n": [1, None, 2.5]}


def theirs(key: str = KEY) -> Session:
    return Session(key=key.encode())


def from_them(session: Session, message_type: str = "stream", **more: Any) -> list[bytes]:
    message = session.msg(message_type, content=CONTENT, **more)
    frames: list[bytes] = session.serialize(message, ident=b"identity")
    return frames


def test_jupyters_session_reads_what_we_send() -> None:
    wire = Wire(KEY)
    msg_id, frames = wire.pack("execute_request", CONTENT)
    identities, rest = theirs().feed_identities(frames)
    message = theirs().deserialize(rest)
    assert identities == []
    assert message["content"] == CONTENT
    assert (message["msg_type"], message["msg_id"]) == ("execute_request", msg_id)
    assert message["header"]["session"] == wire.session
    assert isinstance(message["header"]["date"], datetime)
    assert message["header"]["date"].tzinfo is not None
    assert (message["parent_header"], message["metadata"], message["buffers"]) == ({}, {}, [])


def test_we_read_what_jupyters_session_sends() -> None:
    session = theirs()
    parent = session.msg("execute_request")["header"]
    message = Wire(KEY).unpack("iopub", from_them(session, parent=parent, metadata={"started": "now"}))
    assert (message.channel, message.type, message.content) == ("iopub", "stream", CONTENT)
    assert (message.parent_id, message.parent_session) == (parent["msg_id"], session.session)
    assert message.metadata == {"started": "now"}
    datetime.fromisoformat(message.date.replace("Z", "+00:00"))


def test_we_read_what_we_send_ourselves() -> None:
    wire = Wire(KEY)
    msg_id, frames = wire.pack("execute_request", CONTENT)
    message = wire.unpack("shell", frames)
    assert (message.msg_id, message.content, message.parent_id) == (msg_id, CONTENT, None)


def test_each_request_has_an_id_of_its_own_and_each_client_a_session_of_its_own() -> None:
    wire = Wire(KEY)
    assert len({wire.pack("a", {})[0] for _ in range(100)}) == 100
    assert Wire(KEY).session != wire.session


def test_buffers_after_the_content_are_no_error() -> None:
    frames = [*from_them(theirs()), b"buffer", b"another"]
    assert Wire(KEY).unpack("iopub", frames).content == CONTENT


def test_a_kernel_without_a_key_does_not_sign() -> None:
    message = Wire("").unpack("iopub", from_them(theirs("")))
    assert message.content == CONTENT
    _, frames = Wire("").pack("execute_request", CONTENT)
    assert theirs("").deserialize(theirs("").feed_identities(frames)[1])["content"] == CONTENT


@pytest.mark.parametrize("key", ["another", ""])
def test_a_message_signed_with_another_key_is_none(key: str) -> None:
    with pytest.raises(BadMessage, match="signature"):
        Wire(KEY).unpack("iopub", from_them(theirs(key)))


@pytest.mark.parametrize("part", range(2, 7))
def test_a_message_changed_in_any_part_is_none(part: int) -> None:
    frames = from_them(theirs())
    frames[part] += b" "
    with pytest.raises(BadMessage):
        Wire(KEY).unpack("iopub", frames)


def signed(*body: bytes) -> list[bytes]:
    """Frames with a true signature, whatever is in them."""
    wire = Wire(KEY)
    return [b"<IDS|MSG>", wire._sign(body[:4]), *body]


HEADER = json.dumps({"msg_type": "stream", "msg_id": "1"}).encode()


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"x"],
        [b"<IDS|MSG>"],
        [b"<IDS|MSG>", b"signature"],
        signed(HEADER, b"{}", b"{}"),
        signed(HEADER, b"{}", b"{}", b""),
        signed(HEADER, b"{}", b"{}", b"{"),
        signed(HEADER, b"{}", b"{}", b"\xff"),
        signed(b"{}", b"{}", b"{}", b"{}"),
        signed(b"[]", b"{}", b"{}", b"{}"),
        signed(b"null", b"{}", b"{}", b"{}"),
        signed(HEADER, b"[]", b"{}", b"{}"),
        signed(HEADER, b"{}", b"{}", b"[]"),
        signed(HEADER, b"{}", b"{}", b"null"),
        signed(HEADER, b"{}", b"[]", b"{}"),
        signed(HEADER, b'{"msg_id": []}', b"{}", b"{}"),
        signed(b'{"msg_type": "stream", "msg_id": {}}', b"{}", b"{}", b"{}"),
        signed(HEADER, b"{}", b"{}", b"[" * 100_000),
    ],
)
def test_what_is_no_message_is_a_bad_message_and_nothing_worse(frames: list[bytes]) -> None:
    with pytest.raises(BadMessage):
        Wire(KEY).unpack("iopub", frames)


@given(st.lists(st.one_of(st.binary(), st.sampled_from([b"<IDS|MSG>", b"{}", b"null", HEADER])), max_size=8))
def test_any_frames_are_a_message_or_a_bad_message(frames: list[bytes]) -> None:
    try:
        message = Wire("").unpack("iopub", frames)
    except BadMessage:
        return
    assert isinstance(message, Message)


@pytest.mark.parametrize(("msg_id", "serial"), [("5f_7_12", 12), ("m_0", 0)])
def test_a_message_is_numbered_by_the_end_of_its_id(msg_id: str, serial: int) -> None:
    assert Message("iopub", "stream", {}, msg_id, "run", "s", "", {}).serial == serial


@pytest.mark.parametrize("msg_id", ["", "7", "_7", "0f4e", "3f2b-11ee", "a_b", "a_٣", "a_" + "9" * 5_000])
def test_an_id_that_ends_otherwise_numbers_nothing(msg_id: str) -> None:
    assert Message("iopub", "stream", {}, msg_id, "run", "s", "", {}).serial is None
