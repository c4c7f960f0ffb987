"""The doctor: looks at all that kernelexec needs, and says of what is wrong how to mend it."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from kernelexec import __version__, paths
from kernelexec.bridge.far_link import FarHost
from kernelexec.bridge.rendezvous import socket_path
from kernelexec.bridge.way import named_host
from kernelexec.config import Config, EnvironmentChoice, read_config, unknown_settings
from kernelexec.environments import catalog
from kernelexec.environments.asking import ask
from kernelexec.environments.default import Default
from kernelexec.environments.installers import installer_of
from kernelexec.environments.our_kernelspecs import OurKernelspec, our_kernelspecs
from kernelexec.environments.packages import Packages
from kernelexec.environments.remedies import install_command
from kernelexec.environments.source import Places
from kernelexec.errors import ConfigError, EnvironmentUnusable, HubUnavailable, KernelexecError, KernelFailed
from kernelexec.hub import environment_limits
from kernelexec.hub.kernels import try_out, why_not_in
from kernelexec.hub.server_examination import ServerFacts
from kernelexec.kernels import hosts
from kernelexec.kernels.kernel import KernelDied, ReplyLost
from kernelexec.kernels.slurm import is_slurm
from kernelexec.model.environment import Environment
from kernelexec.recording import validity

_LEAST_FREE = 100_000_000  # bytes; a plot takes 0.1 MB, a kernelspec's lent ipykernel 60 MB
_LITTLE_FREE = 1_000_000_000
_SECONDS = 30.0
_AT_ONCE = 4  # kernels tried at a time


class Level(str, Enum):
    OK = "ok"
    NOTE = "note"  # works, but the person may want to know
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `mend` is a command or an instruction."""

    level: Level
    subject: str
    what: str
    mend: str = ""

    def text(self) -> str:
        text = f"{self.what}\nmend: {self.mend}" if self.mend else self.what
        return f"{self.level.value:8} {self.subject:12} " + text.replace("\n", f"\n{'':22}")


def is_well(findings: list[Finding]) -> bool:
    return all(finding.level is not Level.PROBLEM for finding in findings)


def summary(findings: list[Finding]) -> str:
    """All findings, the verdict first."""
    problems = sum(finding.level is Level.PROBLEM for finding in findings)
    verdict = f"{problems} problem{'s' if problems > 1 else ''} found." if problems else "All is well."
    return "\n".join([verdict, *(finding.text() for finding in findings)])


async def examine(
    environ: Mapping[str, str], cwd: str, hub: Finding, chosen: EnvironmentChoice | None = None
) -> list[Finding]:
    """What there is to say to a client with these variables, in this directory.

    `hub` is what who asks knows of the hub, `chosen` an environment that was chosen since.
    """
    findings = [hub, *_runtime(environ), *_own_directories(environ)]
    places = Places(environ)
    findings += await examine_settings(environ, cwd, chosen)
    with suppress(ConfigError):  # which is told already
        findings += await _notebooks(read_config(environ, cwd).storage_dir)
    findings += await _kernelspecs(places)
    findings += _side_directories(places.data_dir)
    return [*findings, await _jupyter(environ)]


async def examine_settings(
    environ: Mapping[str, str], cwd: str, chosen: EnvironmentChoice | None = None
) -> list[Finding]:
    """What there is to say about these variables alone: where code runs, with what, what is kept where."""
    said = named_host(environ)
    if said:
        return [await asyncio.to_thread(_host, said, environ)]
    try:
        config = read_config(environ, cwd)
    except ConfigError as error:
        return [_problem("settings", error)]
    unknown = [
        Finding(Level.NOTE, "settings", each, "correct its name") for each in unknown_settings(environ)
    ]
    return [
        *unknown,
        *_limits(Path(paths.config_dir(environ), environment_limits.FILE)),
        *_storage(config),
        *await _configured(chosen or config.environment, environ),
    ]


def _limits(file: Path) -> Iterator[Finding]:
    """What the person has written about what environments may take."""
    try:
        written = environment_limits.read(file)
    except ConfigError as error:
        yield _problem("limits", error)
        return
    for each in written.unknown:
        yield Finding(Level.NOTE, "limits", each, "correct its name")
    for path in written.missing:
        yield Finding(Level.NOTE, "limits", f"{path}, which {file} names, is not there", "correct its path")
    if written.by_name:
        names = ", ".join(sorted(written.by_name))
        yield Finding(Level.OK, "limits", f"{file} has limits for {names}")


def _host(said: str, environ: Mapping[str, str]) -> Finding:
    """The other host that everything is on, which is asked what is there."""
    began = time.monotonic()
    try:
        host = FarHost(said)
        version = host.version(environ)
    except HubUnavailable as error:
        return _problem("host", error)
    if version != __version__:
        what = f"{said} has kernelexec {version}, and this is {__version__}"
        return Finding(Level.NOTE, "host", what, host.install_command)
    what = f"everything is on {said}, which answered in {time.monotonic() - began:.1f} s"
    return Finding(Level.OK, "host", f"{what}; it says more: kernelexec --host {shlex.quote(said)} doctor")


# --- environments --------------------------------------------------------------------


async def _configured(choice: EnvironmentChoice, environ: Mapping[str, str]) -> list[Finding]:
    """The environment that code runs in."""
    facts = ServerFacts()
    try:
        source = catalog.source_of(choice, environ)
        if isinstance(source, Default) and not source.prefix.exists():
            what = "the default one, which is made when it is first used"
            return [Finding(Level.OK, "environment", what)]
        environment = await catalog.prepare(source, environ, lambda _: None)
        await _try(environment, environ, facts)
        how = await _installer(environment, environ)
    except (KernelexecError, OSError) as error:
        return [_problem("environment", error)]
    what = f"{environment.label} ({environment.kind}, {environment.runs}), {choice.why}; {how}"
    found = [Finding(Level.OK, "environment", what)]
    facts.told(
        lambda is_well, what, mend: found.append(
            Finding(Level.OK if is_well else Level.NOTE, "server", what, mend)
        )
    )
    return found


async def _installer(environment: Environment, environ: Mapping[str, str]) -> str:
    if environment.host:
        return (
            "where its kernels run; packages are installed by its code"
            if environment.is_far
            else "its kernel answers by websocket; packages are installed by its code"
        )
    if environment.interpreter is None:
        return "packages are left to its language's own installer"
    versions = await Packages(environment, environ).versions()
    return f"packages are installed with {installer_of(environment, 'pip' in versions, environ).name}"


async def _kernelspecs(places: Places) -> list[Finding]:
    """The environments that kernelspecs of ours stand for."""
    few = asyncio.Semaphore(_AT_ONCE)

    async def one(spec: OurKernelspec) -> Finding:
        async with few:
            return await _kernelspec(spec, places)

    return list(await asyncio.gather(*map(one, our_kernelspecs(places.kernels_dir))))


async def _kernelspec(spec: OurKernelspec, places: Places) -> Finding:
    subject = "kernelspec"
    if spec.is_stale:
        mend = f"kernelexec kernelspecs remove {spec.name}"
        return Finding(Level.PROBLEM, subject, f"{spec.name}: {spec.problem}", mend)
    environment = spec.environment
    assert environment is not None  # else it is stale
    try:
        if spec.problem is not None:  # something of ours is gone: written anew
            environment = await catalog.prepare(
                catalog.source_at(environment), places.environ, lambda _: None
            )
        await _try(environment, places.environ)
    except (KernelexecError, OSError) as error:
        problem = _problem(subject, error)
        return replace(problem, what=f"{spec.name}: {problem.what}")
    lent = ", ipykernel lent" if environment.borrowed_ipykernel else ""
    return Finding(Level.OK, subject, f"{spec.name}: {environment.runs} in {environment.prefix}{lent}")


async def _try(
    environment: Environment, environ: Mapping[str, str], facts: ServerFacts | None = None
) -> None:
    """Whether a kernel of ours starts in it; `facts` gets what is to be known about a server's.

    Raises:
        KernelexecError, OSError: it does not.
    """
    on_this_machine = environment.is_ours and environment.interpreter is not None
    if not on_this_machine and not environment.host:
        return
    if is_slurm(environment.host):
        return  # a job would wait in the queue, and be paid for
    host = hosts.here(Path(socket_path(environ)).parent, Path(paths.state_dir(environ)))
    try:
        if environment.kind == "gateway" and facts is not None:
            trial = try_out(host, environment, environ, facts.hear, facts.look)
        else:
            trial = try_out(host, environment, environ)
        await asyncio.wait_for(trial, _SECONDS)
    except (KernelDied, ReplyLost) as error:
        raise EnvironmentUnusable(f"A kernel of {environment.host} ended while it was looked at.") from error
    except (asyncio.TimeoutError, TimeoutError):
        raise EnvironmentUnusable(
            f"A kernel of {environment.host or environment.program} did not start within {_SECONDS:.0f} s."
        ) from None
    except KernelFailed as error:
        if environment.interpreter is None:
            raise
        lent = environment.borrowed_ipykernel
        where = "the lent ipykernel" if lent else "its ipykernel"
        anew = install_command(environment.interpreter, ["ipykernel", "pyzmq"], environ, again=True)
        mend = f"rm -r {shlex.quote(str(lent))} (it is made anew)" if lent else anew
        last = error.what.splitlines()[-1]
        raise EnvironmentUnusable(
            f"No kernel starts in {environment.program} with {where}: {last}", mend
        ) from error


# --- folders -------------------------------------------------------------------------


def _runtime(environ: Mapping[str, str]) -> Iterator[Finding]:
    """The directory of the sockets."""
    folder = Path(paths.runtime_dir(environ))
    try:
        socket_path(environ)
        found = folder.lstat()
    except HubUnavailable as error:
        yield _problem("sockets", error)
    except FileNotFoundError:
        yield Finding(Level.OK, "sockets", f"{folder}, which is made when it is first used")
    else:
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            mend = "set KERNELEXEC_RUNTIME_DIR to a directory of your own"
            if not stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
                mend = f"rm {shlex.quote(str(folder))}"
            yield Finding(Level.PROBLEM, "sockets", f"{folder} is not a directory of yours", mend)
        elif found.st_mode & 0o077:
            yield Finding(
                Level.PROBLEM,
                "sockets",
                f"{folder} is open to others",
                f"chmod 700 {shlex.quote(str(folder))}",
            )
        else:
            yield _room("sockets", folder)


def _own_directories(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Log and registry, what kernelexec makes for itself, kernelspecs."""
    for subject, folder, variable in (
        ("log", paths.state_dir(environ), "XDG_STATE_HOME"),
        ("data", paths.data_dir(environ), "XDG_DATA_HOME"),
        ("jupyter", os.path.join(paths.jupyter_data_dir(environ), "kernels"), "JUPYTER_DATA_DIR"),
    ):
        yield _writable(subject, Path(folder), f"set {variable}, in the MCP configuration too")


def _storage(config: Config) -> Iterator[Finding]:
    yield _writable("storage", config.storage_dir, "set CODE_STORAGE_DIR in the MCP configuration")
    directory = config.kernel_dir()
    if directory == config.storage_dir or config.environment.is_elsewhere:
        return
    problem = why_not_in(directory)
    if problem is not None:
        mend = "correct KERNELEXEC_CWD"
        if not os.path.lexists(directory):
            mend = f"mkdir -p {shlex.quote(str(directory))}, or {mend}"
        yield Finding(Level.PROBLEM, "directory", f"{directory}, where code is to run, {problem}", mend)
    elif not os.access(directory, os.W_OK | os.X_OK):
        mend = "set KERNELEXEC_CWD, if that is not meant"
        yield Finding(Level.NOTE, "directory", f"code runs in {directory}, where you cannot write", mend)
    else:
        yield Finding(Level.OK, "directory", f"code runs in {directory}")


async def _notebooks(storage_dir: Path) -> list[Finding]:
    """Whether Jupyter can open what was written last."""
    if not os.path.lexists(storage_dir):
        return []
    root = paths.import_root()
    program = f"import sys; sys.path[0] = {root!r}; from kernelexec.recording.validity import main; main()"
    try:
        notebooks, others = await asyncio.to_thread(validity.newest, storage_dir)
        if not notebooks:
            return []
        said = await ask((sys.executable, "-E", "-c", program, storage_dir, *notebooks), os.environ, _SECONDS)
        damaged = [validity.Damaged(**fields) for fields in json.loads(said.out)]
    except (OSError, ValueError):  # also TimeoutError
        return [Finding(Level.NOTE, "notebooks", f"those in {storage_dir} could not be looked at")]
    if damaged:
        return [_notebook(one) for one in damaged]
    more = f"; {others:,} that are older or too large were not looked at" if others else ""
    return [Finding(Level.OK, "notebooks", f"{len(notebooks)} looked at, all valid{more}")]


def _notebook(damaged: validity.Damaged) -> Finding:
    what = f"{damaged.path} is not valid: {damaged.what}"
    if damaged.is_young:
        return Finding(Level.NOTE, "notebooks", f"{what}. It may be being saved: look again in a moment")
    if damaged.has_journal:
        mend = f"kernelexec rebuild {shlex.quote(damaged.path)} (it makes a new one beside it)"
        return Finding(Level.PROBLEM, "notebooks", what, mend)
    return Finding(Level.NOTE, "notebooks", f"{what}. It has no journal here to be made again from")


def _writable(subject: str, folder: Path, otherwise: str) -> Finding:
    """Whether a folder that need not be there yet can be written, and has room."""
    existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not existing.is_dir():
        return Finding(Level.PROBLEM, subject, f"{existing} is not a directory", f"remove it, or {otherwise}")
    if os.statvfs(existing).f_flag & os.ST_RDONLY:
        return Finding(Level.PROBLEM, subject, f"{existing} is on a read-only file system", otherwise)
    if not os.access(existing, os.W_OK | os.X_OK):
        # No chown: the nearest folder that is there may be / or one that others share.
        is_own = existing.stat().st_uid == os.getuid()
        mend = f"chmod u+rwx {shlex.quote(str(existing))}" if is_own else "have it made writable for you"
        return Finding(Level.PROBLEM, subject, f"{existing} cannot be written", f"{mend}, or {otherwise}")
    return _room(subject, folder, existing)


def _room(subject: str, folder: Path, existing: Path | None = None) -> Finding:
    free = shutil.disk_usage(existing or folder).free
    what = f"{folder} ({free / 1e9:,.1f} GB free)"
    if free < _LEAST_FREE:
        return Finding(Level.PROBLEM, subject, what, "make room on this disk")
    return Finding(Level.NOTE if free < _LITTLE_FREE else Level.OK, subject, what)


def _side_directories(data_dir: Path) -> list[Finding]:
    """The folders with an ipykernel that is lent to environments without one."""
    folders = [folder for folder in sorted((data_dir / "ipykernel").glob("*")) if folder.is_dir()]
    return [
        Finding(Level.NOTE, "ipykernel", f"{folder} is half made", f"rm -r {shlex.quote(str(folder))}")
        for folder in folders
        if not (folder / "ipykernel" / "__init__.py").exists()
    ]


async def _jupyter(environ: Mapping[str, str]) -> Finding:
    """Whether the JupyterLab that the person would start looks where our kernelspecs are."""
    ours = Path(paths.jupyter_data_dir(environ))
    jupyter = shutil.which("jupyter", path=environ.get("PATH", ""))
    if jupyter is None:
        return Finding(Level.OK, "jupyter", f"not on PATH; kernelspecs are in {ours / 'kernels'}")
    try:
        said = await ask((jupyter, "--paths", "--json"), environ, _SECONDS)
        looked = [os.path.realpath(path) for path in json.loads(said.out)["data"]]
    except (OSError, ValueError, KeyError, TypeError):  # also TimeoutError
        return Finding(Level.NOTE, "jupyter", f"{jupyter} does not say where it looks for kernels")
    if os.path.realpath(ours) in looked:
        return Finding(Level.OK, "jupyter", f"{jupyter} lists kernelexec's kernelspecs")
    mend = f"export JUPYTER_PATH={shlex.quote(str(ours))} before JupyterLab is started"
    return Finding(Level.PROBLEM, "jupyter", f"{jupyter} does not look into {ours}", mend)


def _problem(subject: str, error: KernelexecError | OSError) -> Finding:
    if isinstance(error, OSError):
        return Finding(
            Level.PROBLEM, subject, f"{error.filename}: {error.strerror}" if error.filename else str(error)
        )
    return Finding(Level.PROBLEM, subject, error.what, error.next_step)
