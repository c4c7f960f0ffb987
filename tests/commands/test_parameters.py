"""Parameters as a person types them."""

from __future__ import annotations

import pytest

from kernelexec.commands.parameters import assignments, is_tagged, read_parameters
from kernelexec.errors import BadRequest


def test_a_value_is_what_python_makes_of_it_else_text() -> None:
    found = read_parameters(["a=1", "b=1.5", "c=[1, 'x']", "d=None", "e=north east", "f=a=b", "g=", "h='1'"])
    assert found == {
        "a": 1,
        "b": 1.5,
        "c": [1, "x"],
        "d": None,
        "e": "north east",
        "f": "a=b",
        "g": "",
        "h": "1",
    }
    values: dict[str, object] = {}
    exec(assignments(found), values)
    assert {name: values[name] for name in found} == found


@pytest.mark.parametrize("given", ["a", "=1", "1a=2", "class=3", "a-b=1"])
def test_what_is_no_parameter_is_refused(given: str) -> None:
    with pytest.raises(BadRequest, match="NAME=VALUE"):
        read_parameters([given])


def test_a_cell_is_tagged_as_papermill_tags_it() -> None:
    assert is_tagged({"metadata": {"tags": ["x", "parameters"]}})
    assert not is_tagged({"metadata": {"tags": "parameters"}})
    assert not is_tagged({})
