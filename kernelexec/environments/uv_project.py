"""The uv project that an environment belongs to, and what of an installation it does not know."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelexec.environments.remedies import quoted
from kernelexec.environments.requirements import Requirement
from kernelexec.plain_file import read_text

_MADE_BY_UV = re.compile(r"^uv\s*=", re.MULTILINE)  # in pyvenv.cfg
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True)
class UvProject:
    """A project of uv's, as its two files have it."""

    folder: Path
    environment: Path  # where uv has its environment
    files: tuple[str, ...]
    has_table: bool  # [project], without which uv adds nothing: the root of a workspace may have none
    declared: frozenset[str]  # canonical names in pyproject.toml
    locked: Mapping[str, frozenset[str]] | None  # versions by canonical name

    def advice_on(
        self, prefix: Path, requirements: Sequence[Requirement], installed: Mapping[str, str]
    ) -> str | None:
        """What to do about what was installed and is not the project's. None: it has all of it."""
        unknown = [one for one in requirements if not self._knows(one, installed.get(one.canonical))]
        if not unknown:
            return None
        names = ", ".join(one.name for one in unknown)
        know = f"{' and '.join(self.files)} of {self.folder} {'do' if len(self.files) > 1 else 'does'} not"
        added = " ".join(shlex.quote(str(one)) for one in unknown)
        if not self.has_table:
            add = f"in the folder of the workspace's member that needs it: uv add {added}"
        else:
            add = f"uv add --project {quoted(self.folder)} {added}"
        if os.path.realpath(prefix) != os.path.realpath(self.environment):
            return f"{know} know {names}. If the project needs it (in its {self.environment}): {add}"
        return f"{know} know {names}, and `uv sync` would undo this. If the project needs it: {add}"

    def _knows(self, requirement: Requirement, version: str | None) -> bool:
        if self.locked is None:
            return requirement.canonical in self.declared
        return version in self.locked.get(requirement.canonical, ())


def uv_project(prefix: Path, environ: Mapping[str, str], *, prefers_uv: bool) -> UvProject | None:
    """The project that has this environment: beside it, or above it where that is what uv was told.

    None: there is none, or it is not uv's.
    """
    name = environ.get("UV_PROJECT_ENVIRONMENT") or ".venv"
    for folder in prefix.parents:
        said = _read(folder / "pyproject.toml")
        if said is None:
            continue
        environment = folder / name
        is_its_own = os.path.realpath(environment) == os.path.realpath(prefix)
        if folder == prefix.parent or is_its_own:
            lock = _read(folder / "uv.lock")
            is_uvs = lock is not None or "uv" in said.get("tool", {}) or prefers_uv or _is_made_by_uv(prefix)
            return _project(folder, environment, said, lock) if is_uvs else None
    return None


def _project(
    folder: Path, environment: Path, said: Mapping[str, Any], lock: Mapping[str, Any] | None
) -> UvProject:
    from packaging.utils import canonicalize_name  # here: as in requirements

    locked: dict[str, frozenset[str]] = {}
    for package in _tables(lock, "package"):
        name, version = package.get("name"), package.get("version")
        if isinstance(name, str) and isinstance(version, str):
            canonical = canonicalize_name(name)
            locked[canonical] = locked.get(canonical, frozenset()) | {version}
    return UvProject(
        folder=folder,
        environment=environment,
        files=("pyproject.toml", "uv.lock") if lock is not None else ("pyproject.toml",),
        has_table=isinstance(said.get("project"), Mapping),
        declared=frozenset(_names(said)),
        locked=None if lock is None else locked,
    )


def _names(said: Mapping[str, Any]) -> list[str]:
    """The names of all that a pyproject.toml says it depends on, in whichever group."""
    from packaging.utils import canonicalize_name

    project = said.get("project")
    project = project if isinstance(project, Mapping) else {}
    groups = [said.get("dependency-groups"), project.get("optional-dependencies")]
    lists = [project.get("dependencies")]
    lists += [group for table in groups if isinstance(table, Mapping) for group in table.values()]
    texts = [text for group in lists if isinstance(group, list) for text in group if isinstance(text, str)]
    found = [_NAME.match(text) for text in texts]
    return [canonicalize_name(name[1]) for name in found if name]


def _tables(said: Mapping[str, Any] | None, name: str) -> list[Mapping[str, Any]]:
    found = said.get(name) if said is not None else None
    return [table for table in found if isinstance(table, Mapping)] if isinstance(found, list) else []


def _read(path: Path) -> dict[str, Any] | None:
    """What a TOML file says; nothing if it is broken; None if there is none."""
    # Here, because few need it.
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return dict(tomllib.loads(read_text(path)))
    except OSError:
        return None
    except ValueError:
        return {}


def _is_made_by_uv(prefix: Path) -> bool:
    try:
        return _MADE_BY_UV.search(read_text(prefix / "pyvenv.cfg")) is not None
    except (OSError, ValueError):
        return False
