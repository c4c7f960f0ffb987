"""The link to a process that stands for a kernel: it may end and be begun anew while the kernel lives on, and
the kernel be out of its reach."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import zmq
from zmq.utils.monitor import parse_monitor_message

from kernelexec.kernels.link import Lost
from kernelexec.kernels.wire import Message
from kernelexec.kernels.zmq_link import ZmqLink

_OUT_OF_REACH = "kernelexec_out_of_reach"  # said again and again meanwhile, as kernelspecs/provisioned has it


class ReturningLink(ZmqLink):
    """Zmq connects again by itself; here is told that it did, because messages were lost in between."""

    _monitor: zmq.Socket[bytes] | None = None
    _is_down = False
    _lost: Lost | None = None

    @property
    def lost(self) -> Lost | None:
        return self._lost

    def when_regained(self, call: Callable[[], None]) -> None:
        self._on_regained = call
        self._monitor = self._sockets["shell"].get_monitor_socket(
            zmq.EVENT_CONNECTED | zmq.EVENT_DISCONNECTED
        )
        self._loop.add_reader(self._monitor.fileno(), self._look, self._monitor)
        self._look(self._monitor)  # its descriptor reports changes only, as that of any zmq socket

    def close(self) -> None:
        if self._monitor is not None:
            self._loop.remove_reader(self._monitor.fileno())
            self._sockets["shell"].disable_monitor()
            self._monitor.close(linger=0)
            self._monitor = None
        super().close()

    def _look(self, monitor: zmq.Socket[bytes]) -> None:
        while monitor.poll(0):
            event = parse_monitor_message(monitor.recv_multipart())["event"]
            was_down, self._is_down = self._is_down, event == zmq.EVENT_DISCONNECTED
            if was_down and not self._is_down:
                self._regained()

    def _take(self, message: Message) -> None:
        if message.type != _OUT_OF_REACH:
            super()._take(message)
        elif not message.content["is_over"]:
            since = datetime.fromtimestamp(message.content["since"], timezone.utc)
            self._lost = Lost(since, "Its machine does not answer.")
        elif self._lost is not None:
            self._regained()

    def _regained(self) -> None:
        self._lost = None
        self._on_regained()
