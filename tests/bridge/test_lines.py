"""JSON as the bridge reads it, beside how `json` reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from kernelexec.bridge import lines

LINES = [
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"code":"1\\n\\u00e4"}}}\n',
    b'  {"id": "a\\ud83d\\ude00", "result": [1, -2.5e3, true, false, null, {}, []]}\r\n',
    '{"text": "\u00e4\U0001f600\u2028"}\n'.encode(),
    b'{"a": NaN, "b": -Infinity, "c": Infinity}',
    b'{"a": 1, "a": 2}',
    b"[]",
    b'"text"',
    b"12345678901234567890123",
    b'{"lone": "\\ud800"}',
    b"",
    b"\n",
    b"{",
    b'{"a": 1} {}',
    b'{"a": 1},',
    b"{'a': 1}",
    b'{"a": tru}',
    b'{"tab": "\t"}',
    b'{"open": "',
    b"\xff",
    b"nothing",
    b"1" * 5_000,
    b"[" * 100_000,
]


def outcome(read: Callable[[bytes], Any], line: bytes) -> str:
    try:
        return repr(read(line))
    except ValueError:
        return "ValueError"
    except RecursionError:
        return "RecursionError"


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_read_as_json_reads_it(line: bytes) -> None:
    assert outcome(lines.read_line, line) == outcome(json.loads, line)


@pytest.mark.parametrize("text", ['7,"method":"x"}', '"a\\"b","result":1', "null}", "", " 1", "x", '"open'])
def test_a_value_at_the_beginning_ends_where_json_sees_its_end(text: str) -> None:
    assert outcome(lambda _: lines.read_value(text), b"") == outcome(
        lambda _: json.JSONDecoder().raw_decode(text), b""
    )


def test_without_the_scanner_json_itself_reads() -> None:
    program = (
        "import sys; sys.modules['_json'] = None\n"
        "from kernelexec.bridge.lines import read_line, read_value\n"
        "print(read_line(b' [1, {}]\\n'), read_value('7,8'))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "[1, {}] (7, 1)\n"
