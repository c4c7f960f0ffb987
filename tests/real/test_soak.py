"""Use without end, a fiftieth of what benchmarks/soak does."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.soak import soak


@pytest.mark.timeout(900)  # on a machine that is busy with other tests
def test_nothing_grows_and_all_agree_after_many_calls_starts_clients_and_kills() -> None:
    said: list[str] = []
    wrong = asyncio.run(soak(0.02, seed=14, say=said.append))
    assert not wrong, "\n".join([*said, *wrong])
