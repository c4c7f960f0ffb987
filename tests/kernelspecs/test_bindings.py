"""In which order a kernel's names are told. Runs what runs in the user's interpreter, without a kernel."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
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


class Counted(dict[Any, Any]):
    """A namespace that counts the names that are looked at one after the other."""

    looked_at = 0

    def __reversed__(self) -> Iterator[Any]:
        for name in list(self)[::-1]:
            self.looked_at += 1
            yield name


def test_a_look_costs_no_more_after_thousands_of_runs(look: Any) -> None:
    space = Counted(df=[1])
    for run in range(3_000):
        space.update({f"_i{run}": "", f"x{run % 7}": run, f"_{run}": run})
        space.looked_at = 0
        assert "df" in look.look(space, {})
        assert space.looked_at < 10


def test_a_name_that_is_deleted_and_comes_again_hides_no_other(look: Any) -> None:
    space: dict[str, Any] = {"_i1": "", "a": 1, "z": 2}
    assert look.look(space, {}) == ["z", "a"]
    space["_i2"] = ""
    del space["z"]
    space.update(b=3, z=4)
    assert look.look(space, {}) == ["z", "b", "a"]
    space.clear()
    space.update({"_i2": "", "c": 1})
    assert look.look(space, {}) == ["c"]


def test_a_hidden_name_is_the_users_once_it_is_bound_to_something_else(look: Any) -> None:
    space: dict[str, Any] = {"np": "a library", "_i1": "", "a": 1}
    hidden = {"np": space["np"]}
    assert look.look(space, hidden) == ["a"]
    space["_i2"] = ""
    space["np"] = 5
    assert look.look(space, hidden) == ["np", "a"]


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
