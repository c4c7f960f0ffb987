"""The bridge as a process between a client and a hub that are played here."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kernelexec import __version__
from kernelexec.bridge.rendezvous import answer, read_line, socket_path

_SECONDS = 20.0  # for what is done in a few milliseconds
_PATIENT = "from kernelexec.bridge import stdio\nstdio._LAST_WORDS_SECONDS = 600\nstdio.main()"


@contextmanager
def bridge() -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A bridge that waits very long for last words, and its hub's end of the connection."""
    with tempfile.TemporaryDirectory(prefix="kx") as folder, socket.socket(socket.AF_UNIX) as listener:
        environ = {"KERNELEXEC_RUNTIME_DIR": folder, "HOME": folder, "PATH": os.environ["PATH"]}
        Path(folder).chmod(0o700)
        listener.bind(socket_path(environ))
        listener.listen()
        listener.settimeout(_SECONDS)
        process = subprocess.Popen(
            [sys.executable, "-c", _PATIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ
        )
        try:
            hub, _ = listener.accept()
            with hub:
                hub.settimeout(_SECONDS)
                read_line(hub)
                hub.sendall(answer("ok", __version__))
                yield process, hub
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()


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
