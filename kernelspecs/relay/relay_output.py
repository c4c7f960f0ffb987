"""What the relay's frontends hear on iopub: the kernel's output, and whether it is busy. For Python 3.8 and newer.

No output is dropped: while a frontend does not read, the next message waits here, and the relay reads no more of the
kernel's (see `waiting`).
"""

from __future__ import annotations

from collections import deque

import zmq
from relay_wire import Signer, json_object


class Output:
    """The socket from which all frontends of a relay have their output."""

    def __init__(self, signer: Signer, hold, go_on) -> None:
        self.signer = signer
        self.hold = hold  # is called when no more of the kernel's output is to be read
        self.go_on = go_on  # and when it is to be read again
        self.socket = None  # once frontends can subscribe
        self.waiting = deque()  # output which the frontends have no room for: a few, then no more is read
        self.running = None  # the run which the kernel is busy with, as iopub tells: (msg_id, parent header)
        self.busy_since_before = False  # with a run whose beginning nobody here has seen
        self.topic = b"kernel.status"

    @property
    def is_busy(self) -> bool:
        return self.busy_since_before or self.running is not None

    @property
    def run(self) -> str | None:
        """The msg_id of the run which the kernel is busy with, where its beginning was seen."""
        return self.running[0] if self.running else None

    def pass_on(self, frames: list[bytes], start: int) -> None:
        """A message of the kernel's, to the frontends."""
        header = frames[start + 1]
        if b'"iopub_welcome"' in header:
            return  # to the kernel's clients; the frontends get ours
        self.signer.sign(frames, start)
        self.publish(frames)
        if b'"status"' in header:
            self.take_status(frames, start)

    def take_status(self, frames: list[bytes], start: int) -> None:
        """Follow what the kernel is busy with, and keep the frontends' indicators right.

        The kernel also says busy and idle of a request which it serves beside a run: on the control channel, for
        another client. A frontend would show the last of these, so it hears again that the run goes on.
        """
        self.topic = frames[start - 2] if start >= 2 else self.topic
        parent = json_object(frames[start + 2])
        state = json_object(frames[start + 4]).get("execution_state")
        a_run = parent.get("msg_type") == "execute_request" and not parent.get("subshell_id")
        if a_run:
            self.busy_since_before = False
            self.running = (parent.get("msg_id"), frames[start + 2]) if state == "busy" else None
        elif state == "idle":
            self.tell_busy()

    def tell_busy(self) -> None:
        if self.is_busy:
            parent = self.running[1] if self.running else b"{}"
            message = self.signer.pack("status", {"execution_state": "busy"}, parent)
            self.publish([self.topic, *message])

    def publish(self, frames: list[bytes]) -> None:
        """Send to all frontends, or keep the message and read no more until they have room."""
        if not self.waiting:
            try:
                self.socket.send_multipart(frames, zmq.NOBLOCK)
                return
            except zmq.Again:
                self.hold()
        self.waiting.append(frames)

    def publish_waiting(self) -> None:
        try:
            while self.waiting:
                self.socket.send_multipart(self.waiting[0], zmq.NOBLOCK)
                self.waiting.popleft()
        except zmq.Again:
            return
        self.go_on()

    def take_subscription(self) -> None:
        """Welcome a frontend, and tell it what it would else not hear before the run ends."""
        for event in self.socket.recv_multipart():
            if event[:1] == b"\x01":
                topic = event[1:]
                welcome = {"subscription": topic.decode("utf-8", "replace")}
                message = self.signer.pack("iopub_welcome", welcome)
                self.publish([topic, *message] if topic else message)
                self.tell_busy()
