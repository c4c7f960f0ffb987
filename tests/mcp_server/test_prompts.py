"""The prompts that a person picks in a client."""

from __future__ import annotations

import pytest

from kernelexec.errors import NotFound
from kernelexec.mcp_server.prompts import get_prompt, list_prompts
from kernelexec.mcp_server.tools import TOOLS


def text_of(name: str, **arguments: str) -> str:
    (message,) = get_prompt(name, arguments).messages
    assert message.content.type == "text"
    return message.content.text


@pytest.mark.parametrize("prompt", list_prompts(), ids=lambda prompt: prompt.name)
def test_each_prompt_takes_its_arguments_and_names_tools_that_there_are(prompt) -> None:  # type: ignore[no-untyped-def]
    arguments = {argument.name: f"<{argument.name}>" for argument in prompt.arguments}
    text = text_of(prompt.name, **arguments)
    assert all(f"<{name}>" in text for name in arguments)
    named = {word.strip(".,;:()") for word in text.split() if "_" in word and "<" not in word}
    assert named <= set(TOOLS)


def test_what_may_be_left_out_is_left_out_and_what_may_not_is_asked_for() -> None:
    assert "{" not in text_of("analyse_dataset", path="a.csv", question="")
    assert "of this project" in text_of("continue_session")
    with pytest.raises(NotFound, match="needs path"):
        text_of("analyse_dataset", path=" ")
    with pytest.raises(NotFound, match="no prompt 'nosuch'"):
        text_of("nosuch")


def test_braces_and_escape_codes_of_a_person_are_only_text() -> None:
    text = text_of("analyse_dataset", path="{question}\x1b[31m", question="x")
    assert "{question}" in text
    assert "\x1b" not in text
