"""The server's prompts, picked by a person in a real client: what they say reaches the model."""

from __future__ import annotations

import pytest

from tests.clients.assistant import SECONDS
from tests.clients.claude_code import ClaudeCode
from tests.clients.model.server import model
from tests.real.home import Home

PICKED = [
    ("analyse_dataset sales.csv Why?", "Analyse the dataset sales.csv with kernelexec. Why?"),
    ("continue_session", "Continue the earlier work in kernelexec's session of this project."),
    ("notebook_report sales me", "kernelexec's session sales, for me."),
]


@pytest.mark.parametrize(("typed", "said"), PICKED)
def test_what_a_prompt_says_reaches_claude_codes_model(shared_home: Home, typed: str, said: str) -> None:
    with model() as asked_model:
        claude = ClaudeCode(shared_home, shared_home.project("prompts"), asked_model)
        try:
            claude.prompt(f"/mcp__kernelexec__{typed}")
            asked = asked_model.wait_until_asked(SECONDS)
            assert said in asked.instructions, asked.instructions[-2000:]
            assert "execute_code" in asked.tools
            asked_model.is_done()
            claude.wait_until_done(SECONDS)
        finally:
            claude.close()
