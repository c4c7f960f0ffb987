"""Our messages and jupyter_client's, over a real socket: each side reads what the other sends, and equally.

The wire is ours where calls go through it; these tests are what makes that safe.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jupyter_client.session import Session

from kernelexec.kernels.wire import BadMessage, Message, Wire

KEY = "1f0c4a"
Ends = tuple[zmq.Socket[bytes], zmq.Socket[bytes]]

CONTENTS: Mapping[str, Mapping[str, Any]] = {
    "nothing": {},
    "unicode": {"code": "x = 'ä 📈 \u2028 \x00 \x1b[31m \ufeff \U0010fffe'", "größe": "日本語"},
    "half a character": {"code": "'\ud83d'"},
    "numbers": {"n": [0, -1, 2**80, 1.5e300, True, None], "deep": [[[[{"a": [{}]}]]]]},
    "big": {"code": "é" * 8_000_000, "lines": ["x" * 100] * 50_000},
}
BUFFERS = (b"", b"<IDS|MSG>", bytes(range(256)), b"\xff" * 3_000_000)

_texts = st.text(max_size=20)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Two connected sockets: ours and jupyter_client's."""
    with zmq.Context() as context, context.socket(zmq.PAIR) as ours, context.socket(zmq.PAIR) as theirs:
        for socket in (ours, theirs):
            socket.linger, socket.rcvtimeo = 0, 10_000
        ours.bind("inproc://wire")
        theirs.connect("inproc://wire")
        yield ours, theirs


def theirs_of(key: str = KEY) -> Session:
    return Session(key=key.encode())


def received(socket: zmq.Socket[bytes], key: str = KEY) -> dict[str, Any]:
    """The next message as jupyter_client reads it, signature checked."""
    session = theirs_of(key)
    identities, message = session.recv(socket, mode=0)
    assert identities == []
    assert message is not None
    found: dict[str, Any] = message
    return found


def equal(ours: Message, theirs: Mapping[str, Any]) -> bool:
    """Whether both readers understood the same of a message."""
    parent = theirs["parent_header"]
    return (
        (ours.type, ours.msg_id) == (theirs["msg_type"], theirs["msg_id"])
        and ours.content == theirs["content"]
        and ours.metadata == theirs["metadata"]
        and (ours.parent_id, ours.parent_session) == (parent.get("msg_id"), parent.get("session"))
        and datetime.fromisoformat(ours.date.replace("Z", "+00:00")) == theirs["header"]["date"]
        and list(ours.buffers) == [bytes(buffer) for buffer in theirs["buffers"]]
    )


# --- from us to them -------------------------------------------------------------


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_jupyter_client_reads_what_we_send(ends: Ends, content: Mapping[str, Any]) -> None:
    wire = Wire(KEY)
    msg_id, frames = wire.pack("execute_request", content)
    ends[0].send_multipart(frames)
    message = received(ends[1])
    assert message["content"] == content
    assert (message["msg_type"], message["msg_id"]) == ("execute_request", msg_id)
    assert message["header"]["session"] == wire.session
    assert equal(Wire(KEY).unpack("shell", frames), message)


def test_jupyter_client_reads_for_which_subshell_a_request_is(ends: Ends) -> None:
    wire = Wire(KEY)
    for subshell in ("one", None):
        ends[0].send_multipart(wire.pack("execute_request", {}, subshell)[1])
        assert received(ends[1])["header"].get("subshell_id") == subshell


def test_buffers_behind_our_content_are_the_messages_buffers_to_jupyter_client(ends: Ends) -> None:
    frames = [*Wire(KEY).pack("comm_msg", {"comm_id": "1", "data": {}})[1], *BUFFERS]
    ends[0].send_multipart(frames)
    message = received(ends[1])
    assert [bytes(buffer) for buffer in message["buffers"]] == list(BUFFERS)
    assert equal(Wire(KEY).unpack("shell", frames), message)


@given(content=st.dictionaries(_texts, _json, max_size=4))
def test_any_content_of_ours_is_read_the_same_by_both(content: dict[str, Any]) -> None:
    _, frames = Wire(KEY).pack("execute_request", content)
    session = theirs_of()
    message = session.deserialize(session.feed_identities(frames)[1])
    assert message["content"] == content
    assert equal(Wire(KEY).unpack("shell", frames), message)


# --- from them to us -------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in CONTENTS if name != "half a character"])
def test_we_read_what_jupyter_client_sends(ends: Ends, name: str) -> None:
    session, request = theirs_of(), theirs_of().msg("execute_request")
    content, metadata = CONTENTS[name], {"started": "2026-11-25", "größe": [1]}
    sent = session.send(
        ends[1], "execute_reply", content, request, ident=b"kernel", buffers=list(BUFFERS), metadata=metadata
    )
    frames = ends[0].recv_multipart()
    message = Wire(KEY).unpack("shell", frames)
    assert (message.content, message.metadata, message.buffers) == (content, metadata, BUFFERS)
    assert (message.type, message.msg_id) == ("execute_reply", sent["msg_id"])
    assert (message.parent_id, message.parent_session) == (request["msg_id"], request["header"]["session"])
    assert equal(message, theirs_of().deserialize(session.feed_identities(frames)[1]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.dictionaries(_texts, _json, max_size=4), buffers=st.lists(st.binary(), max_size=3))
def test_any_content_of_theirs_is_read_the_same_by_both(
    ends: Ends, content: dict[str, Any], buffers: Sequence[bytes]
) -> None:
    session = theirs_of()
    session.send(ends[1], "display_data", content, buffers=list(buffers))
    frames = ends[0].recv_multipart()
    message = Wire(KEY).unpack("iopub", frames)
    assert (message.content, list(message.buffers)) == (content, list(buffers))
    assert equal(message, theirs_of().deserialize(session.feed_identities(frames)[1]))


def test_the_serial_of_a_message_is_the_number_that_jupyter_client_gave_it(ends: Ends) -> None:
    session = theirs_of()
    serials: list[Any] = []
    for _ in range(3):
        session.send(ends[1], "stream", {})
        serials.append(Wire(KEY).unpack("iopub", ends[0].recv_multipart()).serial)
    assert serials == [serials[0], serials[0] + 1, serials[0] + 2]


# --- what neither takes ----------------------------------------------------------


def ours_and_theirs() -> dict[str, list[bytes]]:
    session = theirs_of()
    sent = session.serialize(session.msg("stream", CONTENTS["unicode"], parent=session.msg("x")["header"]))
    return {"ours": Wire(KEY).pack("execute_request", CONTENTS["unicode"])[1], "theirs": sent}


def assert_refused_by_both(frames: list[bytes], key: str = KEY) -> None:
    with pytest.raises(BadMessage):
        Wire(key).unpack("shell", frames)
    session = theirs_of(key)
    with pytest.raises(ValueError, match=r"Signature|Unsigned"):
        session.deserialize(session.feed_identities(frames)[1])


@pytest.mark.parametrize("sender", ["ours", "theirs"])
@pytest.mark.parametrize("part", ["signature", "header", "parent", "metadata", "content"])
def test_a_message_that_was_tampered_with_is_refused_by_both(sender: str, part: str) -> None:
    frames = ours_and_theirs()[sender]
    at = 1 + ["signature", "header", "parent", "metadata", "content"].index(part)
    changed = b"0" * 64 if part == "signature" else json.dumps({**json.loads(frames[at]), "x": 1}).encode()
    assert_refused_by_both([*frames[:at], changed, *frames[at + 1 :]])
    assert_refused_by_both([*frames[:at], frames[at] + b" ", *frames[at + 1 :]])


@pytest.mark.parametrize("sender", ["ours", "theirs"])
def test_frames_that_changed_places_are_refused_by_both(sender: str) -> None:
    delimiter, signature, header, parent, metadata, content = ours_and_theirs()[sender]
    assert_refused_by_both([delimiter, signature, content, parent, metadata, header])


@pytest.mark.parametrize("sender", ["ours", "theirs"])
def test_a_message_signed_with_another_key_is_refused_by_both(sender: str) -> None:
    assert_refused_by_both(ours_and_theirs()[sender], "another")


def test_a_message_without_a_signature_is_refused_by_both() -> None:
    session = theirs_of("")
    assert_refused_by_both(session.serialize(session.msg("stream", {})))
    assert_refused_by_both(Wire("").pack("execute_request", {})[1])
