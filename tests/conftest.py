"""For all tests that run in this process; hubs of their own are not touched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kernelexec.recording import trust


@pytest.fixture(autouse=True)
def without_notary() -> Iterator[None]:
    """Jupyter's notary is a process, half a second each time; tests/recording/test_trust.py has it."""

    async def says_no(*arguments: str) -> tuple[int, str]:
        return 1, ""

    # Not pytest's own `monkeypatch`: a test may undo what that has done so far.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trust, "_run", says_no)
        yield
