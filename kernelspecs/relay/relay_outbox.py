"""What the relay keeps for frontends that are not there yet. For Python 3.8 and newer."""

from __future__ import annotations

import sys
import time
from collections import deque

import zmq

# A frontend's sockets connect each on their own, and one that was too early tries again after 100 ms: the kernel's
# question on stdin may be there before the socket that it is for.
ABSENT_SECONDS = 30.0
ABSENT_MESSAGES = 100


class Outbox:
    """Messages to frontends' sockets, kept in order for those that are not connected yet: some, and not for ever."""

    def __init__(self) -> None:
        self.kept = deque()  # (socket, frames, until when)

    def send(self, socket, frames: list[bytes]) -> None:
        if self.is_absent(socket, frames[0]) or not self.try_to_send(socket, frames):
            self.kept.append((socket, frames, time.monotonic() + ABSENT_SECONDS))
            if len(self.kept) > ABSENT_MESSAGES:
                self.drop(self.kept.popleft())

    def send_kept(self) -> None:
        kept, self.kept = self.kept, deque()
        for message in kept:
            socket, frames, until = message
            if self.is_absent(socket, frames[0]) or not self.try_to_send(socket, frames):
                if time.monotonic() < until:
                    self.kept.append(message)
                else:
                    self.drop(message)

    def is_absent(self, socket, identity: bytes) -> bool:
        """Whether an earlier message waits for the same peer."""
        return any(to is socket and frames[0] == identity for to, frames, _ in self.kept)

    @staticmethod
    def try_to_send(socket, frames: list[bytes]) -> bool:
        """Whether its peer is there. The socket has ROUTER_MANDATORY, or zmq would drop the message and say nothing."""
        try:
            socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            return False
        return True

    @staticmethod
    def drop(message) -> None:
        print("kernelexec relay: a message was dropped: nobody came for it", file=sys.stderr)
