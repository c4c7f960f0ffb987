"""What a person does with a kernel on a server, whichever it is: all of it, and the faults on the way."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from tests.real.clients import Client, Reply
from tests.real.home import Home, eventually, until
from tests.remote.wire_cutter import WireCutter

_LINES = 500_000  # of a hundred bytes


def whole(use: Callable[[], Client], home: Home, cutter: WireCutter, place: Path) -> None:
    """`use`: a new client, whose kernel's server is behind `cutter`.

    `place`: a folder in which its kernels may write, and we.
    """
    client = use()
    first = client.execute("x = 6 * 7\nprint('hello')\nx", wait_seconds=50)
    assert (first.state, first.block("stdout"), first.block("result")) == ("OK", "hello", "42"), first.text
    assert client.config()["interrupts"] == "reach only the run they are meant for"
    asks_a_question(client)
    prints_fifty_megabytes(client)
    is_interrupted(client, place)
    assert use().execute("x").block("result") == "42", "a second client meets the same kernel"
    outlives_its_link_and_the_hub(client, home, cutter, place)
    dies(client)


def asks_a_question(client: Client) -> None:
    asked = client.execute("print(input('Name? ').upper())", wait_seconds=30)
    assert asked.state == "WAITING FOR INPUT", asked.text
    assert "ANN" in client.call("send_input", {"execution_id": asked.id, "text": "ann"}).text


def prints_fifty_megabytes(client: Client, *, reads: bool = True) -> None:
    """`reads`: what is kept of it is read, too."""
    reply = client.execute(f"for n in range({_LINES}): print(f'{{n:099d}}')", wait_seconds=50)
    reply = to_its_end(client, reply)
    assert reply.state == "OK", reply.text[:3000]
    if not reads:
        return
    file = Path(next(word for word in reply.text.split() if "/outputs/" in word).strip(".,;:()"))
    assert file.read_text().splitlines() == [f"{n:099d}" for n in range(_LINES)]


def is_interrupted(client: Client, place: Path) -> None:
    begun = place / "interrupted"
    running = client.execute(until(place / "never", begun), wait_seconds=0)
    eventually(begun.exists)
    assert client.call("interrupt_kernel", {"session": running.session}).state == "INTERRUPTED"
    assert client.execute("x").block("result") == "42"


def outlives_its_link_and_the_hub(client: Client, home: Home, cutter: WireCutter, place: Path) -> None:
    gate, begun = place / "gate", place / "begun"
    code = f"print('before')\n{until(gate, begun)}print('after')\nx"
    running = client.execute(code, wait_seconds=0)
    eventually(begun.exists)
    regained = home.log().count("is up again")
    assert cutter.cut()
    eventually(lambda: home.log().count("is up again") > regained)
    home.end_hub(signal.SIGKILL)
    gate.write_text("")
    ended = to_its_end(client, client.wait_for(running.id, wait_seconds=50))
    assert (ended.state, ended.block("stdout")) == ("OK", "before\nafter"), ended.text
    assert ended.block("result") == "42"


def dies(client: Client) -> None:
    died = client.execute("import os; os._exit(3)", wait_seconds=50)
    assert died.state == "DIED", died.text
    again = client.execute("'x' in dir()", wait_seconds=50)
    assert (again.state, again.block("result")) == ("OK", "False"), again.text
    assert "generation 2" in again.text


def to_its_end(client: Client, reply: Reply) -> Reply:
    for _ in range(4):
        if reply.state != "RUNNING":
            break
        reply = client.wait_for(reply.id, wait_seconds=50)
    return reply
