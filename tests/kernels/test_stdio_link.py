"""A link through a command whose far end does not do what it should: what is said, and that it comes back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from kernelexec.kernels import far_frames, stdio_link
from kernelexec.kernels.far_command import FarCommand, Passage
from kernelexec.kernels.large_messages import LARGE
from kernelexec.kernels.link import Lost
from kernelexec.kernels.stdio_link import StdioLink, Way
from kernelexec.kernels.wire import Message, Wire
from tests.fakes import run, settled

BEAT = far_frames.pack(far_frames.BEAT, b'{"pid": 1}')


class Ends:
    """Commands that say this, one after the other; the last again and again."""

    def __init__(self, folder: Path, *said: bytes, then: str = "cat >/dev/null") -> None:
        self.begun = 0
        self._folder = folder
        self._said = said
        self._then = then

    async def begin(self) -> Passage:
        said = self._said[min(self.begun, len(self._said) - 1)]
        self.begun += 1
        path = self._folder / f"said-{self.begun}"
        path.write_bytes(said)
        environ = {"PATH": os.environ["PATH"], "HOME": str(self._folder)}
        return await FarCommand(f"sh -c 'cat {path}; {self._then}'")._start(environ)


async def lost(link: StdioLink) -> Lost:
    await settled(lambda: link.lost is not None)
    assert link.lost is not None
    return link.lost


async def closed(link: StdioLink) -> None:
    link.close()
    await asyncio.wait({link._keeping})


def display(key: str, text: str) -> bytes:
    _, parts = Wire(key).pack("display_data", {"data": {"text/plain": text}, "metadata": {}})
    return far_frames.pack_message("iopub", parts)


def made(ends: Ends, beats: list[Mapping[str, object]]) -> StdioLink:
    link = StdioLink("key", Way(ends.begin), lambda message: None)
    link.on_beat = beats.append
    return link


def test_a_stream_that_is_cut_in_a_frame_is_begun_anew(tmp_path: Path) -> None:
    ends = Ends(tmp_path, BEAT + far_frames.pack_message("iopub", [b"x" * 99])[3:], BEAT)

    async def test() -> None:
        beats: list[Mapping[str, object]] = []
        link = made(ends, beats)
        regained = asyncio.Event()
        link.when_regained(regained.set)
        assert "What came over it had been changed or cut on its way" in (await lost(link)).why
        await regained.wait()
        assert link.lost is None
        await closed(link)

    run(test())
    assert ends.begun == 2


def test_a_message_that_was_changed_is_had_again_by_a_new_link(tmp_path: Path) -> None:
    other = Wire("another key")
    _, parts = other.pack("status", {"execution_state": "busy"})
    ends = Ends(tmp_path, BEAT + far_frames.pack_message("iopub", parts), BEAT)

    async def test() -> None:
        link = made(ends, [])
        assert "a message on iopub has a wrong signature" in (await lost(link)).why
        await closed(link)

    run(test())


def test_what_comes_after_a_large_message_is_heard_after_it(tmp_path: Path) -> None:
    ends = Ends(tmp_path, BEAT + display("key", "x" * (LARGE + 1)) + display("key", "next"))
    heard: list[Message] = []

    async def test() -> None:
        link = StdioLink("key", Way(ends.begin), heard.append)
        await settled(lambda: len(heard) == 2)
        assert not link.is_reading
        await closed(link)

    run(test())
    assert [len(each.content["data"]["text/plain"]) for each in heard] == [LARGE + 1, 4]


def test_a_large_message_that_was_changed_is_had_again_too(tmp_path: Path) -> None:
    ends = Ends(tmp_path, BEAT + display("another", "x" * (LARGE + 1)), BEAT)

    async def test() -> None:
        link = made(ends, [])
        assert "a message on iopub has a wrong signature" in (await lost(link)).why
        await closed(link)

    run(test())


def test_a_command_that_ends_is_told_with_its_own_words(tmp_path: Path) -> None:
    ends = Ends(tmp_path, BEAT, then="echo Connection closed by gpu >&2; exit 255")

    async def test() -> None:
        link = made(ends, [])
        said = await lost(link)
        assert said.why == "The command that leads to it ended: Connection closed by gpu."
        await closed(link)

    run(test())


def test_a_link_over_which_nothing_comes_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdio_link, "_BEAT_SECONDS", 0.2)
    monkeypatch.setattr(stdio_link, "_SILENT_SECONDS", 0.5)

    async def test() -> None:
        link = made(Ends(tmp_path, BEAT), [])
        said = await lost(link)
        assert said.why.startswith("Nothing came over it for ")
        assert "Try it in a terminal: sh -c" in said.next_step
        await closed(link)

    run(test())
