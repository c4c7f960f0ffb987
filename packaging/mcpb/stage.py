"""`python packaging/mcpb/stage.py FOLDER`: what a bundle has in it, for `mcpb pack`. Needs uv on the PATH.

The wheel is in the bundle, so that it needs nothing of kernelexec's from an index: only its dependencies.
"""

import shutil
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_PYPROJECT = """[project]
name = "kernelexec-bundle"
version = "0"
requires-python = ">=3.10"
dependencies = ["kernelexec"]

[tool.uv]
package = false

[tool.uv.sources]
kernelexec = {{ path = "{wheel}" }}
"""


def stage(folder: Path) -> None:
    """Fill a folder, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = ("uv", "build", "--quiet", "--wheel", "--out-dir", folder, _HERE.parents[1])
    subprocess.run(command, check=True)
    (folder / ".gitignore").unlink(missing_ok=True)  # uv's
    (wheel,) = folder.glob("*.whl")
    (folder / "pyproject.toml").write_text(_PYPROJECT.format(wheel=wheel.name))
    for name in ("manifest.json", "server.py"):
        shutil.copy(_HERE / name, folder)


if __name__ == "__main__":
    stage(Path(sys.argv[1]))
