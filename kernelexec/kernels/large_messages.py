"""Messages that would keep the hub's loop from everybody else while they are read.

A kernel of ours sends none: it puts large values into files, and cuts what is printed. Any other kernel sends
a result of 200 MB as one message, whose signature, decoding and parsing take seconds, and four times its
size of memory. A process does that (large_message_program), and answers with what our kernel would send.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from kernelexec import paths
from kernelexec.kernels.large_message_program import END, WRONG_SIGNATURE, Asked
from kernelexec.kernels.wire import BadMessage, Message, Wire, WrongSignature, message_of, parts_of, read_part
from kernelexec.model.limits import Limits

_log = logging.getLogger(__name__)

LARGE = 4_000_000  # bytes of a content; reading less takes some 20 ms
LEAST = 1_000_000  # characters of a value, at least, that goes to a file: less is cheap as a message
_PROGRAM = Path(__file__).with_name("large_message_program.py")
_STAYS_SECONDS = 1.0  # without a large message
_KINDS = frozenset(
    {"display_data", "execute_result", "update_display_data", "error", "stream", "execute_reply"}
)
_FIRST = 500_000_000  # number of a file, where a kernel of ours counts from 1


def spool_in(folder: Path, kernel_id: str) -> Path | None:
    """A folder of ours for what a kernel elsewhere says that is too large for a message; None: it is read as
    any other is."""
    spool = folder / kernel_id
    try:
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return spool


class LargeMessages:
    """Reads the large messages of one kernel. `spool`: where files go; None: nowhere."""

    def __init__(self, wire: Wire, spool: Path | None) -> None:
        self._wire = wire
        self._spool = spool
        self._numbers = count(_FIRST, 100)  # a message has no hundred values of this size
        self._limits = Limits()
        self._reader = _Reader()

    def close(self) -> None:
        """Nothing more is read."""
        self._reader.close()

    def allow(self, limits: Limits) -> None:
        """What cells may have from now on."""
        self._limits = limits

    async def read(self, channel: str, frames: Sequence[bytes | memoryview]) -> AsyncIterator[Message]:
        """The message, or the smaller ones that stand in its place. A large frame is not copied.

        Raises:
            BadMessage: it is none.
        """
        signature, body, buffers = parts_of(frames)
        try:
            header, parent, metadata = (read_part(bytes(part)) for part in body[:3])
        except (ValueError, RecursionError) as error:
            raise BadMessage(str(error)) from error
        kind = str(header.get("msg_type"))
        # What others run is counted or cut where it is kept; of theirs no file is taken.
        if self._spool is None or kind not in _KINDS or parent.get("session") != self._wire.session:
            yield await asyncio.to_thread(self._unpack, channel, frames)
            return
        asked: Asked = {
            "type": kind,
            "key": self._wire.key,
            "signature": bytes(signature).decode("ascii", "replace"),
            "sizes": [len(part) for part in body],
            "modules": str(Path(paths.kernelspec_templates(), "kernel")),
            "spool": str(self._spool),
            "first": next(self._numbers),
            "over": max(self._limits.cell, LEAST),
            "most": self._limits.run,
        }
        async for content in self._reader.made_small(asked, body):
            yield message_of(channel, header, parent, metadata, content, tuple(map(bytes, buffers)))
            header = {**header, "msg_id": ""}  # one message is counted once

    def _unpack(self, channel: str, frames: Sequence[bytes | memoryview]) -> Message:
        return self._wire.unpack(channel, [bytes(frame) for frame in frames])


class _Reader:
    """The process; it stays for the next message, as kernels that send large ones send many."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = asyncio.Lock()
        self._leaving: asyncio.TimerHandle | None = None

    async def made_small(
        self, asked: Asked, body: Sequence[bytes | memoryview]
    ) -> AsyncIterator[Mapping[str, Any]]:
        """
        Raises:
            BadMessage: it is none.
            OSError: there is no process.
        """
        async with self._turn:
            if self._leaving is not None:
                self._leaving.cancel()
            if self._process is None:
                self._process = _started()
            answered = False
            try:
                await asyncio.to_thread(_write, self._process, asked, body)
                while line := await asyncio.to_thread(_line, self._process):
                    if line == END:
                        answered = True
                        return
                    yield await _content(line)
                _log.error("a message of %d bytes could not be read", sum(asked["sizes"]))
                yield _instead_of(asked)  # its memory has ended, say
            finally:
                if answered:
                    self._leaving = asyncio.get_running_loop().call_later(_STAYS_SECONDS, self._leave)
                else:  # what it says still is about this message
                    self.close()

    def _leave(self) -> None:
        self.close()
        asyncio.get_running_loop().run_in_executor(None, _give_back)

    def close(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.kill()
        with suppress(OSError):  # what was not written yet is for nobody
            process.stdin.close()
        process.stdout.close()
        process.wait()


async def _content(line: bytes) -> Mapping[str, Any]:
    answer = json.loads(line) if len(line) < LARGE else await asyncio.to_thread(json.loads, line)
    if "problem" in answer:
        is_signature = answer["problem"] == WRONG_SIGNATURE
        raise (WrongSignature if is_signature else BadMessage)(answer["problem"])
    content: Mapping[str, Any] = answer["content"]
    return content


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(_PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _write(process: subprocess.Popen[bytes], asked: Asked, body: Sequence[bytes | memoryview]) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError, ValueError):  # it has ended, or was closed: nothing comes of it then
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        for part in body:
            process.stdin.write(part)
        process.stdin.flush()


def _line(process: subprocess.Popen[bytes]) -> bytes:
    """Empty: it has ended."""
    assert process.stdout is not None
    return process.stdout.readline() if not process.stdout.closed else b""


def _give_back() -> None:
    """What the messages took is free, and glibc keeps most of it for as long as the process lives."""
    with suppress(OSError, AttributeError):  # another C library has no such call, and no need of it
        ctypes.CDLL(None).malloc_trim(0)


def _instead_of(asked: Asked) -> Mapping[str, Any]:
    """What is told where the memory for it, say, is not there."""
    said = f"[{asked['type']}: a message of {sum(asked['sizes']):,} bytes could not be read]"
    if asked["type"] == "stream":
        return {"name": "stderr", "text": f"{said}\n"}
    if asked["type"] in ("error", "execute_reply"):
        return {"status": "error", "ename": "Error", "evalue": said, "traceback": []}
    return {"data": {"text/plain": said}, "metadata": {}, "execution_count": None, "transient": {}}
