"""What a relay's frontends hear: all of the kernel's output, and whether it is busy."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import zmq

CONNECTION = {"key": "k", "signature_scheme": "hmac-sha256"}


class Socket:
    """To frontends that have room for so many messages."""

    def __init__(self) -> None:
        self.room = 100
        self.sent: list[list[bytes]] = []

    def send_multipart(self, frames: list[bytes], flags: int) -> None:
        if len(self.sent) >= self.room:
            raise zmq.Again
        self.sent.append(frames)

    def recv_multipart(self) -> list[bytes]:
        return [b"\x01"]  # a frontend subscribes to everything

    def heard(self) -> list[str]:
        """The type of each message, of a status what it says, of output what was printed."""
        heard = []
        for frames in self.sent:
            header, _, _, content = map(json.loads, frames[-4:])
            heard.append(content.get("execution_state") or content.get("text") or header["msg_type"])
        return heard


class Frontends:
    """An Output, and what became of it."""

    def __init__(self, output: Any, wire: Any) -> None:
        self.signer = wire.Signer(CONNECTION, "kernel")
        self.reads = True  # whether the kernel's output is read
        self.output = output.Output(wire.Signer(CONNECTION, "relay"), self.hold, self.go_on)
        self.socket = self.output.socket = Socket()

    def hold(self) -> None:
        self.reads = False

    def go_on(self) -> None:
        self.reads = True

    def say(self, kind: str, parent: dict[str, str], **content: str) -> None:
        frames = [b"topic", *self.signer.pack(kind, content, json.dumps(parent).encode())]
        self.output.pass_on(frames, 2)


RUN = {"msg_id": "run", "msg_type": "execute_request"}
QUESTION = {"msg_id": "question", "msg_type": "kernel_info_request"}
BESIDE = {**RUN, "msg_id": "beside", "subshell_id": "s"}


@pytest.fixture
def frontends(monkeypatch: pytest.MonkeyPatch) -> Frontends:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "kernelspecs/relay"))
    modules: list[ModuleType] = [importlib.import_module(name) for name in ("relay_output", "relay_wire")]
    return Frontends(*modules)


@pytest.mark.parametrize("other", [QUESTION, BESIDE])
def test_the_end_of_what_is_served_beside_a_run_does_not_look_like_the_runs(
    frontends: Frontends, other: dict[str, str]
) -> None:
    frontends.say("status", RUN, execution_state="busy")
    frontends.say("status", other, execution_state="busy")
    frontends.say("status", other, execution_state="idle")
    assert frontends.socket.heard() == ["busy", "busy", "idle", "busy"]
    assert json.loads(frontends.socket.sent[-1][-3]) == RUN
    assert frontends.output.run == "run"
    frontends.say("status", RUN, execution_state="idle")
    assert frontends.socket.heard()[-1] == "idle"
    assert not frontends.output.is_busy


def test_who_comes_later_is_welcomed_and_told_that_a_run_goes_on(frontends: Frontends) -> None:
    frontends.output.busy_since_before = True
    frontends.output.take_subscription()
    assert frontends.socket.heard() == ["iopub_welcome", "busy"]


def test_what_a_frontend_has_no_room_for_waits_and_nothing_more_is_read(
    frontends: Frontends,
) -> None:
    frontends.socket.room = 1
    for text in "abc":
        frontends.say("stream", RUN, text=text)
    assert (frontends.socket.heard(), frontends.reads) == (["a"], False)
    frontends.socket.room = 2
    frontends.output.publish_waiting()
    assert (frontends.socket.heard(), frontends.reads) == (["a", "b"], False)
    frontends.socket.room = 100
    frontends.output.publish_waiting()
    assert (frontends.socket.heard(), frontends.reads) == (["a", "b", "c"], True)
