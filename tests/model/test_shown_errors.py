"""Which errors among what a run shows are told."""

from __future__ import annotations

import pytest

from kernelexec.model.shown_errors import error_names, is_clean_exit


@pytest.mark.parametrize("value", ["", "0", "None", "False"])
def test_a_program_that_ends_well_has_no_error(value: str) -> None:
    assert is_clean_exit("SystemExit", value)
    assert not is_clean_exit("ValueError", value)


@pytest.mark.parametrize("value", ["1", "3", "True", "bad", "-1", None])
def test_any_other_exit_is_one(value: str | None) -> None:
    assert not is_clean_exit("SystemExit", value)


def test_errors_are_named_in_their_order_and_nothing_else_is() -> None:
    outputs = [
        {"output_type": "stream", "name": "stderr", "text": "ValueError: x"},
        {"output_type": "error", "ename": "KeyError", "evalue": "0"},
        {"output_type": "error", "ename": "SystemExit", "evalue": "0"},
        {"output_type": "error"},
    ]
    assert list(error_names(outputs)) == ["KeyError", ""]
