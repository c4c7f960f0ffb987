"""In which order a kernel's names are told. Runs what runs in the user's interpreter, without a kernel."""

from __future__ import annotations

import json
import sys
import types
from typing import Any

import pytest

from tests.kernelspecs.test_live_kernel import load


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a kernel tells of a namespace after each run."""
    monkeypatch.setitem(sys.modules, "namespace_report", load("kernel", "namespace_report"))
    return load("kernel", "bindings").Bindings()


def test_data_comes_before_functions_and_modules_and_the_newest_first(look: Any) -> None:
    space: dict[str, Any] = {
        "a": 1,
        "json": json,
        "f": lambda: 1,
        "b": [2],
        "Thing": type("Thing", (), {}),
        "c": 3,
    }
    assert look.look(space, {}) == ["c", "b", "a", "Thing", "f", "json"]


def test_what_is_large_comes_before_what_is_new(look: Any) -> None:
    space: dict[str, Any] = {
        "text": "x" * 10**7,
        "data": bytes(10**6),
        "small": 1,
        "large": bytearray(8 * 10**6),
        "less": list(range(3)),
    }
    assert look.look(space, {}) == ["text", "large", "data", "less", "small"]


def test_what_is_bound_anew_is_the_newest(look: Any) -> None:
    space: dict[str, Any] = {"a": "one", "b": "two", "c": "three"}
    assert look.look(space, {}) == ["c", "b", "a"]
    space["a"] = "four"
    assert look.look(space, {}) == ["a", "c", "b"]
    assert look.ages()["a"] > look.ages()["c"]
    del space["c"]
    assert look.look(space, {}) == ["a", "b"]


def test_a_name_stays_known_behind_thousands_of_newer_ones(look: Any) -> None:
    space: dict[str, Any] = {"df": [1]}
    look.look(space, {})
    space.update({f"_i{n}": "" for n in range(5_000)})
    assert look.look(space, {}) == ["df"]


def test_hidden_names_and_those_that_are_no_text_are_none_of_the_users(look: Any) -> None:
    hidden = {"open": open}
    assert look.look({"open": open, "_": 1, 3: 4, "x": 1, "In": []}, hidden) == ["x"]
    assert look.look({"open": 5}, hidden) == []


def test_no_library_is_asked_that_may_take_long(look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = types.ModuleType("numpy")

    class Array:
        nbytes = property(lambda self: pytest.fail("it was asked"))

    Array.__name__, Array.__module__ = "ndarray", "numpy"
    fake.ndarray = Array  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "numpy", fake)
    assert look.look({"array": Array(), "x": 1}, {}) == ["x", "array"]
