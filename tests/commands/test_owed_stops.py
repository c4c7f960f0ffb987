"""What is told to a person of a stop that could not be carried out."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from kernelexec.commands import doctor, sessions
from kernelexec.kernels.far_life import FarPlace
from kernelexec.kernels.owed_stops import FOLDER, owed_stops


@pytest.fixture
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("kernelexec.paths.state_dir", lambda environ: str(tmp_path))
    return tmp_path


def test_the_doctor_says_where_a_kernel_may_run_on(state_dir: Path) -> None:
    assert doctor._owed() == []
    place = FarPlace("ssh -T gpu", "/usr/bin/python3", "1a2b3c4d", "key", "gpu7", "boot", "/home/ann")
    (state_dir / FOLDER).mkdir()
    (state_dir / FOLDER / "1a2b3c4d.json").write_text(json.dumps(asdict(place)))
    [finding] = doctor._owed()
    assert finding.subject == "stops"
    assert "on gpu7, where 1 kernel may run on" in finding.what
    assert finding.mend == "kernelexec ps"
    [owed] = owed_stops(state_dir)
    assert "kernel 1a2b3c4d on gpu7 was stopped at" in sessions._about_owed(owed)
    assert sessions._about_owed(owed).endswith("once this leads there again: ssh -T gpu")
