"""The person at the client, who may be asked what running code asks (`input()`) through elicitation.

A client of the handshake era is sent a request while its call waits. Since 2026-07-28 the call's result
says what is needed, and the client calls again with the answer.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Protocol

import mcp_types as types
from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from kernelexec.model.execution import Execution, Question
from kernelexec.model.text import plain

_ROUNDS = 8  # clients give up after 10 rounds of one call; the assistant answers what comes after
_KEY = "answer"
_SECRET = re.compile(r"pass(word|phrase|wort|code)|secret|token|api.?key|\bpin\b|credential", re.IGNORECASE)
_PROMPT_LIMIT = 2_000  # characters


def is_secret(question: Question) -> bool:
    """Whether the answer must not pass the assistant or a form: getpass(), or a prompt that reads like it."""
    return question.password or _SECRET.search(question.prompt) is not None


class Person(Protocol):
    """Who can be asked."""

    async def ask(self, execution: Execution, question: Question) -> str | None:
        """The answer; None if there is none.

        Raises:
            CallAgain: the client is to ask, and to call again.
        """


class Nobody:
    """At a client without elicitation."""

    async def ask(self, execution: Execution, question: Question) -> str | None:
        return None


class CallAgain(Exception):
    """The call is not over: its result asks the client for an answer."""

    def __init__(self, result: types.InputRequiredResult) -> None:
        super().__init__(result.request_state)
        self.result = result


@dataclass(frozen=True)
class PersonAtForm:
    """Handshake era: asked by a request of ours while the call waits."""

    context: ServerRequestContext[Any]

    async def ask(self, execution: Execution, question: Question) -> str | None:
        try:
            answer = await self.context.session.elicit_form(
                _message(execution, question), _schema(question), related_request_id=self.context.request_id
            )
        except MCPError:  # it said that it could, and cannot
            return None
        return read_answer(answer)


@dataclass(frozen=True)
class PersonNextCall:
    """Since 2026-07-28: asked by the client, which then calls again."""

    rounds: int = 0  # of this call so far
    declined: bool = False  # the last of them

    async def ask(self, execution: Execution, question: Question) -> str | None:
        if self.declined or self.rounds >= _ROUNDS:
            return None
        request = types.ElicitRequest(
            params=types.ElicitRequestFormParams(
                message=_message(execution, question), requested_schema=_schema(question)
            )
        )
        state = f"{self.rounds + 1} {execution.id}"
        raise CallAgain(types.InputRequiredResult(input_requests={_KEY: request}, request_state=state))


@dataclass(frozen=True)
class Continuation:
    """What a client calls again with."""

    rounds: int
    execution_id: str
    answer: str | None  # None: declined

    @classmethod
    def of(cls, params: types.CallToolRequestParams) -> Continuation | None:
        """None for a first call."""
        if not params.request_state:
            return None
        rounds, _, execution_id = params.request_state.partition(" ")
        response = (params.input_responses or {}).get(_KEY)
        answer = read_answer(response) if isinstance(response, types.ElicitResult) else None
        return cls(int(rounds) if rounds.isdigit() else _ROUNDS, execution_id, answer)


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
    return PersonNextCall(continuation.rounds, declined=continuation.answer is None)


def read_answer(result: types.ElicitResult) -> str | None:
    if result.action != "accept":
        return None
    value = (result.content or {}).get(_KEY, "")
    return value if isinstance(value, str) else str(value)


async def first_answer(asked: asyncio.Task[str | None], until: asyncio.Task[bool]) -> str | None:
    """The person's answer, unless `until` ends before; both are ended."""
    try:
        await asyncio.wait({asked, until}, return_when=asyncio.FIRST_COMPLETED)
        return asked.result() if asked.done() else None
    finally:
        for task in (asked, until):
            task.cancel()
            task.add_done_callback(lambda done: done.cancelled() or done.exception())


def _message(execution: Execution, question: Question) -> str:
    prompt = plain(question.prompt).strip()[:_PROMPT_LIMIT]
    return f"The code of {execution.id} asks for input" + (f": {prompt}" if prompt else ".")


def _schema(question: Question) -> dict[str, Any]:
    title = plain(question.prompt).strip().rstrip(":?> ")[:100] or "Answer"
    # Not required: an empty line is an answer, too.
    return {"type": "object", "properties": {_KEY: {"type": "string", "title": title}}}
