"""What draws widgets and charts in JupyterLab: the labextensions of a session's environment.

Each comes with its library, and is to be of that library's version, not of ours. Of what is in both, ours is
kept: it fits this JupyterLab.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

_FOLDER = Path("share", "jupyter", "labextensions")
# Libraries whose displays JupyterLab shows with a labextension only: its name, and the package that has it.
_NEEDED = {
    "ipywidgets": ("@jupyter-widgets/jupyterlab-manager", "jupyterlab_widgets"),
    "plotly": ("jupyterlab-plotly", "plotly"),
    "bokeh": ("@bokeh/jupyter_bokeh", "jupyter_bokeh"),
    "ipympl": ("jupyter-matplotlib", "ipympl"),
    "anywidget": ("anywidget", "anywidget"),
}


def add(prefix: Path, folder: Path, base: Mapping[str, str]) -> dict[str, str]:
    """What a JupyterLab of ours is given to find those of the environment at `prefix`. `folder`: private, and
    made anew."""
    theirs = prefix / _FOLDER
    if os.path.realpath(prefix) == os.path.realpath(sys.prefix):
        return {}
    shutil.rmtree(folder, ignore_errors=True)
    ours = set(_names(Path(sys.prefix, _FOLDER)))
    added = [name for name in _names(theirs) if name not in ours and not _needs_server(theirs / name)]
    for name in added:
        link = folder / "labextensions" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(theirs / name)
    if not added:
        return {}
    known = base.get("JUPYTER_PATH")
    return {"JUPYTER_PATH": os.pathsep.join([*([known] if known else []), str(folder)])}


def missing(prefix: Path) -> list[str]:
    """A sentence for each library of the environment whose displays the page will not show."""
    there = {*_names(prefix / _FOLDER), *_names(Path(sys.prefix, _FOLDER))}
    return [
        f"What {library} displays is not shown as it is meant: {package} is not in {prefix}, nor here."
        for library, (extension, package) in _NEEDED.items()
        if extension not in there and _has(prefix, library)
    ]


def _has(prefix: Path, library: str) -> bool:
    return any(prefix.glob(f"lib/python3*/site-packages/{library}/__init__.py"))


def _names(folder: Path) -> Iterator[str]:
    """Of the labextensions in a folder, some of which are in a folder of their publisher's."""
    for path in sorted(folder.glob("*")):
        for one in sorted(path.glob("*")) if path.name.startswith("@") else [path]:
            if (one / "package.json").is_file():
                yield str(one.relative_to(folder))


def _needs_server(extension: Path) -> bool:
    """Whether it is of no use without a part in the Jupyter server."""
    try:
        described = json.loads((extension / "package.json").read_text())
        return "server" in described.get("jupyterlab", {}).get("discovery", {})
    except (OSError, ValueError, AttributeError):
        return True
