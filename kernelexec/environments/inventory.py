"""The environments that a client could choose, found on disk without starting any of them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from kernelexec import paths
from kernelexec.environments import conda_places, kernelspec
from kernelexec.environments.existing import described
from kernelexec.environments.foreign import read_spec
from kernelexec.environments.jupyter_paths import kernelspecs
from kernelexec.environments.provisioners import LOCAL
from kernelexec.environments.remedies import quoted
from kernelexec.environments.running_kernels import running_kernels
from kernelexec.errors import EnvironmentUnusable
from kernelexec.plain_file import read_text

_VENV_NAMES = (".venv", "venv", "env", ".env")
_PARENTS = 4  # above the client's directory; a project's root is rarely farther
_NEAR = 8  # names that a refusal proposes
_CHILDREN = 300  # looked at in one folder: a home directory may hold thousands


@dataclass(frozen=True)
class Listed:
    """One environment."""

    kind: str
    name: str  # by which configure_environment takes it
    prefix: Path
    runs: str  # e.g. "Python 3.12.1", "bash"
    ipykernel: str | None = None
    problem: str = ""


def inventory(environ: Mapping[str, str], folders: Iterable[Path]) -> list[Listed]:
    """conda environments, virtual environments in and near these folders, and kernelspecs."""
    found = [*_conda(environ), *_venvs(environ, folders), *_kernelspecs(environ)]
    unique: dict[str, Listed] = {}
    for one in found:
        unique.setdefault(os.path.realpath(one.prefix), one)
    return list(unique.values())


def existing(environ: Mapping[str, str]) -> list[Listed]:
    """Kernels that the person's Jupyter runs; asks its servers."""
    return [
        Listed("existing", kernel.name, kernel.connection_file, described(kernel))
        for kernel in running_kernels(environ)
    ]


def near(kind: str, wanted: str, found: Iterable[Listed]) -> str:
    """A sentence on what there is of this kind, names like the wanted one first; "" if nothing."""
    names = [one.name for one in found if one.kind == kind]
    like = difflib.get_close_matches(wanted, names, n=_NEAR, cutoff=0.6)
    by_end = {Path(name).name: name for name in names}
    like += [by_end[end] for end in difflib.get_close_matches(Path(wanted).name, by_end, n=_NEAR, cutoff=0.6)]
    shown = list(dict.fromkeys([*like, *names]))[:_NEAR]
    more = ", ... (list_environments shows all)" if len(names) > len(shown) else ""
    return f"There are, of type {kind}: {', '.join(shown)}{more}." if names else ""


def python_version(prefix: Path) -> str | None:
    """The version of a prefix's Python, from what stands on disk beside it."""
    for record in (prefix / "conda-meta").glob("python-[0-9]*.json"):
        return record.name.split("-")[1]
    settings = _settings(prefix / "pyvenv.cfg")
    said = settings.get("version") or settings.get("version_info")  # venv's; virtualenv's and uv's
    if said:
        return ".".join(said.split(".")[:3])
    for library in sorted((prefix / "lib").glob("python[0-9]*")):
        return library.name.removeprefix("python")
    return None


def ipykernel_version(prefix: Path) -> str | None:
    """The version of a prefix's own ipykernel."""
    for found in prefix.glob("lib/python*/site-packages/ipykernel-*.dist-info"):
        return found.name.removeprefix("ipykernel-").removesuffix(".dist-info")
    return None


def _conda(environ: Mapping[str, str]) -> Iterator[Listed]:
    prefixes = conda_places.prefixes(environ)
    roots = {os.path.realpath(root) for root in conda_places.roots(environ)}
    names = ["base" if os.path.realpath(prefix) in roots else prefix.name for prefix in prefixes]
    for index, (prefix, name) in enumerate(zip(prefixes, names, strict=True)):
        # Of two with one name, the name means the first.
        yield _python("conda", str(prefix) if name in names[:index] else name, prefix)


def _venvs(environ: Mapping[str, str], folders: Iterable[Path]) -> Iterator[Listed]:
    home = Path(paths.home(environ))
    for project in _projects(folders, home):
        venvs = [project / name for name in _VENV_NAMES if (project / name / "pyvenv.cfg").is_file()]
        if (project / "pyvenv.cfg").is_file():
            venvs.append(project)
        yield from map(_venv, venvs)
        if not venvs and (project / "uv.lock").is_file():
            problem = (
                f"a uv project without its environment; make it with: uv sync --project {quoted(project)}"
            )
            yield Listed("venv-uv", str(project / ".venv"), project / ".venv", "no Python yet", None, problem)
    for collection in (environ.get("WORKON_HOME"), home / ".virtualenvs", home / ".venvs"):
        if collection:
            found = (folder for folder in _children(Path(collection)) if (folder / "pyvenv.cfg").is_file())
            yield from map(_venv, found)


def _projects(folders: Iterable[Path], home: Path) -> Iterator[Path]:
    """The folders, what is in them, and what they are in."""
    for folder in dict.fromkeys(folders):
        yield folder
        yield from _children(folder)
        for above in islice(folder.parents, _PARENTS):
            if above in (home, Path(above.anchor)):
                break
            yield above


def _venv(prefix: Path) -> Listed:
    kind = "venv-uv" if "uv" in _settings(prefix / "pyvenv.cfg") else "venv"
    return _python(kind, str(prefix), prefix)


def _python(kind: str, name: str, prefix: Path) -> Listed:
    executable = prefix / "bin" / "python"
    problem = ""
    if not executable.exists():
        problem = "its Python is gone" if executable.is_symlink() else "it has no Python"
    version = python_version(prefix)
    return Listed(
        kind, name, prefix, f"Python {version}" if version else "Python", ipykernel_version(prefix), problem
    )


def _kernelspecs(environ: Mapping[str, str]) -> Iterator[Listed]:
    for name, folder in kernelspecs(environ).items():
        ours = kernelspec.environment_in(folder)
        if ours is not None:
            if ours.kind in ("conda", "venv", "venv-uv") and ours.prefix.is_dir():  # used before
                yield _python(ours.kind, str(ours.prefix), ours.prefix)
            continue
        try:
            spec = read_spec(folder)
            by = f", by the provisioner {spec.provisioner!r}" if spec.provisioner != LOCAL else ""
            yield Listed("kernelspec", name, folder, f"{spec.language}, {spec.display_name!r}{by}", None, "")
        except EnvironmentUnusable as error:
            yield Listed("kernelspec", name, folder, "unknown", None, error.what)


def _children(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            found = [Path(entry.path) for entry in islice(entries, _CHILDREN) if entry.is_dir()]
    except OSError:
        return []
    return sorted(found)


def _settings(file: Path) -> dict[str, str]:
    """The lines `name = value` of a pyvenv.cfg, as `site` reads them: configparser wants a section."""
    try:
        lines = read_text(file, errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
