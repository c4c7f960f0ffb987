"""The names of variables that are lost, in words."""

from __future__ import annotations

from kernelexec.model.variable_names import NO_NAMES, VariableNames


def names(*first: str, number: int = 0) -> VariableNames:
    return VariableNames(first, number or len(first))


def test_how_many_there_were_is_said_though_only_the_first_are_named() -> None:
    many = names(*(f"v{n}" for n in range(200)), number=3_000)
    assert many.in_brackets().startswith(" (v0, v1, ")
    assert many.in_brackets().endswith("v19 and 2,980 more)")
    assert NO_NAMES.in_brackets() == ""


def test_what_an_earlier_kernel_or_journal_said_is_read() -> None:
    assert VariableNames.told_by({"names": ["a", "b"]}) == names("a", "b")
    assert VariableNames.told_by({"names": ["a"], "number": 7}) == names("a", number=7)
    assert VariableNames.told_by({}) is None


def test_only_what_takes_away_most_of_what_was_there_is_a_loss() -> None:
    assert names("a", "b", "c").taken_since(names("a", "b")) is None
    assert names("a").taken_since(names("a", "b")) is None
    assert (
        names("c").taken_since(names("a", "b", "c")) == "2 of the 3 variables that were there are gone (a, b)"
    )
    assert names().taken_since(names("a", "b")) == "all variables that were there are gone (a, b)"
    assert NO_NAMES.taken_since(NO_NAMES) is None


def test_where_not_all_names_are_known_none_is_said_to_be_gone() -> None:
    assert names("b", number=300).taken_since(names("a")) is None
    assert (
        names().taken_since(names("a", number=300))
        == "all variables that were there are gone (a and 299 more)"
    )
