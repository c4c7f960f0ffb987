"""The person at the client, who may be asked what running code asks (`input()`) through elicitation.

A client of the handshake era is sent a request while its call waits. Since 2026-07-28 the call's result
says what is needed, and the client calls again with the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from kernelexec.model.execution import Execution, Question
from kernelexec.model.text import one_line, plain

_ROUNDS = 8  # clients give up after 10 rounds of one call; the assistant answers what comes after
_KEY = "answer"
_PROMPT_LIMIT = 2_000  # characters
_REASON_LIMIT = 200  # characters of a client's error


@dataclass(frozen=True)
class Answer:
    """What the person typed; may be empty."""

    text: str


@dataclass(frozen=True)
class NoAnswer:
    """None came; in words for the assistant, which are empty where nobody was asked."""

    why: str = ""


class Person(Protocol):
    """Who can be asked."""

    async def ask(self, execution: Execution, question: Question) -> Answer | NoAnswer:
        """What comes of it.

        Raises:
            CallAgain: the client is to ask, and to call again.
        """


class Nobody:
    """At a client without elicitation."""

    async def ask(self, execution: Execution, question: Question) -> Answer | NoAnswer:
        return NoAnswer()


class CallAgain(Exception):
    """The call is not over: its result asks the client for an answer."""

    def __init__(self, result: types.InputRequiredResult) -> None:
        super().__init__(result.request_state)
        self.result = result


@dataclass(frozen=True)
class PersonAtForm:
    """Handshake era: asked by a request of ours while the call waits."""

    context: ServerRequestContext[Any]

    async def ask(self, execution: Execution, question: Question) -> Answer | NoAnswer:
        try:
            result = await self.context.session.elicit_form(
                _message(execution, question), _schema(question), related_request_id=self.context.request_id
            )
        except (
            MCPError,
            ValueError,
        ) as error:  # it said that it could, and cannot; or says what is no result
            return NoAnswer(f"The client could not ask the person ({one_line(str(error))[:_REASON_LIMIT]})")
        return read_answer(result)


@dataclass(frozen=True)
class PersonNextCall:
    """Since 2026-07-28: asked by the client, which then calls again."""

    rounds: int = 0  # of this call so far
    last: Answer | NoAnswer = Answer("")  # what came of the last of them

    async def ask(self, execution: Execution, question: Question) -> Answer | NoAnswer:
        if isinstance(self.last, NoAnswer):
            return self.last
        if self.rounds >= _ROUNDS:
            return NoAnswer()
        request = types.ElicitRequest(
            params=types.ElicitRequestFormParams(
                message=_message(execution, question), requested_schema=_schema(question)
            )
        )
        state = f"{self.rounds + 1} {question.name} {execution.id}"
        raise CallAgain(types.InputRequiredResult(input_requests={_KEY: request}, request_state=state))


@dataclass(frozen=True)
class Continuation:
    """What a client calls again with."""

    rounds: int
    question: str  # the name of the one that was answered
    execution_id: str
    answer: Answer | NoAnswer

    @classmethod
    def of(cls, params: types.CallToolRequestParams) -> Continuation | None:
        """None for a first call."""
        if not params.request_state:
            return None
        rounds, _, rest = params.request_state.partition(" ")
        question, _, execution_id = rest.partition(" ")
        response = (params.input_responses or {}).get(_KEY)
        if isinstance(response, types.ElicitResult):
            answer = read_answer(response)
        else:
            answer = NoAnswer("The client did not ask the person")
        return cls(int(rounds) if rounds.isdigit() else _ROUNDS, question, execution_id, answer)


def person_at(context: ServerRequestContext[Any], continuation: Continuation | None) -> Person:
    """Who can be asked in this call."""
    capabilities = context.session.client_capabilities
    elicitation = capabilities.elicitation if capabilities else None
    if elicitation is None or (elicitation.form is None and elicitation.url is not None):
        return Nobody()
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return PersonAtForm(context)
    if continuation is None:
        return PersonNextCall()
    return PersonNextCall(continuation.rounds, continuation.answer)


def read_answer(result: types.ElicitResult) -> Answer | NoAnswer:
    match result.action:
        case "accept":
            value = (result.content or {}).get(_KEY)
            return Answer("" if value is None else str(value))
        case "decline":
            return NoAnswer("The person was asked and declined")
        case _:  # also what a client answers that runs without a person
            return NoAnswer("The person was asked, and closed the form without an answer")


def _message(execution: Execution, question: Question) -> str:
    prompt = plain(question.prompt).strip()[:_PROMPT_LIMIT]
    return f"The code of {execution.id} asks for input" + (f": {prompt}" if prompt else ".")


def _schema(question: Question) -> dict[str, Any]:
    title = plain(question.prompt).strip().rstrip(":?> ")[:100] or "Answer"
    # Not required: an empty line is an answer, too.
    return {"type": "object", "properties": {_KEY: {"type": "string", "title": title}}}
