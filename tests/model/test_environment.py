"""Environments as values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kernelexec.model.environment import Environment
from tests.fakes import environment


@pytest.mark.parametrize("borrowed", [None, Path("/data/ipykernel")])
def test_an_environment_survives_json(borrowed: Path | None) -> None:
    before = environment(borrowed_ipykernel=borrowed)
    assert Environment.from_json(json.loads(json.dumps(before.to_json()))) == before


@pytest.mark.parametrize("spoiled", ["interpreter", "variables", "argv", "borrowed_ipykernel", "label"])
def test_json_that_lacks_a_field_is_refused(spoiled: str) -> None:
    fields = environment().to_json()
    del fields[spoiled]
    with pytest.raises((KeyError, TypeError, ValueError)):
        Environment.from_json(fields)


def test_a_version_of_two_numbers_is_refused() -> None:
    fields = environment().to_json()
    fields["interpreter"]["version"] = [3, 12]
    with pytest.raises(ValueError, match="not enough values"):
        Environment.from_json(fields)


def test_an_environment_is_where_its_links_lead(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert environment(prefix=tmp_path / "link").identity == str(tmp_path / "real")


def test_a_python_version_is_written_with_dots() -> None:
    assert environment().interpreter.version_text == "3.12.1"
