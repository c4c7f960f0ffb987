"""README and docs/ against the code: what they name is there, and what is there is named."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from kernelexec.commands.clients.known import CLIENTS
from kernelexec.config import ENVIRONMENT_VARIABLES, Config, read_config
from kernelexec.errors import ConfigError
from kernelexec.mcp_server.prompts import list_prompts
from kernelexec.mcp_server.tools import TOOLS
from tests.docs.documents import (
    CODE,
    DOCUMENTS,
    OTHERS,
    README,
    ROOT,
    code_in,
    parsers,
    prose_of,
    rows_of,
    text_of,
)

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]+")


# --- the code, as text -----------------------------------------------------------


@cache
def modules() -> tuple[ast.Module, ...]:
    files = [*(ROOT / "kernelexec").rglob("*.py"), *(ROOT / "kernelspecs").rglob("*.py")]
    return tuple(ast.parse(text_of(file)) for file in files)


def nodes() -> Iterator[ast.AST]:
    for module in modules():
        yield from ast.walk(module)


def text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def is_environ(node: ast.AST) -> bool:
    return (isinstance(node, ast.Name) and node.id == "environ") or (
        isinstance(node, ast.Attribute) and node.attr == "environ"
    )


def variables_read(node: ast.AST) -> Iterator[str]:
    """Those that this expression asks `environ` for, or hands over together with it to who asks."""
    named: list[ast.expr] = []
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and is_environ(node.value):
        named = [node.slice]
    elif isinstance(node, ast.Call):
        asked = (
            isinstance(node.func, ast.Attribute) and node.func.attr == "get" and is_environ(node.func.value)
        )
        if asked or any(map(is_environ, node.args)):
            named = node.args
    elif isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple):  # one after the other
        calls = (inner.func for inner in ast.walk(node) if isinstance(inner, ast.Call))
        if any(isinstance(called, ast.Attribute) and is_environ(called.value) for called in calls):
            named = node.iter.elts
    yield from (name for name in map(text, named) if name is not None and _VARIABLE.fullmatch(name))


@cache
def all_variables_read() -> set[str]:
    read = {name for node in nodes() for name in variables_read(node)}
    return read | set(ENVIRONMENT_VARIABLES.values())


def events_written() -> set[str]:
    """The events that anything writes to a journal."""
    found = set()
    for node in nodes():
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        of = node.func.value
        is_journal = getattr(of, "attr", getattr(of, "id", "")).strip("_") == "journal"
        is_line = node.func.attr in ("write", "keep") and is_journal
        event = text(node.args[0])
        if event and (is_line or node.func.attr in ("Note", "_note")):
            found.add(event)
    return found


@cache
def said_by_the_code() -> str:
    return "\n".join(said for node in nodes() if (said := text(node)) is not None)


# --- commands --------------------------------------------------------------------

_COMMAND = re.compile(r"(?<![\w/.-])kernelexec ([a-z]+)(?: (install|list|remove)\b)?([^`;#]*)")


@pytest.mark.parametrize("document", [*DOCUMENTS, *OTHERS], ids=lambda path: path.name)
def test_every_command_and_option_that_is_named_exists(document: Path) -> None:
    known, wrong = parsers(), []
    for line in code_in(document):
        for command, action, rest in _COMMAND.findall(line):
            parser = known.get(f"{command} {action}" if command == "kernelspecs" and action else command)
            options = re.findall(r"(?<!\S)--[a-z-]+", rest)
            if parser is None or any(option not in parser._option_string_actions for option in options):
                wrong.append(line)
    assert wrong == []


def test_the_readme_names_every_command() -> None:
    named = {found[0] for line in code_in(README) for found in _COMMAND.findall(line)}
    assert {name for name in parsers() if " " not in name} <= named


@pytest.mark.parametrize(
    ("page_name", "command"),
    [
        ("reproduce", "export"),
        ("reproduce", "run"),
        ("upkeep", "rebuild"),
        ("upkeep", "gc"),
        ("jupyterlab", "lab"),
    ],
)
def test_a_page_has_every_option_of_its_commands(page_name: str, command: str) -> None:
    options = {option for option in parsers()[command]._option_string_actions if option.startswith("--")}
    page = text_of(ROOT / "docs" / f"{page_name}.md")
    assert {option for option in options - {"--help"} if option not in page} == set()


# --- settings --------------------------------------------------------------------


def variables_in_tables(path: Path) -> set[str]:
    first_cells = (cells[0] for cells in rows_of(text_of(path)))
    return {name for cell in first_cells for name in CODE.findall(cell) if _VARIABLE.fullmatch(name)}


def test_the_page_on_settings_has_every_variable_that_the_code_reads_and_no_other() -> None:
    assert variables_in_tables(ROOT / "docs" / "settings.md") == all_variables_read()


def rows_of_settings() -> dict[str, list[str]]:
    """What the page says of each variable, behind its name."""
    rows = rows_of(text_of(ROOT / "docs" / "settings.md"))
    return {name: cells[1:] for cells in rows for name in CODE.findall(cells[0])}


@pytest.mark.parametrize(
    ("variable", "default"),
    [
        ("KERNELEXEC_WAIT_SECONDS", lambda config: config.wait_seconds),
        ("KERNELEXEC_MAX_WAIT_SECONDS", lambda config: config.longest_wait_seconds),
        ("KERNELEXEC_KERNEL_IDLE_SECONDS", lambda config: config.kernel_idle_seconds),
        ("KERNELEXEC_CELL_MB", lambda config: config.limits.cell / 1_000_000),
        ("KERNELEXEC_RUN_MB", lambda config: config.limits.run / 1_000_000),
    ],
)
def test_the_defaults_on_the_page_on_settings_are_those_of_the_code(
    variable: str, default: Callable[[Config], float]
) -> None:
    said = re.match(r"[\d.]+", rows_of_settings()[variable][1])
    assert said is not None
    assert float(said[0]) == default(read_config({"HOME": "/home/me"}, "/home/me/project"))


_RANGE = re.compile(r"([\d.]+) to ([\d.]+)$")


def test_the_ranges_on_the_page_on_settings_are_those_of_the_code() -> None:
    ranges = {name: _RANGE.search(cells[0]) for name, cells in rows_of_settings().items()}
    given = {name: found.groups() for name, found in ranges.items() if found}
    assert len(given) >= 4
    for name, (least, most) in given.items():
        for value in (least, most):
            read_config({"HOME": "/home/me", name: value}, "/home/me/project")
        for value in (f"-{least}" if float(least) else "-1", f"{float(most) + 1:.0f}"):
            with pytest.raises(ConfigError, match=name):
                read_config({"HOME": "/home/me", name: value}, "/home/me/project")


def test_the_reader_of_the_code_finds_variables_however_they_are_asked_for() -> None:
    assert {"HOME", "VENV_PATH", "MAMBA_EXE", "CONDARC", "XDG_STATE_HOME", "KERNELEXEC_RUN_MB"} <= (
        all_variables_read()
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_variable_of_kernelexec_that_is_named_exists(document: Path) -> None:
    assert set(re.findall(r"KERNELEXEC_[A-Z_]*[A-Z]", text_of(document))) <= all_variables_read()


# --- tools -----------------------------------------------------------------------


def documented_tools() -> dict[str, dict[str, bool]]:
    """The arguments of each tool, and whether they are required, as docs/tools.md has them."""
    _, *sections = re.split(r"^### `(\w+)`$", text_of(ROOT / "docs" / "tools.md"), flags=re.MULTILINE)
    found = {}
    for name, section in zip(sections[::2], sections[1::2], strict=True):
        body = re.split(r"^## ", section, flags=re.MULTILINE)[0]
        rows = [(CODE.findall(cells[0]), cells[1]) for cells in rows_of(body)]
        found[name] = {names[0]: said == "required" for names, said in rows if names}
    return found


def test_the_page_on_tools_has_every_tool_with_its_arguments_and_no_other() -> None:
    real = {
        tool.name: {name: field.is_required() for name, field in tool.arguments.model_fields.items()}
        for tool in TOOLS.values()
    }
    assert documented_tools() == real


def test_every_tool_is_shown_with_a_reply_but_those_whose_reply_is_about_the_machine() -> None:
    _, *sections = re.split(r"^### `(\w+)`$", text_of(ROOT / "docs" / "tools.md"), flags=re.MULTILINE)
    shown = {name for name, text in zip(sections[::2], sections[1::2], strict=True) if "<!-- reply: " in text}
    assert set(TOOLS) - shown == {"diagnose_setup", "list_environments"}


def test_the_readme_names_every_tool() -> None:
    assert set(TOOLS) <= set(CODE.findall(prose_of(README)))


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("from-*.md")), ids=lambda path: path.stem)
def test_who_comes_from_elsewhere_is_sent_to_tools_and_settings_that_there_are(page: Path) -> None:
    rows = list(rows_of(text_of(page)))
    here = {
        name
        for cells in rows
        for name in CODE.findall(cells[0 if cells[1] == "the same" else 1].split(":")[0])
    }
    named = {name for name in here if re.fullmatch(r"[a-z]+(_[a-z]+)+|[A-Z]+(_[A-Z]+)+", name)}
    arguments = {name for tool in TOOLS.values() for name in tool.arguments.model_fields}
    assert named
    assert named <= set(TOOLS) | arguments | all_variables_read()


# --- clients ---------------------------------------------------------------------


def test_the_page_on_clients_has_the_file_of_every_client_in_each_scope() -> None:
    page = text_of(ROOT / "docs" / "clients.md").partition("## Set-up")[2].partition("\n## ")[0]
    rows = {CODE.findall(cells[0])[0]: cells[1:] for cells in rows_of(page) if CODE.findall(cells[0])}
    assert set(rows) == set(CLIENTS)
    for name, client in CLIENTS.items():
        for scope, said in zip(("project", "user"), rows[name], strict=True):
            assert (scope in client.files) == bool(said)
            if said:
                file = client.path(scope, {"HOME": "~"}, Path("."))
                assert str(file) in said or {file.name, str(file.parent)} <= set(CODE.findall(said))


def test_the_page_on_the_plugin_has_every_prompt_with_its_arguments() -> None:
    rows = list(rows_of(text_of(ROOT / "docs" / "plugin.md")))
    said = {CODE.findall(cells[0])[0]: CODE.findall(cells[1]) for cells in rows if CODE.findall(cells[0])}
    assert said == {
        prompt.name: [argument.name for argument in prompt.arguments or ()] for prompt in list_prompts()
    }


# --- packages --------------------------------------------------------------------


def packages() -> list[Path]:
    """But for tools/, whose modules are as many as there are groups of tools."""
    return [
        file.parent
        for file in sorted((ROOT / "kernelexec").rglob("*/__init__.py"))
        if file.parent.name != "tools"
    ]


@pytest.mark.parametrize("package", packages(), ids=lambda path: path.name)
def test_a_package_says_what_lives_there(package: Path) -> None:
    said = set(CODE.findall(ast.get_docstring(ast.parse(text_of(package / "__init__.py"))) or ""))
    living = {file.stem for file in package.glob("*.py")} - {"__init__"}
    assert living - said == set()


# --- formats and words -----------------------------------------------------------


def test_the_page_on_files_has_every_event_of_the_journal_and_no_other() -> None:
    page = text_of(ROOT / "docs" / "files.md")
    section = page.partition("## The journal\n")[2].partition("\n## ")[0]
    documented = {name for cells in rows_of(section) for name in CODE.findall(cells[0])}
    assert documented == events_written()


def test_every_message_that_troubleshooting_quotes_is_one_of_the_codes() -> None:
    """Messages are the first column's code with a part left out (`...`) or a full stop."""
    unknown = []
    for cells in rows_of(text_of(ROOT / "docs" / "troubleshooting.md")):
        for quoted in CODE.findall(cells[0]):
            fragments = [part.strip(" ;,") for part in quoted.split("...")]
            is_message = "..." in quoted or quoted.endswith(".")
            unknown += [part for part in fragments if is_message and part not in said_by_the_code()]
    assert unknown == []
