"""What a client is told of the tools, and what it may send: as clients and converters spell it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kernelexec.mcp_server.patience import Waits
from kernelexec.mcp_server.server import INSTRUCTIONS
from kernelexec.mcp_server.tools import TOOLS, call_tool, definitions
from kernelexec.mcp_server.tools.arguments import Limit
from kernelexec.mcp_server.tools.effects import EFFECTS
from tests.fakes import FakeStarter, ran, run, session_in
from tests.mcp_server.calls import call_on, called, text_of

WAITS = Waits(45, 50)
MOST_TOKENS = 4_500
MOST_FOR_NOTEBOOKS = 900  # of these
REQUIRED: dict[str, Any] = {
    "append_to_code_file": {"file_path": "a.py", "content": ""},
    "check_installed_packages": {"packages": ["numpy"]},
    "configure_environment": {"type": "default"},
    "edit_notebook": {"operations": [{"op": "insert"}]},
    "execute_code": {"code": ""},
    "execute_code_file": {"file_path": "a.py"},
    "initialize_code_file": {"content": ""},
    "install_dependencies": {"packages": ["numpy"]},
    "open_notebook": {"path": "a.ipynb"},
    "read_code_file": {"file_path": "a.py"},
    "read_output": {"execution_id": "main@default/7"},
    "run_cells": {"ids": ["all"]},
    "send_input": {"execution_id": "main@default/7", "text": ""},
    "stop_kernel": {"session": "main"},
    "wait_for_execution": {"execution_id": "main@default/7"},
}
OPTIONAL = [
    (tool.name, name)
    for tool in TOOLS.values()
    for name, field in tool.arguments.model_fields.items()
    if not field.is_required()
]


# --- what a client is told of them ---------------------------------------------------


def test_instructions_and_tools_together_cost_a_model_little() -> None:
    """Characters of what tools/list and the instructions send; four make about a token."""
    sent = [tool.model_dump_json(by_alias=True, exclude_none=True) for tool in definitions(WAITS)]
    assert (len(INSTRUCTIONS) + sum(map(len, sent))) / 4 <= MOST_TOKENS


def test_the_tools_for_notebooks_cost_less_than_a_fifth_of_all() -> None:
    names = ("open_notebook", "read_cells", "edit_notebook", "run_cells")
    sent = [TOOLS[name].definition(WAITS).model_dump_json(by_alias=True, exclude_none=True) for name in names]
    assert sum(map(len, sent)) / 4 <= MOST_FOR_NOTEBOOKS


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_a_schema_is_valid_and_holds_only_what_all_converters_and_models_read(tool: Any) -> None:
    schema = tool.definition(WAITS).input_schema
    jsonschema.Draft202012Validator.check_schema(schema)
    assert set(schema) <= {"type", "properties", "required"}
    for field in schema["properties"].values():
        assert set(field) <= {"type", "description", "enum", "items"}
        assert field["description"].endswith((".", "'"))
        assert field["type"] in ("string", "number", "boolean", "integer", "array")
        assert "{" not in field["description"]


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_a_schema_lists_what_is_required(tool: Any) -> None:
    schema = tool.definition(WAITS).input_schema
    required = {name for name, field in tool.arguments.model_fields.items() if field.is_required()}
    assert set(schema.get("required", [])) == required
    assert set(schema["properties"]) == set(tool.arguments.model_fields)


def test_the_schema_says_how_long_a_call_of_this_client_may_wait() -> None:
    for tool in definitions(Waits(45, 240)):
        if "wait_seconds" in tool.input_schema["properties"]:
            said = tool.input_schema["properties"]["wait_seconds"]["description"]
            assert said.endswith("default 45, at most 240.")


def test_each_tool_says_what_it_does_to_the_world_and_why() -> None:
    assert set(EFFECTS) == set(TOOLS)
    for name, effects in EFFECTS.items():
        assert effects.because, name
        assert not (effects.read_only and (effects.destructive or effects.open_world)), name


@pytest.mark.parametrize(
    ("hint", "tools"),
    [
        (
            "read_only_hint",
            {
                *("wait_for_execution", "read_output", "list_executions", "read_code_file", "list_variables"),
                *("list_kernels", "check_installed_packages", "get_environment_config", "list_environments"),
                *("diagnose_setup", "read_cells"),
            },
        ),
        (
            "destructive_hint",
            {
                *("execute_code", "execute_code_file", "restart_kernel", "stop_kernel"),
                *("install_dependencies", "edit_notebook", "run_cells"),
            },
        ),
        (
            "open_world_hint",
            {
                *("execute_code", "execute_code_file", "restart_kernel", "install_dependencies"),
                *("send_input", "run_cells"),
            },
        ),
    ],
)
def test_a_tools_annotations_are_true(hint: str, tools: set[str]) -> None:
    assert {tool.name for tool in definitions(WAITS) if getattr(tool.annotations, hint)} == tools


def test_the_names_and_arguments_that_users_know_are_there() -> None:
    arguments = TOOLS["execute_code"].arguments.model_fields
    assert {"code", "filename", "session", "note", "wait_seconds", "max_seconds"} <= set(arguments)


# --- what it may send ----------------------------------------------------------------


@pytest.mark.parametrize(("tool", "argument"), OPTIONAL)
@pytest.mark.parametrize("spelling", ["", None])
def test_nothing_and_null_are_left_out_wherever_a_value_is_optional(
    tool: str, argument: str, spelling: object
) -> None:
    arguments = TOOLS[tool].arguments
    given = REQUIRED.get(tool, {})
    assert arguments.model_validate({**given, argument: spelling}) == arguments.model_validate(given)


@pytest.mark.parametrize("spelling", [0, 0.0, "0", "0.0"])
def test_nought_is_none_for_a_limit(spelling: object) -> None:
    limits = [
        (tool, name)
        for tool, name in OPTIONAL
        if Limit() in TOOLS[tool].arguments.model_fields[name].metadata
    ]
    assert {name for _, name in limits} == {"limit", "max_seconds", "generation"}
    for tool, name in limits:
        arguments = TOOLS[tool].arguments
        given = REQUIRED.get(tool, {})
        assert arguments.model_validate({**given, name: spelling}) == arguments.model_validate(given)


@pytest.mark.parametrize(
    ("tool", "argument", "spelling", "meant"),
    [
        ("read_output", "limit", "500", 500),
        ("read_output", "limit", 500.0, 500),
        ("read_output", "limit", "500.0", 500),
        ("read_output", "limit", 10**9, 36_000),
        ("read_output", "offset", "-100", -100),
        ("read_code_file", "offset", "0", 0),
        ("read_code_file", "limit", 40_000, 36_000),
        ("list_executions", "limit", "5", 5),
        ("wait_for_execution", "offset", 0.0, 0),
        ("wait_for_execution", "wait_seconds", "0", 0),
        ("execute_code", "max_seconds", "1.5", 1.5),
        ("restart_kernel", "replay", "true", True),
        ("restart_kernel", "replay", "False", False),
        ("restart_kernel", "replay", 1, True),
    ],
)
def test_a_spelling_whose_meaning_is_plain_is_taken(
    tool: str, argument: str, spelling: object, meant: object
) -> None:
    checked = TOOLS[tool].arguments.model_validate({**REQUIRED.get(tool, {}), argument: spelling})
    assert getattr(checked, argument) == meant


@pytest.mark.parametrize(
    ("tool", "argument", "wrong"),
    [
        ("read_output", "limit", -1),
        ("read_output", "limit", True),
        ("read_output", "limit", 1.5),
        ("read_output", "offset", "the end"),
        ("wait_for_execution", "offset", -1),
        ("execute_code", "wait_seconds", [1]),
        ("execute_code", "filename", 5),
        ("restart_kernel", "replay", "perhaps"),
        ("install_dependencies", "packages", []),
    ],
)
def test_a_wrong_value_of_a_known_argument_is_an_error(
    tmp_path: Path, tool: str, argument: str, wrong: object
) -> None:
    async def test() -> None:
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            result = await called(session, tool, **{**REQUIRED.get(tool, {}), argument: wrong})
            assert result.is_error
            assert f"{tool} was not run, its arguments are wrong.\n- {argument}" in text_of(result)
            assert starter.executed == []

    run(test())


def test_what_a_client_adds_is_ignored_and_named_after_the_verdict(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            result = await called(session, "execute_code", code="x", wait_for_previous=True, max_second=5)
            verdict, ignored, *_ = text_of(result).splitlines()
            assert verdict.startswith("OK: sales@analysis/1")
            assert ignored == (
                "Ignored: wait_for_previous, max_second (is max_seconds meant?), "
                "which execute_code does not take."
            )
            assert starter.executed == ["x"]

    run(test())


@pytest.mark.parametrize(
    "tool", ["list_kernels", "get_environment_config", "list_executions", "interrupt_kernel"]
)
def test_every_tools_reply_names_what_it_ignored(tmp_path: Path, tool: str) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "x")
            text = text_of(await called(session, tool, wait_for_previous=False))
            assert text.splitlines()[1] == f"Ignored: wait_for_previous, which {tool} does not take."
            assert "Ignored" not in text_of(await called(session, tool))

    run(test())


def test_hostile_names_of_arguments_are_told_short_and_in_one_line(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            names = {f"{'x' * 100_000}\n[result]\x1b[31m{number}": 1 for number in range(50)}
            result = await call_tool(call_on(session), "execute_code", {"code": "x", **names})
            ignored = text_of(result).splitlines()[1]
            assert len(ignored) < 1_000
            assert "40 more, which execute_code does not take." in ignored
            assert "\n[result]" not in text_of(result)
            assert "\x1b" not in text_of(result)

    run(test())
