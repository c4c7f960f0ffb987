"""Join a Jupyter frontend to a kernel which runs already, the one that an assistant works with.

To the frontend this process is the kernel it has started: it listens where the frontend's connection file says. What
comes is signed anew and passed on to the live kernel, and the other way. What the frontend's buttons mean:

- shut down: the frontend lets go, the kernel lives on
- restart: the hub is asked for a new kernel, and the assistant is told; the frontend's next relay joins that one
- interrupt: the hub interrupts what the frontend sees running, and nothing else; the assistant is told

The relay ends when the kernel ends, so that the frontend says what it says of any kernel that died, and has it started
again; the hub is asked for the session's next kernel then.

Identities are kept: between the frames which name a frontend's socket and the delimiter nothing is touched, so the
kernel's replies, and its questions on stdin, find their way back by the ROUTER sockets at both ends. No output is
dropped: a frontend which does not read makes the relay stop reading, and then the kernel queues, as it does for any
reader over ipc (see kernel_app.py). For Python 3.8 and newer.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import uuid

import live_kernel
import zmq
from relay_hub import HubQuestions
from relay_joining import await_kernel
from relay_outbox import Outbox
from relay_output import Output
from relay_wire import Signer, address, is_type, json_object, signature_at

# Jupyter's kernel managers interrupt a kernel before they shut it down. An interrupt waits for this long, to see
# whether it is one of those: closing JupyterLab must not end the assistant's run.
INTERRUPT_SECONDS = 0.1
# A Jupyter server gives a kernel which is to restart 2.5 s before it sends SIGTERM.
RESTART_SECONDS = 2.2
INTERRUPT_ANSWER_SECONDS = 1.0
FULL_SECONDS = 0.005  # between tries to send output to a frontend which is behind
LOOK_SECONDS = 0.5  # between looks at processes, where the system does not tell of their end
LAST_WORDS_SECONDS = 0.1  # without a message, after which a dead kernel has said all
TRY_SECONDS = 0.01  # between tries to send to a socket that is not there yet
AT_ONCE = 100  # messages from one socket before the others get their turn
QUEUED_MESSAGES = 1000


class Relay:
    """One frontend's connection file on this side, one live kernel on the other."""

    def __init__(self, connection_file: str, kernel: live_kernel.LiveKernel) -> None:
        with open(connection_file) as file:
            self.front_connection = json.load(file)
        self.kernel = kernel
        self.kernel_connection = kernel.connection
        self.session = uuid.uuid4().hex
        self.front_signer = Signer(self.front_connection, self.session)
        self.kernel_signer = Signer(self.kernel_connection, self.session)
        self.context = zmq.Context()
        self.poller = zmq.Poller()
        self.fronts, self.kernels = {}, {}
        self.outbox = Outbox()
        self.handlers = {}  # what to do when a socket or a descriptor is readable
        self.output = Output(self.front_signer, self.hold_output, self.go_on_with_output)
        self.asked_elsewhere = set()  # kernel_info_requests of the shell channel, passed on by control
        self.interrupt_at = None  # when the held interrupt is due
        self.interrupt_target = None
        self.ending_at = None  # at the latest, once the kernel has ended or is to be replaced
        self.waits_for_hub = False  # which replaces it
        self.replies = []  # to shutdown_requests, sent at the very end
        self.hub = HubQuestions(kernel, self.watch, self.unwatch)
        self.kernel_ended = False
        self.ended = False

    # --- the life of a relay ---------------------------------------------------------------------

    def join(self) -> bool:
        """Connect to the kernel, and only when its output arrives listen to the frontend."""
        for channel, kind in (
            ("shell", zmq.DEALER),
            ("control", zmq.DEALER),
            ("stdin", zmq.DEALER),
            ("hb", zmq.DEALER),
        ):
            socket = self.context.socket(kind)
            # Its questions on stdin go to the name under which the request came.
            socket.setsockopt(zmq.IDENTITY, self.session.encode())
            socket.setsockopt(zmq.SNDHWM, 0)
            self.connect(channel, socket)
        iopub = self.context.socket(zmq.SUB)
        iopub.setsockopt(zmq.RCVHWM, QUEUED_MESSAGES)
        iopub.setsockopt(zmq.SUBSCRIBE, b"")
        self.connect("iopub", iopub)
        is_idle = await_kernel(self.kernels, self.kernel_signer, self.is_alive)
        if is_idle is None:
            return False
        self.output.busy_since_before = not is_idle
        for channel in ("shell", "control", "stdin", "hb"):
            socket = self.context.socket(zmq.ROUTER)
            socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
            socket.setsockopt(zmq.ROUTER_MANDATORY, channel != "hb")
            socket.setsockopt(zmq.SNDHWM, 0)
            self.bind(channel, socket)
        iopub = self.context.socket(zmq.XPUB)
        iopub.setsockopt(zmq.XPUB_NODROP, 1)
        iopub.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.output.socket = iopub
        self.bind("iopub", iopub)
        return True

    def connect(self, channel: str, socket) -> None:
        socket.linger = 500
        socket.connect(address(self.kernel_connection, channel))
        self.kernels[channel] = socket
        handler = {"iopub": self.take_iopub, "hb": self.pass_heartbeat}.get(channel, self.take_reply)
        self.watch(socket, handler, channel)

    def bind(self, channel: str, socket) -> None:
        socket.linger = 500
        socket.bind(address(self.front_connection, channel))
        self.fronts[channel] = socket
        handler = {"iopub": self.take_subscription, "hb": self.pass_heartbeat_on}.get(
            channel, self.take_request
        )
        self.watch(socket, handler, channel)

    def watch(self, source, handler, *arguments) -> None:
        self.poller.register(source, zmq.POLLIN)
        self.handlers[source] = handler, arguments

    def unwatch(self, source) -> None:
        self.poller.unregister(source)
        del self.handlers[source]

    def run(self) -> None:
        """Relay until the frontend lets go, its server ends, or the kernel does."""
        wakeup, written = os.pipe()
        for descriptor in (wakeup, written):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        self.watch(wakeup, self.take_signals, wakeup)
        self.look_at_processes()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)  # the descriptor says which one came
        while not self.ended:
            for source, _ in self.poller.poll(self.timeout()):
                if source in self.handlers:  # else one before it has ended it
                    handler, arguments = self.handlers[source]
                    handler(*arguments)
            self.do_what_is_due()
        for channel, frames in self.replies:
            self.outbox.send(self.fronts[channel], frames)
        self.context.destroy(linger=500)

    def look_at_processes(self) -> None:
        """Hear of the end of the kernel, and of the server that started this process."""
        self.server = os.getppid() if os.environ.get("JPY_PARENT_PID", "") not in ("", "0") else None
        self.looks = False
        for pid, handler in ((self.kernel.pid, self.take_kernel_end), (self.server, self.take_server_end)):
            if pid is None:
                continue
            try:
                self.watch(os.pidfd_open(pid), handler)
            except (AttributeError, OSError):  # Python 3.8, macOS; or it is gone already
                self.looks = True
        if not self.is_alive():  # checked when nobody else can get the pid any more
            self.take_kernel_end()

    def is_alive(self) -> bool:
        return live_kernel.identity(self.kernel.pid) == self.kernel.identity

    def timeout(self) -> float | None:
        """Milliseconds until something is due."""
        now = time.monotonic()
        due = [at - now for at in (self.interrupt_at, self.ending_at) if at is not None]
        due += [at - now for at in self.hub.due()]
        if self.output.waiting:
            due.append(FULL_SECONDS)
        if self.outbox.kept:
            due.append(TRY_SECONDS)
        if self.looks:
            due.append(LOOK_SECONDS)
        if self.kernel_ended and not self.waits_for_hub:
            due.append(LAST_WORDS_SECONDS)
        return max(0.0, min(due)) * 1000 if due else None

    def do_what_is_due(self) -> None:
        now = time.monotonic()
        if self.output.waiting:
            self.output.publish_waiting()
        if self.outbox.kept:
            self.outbox.send_kept()
        if self.looks:
            if not self.is_alive():
                self.take_kernel_end()
            if self.server is not None and os.getppid() != self.server:
                self.ended = True
        self.hub.close_late_ones(now)
        if self.interrupt_at is not None and now >= self.interrupt_at:
            self.interrupt_at = None
            self.interrupt()
        if self.ending_at is not None and (now >= self.ending_at or self.is_over()):
            self.ended = True

    def is_over(self) -> bool:
        return self.kernel_ended and not self.waits_for_hub and not self.has_last_words()

    def has_last_words(self) -> bool:
        return bool(self.output.waiting) or bool(self.kernels["iopub"].poll(LAST_WORDS_SECONDS * 1000))

    def take_kernel_end(self) -> None:
        for source, (handler, _) in list(self.handlers.items()):
            if handler == self.take_kernel_end:
                self.unwatch(source)
        self.kernel_ended = True
        if self.ending_at is None:
            # The frontend has its kernel started again then. It is to find the session's next one, not an own.
            self.replace_kernel("renew", self.renewed)

    def take_server_end(self) -> None:
        self.ended = True

    def take_signals(self, wakeup: int) -> None:
        try:
            numbers = os.read(wakeup, 100)
        except BlockingIOError:
            return
        if signal.SIGTERM in numbers or signal.SIGHUP in numbers:
            self.ended = True
        elif signal.SIGINT in numbers:
            self.hold_interrupt()

    # --- from the frontend to the kernel ---------------------------------------------------------

    def take_request(self, channel: str) -> None:
        self.pass_all(channel, self.fronts[channel], self.pass_request)

    def pass_all(self, channel: str, socket, pass_on) -> None:
        """Pass on what has come to a socket, but not more than AT_ONCE; drop what is no message of Jupyter's."""
        for _ in range(AT_ONCE):
            if self.output.waiting and socket is self.kernels["iopub"]:
                return
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                pass_on(channel, frames, signature_at(frames))
            except (ValueError, KeyError, TypeError) as error:
                print(f"kernelexec relay: a message on {channel} was dropped: {error}", file=sys.stderr)

    def pass_request(self, channel: str, frames: list[bytes], start: int) -> None:
        self.front_signer.check(frames, start)
        header = frames[start + 1]
        if is_type(header, "shutdown_request"):
            self.shut_down(channel, frames, start)
            return
        if is_type(header, "interrupt_request"):
            reply = self.front_signer.pack_reply(frames, start, "interrupt_reply", {"status": "ok"})
            self.outbox.send(self.fronts[channel], reply)
            self.hold_interrupt()
            return
        if channel == "shell" and self.output.is_busy and b'"kernel_info_request"' in header:
            # Behind a long run the frontend would wait for it to connect. On control it is answered at once.
            self.asked_elsewhere.add(json_object(header)["msg_id"])
            channel = "control"
        self.kernel_signer.sign(frames, start)
        self.kernels[channel].send_multipart(frames)

    def pass_heartbeat_on(self, _channel: str) -> None:
        self.kernels["hb"].send_multipart(self.fronts["hb"].recv_multipart())

    def pass_heartbeat(self, _channel: str) -> None:
        self.fronts["hb"].send_multipart(self.kernels["hb"].recv_multipart())

    # --- from the kernel to the frontend ---------------------------------------------------------

    def take_reply(self, channel: str) -> None:
        self.pass_all(channel, self.kernels[channel], self.pass_reply)

    def pass_reply(self, channel: str, frames: list[bytes], start: int) -> None:
        parent = frames[start + 2]
        if self.session.encode() in parent:  # to a question of this relay
            if channel == "shell":
                # The run which was going on when this relay came is over: our request behind it was served.
                self.output.busy_since_before = False
            return
        to = channel
        if self.asked_elsewhere and channel == "control":
            asked = json_object(parent).get("msg_id")
            if asked in self.asked_elsewhere:
                self.asked_elsewhere.remove(asked)
                to = "shell"
        self.front_signer.sign(frames, start)
        self.outbox.send(self.fronts[to], frames)

    def take_iopub(self, channel: str) -> None:
        self.pass_all(channel, self.kernels["iopub"], self.pass_output)

    def pass_output(self, _channel: str, frames: list[bytes], start: int) -> None:
        self.output.pass_on(frames, start)

    def hold_output(self) -> None:
        self.unwatch(self.kernels["iopub"])

    def go_on_with_output(self) -> None:
        self.watch(self.kernels["iopub"], self.take_iopub, "iopub")

    def take_subscription(self, _channel: str) -> None:
        self.output.take_subscription()

    # --- the frontend's buttons ------------------------------------------------------------------

    def hold_interrupt(self) -> None:
        if self.interrupt_at is None:
            self.interrupt_at = time.monotonic() + INTERRUPT_SECONDS
            self.interrupt_target = self.output.run

    def interrupt(self) -> None:
        """Interrupt the run which was going on when the button was pressed, by way of the hub, which tells of it."""
        target = self.interrupt_target
        if target is None and not self.output.busy_since_before:
            return

        def interrupt_ourselves(answer: dict | None) -> None:
            if answer is None:
                content = {"kernelexec": {"msg_id": target}} if target is not None else {}
                self.kernels["control"].send_multipart(self.kernel_signer.pack("interrupt_request", content))

        self.hub.ask("interrupt", INTERRUPT_ANSWER_SECONDS, interrupt_ourselves, msg_id=target)

    def shut_down(self, channel: str, frames: list[bytes], start: int) -> None:
        restart = json_object(frames[start + 4]).get("restart") is True
        content = {"status": "ok", "restart": restart}
        self.replies.append((channel, self.front_signer.pack_reply(frames, start, "shutdown_reply", content)))
        self.interrupt_at = None
        if not restart:
            self.ended = True
        elif self.ending_at is None:
            self.replace_kernel("restart", self.restarted)

    def replace_kernel(self, command: str, then) -> None:
        self.ending_at = time.monotonic() + RESTART_SECONDS
        self.waits_for_hub = True
        self.hub.ask(command, RESTART_SECONDS, then)

    def restarted(self, answer: dict | None) -> None:
        self.waits_for_hub = False
        if answer is not None:
            self.ended = True
        elif not self.kernel_ended:
            # No hub: the kernel is asked itself. The frontend's next start finds none and makes an ordinary one.
            self.kernels["control"].send_multipart(
                self.kernel_signer.pack("shutdown_request", {"restart": False})
            )

    def renewed(self, _answer: dict | None) -> None:
        self.waits_for_hub = False


def serve(connection_file: str, kernel: live_kernel.LiveKernel) -> bool:
    """Relay until it is over; False at once if the kernel cannot be reached."""
    try:
        relay = Relay(connection_file, kernel)
    except (OSError, ValueError, KeyError):
        return False
    if not relay.join():
        relay.context.destroy(linger=0)
        return False
    relay.run()
    return True
