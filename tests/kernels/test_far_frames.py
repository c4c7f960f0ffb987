"""Frames come whole and in order, however the bytes between them are cut."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelexec.kernels import far_frames
from kernelexec.kernels.far_frames import BEAT, CHANNELS, Frames, pack, pack_message, unpack_message

_MESSAGES = st.lists(
    st.tuples(st.sampled_from(CHANNELS), st.lists(st.binary(max_size=40), min_size=1, max_size=9)), max_size=8
)


@given(messages=_MESSAGES, data=st.data())
def test_what_is_sent_is_what_comes_wherever_it_is_cut(
    messages: list[tuple[str, list[bytes]]], data: st.DataObject
) -> None:
    sent = b"".join(pack_message(channel, parts) for channel, parts in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    frames, came = Frames(), []
    for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        came += [(CHANNELS[kind], unpack_message(content)) for kind, content in frames.feed(sent[begin:end])]
    assert came == messages
    assert not frames.is_within_one


@given(messages=_MESSAGES, data=st.data())
def test_what_is_large_is_put_where_it_stays_and_is_the_same(
    messages: list[tuple[str, list[bytes]]], data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(far_frames, "LARGE", 20)
        test_what_is_sent_is_what_comes_wherever_it_is_cut.hypothesis.inner_test(messages, data)  # type: ignore[attr-defined]


def test_a_large_frame_is_no_copy_of_what_has_come() -> None:
    sent = pack_message("iopub", [b"head", b"x" * (far_frames.LARGE + 1)]) + pack(BEAT, b"{}")
    frames, half = Frames(), len(sent) // 2
    assert list(frames.feed(sent[:half])) == []
    assert frames.is_within_one
    (_, large), beat = frames.feed(sent[half:])
    assert isinstance(large, memoryview)
    assert [len(part) for part in unpack_message(large)] == [4, far_frames.LARGE + 1]
    assert beat == (BEAT, b"{}")


def test_a_frame_that_has_not_come_whole_is_known_as_that() -> None:
    frames = Frames()
    assert list(frames.feed(pack(BEAT, b"{}")[:-1])) == []
    assert frames.is_within_one
    assert list(frames.feed(b"}")) == [(BEAT, b"{}")]


def test_both_ends_number_frames_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(__file__).parents[2] / "kernelspecs" / "far"
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    import far_relay  # type: ignore[import-not-found]

    for name in ("BEAT", "KEPT", "KILL", "GONE", "NOTHING"):
        assert getattr(far_relay, name) == getattr(far_frames, name)
    assert tuple(name for name, _ in far_relay.CHANNELS) == CHANNELS


@given(message=st.lists(st.binary(max_size=40), min_size=1, max_size=9), lost=st.data())
def test_a_byte_that_is_lost_is_noticed_soon(message: list[bytes], lost: st.DataObject) -> None:
    sent = pack_message("iopub", message)
    at = lost.draw(st.integers(0, len(sent) - 1))
    after = pack_message("iopub", [b"what is published then " * 20])
    frames = Frames()
    with pytest.raises(ValueError, match="no frame begins with"):
        list(frames.feed(sent[:at] + sent[at + 1 :] + 800 * after))


_SIGNED = [b"id", b"<IDS|MSG>", b"0" * 64, b'{"msg_id": "x"}' * 9, b"{}" * 99, b"{}", b'{"name": "stdout"}']
_OFF_BY_ONE = [pack_message("iopub", _SIGNED)[1:], pack_message("iopub", [*_SIGNED, b"x" * 99_999])[1:]]


@pytest.mark.parametrize(
    "came", [b"Welcome to the cluster", b"\0\0\0\0\x01", b"\xff\xff\xff\xff\xfa", *_OFF_BY_ONE]
)
def test_what_is_no_frame_is_not_waited_for(came: bytes) -> None:
    with pytest.raises(ValueError, match="no frame begins with"):
        list(Frames().feed(came))
