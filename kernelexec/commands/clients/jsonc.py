"""JSON with comments, as editors and assistants keep their settings: read, and changed in place.

By hand: json-five, which keeps comments, installs itself as `json5`, which JupyterLab needs to be another
package; the other readers lose comments. What is not changed stays byte for byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(
    r'(?P<space>[\s\ufeff]+|//[^\n]*|/\*.*?\*/)|(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<mark>[{}\[\],:])'
    r'|(?P<word>[^\s{}\[\],:"/]+)',
    re.DOTALL,
)
_INDENT = "  "


class NotJson(ValueError):
    """The text is no JSON with comments; the message says where."""


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


@dataclass
class _Node:
    """A value in the text, and of an object its members."""

    start: int
    end: int
    value: Any
    is_object: bool = False
    members: list[_Member] = field(default_factory=list)


@dataclass(frozen=True)
class _Member:
    name: str
    start: int
    node: _Node
    comma: int | None  # where the comma after it is


def loads(text: str) -> Any:
    """The value; of a text without any, an empty object, because settings may be an empty file.

    Raises:
        NotJson: it is none.
    """
    return _parse(text).value


def put(text: str, path: Sequence[str], value: Any) -> str:
    """The text with this value under this path of names; objects on the way are made.

    Raises:
        NotJson: the text is none, or on the way there is something that is no object.
    """
    root = _parse(text)
    if root.start == root.end:  # an empty text, or nothing but comments
        kept = text.rstrip()
        return put(f"{kept}\n{{}}\n" if kept else "{}\n", path, value)
    node, depth = root, 0
    while depth < len(path):
        if not node.is_object:
            raise NotJson(f"{'.'.join(path[:depth]) or 'the whole'} is no object, but {node.value!r}")
        found = _member(node, path[depth])
        if found is None:
            return _insert(text, node, path[depth], _nested(path[depth + 1 :], value))
        node, depth = found.node, depth + 1
    return text[: node.start] + _written(value, text, node.start) + text[node.end :]


def remove(text: str, path: Sequence[str]) -> str:
    """The text without what stands under this path; as it is if nothing does.

    Raises:
        NotJson: it is none.
    """
    while True:
        node: _Node | None = _parse(text)
        for name in path[:-1]:
            found = _member(node, name) if node is not None else None
            node = found.node if found is not None else None
        last = _member(node, path[-1]) if node is not None else None
        if node is None or last is None:
            return text
        text = _without(text, node, last)


def _nested(path: Sequence[str], value: Any) -> Any:
    for name in reversed(path):
        value = {name: value}
    return value


def _member(node: _Node, name: str) -> _Member | None:
    """The last of this name: which counts."""
    return next((member for member in reversed(node.members) if member.name == name), None)


# --- reading -------------------------------------------------------------------------


def _parse(text: str) -> _Node:
    reader = _Reader(text)
    try:
        return reader.document()
    except RecursionError:
        raise NotJson("it is nested too deeply") from None


class _Reader:
    """Recursive descent over the tokens that say something."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split()
        self._next = 0

    def _split(self) -> list[_Token]:
        tokens, position = [], 0
        while position < len(self._text):
            found = _TOKEN.match(self._text, position)
            if found is None:
                raise self._wrong(position)
            if found.lastgroup and found.lastgroup != "space":
                tokens.append(_Token(found.lastgroup, found[0], found.start(), found.end()))
            position = found.end()
        end = len(self._text)
        return [*tokens, _Token("end", "", end, end)]

    def _wrong(self, position: int) -> NotJson:
        line = self._text.count("\n", 0, position) + 1
        column = position - self._text.rfind("\n", 0, position)
        return NotJson(f"line {line}, column {column}: {self._text[position : position + 20]!r}")

    def document(self) -> _Node:
        if self._tokens[0].kind == "end":
            return _Node(len(self._text), len(self._text), {})
        node = self._value()
        if self._peek().kind != "end":
            raise self._wrong(self._peek().start)
        return node

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _value(self) -> _Node:
        token = self._take()
        if token.text == "{" and token.kind == "mark":
            return self._object(token)
        if token.text == "[" and token.kind == "mark":
            return self._array(token)
        return _Node(token.start, token.end, self._scalar(token))

    def _scalar(self, token: _Token) -> Any:
        if token.kind not in ("string", "word"):
            raise self._wrong(token.start)
        try:
            return json.loads(token.text, strict=False)
        except ValueError:
            raise self._wrong(token.start) from None

    def _object(self, opening: _Token) -> _Node:
        members: list[_Member] = []
        while (token := self._take()).text != "}" or token.kind != "mark":
            if token.kind != "string":
                raise self._wrong(token.start)
            name = str(self._scalar(token))
            colon = self._take()
            if colon.text != ":":
                raise self._wrong(colon.start)
            node = self._value()
            members.append(_Member(name, token.start, node, self._comma("}")))
        value = {member.name: member.node.value for member in members}
        return _Node(opening.start, token.end, value, is_object=True, members=members)

    def _array(self, opening: _Token) -> _Node:
        values = []
        while not (self._peek().text == "]" and self._peek().kind == "mark"):
            values.append(self._value().value)
            self._comma("]")
        return _Node(opening.start, self._take().end, values)

    def _comma(self, closing: str) -> int | None:
        """A comma, also one before the end; without one the end has to follow."""
        token = self._peek()
        if token.kind == "mark" and token.text == ",":
            return self._take().start
        if token.kind != "mark" or token.text != closing:
            raise self._wrong(token.start)
        return None


# --- writing -------------------------------------------------------------------------


def _insert(text: str, node: _Node, name: str, value: Any) -> str:
    """With a new last member."""
    closing = node.end - 1
    last = node.members[-1] if node.members else None
    if last is not None and "\n" not in text[node.start : closing]:
        member = f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"
        at = last.node.end if last.comma is None else last.comma
        rest = text[at:] if last.comma is None else text[at + 1 :]
        return f"{text[:at]}, {member}{rest}"
    newline = _newline(text)
    outer = _indent_at(text, node.start)
    inner = _indent_at(text, last.start) if last is not None else outer + _unit(text)
    ends_with_comma = last is not None and last.comma is not None
    lines = f"{json.dumps(name, ensure_ascii=False)}: {_dumped(value, inner, text)}"
    after = _end_of_content(text, node, closing)
    comma = "," if ends_with_comma else ""
    new = f"{text[:after]}{newline}{inner}{lines}{comma}{newline}{outer}{text[closing:]}"
    if last is None or ends_with_comma:
        return new
    return f"{new[: last.node.end]},{new[last.node.end :]}"


def _without(text: str, node: _Node, member: _Member) -> str:
    position = node.members.index(member)
    before = node.members[position - 1] if position else None
    end = member.node.end if member.comma is None else member.comma + 1
    start = _end_of_content(text, node, member.start)
    if text[end:].split("\n", 1)[0].strip() and "\n" in text[start : member.start]:
        start = text.index("\n", start) + 1  # what follows stays out of a comment's line
    if member.comma is None and before is not None and before.comma is not None:
        kept = text[before.comma + 1 : start]
        return text[: before.comma] + kept + text[end:]
    return text[:start] + text[end:]


def _end_of_content(text: str, node: _Node, until: int) -> int:
    """Where the last word or comment before `until` ends, inside of the object."""
    position = end = node.start
    while position < until:
        found = _TOKEN.match(text, position, until)
        if found is None:
            break
        if not (found.lastgroup == "space" and not found[0].startswith("/")):
            end = found.end()
        position = found.end()
    return end - 1 if text[end - 1] == "\r" else end


def _written(value: Any, text: str, start: int) -> str:
    return _dumped(value, _indent_at(text, start), text)


def _dumped(value: Any, indent: str, text: str) -> str:
    """As a member in a line with this indentation. Short lists stay in their line."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    newline, inner = _newline(text), indent + _unit(text)
    members = (
        f"{inner}{json.dumps(name, ensure_ascii=False)}: {_dumped(each, inner, text)}"
        for name, each in value.items()
    )
    return f"{{{newline}{f',{newline}'.join(members)}{newline}{indent}}}"


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _indent_at(text: str, position: int) -> str:
    """The white space that this position's line begins with."""
    start = text.rfind("\n", 0, position) + 1
    line = text[start:position]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(text: str) -> str:
    """What the file indents by."""
    found = re.search(r"\{[^\S\n]*\r?\n([ \t]+)[\"/]", text)
    return found[1] if found else _INDENT
