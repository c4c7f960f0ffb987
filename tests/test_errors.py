"""Every error of ours tells what happened and what to do."""

from __future__ import annotations

import pytest

from kernelexec import errors

ALL = [error for error in vars(errors).values() if isinstance(error, type)]


@pytest.mark.parametrize("error", ALL)
def test_an_error_reads_as_what_happened_then_what_to_do(error: type[errors.KernelexecError]) -> None:
    assert issubclass(error, errors.KernelexecError)
    assert str(error("It broke.", "Mend it.")) == "It broke.\nMend it."
    assert str(error("It broke.")) == "It broke."


@pytest.mark.parametrize("error", ALL)
def test_the_tree_in_the_docstring_has_every_error(error: type[errors.KernelexecError]) -> None:
    assert f"{error.__name__} " in (errors.__doc__ or "")
