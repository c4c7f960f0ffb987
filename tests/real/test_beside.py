"""What is asked beside the end of a kernel: each call gets a true reply, and the connection lives."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.real.clients import RawClient, Reply
from tests.real.conftest import ConnectRaw
from tests.real.home import Home, eventually

ROUNDS = 20  # for each kind of end; a round starts a kernel, which takes most of its time
_BUSY = 10  # in one round of so many something runs: a kernel that is asked to end then is waited for
_CODE = "import os, time\nbeside = 1\nos.getpid()"
_LONG = "time.sleep(600)"

Calls = list[tuple[int, Callable[[Reply], bool]]]  # ids of requests, and whether a reply is true


def call(client: RawClient, tool: str, **arguments: object) -> int:
    """Begin a call; returns its id."""
    return client.begin("tools/call", {"name": tool, "arguments": arguments})


def restart(client: RawClient, first: Reply) -> Calls:
    said = f"RESTARTED: {first.session} has a new kernel"
    request_id = call(client, "restart_kernel", session=first.session)
    return [(request_id, lambda reply: reply.text.startswith(said))]


def stop(client: RawClient, first: Reply) -> Calls:
    said = f"STOPPED: the kernel of {first.session}"
    return [(call(client, "stop_kernel", session=first.session), lambda reply: reply.text.startswith(said))]


def kill(client: RawClient, first: Reply) -> Calls:
    os.kill(int(first.block("result")), signal.SIGKILL)
    return []


def started(client: RawClient) -> Reply:
    """A run in a kernel that has just been started, or restarted."""
    first = client.execute(_CODE)
    if first.state == "NOT RUN":  # the kernel's death is told before anything runs in the next
        assert "ended: it was killed by signal 9" in first.text
        first = client.execute(_CODE)
    assert first.state == "OK", first.text
    return first


def asked(client: RawClient, session: str, execution: str) -> Calls:
    """Begin a call of each tool."""

    def variables_are_true(reply: Reply) -> bool:
        return "beside" in reply.text or reply.text.startswith(
            (
                f"NO VARIABLES: {session} has no kernel now",
                f"NO VARIABLES: the kernel of {session} ended while it was asked (",
                f"list_variables was broken off: the kernel of {session} ended while it was asked (",
                f"VARIABLES of {session}: 0",
            )
        )

    return [
        (call(client, "list_variables", session=session), variables_are_true),
        (call(client, "list_kernels"), lambda reply: f"{session}: " in reply.text and not reply.is_error),
        (
            call(client, "wait_for_execution", execution_id=execution),
            lambda reply: reply.id == execution and reply.state in ("OK", "DIED"),
        ),
        (
            call(client, "check_installed_packages", packages=["json"], session=session),
            lambda reply: "json: part of Python" in reply.text,
        ),
    ]


def going_on(client: RawClient, execution: str) -> int:
    """Begin a run that does not end, which will have this id; returns when it runs."""
    running = client.begin_execute(_LONG)

    def runs() -> bool:
        looking = call(client, "wait_for_execution", execution_id=execution, wait_seconds=0)
        return client.reply(looking).state == "RUNNING"

    eventually(runs)
    return running


@pytest.mark.parametrize("end", [restart, stop, kill])
def test_what_is_asked_beside_the_end_of_a_kernel_is_answered_with_the_truth(
    end: Callable[[RawClient, Reply], Calls], home: Home, connect_raw: ConnectRaw
) -> None:
    home.may_log_tracebacks = True  # one for each call that the kernel's end broke off
    client = connect_raw(home, home.project("beside"))
    for number in range(ROUNDS):
        first = started(client)
        execution, running = first.id, None
        if number % _BUSY == 1:
            execution = f"{first.session}/{first.number + 1}"
            running = going_on(client, execution)
        calls = asked(client, first.session, execution) if number % 3 else []
        calls += end(client, first)
        calls += asked(client, first.session, execution)
        for request_id, is_true in calls:
            reply = client.reply(request_id)
            assert is_true(reply), f"round {number}: {reply.text}"
        if running is not None:
            assert client.reply(running).state == "DIED"
    logged = [line for line in home.log().splitlines() if " ERROR " in line]
    assert not [line for line in logged if "list_variables was cancelled" not in line]
