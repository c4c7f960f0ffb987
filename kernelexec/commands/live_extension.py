"""Our server extension in a JupyterLab, which shows the assistant at work in notebooks that are open there.

It is in kernelspecs/jupyter_extension and needs jupyter-collaboration beside it; else it does nothing. A
wheel of kernelexec has it as a module of its own, too, and a setting with which a JupyterLab in the same
environment loads it; what is here is for a JupyterLab in another one.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

from kernelexec import paths
from kernelexec.recording.whole_file import write_whole

_MODULE = "kernelexec_live"


def config() -> str:
    """Lines of a jupyter_server_config.py that load it, also in another environment than ours."""
    return (
        "# kernelexec: an assistant's cells appear in open notebooks as they run (jupyter-collaboration)\n"
        "import sys\n\n"
        f"sys.path.append({str(_folder())!r})\n"
        f"c.ServerApp.jpserver_extensions.update({{{_MODULE!r}: True}})\n"
    )


def is_of_use() -> bool:
    """Whether jupyter-collaboration is in our environment."""
    return importlib.util.find_spec("jupyter_server_ydoc") is not None


def environ(folder: Path, base: Mapping[str, str]) -> dict[str, str]:
    """What a Jupyter server of ours is given to load it. `folder`: for its configuration, private."""
    folder.mkdir(mode=0o700, exist_ok=True)
    write_whole(folder / "jupyter_server_config.py", config().encode(), replace=True)
    known = base.get("JUPYTER_CONFIG_PATH")
    return {"JUPYTER_CONFIG_PATH": os.pathsep.join([str(folder), *([known] if known else [])])}


def options(folder: Path) -> list[str]:
    """Of jupyter-collaboration: what it keeps for pages that come back goes to this private folder."""
    return [
        f"--SQLiteYStore.db_path={folder / 'ystore.db'}",
        f"--YDocExtension.session_store_path={folder / 'collaboration_sessions.json'}",
    ]


def _folder() -> Path:
    return Path(paths.kernelspec_templates(), "jupyter_extension")
