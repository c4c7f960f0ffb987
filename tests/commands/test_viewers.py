"""Which labextensions of a session's environment JupyterLab is given, and which are missed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from kernelexec.commands import viewers


def extension(prefix: Path, name: str, **discovery: Any) -> Path:
    folder = prefix / "share" / "jupyter" / "labextensions" / name
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": name, "jupyterlab": {"discovery": discovery}}))
    return folder


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "ours"))
    extension(tmp_path / "ours", "both")
    return tmp_path / "theirs"


def test_what_the_environment_has_and_we_have_not_is_added(theirs: Path, tmp_path: Path) -> None:
    plotly = extension(theirs, "jupyterlab-plotly")
    widgets = extension(theirs, "@jupyter-widgets/jupyterlab-manager")
    extension(theirs, "both")
    extension(theirs, "with-a-server", server={"base": {"name": "x"}})
    folder = tmp_path / "viewers"
    for _ in range(2):  # made anew
        environ = viewers.add(theirs, folder, {"JUPYTER_PATH": "/known"})
        assert environ == {"JUPYTER_PATH": os.pathsep.join(["/known", str(folder)])}
        found = {
            str(path.relative_to(folder / "labextensions")) for path in folder.rglob("*") if path.is_symlink()
        }
        assert found == {"jupyterlab-plotly", "@jupyter-widgets/jupyterlab-manager"}
    assert (folder / "labextensions" / "jupyterlab-plotly").resolve() == plotly
    assert (folder / "labextensions" / "@jupyter-widgets" / "jupyterlab-manager").resolve() == widgets


def test_without_any_nothing_is_added(theirs: Path, tmp_path: Path) -> None:
    assert viewers.add(theirs, tmp_path / "viewers", {}) == {}
    assert viewers.add(tmp_path / "ours", tmp_path / "viewers", {}) == {}


def test_a_library_whose_viewer_is_missing_is_told(theirs: Path) -> None:
    for library in ("ipywidgets", "plotly"):
        package = theirs / "lib" / "python3.12" / "site-packages" / library
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
    extension(theirs, "jupyterlab-plotly")
    [said] = viewers.missing(theirs)
    assert "ipywidgets" in said
    assert "jupyterlab_widgets is not in" in said
