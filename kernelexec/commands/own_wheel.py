"""A wheel of this installation, whether it came from one or is a checkout: for another host.

By hand, because what builds wheels is not installed with us, and of an installation there is no source.
The format: https://packaging.python.org/specifications/binary-distribution-format/
"""

from __future__ import annotations

import base64
import hashlib
import io
import stat
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from kernelexec import __version__, paths

_EXTENSION = "kernelexec_live"  # what runs in a Jupyter server
_ENABLED = "etc/jupyter/jupyter_server_config.d/kernelexec_live.json"
_WHEEL = "Wheel-Version: 1.0\nGenerator: kernelexec\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_TIME = (2020, 1, 1, 0, 0, 0)  # the same files make the same wheel
_NOT = ("__pycache__", ".pyc")


def own_wheel() -> tuple[str, bytes]:
    """Its file name, and its bytes."""
    info = f"kernelexec-{__version__}.dist-info"
    files = dict(_files())
    files[f"{info}/METADATA"] = (metadata.distribution("kernelexec").read_text("METADATA") or "").encode()
    files[f"{info}/WHEEL"] = _WHEEL.encode()
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            file = zipfile.ZipInfo(name, _TIME)
            mode = 0o755 if "/scripts/" in name else 0o644  # pip makes of a script what it is here
            file.external_attr = (stat.S_IFREG | mode) << 16
            wheel.writestr(file, data, zipfile.ZIP_DEFLATED)
    return f"kernelexec-{__version__}-py3-none-any.whl", made.getvalue()


def _files() -> Iterator[tuple[str, bytes]]:
    root, templates = Path(paths.import_root()), Path(paths.kernelspec_templates())
    live = templates / "jupyter_extension"
    data = f"kernelexec-{__version__}.data"
    yield from _below(root / "kernelexec", "kernelexec", leave_out="kernelspecs")
    yield from _below(templates, "kernelexec/kernelspecs")
    yield from _below(live / _EXTENSION, _EXTENSION)
    yield f"{data}/data/{_ENABLED}", (live / "enabled.json").read_bytes()
    yield f"{data}/scripts/kernelexec", _script()


def _below(folder: Path, name: str, leave_out: str = "") -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and parts[0] != leave_out and not any(part.endswith(_NOT) for part in parts):
            yield "/".join((name, *parts)), path.read_bytes()


def _script() -> bytes:
    """What people and clients start: as it was installed, or in a checkout."""
    for file in metadata.distribution("kernelexec").files or ():
        if file.name == "kernelexec" and file.parent.name == "bin":
            return Path(str(file.locate())).read_bytes()
    return Path(paths.import_root(), "scripts", "kernelexec").read_bytes()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
