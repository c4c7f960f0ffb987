"""What commands print."""

from __future__ import annotations

import argparse
import json

import pytest

from kernelexec.commands.output import add_json_option, complain, print_json, sentence, table


def test_columns_are_as_wide_as_their_widest_cell_and_no_line_ends_in_blanks() -> None:
    assert table(("NAME", "RUNS", ""), [("a", "Python 3.12", ""), ("longer", "R", "gone")]).splitlines() == [
        "NAME    RUNS",
        "a       Python 3.12",
        "longer  R            gone",
    ]


def test_a_table_without_rows_is_its_head() -> None:
    assert table(("NAME", "RUNS"), []) == "NAME  RUNS"


def test_a_sentence_leaves_out_what_is_none_of() -> None:
    parts = [(0, "run failed", "runs failed"), (1, "was not run", "were not run"), (1200, "cell", "cells")]
    assert sentence(parts) == "1 was not run, 1,200 cells"
    assert sentence([]) == ""


def test_json_is_for_programs_and_complaints_are_in_no_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_json_option(parser)
    assert parser.parse_args(["--json"]).json
    print_json([{"a": "ä"}])
    complain("it is gone")
    said = capsys.readouterr()
    assert json.loads(said.out) == [{"a": "ä"}]
    assert said.err == "kernelexec: it is gone\n"
