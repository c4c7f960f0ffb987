"""What becomes of asking the person at the client, in both ways of the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kernelexec.mcp_server.patience import Patience
from kernelexec.mcp_server.person import Answer, NoAnswer, Person
from kernelexec.mcp_server.requests import Request
from kernelexec.mcp_server.tools import call_tool
from kernelexec.model.execution import Execution, Question
from kernelexec.session.session import Session
from tests.fakes import FakeStarter, Reply, Run, run, session_in, settled
from tests.mcp_server.calls import call_on, called, text_of
from tests.mcp_server.test_server import HANDSHAKE, MODERN, Peer, connected

FORM = {"elicitation": {"form": {}}}
ANSWERS = "; send_input answers, also with an empty text."


async def asking(kernel_run: Run) -> Reply:
    kernel_run.busy()
    kernel_run.print(f"Hello {await kernel_run.ask('Name? ')!r}")
    kernel_run.idle()
    return kernel_run.reply()


@asynccontextmanager
async def asked_at(folder: Path, era: str) -> AsyncIterator[tuple[Session, Peer]]:
    async with session_in(folder, FakeStarter([asking])) as session, connected(session, era, **FORM) as peer:
        yield session, peer


async def outcome(peer: Peer, result: Any, **error: Any) -> str:
    """The reply to a run that asks, whose client answers the form with this result, or this error."""
    arguments = {"name": "execute_code", "arguments": {"code": "x"}}
    call = peer.ask("tools/call", arguments)
    if peer.era == HANDSHAKE:
        request = await peer.asked()
        assert request["params"]["message"] == "The code of sales@analysis/1 asks for input: Name?"
        peer.reply(request, **({"error": error} if error else {"result": result}))
        return str((await peer.answer(call))["result"]["content"][0]["text"])
    needed = (await peer.answer(call))["result"]
    assert needed["resultType"] == "input_required"
    responses = {} if result is None else {"inputResponses": {"answer": result}}
    again = {**arguments, "requestState": needed["requestState"], **responses}
    return str((await peer.answer(peer.ask("tools/call", again)))["result"]["content"][0]["text"])


@pytest.mark.parametrize("era", [HANDSHAKE, MODERN])
@pytest.mark.parametrize(
    ("content", "typed"),
    [({"answer": "Ann"}, "Ann"), ({"answer": ""}, ""), ({}, ""), (None, ""), ({"answer": 7}, "7")],
)
def test_what_the_person_types_goes_to_the_code(tmp_path: Path, era: str, content: Any, typed: str) -> None:
    async def test() -> None:
        async with asked_at(tmp_path, era) as (_, peer):
            result = {"action": "accept"} if content is None else {"action": "accept", "content": content}
            text = await outcome(peer, result)
            assert text.startswith("OK: sales@analysis/1")
            assert f"Hello {typed!r}" in text

    run(test())


@pytest.mark.parametrize("era", [HANDSHAKE, MODERN])
@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("decline", "The person was asked and declined"),
        ("cancel", "The person was asked, and closed the form without an answer"),
    ],
)
def test_who_does_not_answer_is_said_to_have_been_asked_and_the_assistant_can(
    tmp_path: Path, era: str, action: str, said: str
) -> None:
    async def test() -> None:
        async with asked_at(tmp_path, era) as (session, peer):
            verdict, told, *_ = (await outcome(peer, {"action": action})).splitlines()
            assert verdict.startswith("WAITING FOR INPUT: sales@analysis/1")
            assert told == said + ANSWERS
            answered = await called(session, "send_input", execution_id="sales@analysis/1", text="")
            assert "Hello ''" in text_of(answered)

    run(test())


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (None, {"code": -32603, "message": "the handler\nfailed"}),
        (None, {"code": -32601, "message": "Method not found"}),
        ({"action": "perhaps"}, {}),
        ({"content": {"answer": "x"}}, {}),
    ],
)
def test_a_form_that_fails_leaves_the_run_answerable(tmp_path: Path, result: Any, error: Any) -> None:
    async def test() -> None:
        async with asked_at(tmp_path, HANDSHAKE) as (session, peer):
            text = await outcome(peer, result, **error)
            assert text.startswith("WAITING FOR INPUT: sales@analysis/1")
            assert text.splitlines()[1].startswith("The client could not ask the person (")
            answered = await called(session, "send_input", execution_id="sales@analysis/1", text="Bob")
            assert "Hello 'Bob'" in text_of(answered)

    run(test())


def test_a_client_that_calls_again_without_an_answer_is_told_that_it_did_not_ask(tmp_path: Path) -> None:
    async def test() -> None:
        async with asked_at(tmp_path, MODERN) as (_, peer):
            text = await outcome(peer, None)
            assert text.startswith("WAITING FOR INPUT: sales@analysis/1")
            assert text.splitlines()[1] == "The client did not ask the person" + ANSWERS

    run(test())


# --- time ----------------------------------------------------------------------------


class Thinking:
    """A person who answers after some time, or never."""

    def __init__(self, answer: asyncio.Event | None = None) -> None:
        self.asked = asyncio.Event()
        self._answer = answer or asyncio.Event()

    async def ask(self, execution: Execution, question: Question) -> Answer | NoAnswer:
        self.asked.set()
        await self._answer.wait()
        return Answer("Ann")


async def reply_at(session: Session, person: Person, patience: Patience, wait_seconds: float) -> str:
    call = call_on(session)
    call.person, call.patience = person, patience
    arguments = {"code": "x", "wait_seconds": wait_seconds}
    return text_of(await asyncio.wait_for(call_tool(call, "execute_code", arguments), 5))


def test_a_form_that_nobody_answers_in_time_is_said_to_have_expired(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([asking])) as session:
            text = await reply_at(session, Thinking(), Patience(), 0.1)
            assert text.startswith("WAITING FOR INPUT: sales@analysis/1")
            told = text.splitlines()[1]
            assert told.startswith("The person was asked, and has not answered within 0.")
            assert told.endswith(" s; the form has expired" + ANSWERS)

    run(test())


def test_a_persons_time_at_a_form_does_not_count_where_the_client_does_not_count_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([asking])) as session:
            answer = asyncio.Event()
            person = Thinking(answer)
            replying = asyncio.create_task(reply_at(session, person, Patience(form=60), 0.3))
            await person.asked.wait()
            done, _ = await asyncio.wait({replying}, timeout=0.6)  # longer than the call has
            assert not done
            answer.set()
            assert "Hello 'Ann'" in await replying

    run(test())


def test_what_is_answered_elsewhere_closes_the_form_and_says_nothing_of_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([asking])) as session:
            person = Thinking()
            replying = asyncio.create_task(reply_at(session, person, Patience(), 30))
            await person.asked.wait()
            execution = session.executions.get(1)
            await settled(lambda: execution.question is not None)
            session.answer(execution, "Cid")
            text = await replying
            assert "Hello 'Cid'" in text
            assert "person" not in text

    run(test())


async def asks_twice(kernel_run: Run) -> Reply:
    kernel_run.busy()
    first = await kernel_run.ask("Name? ")
    kernel_run.print(f"{first!r}, {await kernel_run.ask('Name? ')!r}")
    kernel_run.idle()
    return kernel_run.reply()


def test_an_answer_that_was_meant_for_an_earlier_question_is_not_used(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([asks_twice])
        async with session_in(tmp_path, starter) as session, connected(session, MODERN, **FORM) as peer:
            arguments = {"name": "execute_code", "arguments": {"code": "x"}}
            needed = (await peer.answer(peer.ask("tools/call", arguments)))["result"]
            execution = session.executions.get(1)
            session.answer(execution, "from a terminal")  # while the form is open
            await settled(lambda: execution.question is not None)
            form = {"answer": {"action": "accept", "content": {"answer": "from the form"}}}
            again = {**arguments, "requestState": needed["requestState"], "inputResponses": form}
            asked = (await peer.answer(peer.ask("tools/call", again)))["result"]
            assert asked["resultType"] == "input_required", "the question that is open now is asked"
            form = {"answer": {"action": "accept", "content": {"answer": "second"}}}
            again = {**arguments, "requestState": asked["requestState"], "inputResponses": form}
            text = (await peer.answer(peer.ask("tools/call", again)))["result"]["content"][0]["text"]
            assert "'from a terminal', 'second'" in text

    run(test())


def test_send_input_answers_the_question_that_its_client_was_told(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([asks_twice])) as session:
            call = call_on(session)
            assert "'Name?'" in text_of(await call_tool(call, "execute_code", {"code": "x"}))
            execution = session.executions.get(1)
            session.answer(execution, "from a terminal")
            await settled(lambda: execution.question is not None)
            answer = {"execution_id": execution.id, "text": "late"}
            refused = text_of(await call_tool(replace(call, request=Request()), "send_input", answer))
            assert "asks something else by now ('Name?')" in refused
            assert "Nothing was sent" in refused
            again = {"execution_id": execution.id, "text": "second"}
            text = text_of(await call_tool(replace(call, request=Request()), "send_input", again))
            assert "'from a terminal', 'second'" in text

    run(test())
