"""Where conda, mamba and micromamba keep their installations and environments.

Found without running any of them, and without any of them on PATH: a client started from a desktop
has a bare one. The rules are conda's own: https://docs.conda.io/projects/conda/en/stable/user-guide/configuration/
"""

from __future__ import annotations

import difflib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from kernelexec import paths
from kernelexec.errors import EnvironmentUnusable
from kernelexec.plain_file import read_text

_USUAL_ROOTS = (
    *("miniconda3", "miniforge3", "mambaforge", "anaconda3", "miniconda", "anaconda", "conda"),
    *("micromamba", ".local/share/mamba", ".conda-root", "opt/miniconda3", "opt/anaconda3"),
)
_USUAL_PARENTS = ("/opt", "/usr/local", "/opt/homebrew", "/srv")
_MORE_ROOTS = (
    "/opt/homebrew/Caskroom/miniconda/base",
    "/opt/homebrew/Caskroom/miniforge/base",
    "/usr/local/Caskroom/miniconda/base",
    "/usr/local/Caskroom/miniforge/base",
)
_MOST_NAMED = 30  # in one error
TOOLS = ("conda", "mamba", "micromamba")


def is_prefix(folder: Path) -> bool:
    """Whether this is a conda environment."""
    return (folder / "conda-meta" / "history").is_file()


def roots(environ: Mapping[str, str]) -> list[Path]:
    """The installations: a conda with its base environment, or where micromamba keeps environments."""
    home = Path(paths.home(environ))
    candidates = [_two_above(environ.get("CONDA_EXE")), environ.get("MAMBA_ROOT_PREFIX")]
    for tool in ("conda", "mamba"):  # micromamba's place says nothing of where it keeps environments
        found = shutil.which(tool, path=environ.get("PATH", ""))
        if found:
            candidates += [_two_above(found), _two_above(os.path.realpath(found))]
    listed = list(_listed_by_conda(home))
    candidates += [str(prefix.parent.parent) for prefix in listed if prefix.parent.name == "envs"]
    candidates += [str(prefix) for prefix in listed]
    candidates += [str(home / name) for name in _USUAL_ROOTS]
    usual = [name for name in _USUAL_ROOTS if "/" not in name and name[0] != "."]
    candidates += [f"{parent}/{name}" for parent in _USUAL_PARENTS for name in usual]
    candidates += _MORE_ROOTS
    return [root for root in _unique(candidates) if _is_root(root)]


def prefixes(environ: Mapping[str, str]) -> list[Path]:
    """All conda environments, base environments first."""
    home = Path(paths.home(environ))
    known = roots(environ)
    found = [str(root) for root in known if is_prefix(root)]
    for folder in environment_dirs(environ, known):
        found += [str(path) for path in _folders(folder)]
    found += [str(prefix) for prefix in _listed_by_conda(home)]
    return [prefix for prefix in _unique(found) if is_prefix(prefix)]


def name_of(prefix: Path, environ: Mapping[str, str]) -> str:
    """What conda calls the environment: `base`, or its folder's name."""
    here = os.path.realpath(prefix)
    return "base" if any(os.path.realpath(root) == here for root in roots(environ)) else prefix.name


def find_prefix(name_or_path: str, environ: Mapping[str, str]) -> Path:
    """The environment with this name, or the one at this absolute path.

    Raises:
        EnvironmentUnusable: there is none; near names are told.
    """
    if name_or_path.startswith("/"):
        return Path(name_or_path)  # what is wrong with it is told when it is looked at
    known = roots(environ)
    if name_or_path in ("base", "root") and known:
        based = [root for root in known if is_prefix(root)]
        if based:
            return based[0]
    for folder in environment_dirs(environ, known):
        if is_prefix(folder / name_or_path):
            return folder / name_or_path
    everywhere = prefixes(environ)
    for prefix in everywhere:  # made elsewhere with `conda create -p`
        if name_of(prefix, environ) == name_or_path:
            return prefix
    raise EnvironmentUnusable(
        f"There is no conda environment called {name_or_path!r}.",
        _what_there_is(name_or_path, [name_of(prefix, environ) for prefix in everywhere], environ),
    )


def find_tool(prefix: Path, environ: Mapping[str, str]) -> Path | None:
    """The conda, mamba or micromamba that can install into this environment."""
    root = prefix.parent.parent if prefix.parent.name == "envs" else prefix
    beside = [folder for folder in _unique([str(root), *map(str, roots(environ))]) if _is_root(folder)]
    places = [str(folder / part) for folder in beside for part in ("condabin", "bin")]
    home = paths.home(environ)
    places += [environ.get("PATH", ""), f"{home}/.local/bin", f"{home}/bin", "/usr/local/bin"]
    for variable in ("CONDA_EXE", "MAMBA_EXE"):
        named = environ.get(variable, "")
        if named and os.access(named, os.X_OK):
            return Path(named)
    for tool in TOOLS:
        found = shutil.which(tool, path=os.pathsep.join(places))
        if found:
            return Path(found)
    return None


def environment_dirs(environ: Mapping[str, str], known_roots: Iterable[Path]) -> list[Path]:
    """The folders in which an environment is looked for by its name, in conda's order."""
    known = list(known_roots)
    named = environ.get("CONDA_ENVS_DIRS") or environ.get("CONDA_ENVS_PATH") or ""
    folders = [part for part in named.split(os.pathsep) if part]
    for file in _condarcs(environ, known):
        folders += [_expanded(entry, environ) for entry in _envs_dirs_in(file)]
    folders += [str(root / "envs") for root in known]
    folders.append(f"{paths.home(environ)}/.conda/envs")
    return _unique(folders)


def _what_there_is(wanted: str, names: list[str], environ: Mapping[str, str]) -> str:
    if not names:
        looked = ", ".join(map(str, roots(environ))) or "the usual places"
        return (
            f"No conda environments were found at all (looked at: {looked}). Set CONDA_EXE to the path of "
            "conda, or CONDA_ENV_NAME to the environment's own path."
        )
    near = difflib.get_close_matches(wanted, names, n=5, cutoff=0.6)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    listed = list(dict.fromkeys(names))
    more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    return f"{meant}There are: {', '.join(listed[:_MOST_NAMED])}{more}. An environment's path will do, too."


def _condarcs(environ: Mapping[str, str], known_roots: list[Path]) -> list[Path]:
    home = Path(paths.home(environ))
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config", "conda")
    files = [Path(environ["CONDARC"])] if environ.get("CONDARC") else []
    files += [home / ".condarc", home / ".conda/.condarc", home / ".conda/condarc", home / ".mambarc"]
    files += [config / ".condarc", config / "condarc"]
    files += [root / name for root in known_roots for name in (".condarc", "condarc")]
    return [*files, Path("/etc/conda/.condarc"), Path("/etc/conda/condarc")]


def _envs_dirs_in(condarc: Path) -> list[str]:
    """The `envs_dirs` of a .condarc."""
    try:
        text = read_text(condarc)
    except (OSError, ValueError):
        return []
    import yaml  # here, because it takes 30 ms and few have such a file

    try:
        said = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):  # also of a date that is none
        return []
    listed = (said.get("envs_dirs") or said.get("envs_path")) if isinstance(said, dict) else None
    return [str(entry) for entry in listed if entry] if isinstance(listed, list) else []


def _expanded(path: str, environ: Mapping[str, str]) -> str:
    if path == "~" or path.startswith("~/"):
        path = paths.home(environ) + path[1:]
    for name, value in environ.items():
        path = path.replace(f"${{{name}}}", value)
    return path if not path.startswith("$HOME") else paths.home(environ) + path[5:]


def _listed_by_conda(home: Path) -> Iterator[Path]:
    """Every environment that conda ever made, as it keeps count of them itself."""
    try:
        lines = read_text(home / ".conda" / "environments.txt").splitlines()
    except (OSError, ValueError):
        return
    yield from (Path(line.strip()) for line in lines if line.strip().startswith("/"))


def _is_root(folder: Path) -> bool:
    has_tool = any((folder / part / "conda").exists() for part in ("condabin", "bin"))
    return (has_tool and is_prefix(folder)) or (folder / "envs").is_dir()


def _two_above(executable: str | None) -> str | None:
    return str(Path(executable).parent.parent) if executable else None


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []


def _unique(candidates: Iterable[str | None]) -> list[Path]:
    """Absolute paths, each place once, however it is spelled."""
    found: dict[str, Path] = {}
    for candidate in candidates:
        if candidate and candidate.startswith("/"):
            found.setdefault(os.path.realpath(candidate), Path(candidate))
    return list(found.values())
