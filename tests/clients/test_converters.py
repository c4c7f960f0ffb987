"""The tools' schemas, and the libraries that convert them for a model's interface, some of them strictly."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kernelexec.mcp_server.patience import Waits
from kernelexec.mcp_server.tools import definitions
from tests.clients.libraries import INSTALLED

PROGRAM = Path(__file__).parent / "python" / "converting.py"
TOOLS = [
    tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in definitions(Waits(45, 50))
]


@pytest.mark.parametrize(
    ("environment", "converters"),
    [
        (
            "mcp1",
            {"google_genai", "google_genai_schema", "langchain_google_genai", "langchain_openai_strict"},
        ),
        ("mcp2", {"openai_agents_strict", "pydantic_ai_strict", "pydantic_ai_google", "fastmcp"}),
    ],
)
def test_every_converter_takes_every_tool_with_all_its_arguments(
    environment: str, converters: set[str]
) -> None:
    outcomes = converted(environment, TOOLS)
    assert converters <= set(outcomes)
    wrong = [
        f"{converter} of {tool['name']}: {outcome.get('failed') or 'an argument is missing'}"
        for converter, made in outcomes.items()
        for tool in TOOLS
        for outcome in [made[tool["name"]]]
        if any(name not in outcome.get("made", "") for name in tool["inputSchema"]["properties"])
        or "failed" in outcome
    ]
    assert wrong == []


def test_what_google_genai_cannot_convert_would_be_seen() -> None:
    strict = [{**TOOLS[0], "inputSchema": {**TOOLS[0]["inputSchema"], "additionalProperties": False}}]
    assert "failed" in converted("mcp1", strict)["google_genai"][TOOLS[0]["name"]]


def converted(environment: str, tools: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, str]]]:
    done = subprocess.run(
        [str(INSTALLED / environment / "bin/python"), str(PROGRAM)],
        input=json.dumps(tools),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes: dict[str, dict[str, dict[str, str]]] = json.loads(done.stdout)
    return outcomes
