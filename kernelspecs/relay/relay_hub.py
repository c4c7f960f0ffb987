"""What the relay asks the hub, and goes on relaying meanwhile. For Python 3.8 and newer."""

from __future__ import annotations

import time

import live_kernel


class HubQuestions:
    """Questions on their way, each with what is to be done with the answer.

    That is called with None from no hub or one that refuses, and with {} if the answer takes too long.
    """

    def __init__(self, kernel: live_kernel.LiveKernel, watch, unwatch) -> None:
        self.kernel = kernel
        self.watch = watch  # calls a handler when a descriptor is readable
        self.unwatch = unwatch
        self.open = {}  # by descriptor: connection, what it said, until when, what then

    def ask(self, command: str, seconds: float, then, **arguments: object) -> None:
        connection = live_kernel.connect_to_hub(self.kernel, command, **arguments)
        if connection is None:
            then(None)
            return
        connection.setblocking(False)
        descriptor = connection.fileno()
        self.open[descriptor] = [connection, b"", time.monotonic() + seconds, then]
        self.watch(descriptor, self.take_answer, descriptor)

    def due(self) -> list[float]:
        return [until for _, _, until, _ in self.open.values()]

    def close_late_ones(self, now: float) -> None:
        for descriptor, (_, _, until, _) in list(self.open.items()):
            if now >= until:
                self.close(descriptor, {})

    def take_answer(self, descriptor: int) -> None:
        question = self.open[descriptor]
        try:
            part = question[0].recv(65536)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        question[1] += part
        if not part or question[1].count(b"\n") >= 2:
            self.close(descriptor, live_kernel.read_answer(question[1]))

    def close(self, descriptor: int, answer: dict | None) -> None:
        connection, _, _, then = self.open.pop(descriptor)
        self.unwatch(descriptor)
        connection.close()
        then(answer)
