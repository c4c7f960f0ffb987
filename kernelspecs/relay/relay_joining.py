"""The relay's first words with the live kernel. For Python 3.8 and newer."""

from __future__ import annotations

import time

import zmq
from relay_wire import Signer, signature_at

JOIN_SECONDS = 30.0
ASK_SECONDS = 0.25  # before it is asked again
PROBE_SECONDS = 0.05  # for an idle kernel to answer on its shell channel


def await_kernel(sockets: dict, signer: Signer, is_alive) -> bool | None:
    """Wait until the kernel answers and its iopub socket knows us; whether it is idle. None if it cannot be reached.

    It answers on control also while it runs code. ipykernel 7 says when the subscription is in place; from others
    come the busy and idle of the question, if it is.
    """
    shell, control, iopub = (sockets[channel] for channel in ("shell", "control", "iopub"))
    poller = zmq.Poller()
    for socket in (shell, control, iopub):
        poller.register(socket, zmq.POLLIN)
    subscribed = answered = shell_answered = False
    deadline = time.monotonic() + JOIN_SECONDS
    shell.send_multipart(signer.pack("kernel_info_request", {}))
    while not (subscribed and answered):
        if time.monotonic() > deadline or not is_alive():
            return None
        control.send_multipart(signer.pack("kernel_info_request", {}))
        until = time.monotonic() + ASK_SECONDS
        while not (subscribed and answered) and time.monotonic() < until:
            for socket, _ in poller.poll(ASK_SECONDS * 1000):
                frames = socket.recv_multipart()
                answered = answered or socket is control
                shell_answered = shell_answered or socket is shell
                subscribed = subscribed or (socket is iopub and is_for(signer.session, frames))
    return shell_answered or bool(shell.poll(PROBE_SECONDS * 1000) and shell.recv_multipart())


def is_for(session: str, frames: list[bytes]) -> bool:
    """Whether it is iopub's welcome, or about a request of this session."""
    try:
        start = signature_at(frames)
    except ValueError:
        return False
    return b'"iopub_welcome"' in frames[start + 1] or session.encode() in frames[start + 2]
