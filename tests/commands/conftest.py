"""What the person's commands are tried on: a shell of a test's own, and a storage directory."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The person's shell: in a directory of its own, which is home, and no variable of ours is set."""
    path = tmp_path / "elsewhere"
    path.mkdir()
    monkeypatch.chdir(path)
    monkeypatch.setenv("HOME", str(path))
    monkeypatch.setenv("KERNELEXEC_RUNTIME_DIR", str(path / "run"))
    for variable in ("CODE_STORAGE_DIR", "XDG_DATA_HOME", "XDG_STATE_HOME", "JUPYTER_DATA_DIR"):
        monkeypatch.delenv(variable, raising=False)
    return path


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    path = tmp_path / "storage"
    path.mkdir()
    return path
