"""Kernel provisioners: packages of others that start a kernelspec's kernels somewhere else.

They run in the interpreter that has them, never in the hub (kernelspecs/provisioned/provisioned.py): that
beside the kernelspec, as Jupyter installs both; else that of the `jupyter` on the client's PATH; else our
own.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from kernelexec.environments.asking import Answer, ask
from kernelexec.errors import EnvironmentUnusable

LOCAL = "local-provisioner"  # jupyter_client's own: a process on this machine
_SECONDS = 30.0  # a provisioner's package may import half of a cloud's
# Exit code 0: it is there. With other provisioners' names, or what went wrong, on stdout.
_LOOK = """
import sys
try:
    import zmq
    from jupyter_client.provisioning import KernelProvisionerFactory
    names = KernelProvisionerFactory.instance().get_provisioner_entries()
except Exception as error:
    print(f"{type(error).__name__}: {error}")
    sys.exit(1)
print("has only " + ", ".join(sorted(names)))
sys.exit(sys.argv[1] not in names)
"""


async def interpreter_with(name: str, folder: Path, environ: Mapping[str, str]) -> Path:
    """The interpreter whose packages have this provisioner, for the kernelspec in a folder.

    Raises:
        EnvironmentUnusable: none has.
    """
    looked = {}
    for python in _candidates(folder, environ):
        said = await _asked(python, name, environ)
        if said.exit_code == 0:
            return python
        looked[python] = (said.out or said.err).decode("utf-8", "replace").strip().rpartition("\n")[2]
    where = "; ".join(f"{python} ({said or 'no answer'})" for python, said in looked.items())
    raise EnvironmentUnusable(
        f"The kernels of {folder / 'kernel.json'} are started by the kernel provisioner {name!r}, and no "
        f"Python that was looked at has it: {where}.",
        "Install the package that brings it into the first of them, or choose another environment.",
    )


def _candidates(folder: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    found = []
    if folder.parts[-4:-1] == ("share", "jupyter", "kernels"):
        found.append(folder.parents[3] / "bin" / "python")
    jupyter = shutil.which("jupyter", path=environ.get("PATH", os.defpath))
    if jupyter is not None:
        found.append(Path(os.path.realpath(jupyter)).parent / "python")
    found.append(Path(sys.executable))
    seen = set()
    for python in found:
        if python.exists() and python not in seen:
            seen.add(python)
            yield python


async def _asked(python: Path, name: str, environ: Mapping[str, str]) -> Answer:
    try:
        return await ask((python, "-c", _LOOK, name), environ, _SECONDS)
    except (OSError, TimeoutError) as error:
        return Answer(str(error).encode(), b"", 1)
