"""Packages for installers to install, made here: no test needs more of PyPI than it has to."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

# Its build takes until somebody makes the file GO, and says that it has begun by making BEGUN.
_SLOW_BACKEND = """
import os, shutil, time

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    here = os.path.dirname(os.path.abspath(__file__))
    wait = os.environ["KX_SLOW"]
    open(os.path.join(wait, "begun"), "w").close()
    while not os.path.exists(os.path.join(wait, "go")):
        time.sleep(0.02)
    shutil.copy(os.path.join(here, "WHEEL"), wheel_directory)
    return "WHEEL"
"""


def make_wheel(folder: Path, name: str, version: str, source: str = "") -> Path:
    """A wheel of one module, which has VERSION and what else `source` says."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}.py": f"__version__ = VERSION = {version!r}\n{source}",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{path},{_digest(text)},{len(text)}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def make_slow_sdist(folder: Path, name: str, version: str) -> Path:
    """A source distribution whose build waits for a file `go` in the folder that KX_SLOW names."""
    wheel = make_wheel(folder / "built", name, version)
    stem = f"{name.replace('-', '_')}-{version}"
    files = {
        f"{stem}/PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{stem}/pyproject.toml": (
            b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        ),
        f"{stem}/backend.py": _SLOW_BACKEND.replace("WHEEL", wheel.name).encode(),
        f"{stem}/{wheel.name}": wheel.read_bytes(),
    }
    sdist = folder / f"{stem}.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return sdist
