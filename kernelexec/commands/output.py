"""What commands print: tables, JSON, sentences, complaints.

At a terminal rich makes the tables; where a program reads them, each row is one line, and nothing is imported
that takes a tenth of a second.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """`--json`, as `options.json`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def print_json(value: object) -> None:
    """For programs: each value that the table has, and more."""
    print(json.dumps(value, indent=1))


def print_line(value: object) -> None:
    """One value of many, in a line."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """As wide as the terminal, if this is one."""
    if not sys.stdout.isatty():
        print(table(head, rows))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        shown.add_column(name, overflow="fold")
    for row in rows:
        shown.add_row(*map(Text, row))
    Console(highlight=False).print(shown)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, below a line with their names."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def sentence(parts: Iterable[tuple[int, str, str]]) -> str:
    """`3 runs failed, 1 was not run`: (number, text for one, text for more), without what is none of."""
    said = [f"{number:,} {one if number == 1 else more}" for number, one, more in parts if number]
    return ", ".join(said)


def complain(what: object) -> None:
    """Say on standard error what could not be done, so that it is in no pipe."""
    print(f"kernelexec: {what}", file=sys.stderr)
