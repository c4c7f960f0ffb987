"""What `conda activate` would change, found out once and written into the kernelspec.

So it holds as well where JupyterLab starts the kernel, which activates nothing. The static part is
computed as conda does it; the scripts in etc/conda/activate.d may do anything, so a shell runs them
and what they changed is read off. No shell ever sees a string to parse: the program is a constant,
paths are its arguments. By hand, because `conda shell.posix+json activate` needs a conda that is found
and starts its Python; mamba and micromamba print shell code only.

https://docs.conda.io/projects/conda/en/stable/dev-guide/deep-dives/activation.html
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from kernelexec.environments import conda_places
from kernelexec.environments.asking import Answer, ask
from kernelexec.errors import EnvironmentUnusable
from kernelexec.plain_file import read_text

_SECONDS = 30.0  # compilers' scripts take 0.1; a network file system more
_UNSET = "***unset***"  # conda's own word for it, in env_vars and state
# Scripts write what they like to stdout; only the variables go to ours.
_SOURCE_ALL = '{ for script in "$@"; do . "$script"; done; } >&2; exec /usr/bin/env -0'
# What the scripts may look at. Anything more would make one client's activation another's.
_PASSED = ("HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "TERM")
_THE_SHELLS_OWN = frozenset({"PWD", "OLDPWD", "SHLVL", "_", "PS1", "PS2", "IFS", "OPTIND"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


async def activation(prefix: Path, name: str, environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The variables of the activated environment, as in a kernelspec: `${PATH}` is the starter's.

    Raises:
        EnvironmentUnusable: a script of the environment's packages fails.
    """
    path = environ.get("PATH") or os.defpath
    before = {key: environ[key] for key in environ if key in _PASSED or key.startswith("LC_")}
    before["PATH"] = f"{prefix}/bin:{path}"
    before |= _static(prefix, name, environ)
    after = before
    scripts = sorted((prefix / "etc" / "conda" / "activate.d").glob("*.sh"))
    if scripts:
        after = await _after_scripts(scripts, before)
    inherited = {key: value for key, value in before.items() if key in _PASSED or key.startswith("LC_")}
    changed = {key: value for key, value in after.items() if inherited.get(key) != value}
    return tuple(
        (key, _with_path(value, path) if key == "PATH" else _escaped(value))
        for key, value in sorted(changed.items())
    )


def files_of(prefix: Path) -> Iterator[Path]:
    """Whatever changes what activation means."""
    yield prefix / "conda-meta" / "history"
    yield prefix / "conda-meta" / "state"
    for folder in ("activate.d", "env_vars.d"):
        yield prefix / "etc" / "conda" / folder
        yield from sorted((prefix / "etc" / "conda" / folder).glob("*"))


def _static(prefix: Path, name: str, environ: Mapping[str, str]) -> dict[str, str]:
    variables = {
        "CONDA_PREFIX": str(prefix),
        "CONDA_DEFAULT_ENV": name if _has_name(prefix, environ) else str(prefix),
        "CONDA_PROMPT_MODIFIER": f"({name}) ",
        "CONDA_SHLVL": "1",
    }
    tool = conda_places.find_tool(prefix, environ)
    if tool is not None and tool.name == "conda":
        root = tool.parent.parent
        variables["CONDA_EXE"] = str(root / "bin" / "conda")
        variables["CONDA_PYTHON_EXE"] = str(root / "bin" / "python")
    elif tool is not None:
        variables["MAMBA_EXE"] = str(tool)
    for found in [*sorted((prefix / "etc/conda/env_vars.d").glob("*.json")), prefix / "conda-meta/state"]:
        variables |= _variables_in(found)
    return {key: value for key, value in variables.items() if value != _UNSET}


def _has_name(prefix: Path, environ: Mapping[str, str]) -> bool:
    known = conda_places.roots(environ)
    return prefix in known or prefix.parent in conda_places.environment_dirs(environ, known)


def _variables_in(file: Path) -> dict[str, str]:
    """Of env_vars.d/*.json, which is the variables, or of conda-meta/state, which has them inside."""
    try:
        said = json.loads(read_text(file))
        said = said.get("env_vars", {}) if file.name == "state" else said
        return {key: str(value) for key, value in said.items() if _NAME.fullmatch(key)}
    except (OSError, ValueError, AttributeError):
        return {}


async def _after_scripts(scripts: list[Path], before: Mapping[str, str]) -> dict[str, str]:
    shell = shutil.which("bash", path="/bin:/usr/bin:/usr/local/bin") or "/bin/sh"
    try:
        answer = await ask((shell, "-c", _SOURCE_ALL, shell, *scripts), before, _SECONDS)
    except TimeoutError:
        answer = Answer(b"", f"they did not end within {_SECONDS:.0f} s".encode(), 1)
    if answer.exit_code != 0 or b"PATH=" not in answer.out:
        said = answer.err.decode("utf-8", "replace").strip()[-1000:]
        raise EnvironmentUnusable(
            f"The activation scripts in {scripts[0].parent} failed: {said or 'one of them ends the shell'}.",
            "Reinstall or remove the package that a failing script belongs to.",
        )
    lines = (part.partition(b"=") for part in answer.out.split(b"\0") if part)
    found = {key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, _, value in lines}
    return {key: value for key, value in found.items() if key not in _THE_SHELLS_OWN and _NAME.fullmatch(key)}


def _with_path(value: str, path: str) -> str:
    before, found, after = value.rpartition(path)
    return f"{_escaped(before)}${{PATH}}{_escaped(after)}" if found else _escaped(value)


def _escaped(value: str) -> str:
    return value.replace("$", "$$")  # Jupyter fills in ${NAME}, and so do we
