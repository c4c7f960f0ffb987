"""A network between a hub and a server that a test can cut, and mend."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what is not sent yet is lost, as with a cable


def _connected_here(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10)


class WireCutter:
    """Passes bytes on to a port of this machine, or to where `connect` leads, given that port."""

    def __init__(self, port: int, connect: Callable[[int], socket.socket] = _connected_here) -> None:
        self.port = 0  # of its own, the same as long as it is there
        self._to = port
        self._connect = connect
        self._open: set[socket.socket] = set()
        self._door = self._listening()

    def cut(self) -> int:
        """Break all connections; new ones come about. How many there were."""
        broken = list(self._open)
        for one in broken:
            _end(one)
        return len(broken) // 2

    def part(self) -> None:
        """Break all connections, and let none come about."""
        _end(self._door)
        self.cut()

    def mend(self) -> None:
        self._door = self._listening()

    def close(self) -> None:
        self.part()

    def _listening(self) -> socket.socket:
        door = socket.create_server(("127.0.0.1", self.port), backlog=100)
        self.port = int(door.getsockname()[1])
        threading.Thread(target=self._serve, args=(door,), daemon=True).start()
        return door

    def _serve(self, door: socket.socket) -> None:
        with suppress(OSError):
            while True:
                here, _ = door.accept()
                try:
                    there = self._connect(self._to)
                except OSError:
                    _end(here)
                    continue
                there.settimeout(None)
                for each in (here, there):  # as proxies do: else each small message waits 40 ms
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open |= {here, there}
                for one, other in ((here, there), (there, here)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)
        for each in (one, other):
            self._open.discard(each)
            _end(each)


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
