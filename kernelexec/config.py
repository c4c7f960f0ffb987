"""A client's settings: what its environment variables and working directory ask for. Their one reader."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from kernelexec import paths
from kernelexec.errors import ConfigError
from kernelexec.model.limits import Allowance, Limits
from kernelexec.model.server_address import BadAddress, clean_url, kernel_at, server_and_kernelspec
from kernelexec.plain_file import read_text

DEFAULT_WAIT_SECONDS = 45.0  # below the limit of every client seen (60 s and more)
LONGEST_WAIT_SECONDS = 50.0
KERNEL_IDLE_SECONDS = 86_400.0  # a day: a kernel that is needed tomorrow morning is still there
_LONGEST_SECONDS = 86_400.0
_LEAST_MEMORY_MB = 200  # a kernel that has run nothing takes 60, and its imports some more
_MOST_MB = 100_000_000
_MOST = 1_000_000
# By the limit's name (model.limits.Allowance): unit, least, most.
ALLOWED = {
    "memory_mb": ("megabytes", _LEAST_MEMORY_MB, _MOST_MB),
    "kernels": ("kernels", 1, _MOST),
    "queued": ("submissions", 1, _MOST),
    "session_mb": ("megabytes", 1, _MOST_MB),
}
_LONGEST_IDLE_SECONDS = 10 * 365 * 86_400.0
BESIDE_THE_CLIENT = "the .venv in the client's directory"
OF_THE_UV_PROJECT = "the environment of the uv project or workspace that the client's directory is in"
# By kind of environment: the variable that names one. Alone, the first of them that is set decides.
ENVIRONMENT_VARIABLES = {
    "conda": "CONDA_ENV_NAME",
    "venv": "VENV_PATH",
    "venv-uv": "UV_VENV_PATH",
    "kernelspec": "KERNEL_NAME",
    "gateway": "GATEWAY_URL",
}
_CONFIGURED = (*ENVIRONMENT_VARIABLES, "default")
ENVIRONMENT_KINDS = (*_CONFIGURED, "existing")  # the last is chosen while it runs, not configured
_OF_A_COMMAND = ("conda", "venv", "venv-uv", "default")  # what KERNELEXEC_VIA can go with
_PREFIX = "KERNELEXEC_"
# All that begin with it. A misspelt one would have no effect, and nobody would know.
_PREFIXED = (
    "KERNELEXEC_CELL_MB",
    "KERNELEXEC_CWD",
    "KERNELEXEC_HOST",
    "KERNELEXEC_HUB_IDLE_SECONDS",
    "KERNELEXEC_KERNELS",
    "KERNELEXEC_KERNEL_IDLE_SECONDS",
    "KERNELEXEC_MAX_WAIT_SECONDS",
    "KERNELEXEC_MEMORY_MB",
    "KERNELEXEC_QUEUED",
    "KERNELEXEC_RUNTIME_DIR",
    "KERNELEXEC_RUN_MB",
    "KERNELEXEC_SESSION",
    "KERNELEXEC_SESSION_MB",
    "KERNELEXEC_STILL_IMAGES",
    "KERNELEXEC_TRACE",
    "KERNELEXEC_VIA",
    "KERNELEXEC_WAIT_SECONDS",
)
_UNPREFIXED = ("CODE_STORAGE_DIR", "ENV_TYPE", "GATEWAY_KERNEL", *ENVIRONMENT_VARIABLES.values())
_KINDS = (
    "Set ENV_TYPE=conda with CONDA_ENV_NAME, ENV_TYPE=venv with VENV_PATH, ENV_TYPE=venv-uv with "
    "UV_VENV_PATH, ENV_TYPE=kernelspec with KERNEL_NAME or ENV_TYPE=gateway with GATEWAY_URL; or set none of "
    "them for a .venv in the client's directory, else the default environment."
)


@dataclass(frozen=True)
class EnvironmentChoice:
    """Which environment was asked for.

    `value`: of a venv its folder, of conda a name or the prefix's path, of a kernelspec its name, of an
    existing kernel its id or the path of its notebook or connection file, of a kernel on a server what
    model.server_address.kernel_at makes.
    """

    kind: str
    value: str = ""
    origin: str = ""  # in words: what asked for it; nothing did where it is empty
    via: str = ""  # KERNELEXEC_VIA: the command at whose end it is; then `value` is what it is called there

    @property
    def named(self) -> str:
        """In words."""
        there = f"via {self.via}" if self.via else ""
        return " ".join(filter(None, (self.kind, self.value, there)))

    @property
    def is_elsewhere(self) -> bool:
        """Whether another machine's files are what its code reads and writes."""
        return bool(self.via) or self.kind == "gateway"

    @property
    def why(self) -> str:
        return f"because of {self.origin}" if self.origin else "because nothing is configured"


@dataclass(frozen=True)
class Gateway:
    """A Jupyter server whose kernels are used, and how it is spoken to."""

    url: str
    kernelspec: str = ""  # the server's default one where it is empty
    token: str = field(default="", repr=False)  # JUPYTER_TOKEN
    token_file: Path | None = None  # which counts where it is set; read anew each time
    ca_file: Path | None = None  # of who vouches for its certificate, where that is not a public authority

    @property
    def name(self) -> str:
        """See EnvironmentChoice."""
        return kernel_at(self.url, self.kernelspec)


@dataclass(frozen=True)
class Config:
    """A client's configuration, checked as far as it can be without touching the environment."""

    storage_dir: Path
    environment: EnvironmentChoice
    environment_settings: Mapping[str, str]  # the variables that chose it, as they are
    session: str | None  # KERNELEXEC_SESSION
    client_dir: Path
    project: str  # its real path; "" where it is the home directory or /, which are no project
    chosen_dir: Path | None  # the kernels' working directory, where the settings name one
    origin_of_dir: str  # which of them does; "" if none
    wait_seconds: float
    longest_wait_seconds: float
    longest_wait_is_chosen: bool  # and not the default, which some clients can exceed
    kernel_idle_seconds: float  # after which an unused kernel is stopped; 0: never
    limits: Limits
    allowance: Allowance
    traces: bool  # the steps of each submission are logged

    @property
    def storage_identity(self) -> str:
        """The storage directory's real path, now: two spellings of one directory share their sessions."""
        return os.path.realpath(self.storage_dir)

    def kernel_dir(self, project: str | None = None) -> Path:
        """Where a new kernel works. `project`: the real path of what its session is for, "" for none of all
        projects, None for whoever uses it; one of another host, which is not here, has that before it."""
        if self.chosen_dir is not None:
            return self.chosen_dir
        project = self.project if project is None else project
        if not os.path.isabs(project):
            return self.storage_dir
        return self.client_dir if project == self.project else Path(project)  # in the client's own spelling


def read_config(environ: Mapping[str, str], cwd: str) -> Config:
    """The configuration that a client's environment variables give.

    Raises:
        ConfigError: a variable's value cannot be used; the message says how to mend it.
    """
    client_dir = Path(cwd)
    storage_dir = _path(environ, "CODE_STORAGE_DIR", client_dir)
    chosen_dir = _path(environ, "KERNELEXEC_CWD", client_dir)
    longest = _seconds(environ, "KERNELEXEC_MAX_WAIT_SECONDS", LONGEST_WAIT_SECONDS)
    return Config(
        storage_dir=storage_dir or Path(paths.home(environ), "kernelexec"),
        environment=_environment(environ, client_dir),
        environment_settings={
            name: environ[name]
            for name in ("ENV_TYPE", "GATEWAY_KERNEL", "KERNELEXEC_VIA", *ENVIRONMENT_VARIABLES.values())
            if environ.get(name, "").strip()
        },
        session=environ.get("KERNELEXEC_SESSION") or None,
        client_dir=client_dir,
        project=_project(environ, client_dir),
        chosen_dir=chosen_dir or storage_dir,
        origin_of_dir="KERNELEXEC_CWD" if chosen_dir else "CODE_STORAGE_DIR" if storage_dir else "",
        wait_seconds=_seconds(environ, "KERNELEXEC_WAIT_SECONDS", min(DEFAULT_WAIT_SECONDS, longest)),
        longest_wait_seconds=longest,
        longest_wait_is_chosen=bool(environ.get("KERNELEXEC_MAX_WAIT_SECONDS", "").strip()),
        kernel_idle_seconds=_seconds(
            environ, "KERNELEXEC_KERNEL_IDLE_SECONDS", KERNEL_IDLE_SECONDS, _LONGEST_IDLE_SECONDS
        ),
        limits=Limits(
            cell=_megabytes(environ, "KERNELEXEC_CELL_MB", Limits.cell),
            run=_megabytes(environ, "KERNELEXEC_RUN_MB", Limits.run),
        ),
        allowance=read_allowance(environ),
        traces=environ.get("KERNELEXEC_TRACE", "").strip() not in ("", "0"),
    )


def read_gateway(environ: Mapping[str, str], cwd: str) -> Gateway | None:
    """The server that a client's environment variables name; None if they name none.

    Raises:
        ConfigError: as above; no secret is in the message.
    """
    said = environ.get("GATEWAY_URL", "").strip()
    if not said:
        return None
    address, kernelspec = server_and_kernelspec(said)
    try:
        url = clean_url(address)
    except BadAddress as error:
        raise ConfigError(
            f"GATEWAY_URL {error}.",
            "Set it to the server's address alone, for example https://hub.example/user/ann, and the token "
            "in JUPYTER_TOKEN, or in a file that GATEWAY_TOKEN_FILE names.",
        ) from None
    return Gateway(
        url,
        environ.get("GATEWAY_KERNEL", "").strip() or kernelspec,
        environ.get("JUPYTER_TOKEN", "").strip(),
        _path(environ, "GATEWAY_TOKEN_FILE", Path(cwd)),
        _path(environ, "GATEWAY_CA_FILE", Path(cwd)) or _path(environ, "SSL_CERT_FILE", Path(cwd)),
    )


def read_allowance(environ: Mapping[str, str]) -> Allowance:
    """What a client lets its sessions take.

    Raises:
        ConfigError: as above.
    """
    said = {
        "memory_mb": environ.get("KERNELEXEC_MEMORY_MB", ""),
        "kernels": environ.get("KERNELEXEC_KERNELS", ""),
        "queued": environ.get("KERNELEXEC_QUEUED", ""),
        "session_mb": environ.get("KERNELEXEC_SESSION_MB", ""),
    }
    given = {name: value.strip() for name, value in said.items() if value.strip()}
    return Allowance.of(
        {name: amount(f"{_PREFIX}{name.upper()}={value!r}", value, name) for name, value in given.items()}
    )


def amount(said: str, value: str, name: str) -> int:
    """The number of one of ALLOWED.

    Raises:
        ConfigError: it is none; `said` is how its reader finds it.
    """
    unit, least, most = ALLOWED[name]
    if not (value.isascii() and value.isdigit() and len(value) < 20 and least <= int(value) <= most):
        raise ConfigError(
            f"{said} is not a whole number of {unit} from {least} to {most}.", "Leave it out for no limit."
        )
    return int(value)


def unknown_settings(environ: Mapping[str, str]) -> list[str]:
    """A sentence about each variable that looks like a setting of ours and is none."""
    unknown = sorted(name for name in environ if name.startswith(_PREFIX) and name not in _PREFIXED)
    return [f"{name} is no setting of kernelexec's and has no effect{_near(name)}." for name in unknown]


def _near(name: str) -> str:
    said = name.removeprefix(_PREFIX)
    if said in _UNPREFIXED:
        return f"; {said} is one"
    begun = [known for known in _PREFIXED if known.startswith(f"{name}_")]
    # Without what all begin with: by that, any two of them are near.
    rests = [known.removeprefix(_PREFIX) for known in _PREFIXED]
    near = begun or difflib.get_close_matches(said, rests, n=1, cutoff=0.6)
    return f"; {_PREFIX}{near[0].removeprefix(_PREFIX)} is one" if near else ""


def _project(environ: Mapping[str, str], client_dir: Path) -> str:
    project = os.path.realpath(client_dir)
    # Where clients without a project are started.
    nowhere = (os.path.realpath(paths.home(environ)), os.path.realpath("/"))
    return "" if project in nowhere else project


def environment_choice(
    kind: str, value: str, origin: str, environ: Mapping[str, str], client_dir: Path
) -> EnvironmentChoice:
    """A choice in words that mean the same everywhere: paths are absolute.

    Raises:
        ConfigError: no environment can be called that.
    """
    value = value.strip()
    if "\0" in value:
        raise ConfigError(f"{origin} contains a NUL character.", "Give a plain name or path.")
    via = environ.get("KERNELEXEC_VIA", "").strip()
    if via and kind in _OF_A_COMMAND:
        if "\n" in value:
            raise ConfigError(f"{origin} contains the end of a line.", "Give a plain name or path.")
        return EnvironmentChoice(kind, value, origin, via)
    if kind == "gateway" or (kind == "kernelspec" and value.startswith(("http://", "https://"))):
        return _on_gateway(value, origin, environ, client_dir)
    may_be_path = "/" in value or value[:1] in ("~", ".")
    is_path = (
        kind in ("venv", "venv-uv")
        or (kind == "conda" and may_be_path)
        or (kind == "existing" and (may_be_path or value.endswith(".ipynb")))
    )
    if value and is_path:
        value = str(_absolute(value, environ, client_dir))
    return EnvironmentChoice(kind, value, origin)


def _on_gateway(value: str, origin: str, environ: Mapping[str, str], client_dir: Path) -> EnvironmentChoice:
    """Only on the server that the configuration names: another one would be sent its token."""
    gateway = read_gateway(environ, str(client_dir))
    if gateway is None:
        raise ConfigError(
            f"{origin} names a kernel on a server, and no server is configured.",
            "Set GATEWAY_URL in the MCP configuration.",
        )
    url, kernelspec = server_and_kernelspec(value)
    if origin == "GATEWAY_URL":
        return EnvironmentChoice("gateway", gateway.name, origin)
    if url.rstrip("/") != gateway.url:
        raise ConfigError(
            f"{origin} names a kernel on another server than GATEWAY_URL does, which is {gateway.url}.",
            "list_environments shows that server's kernelspecs.",
        )
    return EnvironmentChoice("gateway", kernel_at(gateway.url, kernelspec), origin)


def _environment(environ: Mapping[str, str], client_dir: Path) -> EnvironmentChoice:
    said = environ.get("ENV_TYPE", "").strip()
    kind = said.lower()
    via = environ.get("KERNELEXEC_VIA", "").strip()
    if via:
        return _environment_there(kind, via, environ, client_dir)
    if not kind:
        return _environment_without_type(environ, client_dir)
    if kind == "default":
        return EnvironmentChoice("default", origin="ENV_TYPE")
    if kind not in ENVIRONMENT_VARIABLES:
        raise ConfigError(f"ENV_TYPE={said!r} is not one of {', '.join(_CONFIGURED)}.", _KINDS)
    variable = ENVIRONMENT_VARIABLES[kind]
    if not environ.get(variable, "").strip():
        raise ConfigError(f"ENV_TYPE={kind} needs {variable}, which is not set.", _KINDS)
    return environment_choice(kind, environ[variable], variable, environ, client_dir)


def _environment_there(
    kind: str, via: str, environ: Mapping[str, str], client_dir: Path
) -> EnvironmentChoice:
    """At the end of a command, whose environments only it can look for."""
    named = [each for each, variable in ENVIRONMENT_VARIABLES.items() if environ.get(variable, "").strip()]
    kind = kind or next(iter(named), "default")
    if kind not in _OF_A_COMMAND:
        raise ConfigError(
            f"KERNELEXEC_VIA has kernels run at the end of a command, and ENV_TYPE={kind} names others.",
            "With KERNELEXEC_VIA set VENV_PATH or CONDA_ENV_NAME to what is there; neither: its python3.",
        )
    if kind == "default":
        return EnvironmentChoice("default", origin="KERNELEXEC_VIA", via=via)
    variable = ENVIRONMENT_VARIABLES[kind]
    if not environ.get(variable, "").strip():
        raise ConfigError(f"ENV_TYPE={kind} needs {variable}, which is not set.", _KINDS)
    return environment_choice(kind, environ[variable], variable, environ, client_dir)


def _environment_without_type(environ: Mapping[str, str], client_dir: Path) -> EnvironmentChoice:
    for kind, variable in ENVIRONMENT_VARIABLES.items():
        if environ.get(variable, "").strip():
            return environment_choice(kind, environ[variable], variable, environ, client_dir)
    beside = client_dir / ".venv"
    found = _kind_of(beside)
    if found is not None:
        return EnvironmentChoice(found, str(beside), BESIDE_THE_CLIENT)
    of_uv = _uv_environment(environ, client_dir)
    found = _kind_of(of_uv) if of_uv is not None else None
    if found is not None:
        return EnvironmentChoice(found, str(of_uv), OF_THE_UV_PROJECT)
    return EnvironmentChoice("default")


def _kind_of(folder: Path) -> str | None:
    """The kind of the environment that somebody made or meant to make here; what is wrong with it is told
    when it is looked at. None: nothing is here."""
    if os.path.isfile(folder / "conda-meta" / "history"):
        return "conda"
    if os.path.isfile(folder / "pyvenv.cfg") or (folder.is_symlink() and not os.path.isfile(folder)):
        return "venv"
    # Half of one is somebody's, too; a folder of many is not.
    return "venv" if any(os.path.lexists(folder / part) for part in ("bin", "lib")) else None


def _uv_environment(environ: Mapping[str, str], client_dir: Path) -> Path | None:
    """Where uv has the environment of the project that this directory is in: in the workspace's root, where
    the project is a workspace's member. None: it is in no project of uv's.

    https://docs.astral.sh/uv/concepts/projects/workspaces/
    """
    above = (client_dir, *client_dir.parents)
    project = next((folder for folder in above if os.path.isfile(folder / "pyproject.toml")), None)
    if project is None:
        return None
    name = environ.get("UV_PROJECT_ENVIRONMENT") or ".venv"
    for root in (project, *project.parents):
        workspace = _uv_settings(root).get("workspace")
        if isinstance(workspace, Mapping) and (root == project or _has_member(workspace, root, project)):
            return root / name
    is_uvs = os.path.isfile(project / "uv.lock") or bool(_uv_settings(project))
    return project / name if is_uvs else None


def _uv_settings(folder: Path) -> Mapping[str, Any]:
    """The table `tool.uv` of a folder's pyproject.toml, empty if there is none."""
    # Here, because few need it.
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        said = tomllib.loads(read_text(folder / "pyproject.toml"))
        settings = said["tool"]["uv"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return settings if isinstance(settings, Mapping) else {}


def _has_member(workspace: Mapping[str, Any], root: Path, project: Path) -> bool:
    parts = project.relative_to(root).parts

    def is_meant(name: str) -> bool:
        patterns = workspace.get(name)
        return isinstance(patterns, list) and any(_fits(parts, str(pattern)) for pattern in patterns)

    return is_meant("members") and not is_meant("exclude")


def _fits(parts: Sequence[str], pattern: str) -> bool:
    """Whether a folder's path is one that a glob means."""
    wanted = [part for part in pattern.split("/") if part not in ("", ".")]
    if "**" in wanted:
        return fnmatch("/".join(parts), pattern.removeprefix("./").replace("**/", "*"))
    return len(wanted) == len(parts) and all(map(fnmatch, parts, wanted))


def _path(environ: Mapping[str, str], variable: str, relative_to: Path) -> Path | None:
    value = environ.get(variable, "").strip()
    if not value:
        return None
    if "\0" in value:
        raise ConfigError(f"{variable} contains a NUL character.", "Give a plain path.")
    return _absolute(value, environ, relative_to)


def _absolute(value: str, environ: Mapping[str, str], relative_to: Path) -> Path:
    if value == "~" or value.startswith("~/"):
        value = paths.home(environ) + value[1:]
    elif value.startswith("~"):
        value = os.path.expanduser(value)
    # normpath, not resolve: the person's own spelling is what replies show.
    return Path(os.path.normpath(relative_to / value))


def _seconds(
    environ: Mapping[str, str], variable: str, default: float, longest: float = _LONGEST_SECONDS
) -> float:
    value = environ.get(variable, "").strip()
    if not value:
        return default
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= longest:  # also false for NaN
        raise ConfigError(
            f"{variable}={value!r} is not a number of seconds from 0 to {longest:.0f}.",
            f"Leave it out for {default:g}.",
        )
    return seconds


def _megabytes(environ: Mapping[str, str], variable: str, default: int) -> int:
    """In bytes."""
    value = environ.get(variable, "").strip()
    if not value:
        return default
    try:
        size = float(value)
    except ValueError:
        size = -1.0
    if not 0.01 <= size <= 1_000_000:  # also false for NaN
        raise ConfigError(
            f"{variable}={value!r} is not a number of megabytes from 0.01 to 1000000.",
            f"Leave it out for {default / 1e6:g}.",
        )
    return int(size * 1e6)
