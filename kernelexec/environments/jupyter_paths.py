"""The kernelspecs that a client's Jupyter would find, found the way jupyter_core does.

https://docs.jupyter.org/en/latest/use/jupyter-directories.html#data-files
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from kernelexec import paths
from kernelexec.errors import EnvironmentUnusable

_NAME = re.compile(r"[A-Za-z0-9._\-]+")  # jupyter_client's own rule


def kernel_dirs(environ: Mapping[str, str]) -> list[Path]:
    """The folders of kernelspecs, the first found of a name counts.

    jupyter_core adds the environment that it is itself installed in. We are not in the client's, so
    that is the one which is active for the client and the one whose `jupyter` is on its PATH.
    """
    folders = environ.get("JUPYTER_PATH", "").split(os.pathsep)
    user = [paths.jupyter_data_dir(environ)]
    active = [environ.get("VIRTUAL_ENV", ""), environ.get("CONDA_PREFIX", "")]
    jupyter = shutil.which("jupyter", path=environ.get("PATH", ""))
    if jupyter:
        active.append(str(Path(jupyter).parent.parent))
    inside = [f"{prefix}/share/jupyter" for prefix in active if prefix and not _is_our_own(prefix)]
    folders += user + inside if not environ.get("JUPYTER_PREFER_ENV_PATH") else inside + user
    folders += ["/usr/local/share/jupyter", "/usr/share/jupyter"]
    unique = dict.fromkeys(Path(folder, "kernels") for folder in folders if os.path.isabs(folder))
    return [folder for folder in unique if folder.is_dir()]


def kernelspecs(environ: Mapping[str, str]) -> dict[str, Path]:
    """The folder of each kernelspec, by its name."""
    found: dict[str, Path] = {}
    for folder in kernel_dirs(environ):
        for spec in sorted(folder.glob("*/kernel.json")):
            if _NAME.fullmatch(spec.parent.name):
                found.setdefault(spec.parent.name.lower(), spec.parent)
    return found


def find_kernelspec(name: str, environ: Mapping[str, str]) -> Path:
    """The folder of the kernelspec with this name.

    Raises:
        EnvironmentUnusable: there is none; near names are told.
    """
    found = kernelspecs(environ)
    if name.lower() in found:
        return found[name.lower()]
    near = difflib.get_close_matches(name.lower(), found, n=5, cutoff=0.6)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    looked = ", ".join(map(str, kernel_dirs(environ))) or "no folder of kernelspecs exists"
    raise EnvironmentUnusable(
        f"There is no Jupyter kernelspec called {name!r}.",
        f"{meant}There are: {', '.join(found) or 'none'} (looked at: {looked}). For one elsewhere set "
        "JUPYTER_PATH to the folder that holds its `kernels` folder.",
    )


def _is_our_own(prefix: str) -> bool:
    """kernelexec's own environment is not the user's, and one of uvx is gone tomorrow."""
    return os.path.realpath(prefix) == os.path.realpath(sys.prefix)
