"""Kernelspecs: the kernel.json by which JupyterLab, nbconvert and we ourselves start a kernel.

Written into the user's Jupyter data directory from the templates in kernelspecs/. Its metadata
holds all that was found out about the environment and a signature of the files that this depends
on, so a kernelspec is also the memory that spares the next start the questions.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from kernelexec import paths
from kernelexec.environments.source import Found
from kernelexec.errors import EnvironmentUnusable
from kernelexec.model.environment import Environment
from kernelexec.model.naming import apart

_log = logging.getLogger(__name__)

FORMAT = 1
_LAUNCHER = ("launcher.py", "kernel_app.py", "postponed_debugger.py")


def install_launcher(data_dir: Path) -> Path:
    """The launcher, copied to our data directory under its hash: an environment of uvx vanishes,
    and a running kernel's launcher must not change."""
    templates = Path(paths.kernelspec_templates())
    sources = {name: (templates / name).read_bytes() for name in _LAUNCHER}
    digest = hashlib.sha256(b"\0".join(sources.values())).hexdigest()[:12]
    folder = data_dir / "launcher" / digest
    for name, source in sources.items():
        if not (folder / name).exists():
            folder.mkdir(parents=True, exist_ok=True)
            _replace(folder / name, source)
    return folder / _LAUNCHER[0]


def find(prefix: Path, kernels_dir: Path, launcher: Path) -> Environment | None:
    """The environment at this prefix as its kernelspec describes it, if nothing changed since."""
    identity = str(prefix.resolve())
    for spec in sorted(kernels_dir.glob("kernelexec-*/kernel.json")):
        said = _our_metadata(spec)
        if said.get("identity") != identity:
            continue
        try:
            environment = Environment.from_json(said["environment"])
            if said["signature"] == _signature(environment, launcher) and environment.prefix == prefix:
                return environment
        except (KeyError, TypeError, ValueError, OSError):
            pass  # made by another version, or the environment changed: it is looked at anew
    return None


def install(found: Found, kernels_dir: Path, launcher: Path, borrowed: Path | None) -> Environment:
    """Write the kernelspec of an environment.

    Raises:
        EnvironmentUnusable: the Jupyter data directory cannot be written.
    """
    label, name = _free_name(found, kernels_dir)
    template_dir = Path(paths.kernelspec_templates(), found.kind)
    values = {
        "interpreter": str(found.interpreter.executable),
        "launcher": str(launcher),
        "label": label,
        "version": ".".join(map(str, found.interpreter.version[:2])),
    }
    spec = _fill(json.loads((template_dir / "kernel.json").read_text()), values)
    if borrowed is not None:
        spec["argv"][2:2] = ["--ipykernel", str(borrowed)]
    spec["env"] = dict(found.variables)
    environment = Environment(
        kind=found.kind,
        label=label,
        prefix=found.prefix,
        interpreter=found.interpreter,
        kernelspec=name,
        display_name=spec["display_name"],
        argv=tuple(spec["argv"]),
        variables=found.variables,
        borrowed_ipykernel=borrowed,
    )
    spec["metadata"]["kernelexec"] = {
        "format": FORMAT,
        "identity": environment.identity,
        "environment": environment.to_json(),
        "signature": _signature(environment, launcher),
    }
    try:
        folder = kernels_dir / name
        folder.mkdir(parents=True, exist_ok=True)
        for logo in template_dir.parent.glob("logo-*"):
            shutil.copyfile(logo, folder / logo.name)
        _replace(folder / "kernel.json", json.dumps(spec, indent=1, ensure_ascii=False).encode())
    except OSError as error:
        raise EnvironmentUnusable(
            f"The kernelspec cannot be written to {kernels_dir}: {error.strerror}.",
            "Set JUPYTER_DATA_DIR to a directory that can be written, in the MCP configuration too.",
        ) from error
    _log.info("kernelspec %s written for %s", name, environment.prefix)
    return environment


def kernel_variables(environment: Environment, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of a kernel that this client starts: its own, activated."""
    variables = {name: value for name, value in environ.items() if not _is_not_the_kernels(name)}
    for name, value in environment.variables:
        variables[name] = Template(value).safe_substitute({"PATH": "", **environ})
    return variables


def _is_not_the_kernels(name: str) -> bool:
    # Ours, an outer Jupyter's, and what would make another Python start as if it were the client's.
    return name.startswith(("KERNELEXEC_", "JPY_")) or name in ("PYTHONHOME", "__PYVENV_LAUNCHER__")


def _free_name(found: Found, kernels_dir: Path) -> tuple[str, str]:
    """Label and kernelspec name: the plain ones unless another environment has them."""
    identity = str(found.prefix.resolve())
    label = found.label
    name = f"kernelexec-{label}".lower()
    taken = (kernels_dir / name).exists()
    if taken and _our_metadata(kernels_dir / name / "kernel.json").get("identity") != identity:
        label = apart(label, identity)
        name = f"kernelexec-{label}".lower()
    if not name.isascii():  # Jupyter allows letters, digits, ".", "_" and "-" of ASCII only
        name = apart("kernelexec", identity)
    return label, name


def _our_metadata(spec: Path) -> Mapping[str, Any]:
    try:
        said = json.loads(spec.read_text(encoding="utf-8"))["metadata"]["kernelexec"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return said if isinstance(said, dict) and said.get("format") == FORMAT else {}


def _signature(environment: Environment, launcher: Path) -> list[Any]:
    """Changes when the interpreter, what is installed beside it, or our own part changes.

    Raises:
        OSError: something of it is gone.
    """
    version = environment.interpreter.version
    looked_at = [
        environment.interpreter.executable.resolve(),
        environment.prefix / "pyvenv.cfg",
        environment.prefix / "lib" / f"python{version[0]}.{version[1]}" / "site-packages",
    ]
    if environment.borrowed_ipykernel is not None:
        looked_at.append(environment.borrowed_ipykernel)
    return [str(launcher), *(f"{path} {path.stat().st_mtime_ns}" for path in looked_at)]


def _fill(template: Any, values: Mapping[str, str]) -> Any:
    """The template with its ${placeholders} replaced, after parsing: no value needs quoting."""
    if isinstance(template, str):
        return Template(template).safe_substitute(values)
    if isinstance(template, Mapping):
        return {key: _fill(value, values) for key, value in template.items()}
    if isinstance(template, Sequence):
        return [_fill(value, values) for value in template]
    return template


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)
