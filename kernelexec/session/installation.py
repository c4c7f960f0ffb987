"""An installation: from what was asked for to what is there afterwards, and who has to restart for it."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelexec.environments.installers import (
    Installer,
    installer_of,
    installer_variables,
    python_installer,
)
from kernelexec.environments.packages import Packages
from kernelexec.environments.program import GRACE_SECONDS, Lock, Programs, read_log, signal_group
from kernelexec.environments.report import Imported, Missed, Report, Step, tail, what_is_there
from kernelexec.environments.requirements import Requirement, read_requirement
from kernelexec.environments.uv_project import uv_project
from kernelexec.errors import EnvironmentUnusable, KernelexecError
from kernelexec.kernels.kernel import Kernel
from kernelexec.kernels.process import identity
from kernelexec.model.environment import Environment
from kernelexec.model.execution import Kind
from kernelexec.session.jobs import Outcome, Reports
from kernelexec.system_errors import in_words

KernelsOf = Callable[[Environment], Sequence[tuple[str, Kernel]]]  # each with its session's id


@dataclass(frozen=True)
class Place:
    """Where an installation goes, and who may be concerned by it."""

    environment: Environment
    environ: Mapping[str, str]  # the caller's
    log_dir: Path
    kernels_of: KernelsOf


class Installation:
    """A jobs.Job that installs packages into an environment with its own installer.

    Raises:
        BadRequest: the environment is not Python's.
    """

    kind = Kind.INSTALL

    def __init__(self, place: Place, requirements: Sequence[Requirement]) -> None:
        self._place = place
        self._requirements = requirements
        self._packages = Packages(place.environment, place.environ)
        self._programs: Programs | None = None
        self._stopping = asyncio.Event()

    @property
    def what(self) -> str:
        return "\n".join(map(str, self._requirements))

    def stop(self) -> bool:
        self._stopping.set()
        if self._programs is not None:
            self._programs.stop()
        return True

    async def run(self, reports: Reports) -> Outcome:
        lock = Lock(installed_into(self._place.environment))
        try:
            if not await self._take(lock):
                return Outcome(False, "Nothing was installed.")
            report = await self._install(reports, lock)
            return Outcome(report.succeeded, report.text())
        finally:
            lock.release()

    async def _take(self, lock: Lock) -> bool:
        """Wait for the lock. False: stopped before it was free."""
        if not lock.try_take():
            waiting = asyncio.ensure_future(lock.take())
            stopping = asyncio.ensure_future(self._stopping.wait())
            try:
                await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
                stopping.cancel()
        return not self._stopping.is_set()

    async def _install(self, reports: Reports, lock: Lock) -> Report:
        before = await self._packages.versions()
        has_pip = "pip" in before
        installer = installer_of(self._place.environment, has_pip, self._place.environ)
        log = self._new_log()
        begun = {"log": str(log), "installer": installer.name}

        def started(pid: int) -> None:
            with suppress(OSError):  # then a later hub cannot end it
                reports.begun({**begun, "pid": pid, "identity": identity(pid)})

        variables = installer_variables(self._place.environ)
        self._programs = Programs(log, lock, variables, reports.output, started)
        reports.begun(begun)
        # Cancelled, which means that the hub ends, it leaves the log to who looks after the program.
        steps, missed = await self._steps(self._programs, installer, has_pip)
        output = self._programs.output()
        log.unlink(missing_ok=True)
        after = await self._packages.versions()
        kernels = self._place.kernels_of(self._place.environment)
        known = await self._ask(kernels, before, after)
        return Report(
            requirements=self._requirements,
            steps=steps,
            before=before,
            after=after,
            stopped=self._stopping.is_set(),
            imported=known.imported,
            missed=known.missed,
            sessions=[session for session, _ in kernels],
            silent=known.silent,
            project=self._advice_of_project(before, after),
            output=output,
            conda_missed=missed,
        )

    def _new_log(self) -> Path:
        folder = self._place.log_dir
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            log = folder / f"{secrets.token_hex(4)}.log"
            log.touch(mode=0o600, exist_ok=False)
        except OSError as error:
            raise EnvironmentUnusable(
                f"{folder} cannot be written: {error.strerror}. Nothing was installed.", "Make room there."
            ) from error
        return log

    async def _steps(
        self, programs: Programs, installer: Installer, has_pip: bool
    ) -> tuple[list[Step], list[Requirement]]:
        """What was called, and what conda left to pip because its channels do not have it."""
        steps: list[Step] = []
        todo = [requirement for requirement in self._requirements if installer.takes(requirement)]
        missed = [requirement for requirement in self._requirements if requirement not in todo]
        while todo and not programs.stopped:
            steps.append(await _call(programs, installer, todo))
            not_found = [] if steps[-1].exit_code == 0 else installer.not_found(programs.last_output, todo)
            missed += not_found
            todo = [requirement for requirement in todo if requirement not in not_found] if not_found else []
        is_well = not steps or steps[-1].exit_code == 0 or set(steps[-1].requirements) <= set(missed)
        if missed and is_well and not programs.stopped:
            interpreter = self._place.environment.interpreter
            assert interpreter is not None  # Packages has refused it
            pip = python_installer(interpreter, has_pip, self._place.environ)
            programs.say(f"\nNot in the channels, now with {pip.name}: {', '.join(map(str, missed))}\n")
            steps.append(await _call(programs, pip, missed))
        return steps, missed if is_well else []

    async def _ask(
        self, kernels: Sequence[tuple[str, Kernel]], before: Mapping[str, str], after: Mapping[str, str]
    ) -> _Known:
        """Have running kernels look for modules anew, and say which they have, and which they missed."""
        names = [name for name, version in after.items() if before.get(name) != version]
        modules = await self._packages.modules_of(names) if kernels else {}
        asked = sorted({module for tops in modules.values() for module in tops})
        wanted = {requirement.canonical for requirement in self._requirements}
        known = _Known()
        for session, kernel in kernels:
            imports = await kernel.refresh_imports(asked)
            if imports is None:
                known.silent.append(session)
                continue
            for name, tops in modules.items():
                present = [imports.versions[module] for module in tops if module in imports.versions]
                old = before.get(name)
                if old is None and name in wanted:  # it is imported from elsewhere, as what kernelexec lends
                    old = next((version for version in present if version is not None), None)
                if present and old is not None and after[name] not in present:
                    known.imported.append(Imported(session, name, old, after[name]))
            known.missed.extend(
                Missed(session, name, by, loading)
                for name, seekers in imports.missed.items()
                for by, loading in seekers.items()
            )
        return known

    def _advice_of_project(self, before: Mapping[str, str], after: Mapping[str, str]) -> str | None:
        environment = self._place.environment
        prefix = installed_into(environment)
        changed = [one for one in self._requirements if before.get(one.canonical) != after.get(one.canonical)]
        project = (
            uv_project(prefix, self._place.environ, prefers_uv=environment.kind == "venv-uv")
            if changed
            else None
        )
        return project.advice_on(prefix, changed, after) if project is not None else None


@dataclass
class _Known:
    """What running kernels say after an installation."""

    imported: list[Imported] = field(default_factory=list)
    missed: list[Missed] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)


async def _call(programs: Programs, installer: Installer, requirements: Sequence[Requirement]) -> Step:
    exit_code = await programs.run(installer.command_for(requirements))
    return Step(installer.name, tuple(requirements), exit_code)


def installed_into(environment: Environment) -> Path:
    """The prefix that an installation changes; of a kernelspec that of its interpreter."""
    return environment.interpreter.prefix if environment.interpreter else environment.prefix


class OutlivedInstallation:
    """A jobs.Outlived: an installation whose hub ended, and whose installer went on."""

    def __init__(self, environment: Environment, what: str, begun: Mapping[str, Any]) -> None:
        self._environment = environment
        self._what = what
        self._begun = begun  # as it was recorded
        self._has_ended = False

    async def end(self) -> str:
        """Wait until the installer has ended; says what is there then."""
        lock = Lock(installed_into(self._environment))
        try:
            await lock.take()
        finally:
            lock.release()
        self._has_ended = True
        requirements = [read_requirement(line) for line in self._what.splitlines()]
        said = [f"Its installer ({self._begun.get('installer')}) outlived its hub, and has ended."]
        try:
            installed = await Packages(self._environment, os.environ).versions()
            said.append(what_is_there(requirements, installed))
        except KernelexecError as error:
            said.append(in_words(error))
        log = Path(str(self._begun.get("log")))
        with suppress(OSError):
            output = tail(read_log(log))
            said += ["The end of its output:", output] if output else []
            log.unlink()
        return "\n".join(said)

    def stop(self) -> bool:
        """End the installer with all that it started. False: nobody knows its process, or it has ended."""
        group, known = self._begun.get("pid"), self._begun.get("identity")
        if group is None or known is None or identity(group) != known:
            return False
        signal_group(group, signal.SIGINT)
        asyncio.get_running_loop().call_later(GRACE_SECONDS, self._kill, group)
        return True

    def _kill(self, group: int) -> None:
        if not self._has_ended:
            signal_group(group, signal.SIGKILL)
