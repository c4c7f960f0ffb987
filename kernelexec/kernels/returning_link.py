"""The link to a process that stands for a kernel: it may end and be begun anew while the kernel lives on."""

from __future__ import annotations

from collections.abc import Callable

import zmq
from zmq.utils.monitor import parse_monitor_message

from kernelexec.kernels.zmq_link import ZmqLink


class ReturningLink(ZmqLink):
    """Zmq connects again by itself; here is told that it did, because messages were lost in between."""

    _monitor: zmq.Socket[bytes] | None = None
    _is_down = False

    def when_regained(self, call: Callable[[], None]) -> None:
        self._monitor = self._sockets["shell"].get_monitor_socket(
            zmq.EVENT_CONNECTED | zmq.EVENT_DISCONNECTED
        )
        self._loop.add_reader(self._monitor.fileno(), self._look, self._monitor, call)
        self._look(self._monitor, call)  # its descriptor reports changes only, as that of any zmq socket

    def close(self) -> None:
        if self._monitor is not None:
            self._loop.remove_reader(self._monitor.fileno())
            self._sockets["shell"].disable_monitor()
            self._monitor.close(linger=0)
            self._monitor = None
        super().close()

    def _look(self, monitor: zmq.Socket[bytes], call: Callable[[], None]) -> None:
        while monitor.poll(0):
            event = parse_monitor_message(monitor.recv_multipart())["event"]
            was_down, self._is_down = self._is_down, event == zmq.EVENT_DISCONNECTED
            if was_down and not self._is_down:
                call()
