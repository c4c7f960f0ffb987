"""What becomes of a connection's requests: who ended them, and whether their results were written."""

from __future__ import annotations

import asyncio
from typing import Any

import mcp_types as types
import pytest

from kernelexec.mcp_server.requests import Cancellation, Request, Requests
from tests.fakes import run


def asked(requests: Requests, request_id: int | str = 1) -> tuple[Request, list[str]]:
    """A request, and a list that gets an entry each time it is told that its result goes nowhere."""
    request = requests.add(types.JSONRPCRequest(jsonrpc="2.0", id=request_id, method="tools/call"))
    told: list[str] = []
    request.on_undelivered(lambda: told.append("undelivered"))
    return request, told


def cancel(requests: Requests, request_id: Any = 1, method: str = "cancelled", **params: Any) -> None:
    requests.heard(
        types.JSONRPCNotification(
            jsonrpc="2.0", method=f"notifications/{method}", params={"requestId": request_id, **params}
        )
    )


def answer(requests: Requests, request_id: int | str = 1, *, written: bool = True) -> None:
    requests.answered(types.JSONRPCResponse(jsonrpc="2.0", id=request_id, result={}), written=written)


@pytest.mark.parametrize(
    ("reason", "cancellation"),
    [
        (None, Cancellation("cancelled")),
        ("", Cancellation("cancelled")),
        ({"not": "text"}, Cancellation("cancelled")),
        ("User pressed Esc", Cancellation("cancelled", "User pressed Esc")),
        ("AbortError:\n \x1b[31maborted", Cancellation("cancelled", "AbortError: aborted")),
        ("MCP error -32001: x", Cancellation("timed_out", "MCP error -32001: x")),
        ("timed out after 60s", Cancellation("timed_out", "timed out after 60s")),
        ("Timeout", Cancellation("timed_out", "Timeout")),
        ("x" * 100_000, Cancellation("cancelled", "x" * 200)),
    ],
)
def test_a_cancel_is_told_from_a_time_out_by_its_reason(reason: object, cancellation: Cancellation) -> None:
    requests = Requests({})
    request, _ = asked(requests)
    cancel(requests, reason=reason)
    assert request.cancellation == cancellation


@pytest.mark.parametrize(("asked_as", "cancelled_as"), [(7, 7), (7, "7"), ("7", 7), ("a", "a")])
def test_a_cancel_names_its_request_as_the_sdk_understands_it(
    asked_as: int | str, cancelled_as: int | str
) -> None:
    requests = Requests({})
    request, _ = asked(requests, asked_as)
    cancel(requests, cancelled_as)
    assert request.cancellation == Cancellation("cancelled")


@pytest.mark.parametrize("request_id", [2, "b", True, None, [1], {"id": 1}])
def test_a_cancel_of_another_request_or_of_none_ends_nothing(request_id: object) -> None:
    requests = Requests({})
    request, told = asked(requests)
    cancel(requests, request_id)
    cancel(requests, 1, method="progress")
    requests.heard(types.JSONRPCNotification(jsonrpc="2.0", method="notifications/cancelled"))
    assert (request.cancellation, told) == (None, [])


def test_the_end_of_the_connection_ends_what_is_open_and_nothing_else() -> None:
    requests = Requests({})
    (done, done_told), (cancelled, _), (open_one, open_told) = (asked(requests, n) for n in (1, 2, 3))
    answer(requests, 1)
    cancel(requests, 2)
    requests.end()
    requests.end()
    assert done.cancellation is None
    assert cancelled.cancellation == Cancellation("cancelled")
    assert open_one.cancellation == Cancellation("disconnected")
    assert (done_told, open_told) == ([], ["undelivered"])


def test_a_result_that_was_written_is_delivered() -> None:
    requests = Requests({})
    _, told = asked(requests)
    answer(requests)
    assert told == []


def test_a_result_that_could_not_be_written_is_told_once() -> None:
    requests = Requests({})
    _, told = asked(requests)
    answer(requests, written=False)
    cancel(requests)
    requests.end()
    assert told == ["undelivered"]


def test_an_error_in_place_of_a_result_is_no_delivery() -> None:
    requests = Requests({})
    _, told = asked(requests)
    closed = types.ErrorData(code=types.CONNECTION_CLOSED, message="Connection closed")
    requests.answered(types.JSONRPCError(jsonrpc="2.0", id=1, error=closed), written=True)
    assert told == ["undelivered"]


def test_a_result_that_the_client_cancelled_before_it_arrived_is_told_too() -> None:
    """A client that gives up after as long as the call waits cancels while the result is under way."""
    requests = Requests({})
    request, told = asked(requests)
    answer(requests)
    cancel(requests, reason="timed out")
    cancel(requests, reason="a second time")
    assert told == ["undelivered"]
    assert request.cancellation == Cancellation("timed_out", "timed out"), "it is told with the next reply"


def test_of_answered_requests_only_the_newest_are_remembered() -> None:
    requests = Requests({})
    told = {}
    for number in range(1_000):
        _, told[number] = asked(requests, number)
        answer(requests, number)
    for number in told:
        cancel(requests, number)
    remembered = [number for number in told if told[number]]
    assert remembered == list(range(1_000 - len(remembered), 1_000))
    assert 0 < len(remembered) < 100


def test_who_asks_afterwards_is_told_at_once_and_a_callback_that_fails_spares_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    requests = Requests({})
    request, told = asked(requests)

    def failing() -> None:
        raise LookupError("nobody there")

    request.on_undelivered(failing)
    request.on_undelivered(lambda: told.append("the next"))
    requests.end()
    request.on_undelivered(lambda: told.append("late"))
    assert told == ["undelivered", "the next", "late"]
    assert "nobody there" in caplog.text


def test_waiting_ends_with_the_last_answer_and_a_cancelled_request_needs_none() -> None:
    async def test() -> None:
        requests = Requests({})
        asked(requests, 1)
        asked(requests, 2)
        waiting = asyncio.create_task(requests.wait(60))
        answer(requests, 1)
        done, _ = await asyncio.wait({waiting}, timeout=0.01)
        assert not done
        cancel(requests, 2)
        await asyncio.wait_for(waiting, 5)

    run(test())
