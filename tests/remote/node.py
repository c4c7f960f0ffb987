"""A host on which others start kernels by ssh: with the launcher of gateway_provisioners, which also is
Enterprise Gateway's, whose own kernelspecs are in no package."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.real.home import until
from tests.remote.sshd import FarHost, line_of

INSTALLED = Path(__file__).parents[2] / ".remote"  # an environment for each
_LAUNCHER = "launch_ipykernel.py"
# From here: no cable leads from the node to a package index.
_INSTALL = """. ./.profile
.local/bin/uv -q venv envs/far && .local/bin/uv -q pip install -p envs/far ipykernel pycryptodomex"""


class Node:
    """The host, and how a kernel of it is described."""

    def __init__(self, far: FarHost) -> None:
        self.far = far
        found = list(INSTALLED.glob("gp/lib/python3*/site-packages/gateway_provisioners/kernel-launchers"))
        if not found:
            pytest.skip("make servers installs it")
        for part in ("python", "shared"):  # as `jupyter ssh-spec install` puts them together
            shutil.copytree(found[0] / part / "scripts", far.home / "scripts", dirs_exist_ok=True)
        (far.home / "tmp").mkdir()
        far.own(far.home)
        done = subprocess.run(
            ["sh", "-c", _INSTALL],
            user=far.name,
            group=far.name,
            extra_groups=(),
            env={"HOME": str(far.home), "PATH": "/usr/bin:/bin"},
            cwd=far.home,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def write_kernelspec(self, at: Path, metadata: Mapping[str, Any]) -> None:
        at.mkdir(parents=True)
        spec = {
            "argv": [
                *(f"{self.far.home}/envs/far/bin/python", f"{self.far.home}/scripts/{_LAUNCHER}"),
                *("--kernel-id", "{kernel_id}", "--port-range", "{port_range}"),
                *("--response-address", "{response_address}", "--public-key", "{public_key}"),
            ],
            "display_name": "Python on a node",
            "language": "python",
            "env": {"TMPDIR": f"{self.far.home}/tmp", "LOG_LEVEL": "40"},
            "metadata": dict(metadata),
        }
        (at / "kernel.json").write_text(json.dumps(spec))

    def kernels(self) -> list[psutil.Process]:
        """Each with the listener that it forks."""
        return [each for each in self.far.processes() if _LAUNCHER in line_of(each)]

    def kill_kernels(self) -> None:
        for each in self.kernels():
            with suppress(psutil.Error):
                each.kill()

    def logs(self) -> str:
        """What the kernels' processes said last, for who looks at a failure."""
        said = ""
        for log in self.far.home.glob("kernel-*.log"):
            said += f"== {log.name}\n{log.read_text(errors='replace')[-2000:]}"
            log.unlink()
        return said

    def folder(self, name: str) -> Path:
        """One in which its kernels may write, and the test."""
        path = self.far.home / name
        path.mkdir()
        self.far.own(path)
        return path


def gate(folder: Path) -> tuple[str, Path, Callable[[], None]]:
    """Code that runs until it is let go; the file that it makes when it begins; what lets it go."""
    path, begun = folder / "gate", folder / "begun"
    return until(path, begun), begun, path.touch
