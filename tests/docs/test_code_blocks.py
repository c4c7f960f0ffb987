"""Each block of code in the documents is what it says that it is, and what one would type is understood."""

from __future__ import annotations

import ast
import io
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from itertools import dropwhile, groupby
from pathlib import Path
from typing import Any

import pytest
import yaml

from kernelexec.commands import cli
from tests.docs.documents import DOCUMENTS, OTHERS, ROOT, Block, blocks_in, text_of
from tests.docs.test_documents import all_variables_read

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_READERS: dict[str, Callable[[str], Any]] = {
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
    "python": ast.parse,
    "dockerfile": str,
    "sh": lambda text: list(map(words_of, text.splitlines())),
    "text": str,  # replies, drawings and trees of files
}
_ASSIGNMENT = re.compile(r"[A-Z_]+=.*")  # before a command
_NOT_OURS = {"WSLENV"}  # in an example of a client's entry


@dataclass(frozen=True)
class Place:
    """A block of a page; pytest shows it as its page and line."""

    page: Path
    block: Block

    def __str__(self) -> str:
        return f"{self.page.name}:{self.block.line}"


ALL = [Place(page, block) for page in (*DOCUMENTS, *OTHERS) for block in blocks_in(page)]
SHELL = [place for place in ALL if place.block.language == "sh"]
CONFIGURATIONS = [place for place in ALL if place.block.language in ("json", "toml")]


def words_of(line: str) -> list[str]:
    """As a shell divides them; what stands behind # is for the reader."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


@pytest.mark.parametrize("place", ALL, ids=str)
def test_a_block_is_in_the_language_that_it_names(place: Place) -> None:
    assert place.block.language in _READERS, "say which language it is in; text if in none"
    _READERS[place.block.language](place.block.text)


# --- what one types ----------------------------------------------------------------


def typed(place: Place, program: str) -> Iterator[list[str]]:
    """The arguments of each command of this program's in a block."""
    for line in place.block.text.splitlines():
        for between, words in groupby(words_of(line), key=lambda word: set(word) <= set("|&;<>()")):
            command = list(dropwhile(_ASSIGNMENT.fullmatch, words))
            if not between and command[:1] == [program]:
                yield command[1:]


def understood(arguments: list[str]) -> bool:
    """Whether the command line takes them; where a client's name belongs, CLIENT stands for one."""
    given = ["codex" if argument == "CLIENT" else argument.strip("[]") for argument in arguments]
    with redirect_stderr(io.StringIO()):
        try:
            return callable(cli.parser().parse_args(given).run)
        except SystemExit:
            return False


def test_commands_are_found_in_blocks() -> None:
    block = Block("sh", "cat a | kernelexec exec -  # code\nX=1 kernelexec ps && kernelexec gc > file\n", 1)
    assert list(typed(Place(ROOT, block), "kernelexec")) == [["exec", "-"], ["ps"], ["gc"]]
    assert understood(["exec", "-"])
    assert not understood(["exec", "--no-such-option", "-"])
    assert not understood(["no-such-command"])


@pytest.mark.parametrize("place", SHELL, ids=str)
def test_a_command_can_be_typed_as_it_stands_there(place: Place) -> None:
    assert [words for words in typed(place, "kernelexec") if words and not understood(words)] == []


@pytest.mark.parametrize("place", SHELL, ids=str)
def test_a_target_of_make_is_one(place: Place) -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    assert {words[0] for words in typed(place, "make")} <= targets


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda path: path.name)
def test_an_extra_that_is_to_be_installed_is_one(page: Path) -> None:
    extras = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    assert set(re.findall(r"(?:kernelexec|'\.)\[(\w+)\]", text_of(page))) <= set(extras)


# --- what one puts into a client's file ----------------------------------------------


def entries(said: object) -> Iterator[dict[str, Any]]:
    """The servers' entries of a client's configuration."""
    if isinstance(said, dict):
        if "command" in said:
            yield said
        for inner in said.values():
            yield from entries(inner)


@pytest.mark.parametrize("place", CONFIGURATIONS, ids=str)
def test_an_entry_of_kernelexecs_sets_what_it_reads(place: Place) -> None:
    for entry in entries(_READERS[place.block.language](place.block.text)):
        assert set(entry.get("env", {})) <= all_variables_read() | _NOT_OURS
