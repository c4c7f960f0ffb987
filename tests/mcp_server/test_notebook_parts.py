"""A notebook that is larger than clients take, read in parts."""

from __future__ import annotations

import json
from typing import Any

import nbformat
import pytest

from kernelexec.errors import BadRequest, NotFound
from kernelexec.mcp_server.notebook_parts import part_from

URI, FILE = "kernelexec://session/sales@analysis/notebook", "/home/me/sales@analysis-1.ipynb"
LIMIT = 50_000


def cell(number: int, printed: str = "", source: str = "") -> dict[str, Any]:
    output = {"output_type": "stream", "name": "stdout", "text": printed}
    return {
        "id": f"kernelexec-{number}",
        "cell_type": "code",
        "execution_count": number,
        "metadata": {"kernelexec": {"execution": f"sales@analysis/{number}"}},
        "outputs": [output] if printed else [],
        "source": source or f"x = {number}",
    }


def notebook(*cells: dict[str, Any]) -> bytes:
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
        "widgets": {"state": "x" * 2 * LIMIT},
    }
    document = {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(document).encode()


def part(data: bytes, first: int) -> Any:
    text = part_from(data, first, LIMIT, URI, FILE)
    assert len(text.encode()) <= LIMIT
    read = json.loads(text)
    nbformat.validate(read)
    return read


def test_its_parts_are_valid_notebooks_that_name_the_next_and_together_have_every_cell_once() -> None:
    cells = [cell(number, "ä\n" * (number % 7) * 500) for number in range(1, 101)]
    data, first, seen, parts = notebook(*cells), 1, [], 0
    while first:
        read = part(data, first)
        seen += read["cells"]
        parts += 1
        said = read["metadata"]["kernelexec"]["part"]
        assert said["cells"] == f"{first} to {len(seen)} of 100"
        assert read["metadata"]["kernelspec"]["name"] == "python3"
        next_uri = said.get("next")
        first = int(next_uri.removeprefix(f"{URI}/")) if next_uri else 0
    assert seen == cells
    assert parts > 3


def test_what_a_part_is_stands_at_its_beginning() -> None:
    text = part_from(notebook(cell(1), cell(2)), 2, LIMIT, URI, FILE)
    assert '"cells": "2 to 2 of 2"' in text[:200]
    assert "next" not in json.loads(text)["metadata"]["kernelexec"]["part"]


def test_a_cell_that_is_too_large_itself_says_how_its_output_is_read() -> None:
    data = notebook(cell(1), cell(2, "y" * LIMIT), cell(3))
    assert part(data, 1)["metadata"]["kernelexec"]["part"]["next"] == f"{URI}/2"
    read = part(data, 2)
    assert read["metadata"]["kernelexec"]["part"]["cells"] in ("2 to 2 of 3", "2 to 3 of 3")
    [output] = read["cells"][0]["outputs"]
    assert 'read_output(execution_id="sales@analysis/2") reads it' in output["text"]
    assert read["cells"][0]["source"] == "x = 2"


@pytest.mark.parametrize("source", ["z" * 500_000, ["z\n"] * 250_000])
def test_code_that_is_too_long_is_cut_and_said_to_be(source: Any) -> None:
    text = part_from(notebook(cell(1, source=source)), 1, 200_000, URI, FILE)
    [read] = json.loads(text)["cells"]
    assert read["source"].startswith("z")
    assert read["source"].endswith(f"more characters are in {FILE})")


def test_an_empty_notebook_has_one_empty_part() -> None:
    assert part(notebook(), 1)["cells"] == []


def test_a_part_behind_the_end_is_not_there() -> None:
    with pytest.raises(NotFound, match="has no cell 3; it has 2"):
        part_from(notebook(cell(1), cell(2)), 3, LIMIT, URI, FILE)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"cells": 5}', b"<<<<<<< HEAD", b"\xff\xfe"])
def test_what_is_no_notebook_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(BadRequest, match="is no notebook that can be read"):
        part_from(data, 1, LIMIT, URI, FILE)
