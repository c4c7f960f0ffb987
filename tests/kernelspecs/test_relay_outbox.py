"""Messages to a frontend's socket that is not there yet."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import zmq

ADDRESS = "inproc://front"


@pytest.fixture
def relay_outbox(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "kernelspecs/relay"))
    monkeypatch.delitem(sys.modules, "relay_outbox", raising=False)
    return importlib.import_module("relay_outbox")


@pytest.fixture
def context() -> Iterator[zmq.Context]:
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture
def router(context: zmq.Context) -> Iterator[zmq.Socket]:
    with context.socket(zmq.ROUTER) as router:
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.bind(ADDRESS)
        yield router


def come(context: zmq.Context, router: zmq.Socket, name: bytes) -> zmq.Socket:
    peer = context.socket(zmq.DEALER)
    peer.setsockopt(zmq.IDENTITY, name)
    peer.connect(ADDRESS)
    peer.send(b"here")
    router.recv_multipart()  # now it knows the name
    return peer


def test_messages_for_an_absent_socket_reach_it_in_order_when_it_comes(
    relay_outbox: ModuleType, context: zmq.Context, router: zmq.Socket
) -> None:
    outbox = relay_outbox.Outbox()
    outbox.send(router, [b"late", b"1"])
    with come(context, router, b"here") as here, come(context, router, b"late") as late:
        outbox.send(router, [b"here", b"now"])
        assert here.recv() == b"now"
        outbox.send(router, [b"late", b"2"])
        assert not late.poll(100), "it overtook the one before"
        outbox.send_kept()
        assert [late.recv(), late.recv()] == [b"1", b"2"]
    assert not outbox.kept


def test_what_nobody_comes_for_is_dropped_in_time_and_said(
    relay_outbox: ModuleType,
    router: zmq.Socket,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    outbox = relay_outbox.Outbox()
    for n in range(relay_outbox.ABSENT_MESSAGES + 50):
        outbox.send(router, [b"nobody", b"%d" % n])
    assert len(outbox.kept) == relay_outbox.ABSENT_MESSAGES
    assert capsys.readouterr().err.count("dropped") == 50
    outbox.send_kept()
    assert len(outbox.kept) == relay_outbox.ABSENT_MESSAGES
    later = relay_outbox.time.monotonic() + relay_outbox.ABSENT_SECONDS
    monkeypatch.setattr(relay_outbox.time, "monotonic", lambda: later)
    outbox.send_kept()
    assert not outbox.kept
