"""What the documents have, taken apart as Markdown."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

from kernelexec.commands import cli

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [README, *PAGES]
OTHERS = [ROOT / name for name in ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md")]

CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A block of code: what its fence calls it ("" for an indented one), and its first line in the page."""

    language: str
    text: str
    line: int


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def blocks_in(path: Path) -> tuple[Block, ...]:
    tokens = MarkdownIt("commonmark").enable("table").parse(text_of(path))
    return tuple(
        Block(token.info.strip(), token.content, token.map[0] + 1)
        for token in tokens
        if token.type in ("fence", "code_block") and token.map
    )


def prose_of(path: Path) -> str:
    """Without the blocks of code; of these the lines stay, empty."""
    lines = text_of(path).splitlines()
    for token in MarkdownIt("commonmark").enable("table").parse(text_of(path)):
        if token.type in ("fence", "code_block") and token.map:
            lines[slice(*token.map)] = [""] * (token.map[1] - token.map[0])
    return "\n".join(lines)


def code_in(path: Path) -> Iterator[str]:
    """What stands in code: blocks line by line, but for replies and drawings, and words in backticks."""
    for block in blocks_in(path):
        if block.language != "text":
            yield from block.text.splitlines()
    yield from CODE.findall(prose_of(path))


def rows_of(text: str) -> Iterator[list[str]]:
    """The cells of each row of each table, without the lines that divide them."""
    for line in text.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip().strip("|").split("|")]


@cache
def parsers() -> dict[str, argparse.ArgumentParser]:
    """The commands' own parsers by their names; `kernelspecs list` has a name of two words."""
    found: dict[str, argparse.ArgumentParser] = {}

    def add(parser: argparse.ArgumentParser, name: str) -> None:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for command, inner in action.choices.items():
                    found[f"{name} {command}".strip()] = inner
                    add(inner, f"{name} {command}".strip())

    add(cli.parser(), "")
    return found
