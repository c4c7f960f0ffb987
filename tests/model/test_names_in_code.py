"""Which names a cell makes and needs, by its text."""

from __future__ import annotations

import pytest

from kernelexec.model.names_in_code import names_in


@pytest.mark.parametrize(
    ("code", "made", "needed"),
    [
        ("x = y", {"x"}, {"y"}),
        ("x = x + 1", {"x"}, {"x"}),
        ("x += 1", {"x"}, {"x"}),
        ("x = 1\ny = x", {"x", "y"}, set()),
        ("import numpy.linalg as la, os.path\nfrom a import b as c", {"la", "os", "c"}, set()),
        ("print(len(df.columns))", set(), {"df"}),
        ("df['a'] = 1", set(), {"df"}),
        ("[a * k for a in b if a > c]", set(), {"b", "c", "k"}),
        ("for i in range(n):\n    total = i", {"i", "total"}, {"n"}),
        ("with open(path) as f:\n    text = f.read()", {"f", "text"}, {"path"}),
        ("class A(Base):\n    size = default\n    def f(self): return later", {"A"}, {"Base", "default"}),
        ("(a, *b), c = d", {"a", "b", "c"}, {"d"}),
        ("if (n := size) > 1: pass", {"n"}, {"size"}),
        ("%matplotlib inline\n!ls\nx = !ls\nlen?", {"x"}, set()),
        ("%%bash\necho $x", set(), set()),
        ("this is no Python", set(), set()),
        ("try:\n    f()\nexcept E as e:\n    print(e)", {"e"}, {"f", "E"}),
        ("await fetch(url)", set(), {"fetch", "url"}),
    ],
)
def test_what_a_cell_makes_and_needs(code: str, made: set[str], needed: set[str]) -> None:
    found = names_in(code)
    assert (found.made, found.needed) == (made, needed)


def test_what_a_function_needs_is_needed_when_it_is_called() -> None:
    found = names_in("def f(a, b=default):\n    c = a + rate\n    return helper(c)")
    assert found.needed == {"default"}
    assert found.needed_later == {"rate", "helper"}
    assert names_in("from a import *").takes_all
