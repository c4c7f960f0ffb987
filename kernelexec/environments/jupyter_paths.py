"""The kernelspecs that a client's Jupyter would find: jupyter_client looks, we say where.

Which folders these are is worked out by hand, because jupyter_core reads its own process's variables and
prefix, and the hub serves clients that have others.

https://docs.jupyter.org/en/latest/use/jupyter-directories.html#data-files
"""

from __future__ import annotations

import difflib
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kernelexec import paths
from kernelexec.errors import EnvironmentUnusable

if TYPE_CHECKING:
    from jupyter_client.kernelspec import KernelSpecManager

_NO = ("no", "n", "false", "off", "0", "0.0")  # what jupyter_core takes for it


def kernel_dirs(environ: Mapping[str, str]) -> list[Path]:
    """The folders of kernelspecs that are there, the first found of a name counts.

    jupyter_core adds the environment that it is itself installed in. We are not in the client's, so
    that is the one which is active for the client and the one whose `jupyter` is on its PATH.
    """
    active = [environ.get("VIRTUAL_ENV", ""), environ.get("CONDA_PREFIX", "")]
    jupyter = shutil.which("jupyter", path=environ.get("PATH", ""))
    if jupyter:
        active.append(str(Path(jupyter).parent.parent))
    inside = [prefix for prefix in active if prefix and not _is_our_own(prefix)]
    folders = [
        *environ.get("JUPYTER_PATH", "").split(os.pathsep),
        *(f"{prefix}/share/jupyter" for prefix in inside if _comes_first(prefix, environ)),
        paths.jupyter_data_dir(environ),
        *(f"{prefix}/share/jupyter" for prefix in inside),
        *("/usr/local/share/jupyter", "/usr/share/jupyter"),
        environ.get("IPYTHONDIR") or f"{paths.home(environ)}/.ipython",
    ]
    unique = dict.fromkeys(Path(folder, "kernels") for folder in folders if os.path.isabs(folder))
    # Jupyter's manager would end with an error at a folder that cannot be read.
    return [folder for folder in unique if os.path.isdir(folder) and os.access(folder, os.R_OK | os.X_OK)]


def manager(folders: Iterable[Path]) -> KernelSpecManager:
    """Jupyter's own, for these folders alone: without what is in the hub's variables and environment."""
    # Here, because it takes 40 ms in the hub and 120 in a command; most calls need no look at kernelspecs.
    from jupyter_client.kernelspec import KernelSpecManager

    return KernelSpecManager(kernel_dirs=list(map(str, folders)), ensure_native_kernel=False)


def kernelspecs(environ: Mapping[str, str]) -> dict[str, Path]:
    """The folder of each kernelspec, by its name."""
    found = manager(kernel_dirs(environ)).find_kernel_specs()
    return {name: Path(folder) for name, folder in sorted(found.items())}


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


def _comes_first(prefix: str, environ: Mapping[str, str]) -> bool:
    """Whether Jupyter in this environment looks there before it looks among the user's own."""
    said = environ.get("JUPYTER_PREFER_ENV_PATH")
    if said is not None:
        return said.lower() not in _NO
    is_conda = prefix == environ.get("CONDA_PREFIX") and environ.get("CONDA_DEFAULT_ENV", "base") != "base"
    if not is_conda and not os.path.exists(os.path.join(prefix, "pyvenv.cfg")):
        return False
    try:
        return os.stat(prefix).st_uid == os.geteuid()
    except OSError:
        return False


def _is_our_own(prefix: str) -> bool:
    """kernelexec's own environment is not the user's, and one of uvx is gone tomorrow."""
    return os.path.realpath(prefix) == os.path.realpath(sys.prefix)
