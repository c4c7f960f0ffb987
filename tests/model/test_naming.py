"""Names as values."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelexec.model.naming import (
    apart,
    clean_name,
    digits,
    environment_label,
    folded,
    parse_execution_id,
    session_name,
    with_end,
)
from kernelexec.recording.script import script_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sales", "sales"),
        ("Sales 2026", "Sales_2026"),
        ("a/b\\c", "a_b_c"),
        ("../..", ""),
        ("", ""),
        ("-rf", "rf"),
        (".hidden", "hidden"),
        ("a\0b", "a_b"),
        ("x; rm -rf ~", "x_rm_-rf"),
        ("📈", ""),
        ("Umsa\u0308tze", "Umsätze"),
        ("\ud800x", "x"),
        ("a" * 100, "a" * 60),
        ("ä" * 100, "ä" * 30),
        ("データ" * 20, "データ" * 6 + "デー"),
    ],
)
def test_a_clean_name_holds_nothing_that_means_anything_to_a_file_system(text: str, name: str) -> None:
    assert clean_name(text) == name


@given(st.text())
def test_cleaning_a_clean_name_changes_nothing(text: str) -> None:
    assert clean_name(clean_name(text)) == clean_name(text)


@given(st.text(max_size=300))
def test_a_clean_name_is_a_plain_file_name_of_at_most_60_bytes(text: str) -> None:
    name = clean_name(text)
    assert len(name.encode()) <= 60
    assert not set(name) & set('/\\\0\n:*?"<>|@ ')
    assert name[:1] not in ("-", ".")
    assert name[-1:] != "."


_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


@given(st.one_of(st.text(max_size=300), st.text("aä\u0308\u0327éßſKΩ한각_-. ", max_size=80)))
def test_a_clean_name_is_spelled_in_one_way_only(text: str) -> None:
    name = clean_name(text)
    assert unicodedata.is_normalized("NFC", name)
    assert clean_name(unicodedata.normalize("NFD", text)) == name
    assert folded(unicodedata.normalize("NFD", name)) == folded(name)


@given(st.text(max_size=300), st.integers(1, 99_999), st.sampled_from([".py", ".R", ".sh"]))
def test_a_scripts_name_is_portable_whatever_the_label(label: str, number: int, extension: str) -> None:
    name = script_name(number, label, extension)
    assert len(name.encode()) <= 255
    assert not _RESERVED.fullmatch(name)
    assert not set(name) & set('/\\\0\n:*?"<>|')
    assert name == name.strip(". ")
    assert name.startswith(f"{number:04d}")
    assert name.endswith(extension)


@given(st.text(max_size=60), st.text(max_size=60), st.integers(1, 9999))
def test_scripts_of_one_folder_are_distinct_where_case_and_spelling_do_not_count(
    one: str, other: str, number: int
) -> None:
    assert folded(script_name(number, one)) != folded(script_name(number + 1, other))


@given(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200), st.integers(1, 10**9))
def test_a_sessions_files_have_names_that_every_file_system_takes(
    name: str, label: str, generation: int
) -> None:
    session = f"{with_end(clean_name(name), '-rerun-12')}@{clean_name(label)}"
    for file in (f"{session}-{generation}.ipynb", f"{session}.jsonl"):
        assert not _RESERVED.fullmatch(file)
        # With what is made beside it for a moment.
        assert len(f".{file}.tmp-4194304-old".encode()) <= 255


def test_names_are_the_same_if_only_their_case_or_their_spelling_differs() -> None:
    assert folded("Umsätze") == folded("UMSA\u0308TZE") != folded("Umsatze")


@pytest.mark.parametrize(
    ("project", "name"),
    [
        ("/home/ann/sales", "sales"),
        ("/home/ann", "main"),
        ("/", "main"),
        ("/srv/...", "main"),
        ("/srv/a b", "a_b"),
    ],
)
def test_a_projects_session_is_called_after_its_directory(project: str, name: str) -> None:
    assert session_name(PurePath(project), PurePath("/home/ann")) == name


@pytest.mark.parametrize(
    ("prefix", "label"),
    [
        ("/home/ann/sales/.venv", "sales"),
        ("/home/ann/sales/venv", "sales"),
        ("/home/ann/sales/ENV", "sales"),
        ("/home/ann/sales/.env", "sales"),
        ("/opt/conda/envs/analysis", "analysis"),
        ("/.venv", "env"),
        ("/", "env"),
        ("/srv/📈", "env"),
    ],
)
def test_an_environment_is_called_after_its_folder_or_its_project(prefix: str, label: str) -> None:
    assert environment_label(PurePath(prefix)) == label


def test_two_things_of_one_name_are_told_apart_by_what_they_stand_for() -> None:
    assert apart("sales", "/a") != apart("sales", "/b")
    assert apart("sales", "/a") == f"sales-{digits('/a')}"
    assert len(digits("/a")) == 6


def test_a_path_that_is_not_utf8_has_digits_too() -> None:
    assert digits("/srv/\udcff") != digits("/srv/\udcfe")


def test_a_name_told_apart_is_still_a_clean_name_and_can_be_asked_for() -> None:
    longest = clean_name("x" * 200)
    assert clean_name(apart(longest, "/a")) == apart(longest, "/a")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("sales@analysis/7", ("sales@analysis", 7)),
        (" sales@analysis/7\n", ("sales@analysis", 7)),
        ("sales@analysis/70", ("sales@analysis", 70)),
        ("sales@analysis/07", None),
        ("sales@analysis/0", None),
        ("sales@analysis/-1", None),
        ("sales@analysis/1e3", None),
        ("sales@analysis/" + "9" * 10, None),
        ("sales/7", None),
        ("@analysis/7", None),
        ("7", None),
        ("", None),
        ("sales@\nanalysis/7", None),
        ("sales@analysis/٧", None),
    ],
)
def test_an_execution_id_is_a_session_and_a_number(text: str, parsed: tuple[str, int] | None) -> None:
    assert parse_execution_id(text) == parsed
