"""What a client is told where nothing leads to its hub any more."""

from __future__ import annotations

import pytest

from kernelexec.bridge import way
from kernelexec.bridge.far_link import FarHost
from kernelexec.errors import HubUnavailable


def test_a_link_that_cannot_be_made_again_is_told_with_what_to_do_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(way, "PATIENCE_SECONDS", 0.0)
    command = "sh -c 'echo No route to host >&2; exit 255'"
    with pytest.raises(HubUnavailable) as caught:
        way.FarAway(FarHost(command), {}).join_next("[]")
    told, advice = str(caught.value).splitlines()
    assert told.startswith(f"The link to {command} has been down since ")
    assert "not known whether what was open goes on there" in told
    assert told.endswith("did not reach a shell: No route to host")
    assert advice == f"Try it in a terminal: {command} true"
