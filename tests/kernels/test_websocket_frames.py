"""Messages as a kernel server's websocket carries them, held against what Jupyter itself makes and reads."""

from __future__ import annotations

import json

import pytest
from jupyter_server.services.kernels.connection.base import (
    deserialize_binary_message,
    deserialize_msg_from_ws_v1,
    serialize_binary_message,
    serialize_msg_to_ws_v1,
)

from kernelexec.kernels.websocket_frames import V1, Frames, JsonFrames, V1Frames, frames_for
from kernelexec.kernels.wire import BadMessage

_HEADER = {"msg_id": "a_7", "msg_type": "stream", "session": "kernel", "date": "2026-01-01T00:00:00Z"}
_PARENT = {"msg_id": "b_1", "session": "ours"}
_CONTENT = {"name": "stdout", "text": "é\n"}
_BODY = [json.dumps(part).encode() for part in (_HEADER, _PARENT, {}, _CONTENT)]


def test_the_server_chooses_which_way_is_spoken() -> None:
    assert isinstance(frames_for(V1), V1Frames)
    assert isinstance(frames_for(None), JsonFrames)


def test_a_request_of_ours_is_what_jupyters_server_reads() -> None:
    channel, parts = deserialize_msg_from_ws_v1(V1Frames().pack("shell", _BODY))
    assert (channel, [bytes(part) for part in parts]) == ("shell", _BODY)
    said = json.loads(JsonFrames().pack("shell", _BODY))
    assert (said["channel"], said["header"], said["content"]) == ("shell", _HEADER, _CONTENT)


@pytest.mark.parametrize("buffers", [[], [b"one", b"", b"three"]])
def test_a_message_of_jupyters_server_is_read_with_its_buffers(buffers: list[bytes]) -> None:
    v1 = bytes(serialize_msg_to_ws_v1([*_BODY, *buffers], "iopub"))
    whole = {"channel": "iopub", "header": _HEADER, "parent_header": _PARENT, "metadata": {}}
    with_buffers = serialize_binary_message({**whole, "content": _CONTENT, "buffers": list(buffers)})
    assert deserialize_binary_message(with_buffers)["content"] == _CONTENT
    plain = json.dumps({**whole, "content": _CONTENT, "buffers": []})
    for frames, data in ((V1Frames(), v1), (JsonFrames(), with_buffers), (JsonFrames(), plain)):
        message = frames.unpack(data)
        assert (message.channel, message.type, message.content) == ("iopub", "stream", _CONTENT)
        assert (message.parent_id, message.parent_session, message.sender) == ("b_1", "ours", "kernel")
        assert message.serial == 7
        assert list(message.buffers) == ([] if data is plain else buffers)


@pytest.mark.parametrize("frames", [V1Frames(), JsonFrames()])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\xff" * 100,
        b"\0" * 64,
        "",
        "[]",
        "{}",
        '{"header": 1}',
        b"\x05" + b"\0" * 7 + b"x" * 9,
    ],
)
def test_what_is_no_message_is_refused(frames: Frames, data: bytes | str) -> None:
    with pytest.raises(BadMessage):
        frames.unpack(data)
