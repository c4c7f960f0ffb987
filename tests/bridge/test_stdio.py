"""The bridge as a process between a client and a hub that are played here."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import IO

from kernelexec import __version__
from kernelexec.bridge.rendezvous import answer, read_line, socket_path

_SECONDS = 20.0  # for what is done in a few milliseconds
_PATIENT = "from kernelexec.bridge import stdio\nstdio._LAST_WORDS_SECONDS = 600\nstdio.main()"


@contextmanager
def bridges() -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], socket.socket]]]:
    """A bridge that waits very long for last words, and the next hub's end of its connection."""
    with tempfile.TemporaryDirectory(prefix="kx") as folder, socket.socket(socket.AF_UNIX) as listener:
        environ = {"KERNELEXEC_RUNTIME_DIR": folder, "HOME": folder, "PATH": os.environ["PATH"]}
        Path(folder).chmod(0o700)
        listener.bind(socket_path(environ))
        listener.listen()
        listener.settimeout(_SECONDS)

        def accept() -> socket.socket:
            hub, _ = listener.accept()
            hub.settimeout(_SECONDS)
            read_line(hub)
            hub.sendall(answer("ok", __version__))
            return hub

        process = subprocess.Popen(
            [sys.executable, "-c", _PATIENT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environ,
        )
        try:
            yield process, accept
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()


@contextmanager
def bridge() -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """One with its first hub."""
    with bridges() as (process, accept), accept() as hub:
        yield process, hub


def test_the_hubs_last_words_reach_who_has_closed_his_input_and_reads_on() -> None:
    with bridge() as (process, hub):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        assert hub.recv(1) == b""
        hub.sendall(b"last words\n")
        assert process.stdout.readline() == b"last words\n"


def test_last_words_are_awaited_no_longer_than_somebody_could_read_them() -> None:
    """Else the reply to a client that was killed would be taken for delivered."""
    with bridge() as (process, _):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()  # in this order or the other, as the end of a process closes all it has
        process.stdin.close()
        assert process.wait(_SECONDS) == 0


HANDSHAKE = b'{"jsonrpc":"2.0","id":0,"method":"initialize"}\n'
CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}\n'


def test_the_client_of_a_hub_that_ends_goes_on_with_the_next() -> None:
    with bridges() as (process, accept):
        assert process.stdin is not None
        assert process.stdout is not None
        with accept() as hub:
            process.stdin.write(HANDSHAKE)
            process.stdin.flush()
            assert read_line(hub) == HANDSHAKE
            hub.sendall(b'{"jsonrpc":"2.0","id":0,"result":{}}\n')
            assert b'"id":0' in process.stdout.readline()
            process.stdin.write(CALL)
            process.stdin.flush()
            assert read_line(hub) == CALL
            hub.sendall(b'{"jsonrpc":"2.0","id":1,"resu')  # half of an answer
        with accept() as hub:
            assert [read_line(hub), read_line(hub)] == [HANDSHAKE, CALL]
            hub.sendall(b'{"jsonrpc":"2.0","id":0,"result":{}}\n{"jsonrpc":"2.0","id":1,"result":{}}\n')
            assert process.stdout.readline() == b'{"jsonrpc":"2.0","id":1,"result":{}}\n'


def test_a_line_longer_than_the_hub_takes_reaches_it_with_both_ends() -> None:
    with bridge() as (process, hub):
        assert process.stdin is not None
        limit = 32 << 20
        writing = Thread(target=_write, args=(process.stdin, b"x" * 2 * limit + b'"id":7}\n' + CALL))
        writing.start()
        with hub.makefile("rb") as lines:
            long = lines.readline()
            assert limit < len(long) < limit + 1000
            assert long.endswith(b'"id":7}\n')
            assert lines.readline() == CALL
        writing.join(_SECONDS)


def test_what_the_client_asks_together_comes_together() -> None:
    """Each of two submissions that are sent at once was asked before the reply to the other."""
    with bridge() as (process, hub):
        assert process.stdin is not None
        _write(process.stdin, CALL + CALL)
        assert hub.recv(1 << 16) == CALL + CALL


def test_a_last_line_without_its_end_is_passed_on() -> None:
    with bridge() as (process, hub):
        assert process.stdin is not None
        process.stdin.write(CALL.rstrip())
        process.stdin.close()
        assert read_line(hub) == CALL


def _write(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(data)
    pipe.flush()
