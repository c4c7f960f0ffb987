"""Several hosts as one: each kernel is its own host's, by the kind that its place names."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelexec.kernels import hosts


def test_a_place_of_a_later_version_s_kind_is_refused_and_its_kernel_not_taken_for_gone(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match="'satellite'"):
        hosts.here(tmp_path).adopt({"kind": "satellite", "orbit": 4}, lambda message: None, "named")
