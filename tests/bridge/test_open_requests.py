"""What a bridge keeps for the next hub, line by line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kernelexec.bridge.open_requests import OpenRequests


def line(**message: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode() + b"\n"


def request(identity: int | str, method: str = "tools/call", **params: Any) -> bytes:
    return line(id=identity, method=method, params=params)


def result(identity: int | str) -> bytes:
    return line(id=identity, result={})


def cancel(identity: int | str) -> bytes:
    return line(method="notifications/cancelled", params={"requestId": identity})


INITIALIZE, INITIALIZED = request(0, "initialize"), line(method="notifications/initialized")


def client(*lines: bytes) -> OpenRequests:
    """Of one that was initialized, and that has said this to a hub since."""
    kept = OpenRequests()
    assert kept.asked(INITIALIZE, is_sent=True)
    assert kept.answered(result(0))
    for said in (INITIALIZED, *lines):
        assert kept.asked(said, is_sent=True)
    return kept


def begun(kept: OpenRequests) -> list[int | str]:
    return [identity for identity, _ in json.loads(kept.begun())]


def test_the_next_hub_gets_the_handshake_and_then_what_is_open() -> None:
    kept = client(request(1), request("b"), request(3))
    assert kept.answered(result(1))
    assert kept.hub_ended() == []
    assert begun(kept) == ["b", 3]
    assert kept.again() == [INITIALIZE, INITIALIZED, request("b"), request(3)]


def test_the_answer_to_the_repeated_handshake_is_not_the_clients() -> None:
    kept = client()
    kept.hub_ended()
    kept.again()
    assert not kept.answered(result(0))
    assert kept.answered(result(0)), "only that one"


def test_a_handshake_that_was_not_answered_is_open_as_any_request_is() -> None:
    kept = OpenRequests()
    kept.asked(INITIALIZE, is_sent=True)
    kept.hub_ended()
    assert begun(kept) == [0]
    assert kept.again() == [INITIALIZE]
    assert kept.answered(result(0))


def test_without_a_handshake_there_is_none_to_repeat() -> None:
    """Since 2026-07-28 each request stands for itself."""
    kept = OpenRequests()
    kept.asked(request(1, "server/discover"), is_sent=True)
    assert kept.answered(result(1))
    kept.asked(request(2), is_sent=True)
    kept.hub_ended()
    assert kept.again() == [request(2)]


def test_what_no_hub_was_sent_was_begun_by_none() -> None:
    kept = client()
    kept.hub_ended()
    assert not kept
    kept.asked(request(1), is_sent=False)
    assert kept
    assert begun(kept) == []
    assert kept.again() == [INITIALIZE, INITIALIZED, request(1)]


@pytest.mark.parametrize("answer", [result(1), line(id=1, error={"code": -1, "message": "no"})])
def test_what_was_answered_is_not_open(answer: bytes) -> None:
    kept = client(request(1))
    assert kept.answered(answer)
    assert not kept


@pytest.mark.parametrize("identity", ["7", "a\"'\\ä", "x" * 10_000, -3])
def test_an_id_is_known_again_however_it_looks(identity: int | str) -> None:
    kept = client(request(identity))
    assert kept.answered(result(identity))
    assert not kept


def test_a_cancel_goes_with_its_request() -> None:
    kept = client(request(1), request(2), cancel(1))
    kept.hub_ended()
    assert kept.again() == [INITIALIZE, INITIALIZED, request(1), cancel(1), request(2)]


def test_a_cancelled_request_is_over_once_the_hub_has_answered_what_came_later() -> None:
    """Hubs do not answer what was cancelled; the answer shows that it has read the cancel."""
    kept = client(request(1), request(2), cancel(1))
    kept.answered(result(2))  # asked before the cancel: it shows nothing
    assert kept
    kept.asked(request(3), is_sent=True)
    kept.answered(result(3))
    assert not kept


def test_what_the_client_is_asked_by_a_hub_that_ends_is_taken_back() -> None:
    kept = client()
    assert kept.answered(request("hub-1", "elicitation/create"))
    assert kept.answered(request("hub-2", "elicitation/create"))
    assert kept.asked(result("hub-1"), is_sent=True)
    [told] = [json.loads(said) for said in kept.hub_ended()]
    assert (told["method"], told["params"]["requestId"]) == ("notifications/cancelled", "hub-2")


def test_the_answer_to_a_hub_that_is_gone_is_not_passed_to_the_next() -> None:
    kept = client()
    kept.answered(request("hub-1", "elicitation/create"))
    kept.hub_ended()
    assert not kept.asked(result("hub-1"), is_sent=True)


def test_what_ends_hub_after_hub_is_given_up_and_nothing_else_is() -> None:
    kept = client(request(1))
    for _ in range(2):
        kept.hub_ended()
        assert kept.given_up() == []
        assert request(1) in kept.again()
    kept.hub_ended()
    kept.asked(request(2), is_sent=False)
    [told] = [json.loads(said) for said in kept.given_up()]
    assert told["id"] == 1
    assert "list_executions" in told["error"]["message"]
    assert kept.again() == [INITIALIZE, INITIALIZED, request(2)]


def test_without_a_next_hub_all_that_is_open_is_told_why() -> None:
    kept = client(request(1), request(2))
    kept.hub_ended()
    told = [json.loads(said) for said in kept.given_up("There is no hub.")]
    assert [(each["id"], each["error"]["message"]) for each in told] == [
        (1, "kernelexec: There is no hub."),
        (2, "kernelexec: There is no hub."),
    ]
    assert not kept


@pytest.mark.parametrize(
    "odd",
    [
        b"{\n",
        b"[]\n",
        b"5\n",
        b"[" * 100_000 + b"\n",
        b'{"id":null,"method":"x"}\n',
        b"\xff\n",
        b"{}\n",
        b'{"id":3}\n',
    ],
)
def test_what_is_no_request_is_the_hubs_to_judge(odd: bytes) -> None:
    kept = client()
    assert kept.asked(odd, is_sent=True)
    assert not kept
    assert kept.answered(line(id=None, error={"code": -32700, "message": "no"}))
