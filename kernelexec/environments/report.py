"""What came of an installation, in words. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from packaging.version import InvalidVersion, Version

from kernelexec.environments.requirements import Requirement
from kernelexec.model.execution import DOWNGRADED, INSTALLED, THERE, UPDATED

_TAIL_LINES = 12
_MOST_NAMED = 12  # dependencies; an installation may bring a hundred
_CONFLICT = re.compile(r"^(\S+ \S+ requires .+, but you have .+) which is incompatible\.$", re.MULTILINE)

# What an installer's output gives away, and what to do about it.
_FULL = ("no space left on device", "os error 28", "errno 28", "nospaceleft", "disk quota")
_FORBIDDEN = (
    *("read-only file system", "permission denied", "errno 13", "errno 30", "os error 13", "os error 30"),
    *("operation not permitted", "notwritable", "not writable", "not writeable"),
)
_SYSTEM = ("externally-managed", "externally managed")
_UNTRUSTED = ("certificate verify failed", "invalid peer certificate", "sslerror", "sslcertverification")
_OFFLINE = (
    *("name resolution", "name or service not known", "network is unreachable", "connection refused"),
    *("newconnectionerror", "connection failed", "condahttperror", "error sending request", "dns error"),
    *("could not connect", "max retries exceeded", "could not resolve host"),
)
_NONE_FITS = (
    *("no matching distribution found", "not find a version", "not found in the package registry"),
    *(
        "no solution found",
        "packagesnotfounderror",
        "does not exist",
        "unsatisfiable",
        "resolutionimpossible",
    ),
)
_CAUSES = (
    (_FULL, "The disk is full: make room and try again."),
    (_FORBIDDEN, "The environment cannot be written: use another one, or have its owner install it."),
    (
        _SYSTEM,
        "This Python belongs to the operating system, which forbids changes: use a virtual environment.",
    ),
    (
        _UNTRUSTED,
        "The certificate of the package index, or of a proxy before it, is not trusted: set SSL_CERT_FILE "
        "(and REQUESTS_CA_BUNDLE for conda) in the MCP configuration.",
    ),
    (_OFFLINE, "The package index could not be reached: no network, or a proxy that is not set."),
    (
        _NONE_FITS,
        "No such package or version, or none that fits this Python and what is installed: check the name.",
    ),
)


@dataclass(frozen=True)
class Step:
    """One call of an installer."""

    installer: str
    requirements: tuple[Requirement, ...]
    exit_code: int

    @property
    def ended(self) -> str:
        if self.exit_code >= 0:
            return f"exit code {self.exit_code}"
        return f"killed by signal {-self.exit_code} ({signal.Signals(-self.exit_code).name})"


@dataclass(frozen=True)
class Imported:
    """A package that a running kernel has imported in another version than is installed now."""

    session: str
    name: str
    version: str  # the imported one
    now: str


@dataclass(frozen=True)
class Missed:
    """A module that a running kernel has imported, and that has looked in vain for what is installed now."""

    session: str
    name: str  # what it looked for
    by: str
    loading: bool  # while it was itself imported: it goes on without


@dataclass(frozen=True)
class Report:
    """All that is known after an installation. Versions are by canonical name."""

    requirements: Sequence[Requirement]
    steps: Sequence[Step]
    before: Mapping[str, str]
    after: Mapping[str, str]
    stopped: bool = False
    imported: Sequence[Imported] = ()
    missed: Sequence[Missed] = ()
    sessions: Sequence[str] = ()  # those with a running kernel in this environment
    silent: Sequence[str] = ()  # of these, those whose kernel could not be asked
    project: str | None = None  # what to do so that the environment's project knows of it
    output: str = ""
    conda_missed: Sequence[Requirement] = field(default=())  # left to pip

    @property
    def succeeded(self) -> bool:
        return not self.stopped and all(step.exit_code == 0 for step in self.steps[-1:]) and not self._failed

    @property
    def _failed(self) -> list[Step]:
        """The steps that failed and were not made good by a later one."""
        return [step for step in self.steps if step.exit_code != 0 and not self._was_repeated(step)]

    def _was_repeated(self, failed: Step) -> bool:
        later = self.steps[self.steps.index(failed) + 1 :]
        repeated = {requirement for step in later for requirement in step.requirements}
        return set(failed.requirements) <= repeated

    def text(self) -> str:
        """A line for each package, or one on why not; then what else there is to know."""
        if self.succeeded:
            lines = [*map(self._line, self.requirements), *self._by_pip(), *self._others(), *self._broken()]
        else:
            lines = [self._failure(), *self._by_pip(), *self._others(), *self._what_is_there(), *self._why()]
        lines += [self.project] if self.project is not None else []
        return "\n".join([*lines, *self._kernels()])

    def _failure(self) -> str:
        names = ", ".join(map(str, self.requirements))
        if self.stopped:
            return f"The installation of {names} was stopped."
        failed = self._failed[-1]
        return f"{names} could not be installed: {failed.installer} ended with {failed.ended}."

    def _line(self, requirement: Requirement) -> str:
        new, old = self.after.get(requirement.canonical), self.before.get(requirement.canonical)
        if new is not None and new == old:
            return f"{THERE}{requirement.name} {new}"
        by = next((s.installer for s in reversed(self.steps) if requirement in s.requirements), "")
        if new is None:  # it goes by another name
            return f"{INSTALLED}{requirement.name} (with {by})"
        if old is None:
            return f"{INSTALLED}{requirement.name} {new} (with {by})"
        did = DOWNGRADED if _is_older(new, old) else UPDATED
        return f"{did}{requirement.name} {old} → {new} (with {by})"

    def _by_pip(self) -> list[str]:
        if not self.conda_missed:
            return []
        names = ", ".join(map(str, self.conda_missed))
        return [
            f"Not in the environment's conda channels, so left to {self.steps[-1].installer} (PyPI): {names}."
        ]

    def _others(self) -> list[str]:
        asked = {requirement.canonical for requirement in self.requirements}
        lines = []
        new = [f"{n} {v}" for n, v in self.after.items() if n not in self.before and n not in asked]
        if new:
            lines.append(f"With them came: {_some(new)}.")
        other = [
            f"{name} {old} → {self.after.get(name, 'removed')}"
            for name, old in self.before.items()
            if self.after.get(name) != old and name not in asked
        ]
        if other:
            lines.append(f"Other packages changed, too: {_some(other)}.")
        return lines

    def _broken(self) -> list[str]:
        """What pip says of packages that do not go with what they have now: it succeeds all the same."""
        found = list(dict.fromkeys(_CONFLICT.findall(self.output)))
        return [f"Does not go together, says pip: {'; '.join(found[:_MOST_NAMED])}."] if found else []

    def _what_is_there(self) -> list[str]:
        return [what_is_there(self.requirements, self.after)]

    def _why(self) -> list[str]:
        if self.stopped:
            return []
        output = self.output.lower()
        return [advice for signs, advice in _CAUSES if any(sign in output for sign in signs)][:1]

    def _kernels(self) -> list[str]:
        changed = any(self.before.get(name) != version for name, version in self.after.items())
        if not changed or not self.sessions:
            return []
        lines = [
            f"The running kernel of {it.session} has {it.name} {it.version} imported: restart it to use "
            f"{it.name} {it.now} (restart_kernel; its variables are lost)."
            for it in self.imported
        ]
        lines += self._missed()
        lines += [
            f"The running kernel of {session} could not be asked: if it does not find what is new, restart "
            "it (restart_kernel; its variables are lost)."
            for session in self.silent
        ]
        return lines or ["Running kernels of this environment can import it without a restart."]

    def _missed(self) -> list[str]:
        """A line for each kernel and library that goes on, or may go on, without what is there now."""
        names: dict[tuple[str, str, bool], list[str]] = {}
        for it in self.missed:
            found = names.setdefault((it.session, it.by.partition(".")[0], it.loading), [])
            found.append(it.name)
        lines = []
        for (session, by, loading), missed in names.items():
            what = _some(list(dict.fromkeys(missed)))
            if loading:
                lines.append(
                    f"The running kernel of {session} imported {by} before {what} was there, and {by} goes "
                    f"on without: restart it if {by} needs it (restart_kernel; its variables are lost)."
                )
            elif (session, by, True) not in names:
                lines.append(
                    f"The running kernel of {session} can import what is new without a restart; only if "
                    f"{by}, which looked for {what} before, still misses it: restart_kernel."
                )
        return lines


def _is_older(version: str, than: str) -> bool:
    try:
        return Version(version) < Version(than)
    except InvalidVersion:  # conda's may be any
        return False


def what_is_there(requirements: Sequence[Requirement], installed: Mapping[str, str]) -> str:
    """One sentence on each requirement, whatever happened."""
    there, missing = [], []
    for requirement in requirements:
        version = installed.get(requirement.canonical)
        if version is None:
            missing.append(requirement.name)
        else:
            other = "" if requirement.is_met_by(version) else f", not {','.join(requirement.versions)}"
            there.append(f"{requirement.name} {version}{other}")
    text = f"Installed now: {', '.join(there)}." if there else "Nothing of it is installed now."
    return f"{text} Not installed: {', '.join(missing)}." if there and missing else text


def tail(output: str) -> str:
    """The last lines of an installer's output."""
    return "\n".join([line.rstrip() for line in output.splitlines() if line.strip()][-_TAIL_LINES:])


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - _MOST_NAMED} more" if len(items) > _MOST_NAMED else ""
    return ", ".join(items[:_MOST_NAMED]) + more
