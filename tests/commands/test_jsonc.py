"""Changing JSON with comments: what is meant changes, and nothing else does."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelexec.commands.clients.jsonc import NotJson, loads, put, remove

NAMES = st.sampled_from(["a", "b", "c", "mcpServers", 'q"\\', "ä", "//", "/*"])
TEXTS = st.text('ab"\\/*{}[]:,\n é', max_size=8)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), TEXTS, st.just(-1.5e10))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)
PATHS = st.lists(NAMES, min_size=1, max_size=3)
_COMMENT = re.compile(r"/\* [0-9]+ \*/|// [0-9]+ ")


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A settings file as people write them: comments anywhere, commas before the end, any white space."""
    count = iter(range(10_000))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    plain = draw(st.booleans())

    def gap() -> str:
        if plain:
            return draw(st.sampled_from(["", " ", newline, f"{newline}  "]))
        kinds = ["", " ", newline + "    ", f"/* {next(count)} */", f"// {next(count)} {newline}", "\t"]
        return "".join(draw(st.lists(st.sampled_from(kinds), max_size=2)))

    def written(value: Any) -> str:
        if isinstance(value, dict):
            parts = [f"{gap()}{json.dumps(k)}{gap()}:{gap()}{written(v)}{gap()}" for k, v in value.items()]
        elif isinstance(value, list):
            parts = [f"{gap()}{written(each)}{gap()}" for each in value]
        else:
            return json.dumps(value)
        trailing = "," if parts and draw(st.booleans()) else ""
        opening, closing = "{}" if isinstance(value, dict) else "[]"
        return f"{opening}{','.join(parts)}{trailing}{gap()}{closing}"

    value = draw(OBJECTS)
    return f"{gap()}{written(value)}{gap()}", value


def changed(value: dict[str, Any], path: list[str], new: Any) -> dict[str, Any] | None:
    """What it should be; None where something is in the way."""
    result: dict[str, Any] = json.loads(json.dumps(value))
    here: Any = result
    for name in path[:-1]:
        here = here.setdefault(name, {})
        if not isinstance(here, dict):
            return None
    here[path[-1]] = new
    return result


def without(value: dict[str, Any], path: list[str]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(json.dumps(value))
    here: Any = result
    for name in path[:-1]:
        here = here.get(name) if isinstance(here, dict) else None
    if isinstance(here, dict):
        here.pop(path[-1], None)
    return result


@settings(max_examples=60, deadline=None)
@given(texts())
def test_a_text_is_read_as_what_was_written(written: tuple[str, dict[str, Any]]) -> None:
    text, value = written
    assert loads(text) == value


@settings(max_examples=60, deadline=None)
@given(texts(), PATHS, VALUES)
def test_what_is_put_is_there_and_everything_else_is_as_it_was(
    written: tuple[str, dict[str, Any]], path: list[str], new: Any
) -> None:
    text, value = written
    expected = changed(value, path, new)
    if expected is None:
        with pytest.raises(NotJson):
            put(text, path, new)
        return
    after = put(text, path, new)
    assert json.dumps(loads(after)) == json.dumps(expected)  # and in their order
    if without(value, path) == value:  # a new one: no comment was inside of what it replaced
        assert _COMMENT.findall(after) == _COMMENT.findall(text)


@settings(max_examples=60, deadline=None)
@given(texts(), PATHS)
def test_what_is_removed_is_gone_and_everything_else_is_as_it_was(
    written: tuple[str, dict[str, Any]], path: list[str]
) -> None:
    text, value = written
    after = remove(text, path)
    assert json.dumps(loads(after)) == json.dumps(without(value, path))
    if without(value, path) == value:
        assert after == text


@settings(max_examples=60, deadline=None)
@given(texts(), st.sampled_from(["new", "other"]), VALUES)
def test_what_is_put_and_removed_leaves_all_comments(
    written: tuple[str, dict[str, Any]], name: str, new: Any
) -> None:
    text, value = written
    after = remove(put(text, [name], new), [name])
    assert loads(after) == value
    assert _COMMENT.findall(after) == _COMMENT.findall(text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '{\n  "s": {\n    "k": {\n      "x": 1\n    }\n  }\n}\n'),
        ("// mine\n", '// mine\n{\n  "s": {\n    "k": {\n      "x": 1\n    }\n  }\n}\n'),
        ('{"a": 1}', '{"a": 1, "s": {"k": {"x": 1}}}'),
        (
            '{\n\t"s": {\n\t\t"o": {} // last\n\t}\n}\n',
            '{\n\t"s": {\n\t\t"o": {}, // last\n\t\t"k": {\n\t\t\t"x": 1\n\t\t}\n\t}\n}\n',
        ),
        (
            '{\r\n "a": [1,2],\r\n}\r\n',
            '{\r\n "a": [1,2],\r\n "s": {\r\n  "k": {\r\n   "x": 1\r\n  }\r\n },\r\n}\r\n',
        ),
    ],
    ids=["empty", "only a comment", "one line", "tabs and a comment", "windows and a last comma"],
)
def test_a_new_member_is_written_as_its_file_is(before: str, after: str) -> None:
    assert put(before, ["s", "k"], {"x": 1}) == after


@pytest.mark.parametrize(
    "text", ["{", '{"a" 1}', '{"a": 1 "b": 2}', "{a: 1}", '{"a": }', "{}{}", '{"a": 01x}', "/* open", "[1 2]"]
)
def test_what_is_broken_is_told_with_its_place(text: str) -> None:
    with pytest.raises(NotJson, match=r"line \d+, column \d+"):
        loads(text)


def test_what_is_nested_for_ever_is_told() -> None:
    with pytest.raises(NotJson, match="deeply"):
        loads("[" * 100_000)
