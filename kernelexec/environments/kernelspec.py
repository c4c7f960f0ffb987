"""Kernelspecs: the kernel.json by which JupyterLab, nbconvert and we ourselves start a kernel.

Written into the user's Jupyter data directory from the templates in kernelspecs/. Its metadata
holds all that was found out about the environment and a signature of the files that this depends
on, so a kernelspec is also the memory that spares the next start the questions.

Read and written here without jupyter_client, by which all others are found, read and removed (see
jupyter_paths): a session's first call needs one and would wait for the import, and install_kernel_spec
removes the old folder before it copies the new one, between which no kernel could start.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from kernelexec import paths
from kernelexec.environments.probe import OF_ANOTHER_PYTHON
from kernelexec.environments.replaced import replace_file
from kernelexec.environments.source import Found
from kernelexec.errors import EnvironmentUnusable
from kernelexec.kernels import programs
from kernelexec.model.environment import Environment
from kernelexec.model.naming import apart
from kernelexec.plain_file import read_text

_log = logging.getLogger(__name__)

FORMAT = 1
_LAUNCHER = "launcher/launcher.py"


def install_launcher(data_dir: Path) -> Path:
    """The launcher, copied with the other programs to our data directory under their hash: an environment of
    uvx vanishes, and a running kernel's launcher must not change."""
    folder = launcher_folder(data_dir)
    for name, source in programs.sources().items():
        if not (folder / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            replace_file(folder / name, source)
    return folder / _LAUNCHER


def launcher_folder(data_dir: Path) -> Path:
    """Where the launcher of this version is, or will be."""
    return data_dir / "launcher" / programs.digest()


def find(kind: str, prefix: Path, kernels_dir: Path, launcher: Path) -> Environment | None:
    """The environment at this prefix as its kernelspec describes it, if nothing changed since."""
    identity = str(prefix.resolve())
    for spec in sorted(kernels_dir.glob("kernelexec-*/kernel.json")):
        said = _our_metadata(spec)
        if said.get("identity") != identity:
            continue
        try:
            environment = Environment.from_json(said["environment"])
            if (environment.kind, environment.prefix) != (kind, prefix):
                continue
            if said["signature"] == _signature(launcher, [path for path, _ in said["signature"][1:]]):
                return environment
        except (KeyError, TypeError, ValueError, OSError):
            pass  # made by another version, or the environment changed: it is looked at anew
    return None


def environment_in(folder: Path) -> Environment | None:
    """The environment that a kernelspec of ours stands for; None if it is not ours."""
    try:
        return Environment.from_json(_our_metadata(folder / "kernel.json")["environment"])
    except (KeyError, TypeError, ValueError):
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
        "signature": _signature(launcher, _watched(found, borrowed)),
    }
    try:
        folder = kernels_dir / name
        folder.mkdir(parents=True, exist_ok=True)
        for logo in template_dir.parent.glob("logo-*"):
            shutil.copyfile(logo, folder / logo.name)
        replace_file(folder / "kernel.json", json.dumps(spec, indent=1, ensure_ascii=False).encode())
    except OSError as error:
        raise EnvironmentUnusable(
            f"The kernelspec cannot be written to {kernels_dir}: {error.strerror}.",
            "Set JUPYTER_DATA_DIR to a directory that can be written, in the MCP configuration too.",
        ) from error
    _log.info("kernelspec %s written for %s", name, environment.prefix)
    return environment


def command(environment: Environment, launcher: Path, options: str) -> list[str]:
    """The command line of a kernel under a keeper, with the word `options` where the launcher's go."""
    if environment.is_ours:
        words = list(environment.argv)
        after = next(n for n, word in enumerate(words) if Path(word).name == Path(_LAUNCHER).name) + 1
        return [*words[:after], options, *words[after:]]
    # The interpreter behind our own environment keeps a foreign kernel: that of `uvx kernelexec` may vanish.
    python = getattr(sys, "_base_executable", None) or sys.executable
    return [python, "-I", "-S", str(launcher), options, "--exec", *environment.argv]


def kernel_variables(environment: Environment, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of a kernel that this client starts: its own, activated."""
    own = {name: value for name, value in environ.items() if not _is_not_the_kernels(name)}
    if environ.get("GATEWAY_URL"):
        own.pop("JUPYTER_TOKEN", None)  # that server's
    return with_variables(own, environment.variables)


def with_variables(environ: Mapping[str, str], variables: Sequence[tuple[str, str]]) -> dict[str, str]:
    """These variables and those of a kernelspec, in which ${NAME} means one of the former."""
    inherited = defaultdict(str, environ)
    return {**environ, **{name: Template(value).safe_substitute(inherited) for name, value in variables}}


# Settings of what runs in a kernel; the last is the hub's, from what the person lets its environment take.
ENVIRONMENTS_MEMORY = "KERNELEXEC_ENVIRONMENT_MEMORY_MB"
_FOR_KERNELS = ("KERNELEXEC_STILL_IMAGES", "KERNELEXEC_MEMORY_MB", ENVIRONMENTS_MEMORY)


def with_environments_memory(environ: Mapping[str, str], megabytes: int | None) -> dict[str, str]:
    """These variables, and what a process of a kernel in its environment may have at most."""
    others = {name: value for name, value in environ.items() if name != ENVIRONMENTS_MEMORY}
    return others if megabytes is None else {**others, ENVIRONMENTS_MEMORY: str(megabytes)}


def _is_not_the_kernels(name: str) -> bool:
    if name in _FOR_KERNELS:
        return False
    # Ours, an outer Jupyter's, and what would make another Python start as if it were the client's.
    return name.startswith(("KERNELEXEC_", "JPY_")) or name in OF_ANOTHER_PYTHON


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
        said = json.loads(read_text(spec))["metadata"]["kernelexec"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return said if isinstance(said, dict) and said.get("format") == FORMAT else {}


def _watched(found: Found, borrowed: Path | None) -> list[str]:
    """The files and folders that change when the interpreter or what is installed beside it does."""
    interpreter = found.interpreter
    minor = ".".join(map(str, interpreter.version[:2]))
    paths_ = [
        interpreter.executable,
        found.prefix / "lib" / f"python{minor}" / "site-packages",
        *found.watched,
        *([borrowed] if borrowed is not None else []),
    ]
    return [str(path) for path in paths_]


def _signature(launcher: Path, watched: Sequence[str]) -> list[Any]:
    """Changes when one of these does, or our own part.

    Raises:
        OSError: the first of them, the interpreter, is gone.
    """
    os.stat(watched[0])
    return [str(launcher), *([path, _changed(path)] for path in watched)]


def _changed(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def _fill(template: Any, values: Mapping[str, str]) -> Any:
    """The template with its ${placeholders} replaced, after parsing: no value needs quoting."""
    if isinstance(template, str):
        return Template(template).safe_substitute(values)
    if isinstance(template, Mapping):
        return {key: _fill(value, values) for key, value in template.items()}
    if isinstance(template, Sequence):
        return [_fill(value, values) for value in template]
    return template
