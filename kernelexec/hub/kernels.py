"""The kernels of a hub: started, tried, entered into the registry as long as they live, and found again."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from kernelexec import paths
from kernelexec.config import KERNEL_IDLE_SECONDS, read_allowance
from kernelexec.environments import catalog, kernelspec
from kernelexec.environments.kernelspec import with_environments_memory
from kernelexec.environments.source import Progress
from kernelexec.errors import KernelFailed
from kernelexec.hub.chosen_environments import ChosenEnvironments
from kernelexec.hub.environment_limits import EnvironmentLimits
from kernelexec.hub.lost_kernels import LostKernel, LostKernels, without_session
from kernelexec.kernels.host import (
    FAR,
    JOINED,
    OPTIONS,
    HostedKernel,
    KernelGone,
    KernelHost,
    KernelUnreachable,
    Launch,
)
from kernelexec.kernels.kernel import Death, OnMessage
from kernelexec.kernels.registry import KernelEntry, Registry
from kernelexec.model.environment import Environment
from kernelexec.model.limits import Allowance
from kernelexec.recording.journal import now
from kernelexec.session.generations import NewKernel
from kernelexec.session.session import Session
from kernelexec.session.surroundings import Surroundings
from kernelexec.system_errors import in_words

_log = logging.getLogger(__name__)

_PROVISIONER_SECONDS = 20.0  # to end its kernel, and to kill it where that fails
_LOOK_SECONDS = 0.5  # while a kernel starts, whether its directory is there: a file is read
_TRIAL_GRACE_SECONDS = 1.0  # for a kernel that has run nothing


class Kernels:
    """Starts kernels for sessions, and gives them those that an earlier hub left."""

    def __init__(
        self,
        host: KernelHost,
        registry: Registry,
        environments: ChosenEnvironments,
        limits: EnvironmentLimits,
    ) -> None:
        self._host = host
        self._limits = limits
        self._starting: set[Session] = set()  # those whose next kernel is on its way
        self._deleted: dict[str, asyncio.Event] = {}  # by the ids of kernels that start: their directory was
        self._registry = registry
        self._environments = environments
        self.lost = LostKernels(host, registry)
        self._entries: dict[str, KernelEntry] = {}  # of the kernels that live, by their ids

    async def start(
        self, session: Session, surroundings: Surroundings, on_message: OnMessage, progress: Progress
    ) -> NewKernel:
        """A new kernel of a session, ready and in the registry (see session.KernelStarter).

        Raises:
            KernelexecError, OSError: there is none, and nothing is left of it.
        """
        environment, launch, surroundings = await self._planned(session, surroundings, progress)
        if launch.kind != JOINED:
            self._look_at_number(session, read_allowance(surroundings.environ))
            self._look_at_number(session, self._limits.of(session.environment))
        self._starting.add(session)
        try:
            kernel = await self._host.start(replace(launch, progress=progress), on_message)
            self._forget_at_its_end(kernel)
            new = await self._seen_to(session, surroundings, environment, kernel)
        finally:
            self._starting.discard(session)
        _log.info("%s: kernel %s is ready", session.id, kernel)
        return new

    async def _seen_to(
        self, session: Session, surroundings: Surroundings, environment: Environment, kernel: HostedKernel
    ) -> NewKernel:
        """A kernel that was just started, ready and in the registry.

        Whatever keeps it from that, an error of ours or a cancel, nobody would have it: it is ended.
        """
        session.generations.starting = kernel
        watching = asyncio.create_task(self._watched(kernel))
        try:
            self._register(session, environment, surroundings.directory, kernel)
            info = await kernel.ready()
            environment = _as_it_turned_out(environment, kernel, info)
            self._register(session, environment, surroundings.directory, kernel)
        except BaseException:
            await kernel.stop("its start was given up", grace=0)
            raise
        finally:
            session.generations.starting = None
            watching.cancel()
        return NewKernel(kernel, info, environment, kernel.kernel_id, kernel.where, surroundings)

    async def _watched(self, kernel: HostedKernel) -> None:
        """Until cancelled: end a kernel that nobody will hear of, as what it needs for that was deleted."""
        deleted = self._deleted[kernel.kernel_id] = asyncio.Event()
        try:
            while not deleted.is_set():
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(deleted.wait(), _LOOK_SECONDS)
                with suppress(OSError):  # something else is in its place: the next look says more
                    self._keep(kernel.kernel_id, kernel.place())
            await kernel.stop("the directory of its sockets was deleted while it started", grace=0)
        finally:
            del self._deleted[kernel.kernel_id]

    def number_matters(self, session: Session, surroundings: Surroundings) -> bool:
        """Whether it matters how many kernels there are when one more is started.

        Raises:
            ConfigError: what is allowed cannot be read.
        """
        client, environment = read_allowance(surroundings.environ), self._limits.of(session.environment)
        return client.kernels is not None or environment.kernels is not None

    def _look_at_number(self, session: Session, allowance: Allowance) -> None:
        """Raises KernelFailed: whose kernel it would be, or whose environment, has as many as are allowed.

        An environment's limit counts its own, a client's all.
        """
        most, identity = allowance.kernels, session.environment.identity
        if most is None:
            return
        having = {
            f"{entry.session_name}@{environment.label}"
            for entry in self._entries.values()
            for environment in [Environment.from_json(entry.environment)]
            if not allowance.file or environment.identity == identity
        }
        others = (each for each in self._starting if each is not session)
        having |= {each.id for each in others if not allowance.file or each.environment.identity == identity}
        if len(having) < most:
            return
        of_which = f" in {session.environment.label}" if allowance.file else ""
        raise KernelFailed(
            f"{len(having)} kernels run{of_which}, and {allowance.said('kernels')} allows no more: "
            f"{', '.join(sorted(having))}.",
            "Stop one that nobody needs (stop_kernel, which takes its variables), or work in one of these "
            "sessions (session=...). The user can raise the limit.",
        )

    async def look_ahead(self, session: Session, surroundings: Surroundings) -> None:
        """Whether a kernel that a session has can be replaced: another one is started, and ended again.

        Raises:
            KernelexecError, OSError: it cannot be, and why.
        """
        environment, launch, _ = await self._planned(session, surroundings, lambda text: None)
        # It might queue for a machine, or pay for one.
        if not environment.provisioner and not environment.host:
            await _tried(self._host, launch)

    async def _planned(
        self, session: Session, surroundings: Surroundings, progress: Progress
    ) -> tuple[Environment, Launch, Surroundings]:
        """How a session's next kernel is started, and in which surroundings.

        Looked at again for each: what was true when the session was opened may have changed.
        """
        source = catalog.source_at(session.environment)
        if session.environment.running is None and not session.environment.host:
            _look_at_directory(surroundings.directory, session)
        environment = await self._environments.prepare(source, surroundings.environ, progress)
        environment = replace(environment, label=session.environment.label)
        allowed = self._limits.of(session.environment).memory_mb
        environ = with_environments_memory(surroundings.environ, allowed)
        surroundings = replace(surroundings, environ=environ)
        return environment, _launch(environment, surroundings.directory, environ), surroundings

    async def left(self) -> list[KernelEntry]:
        """The kernels that an earlier hub has left, by the registry or by their own processes.

        What lives, and is known from neither, is ended if nothing was ever run in it, else it is lost. What
        is elsewhere is left to who is there.
        """
        entries = {entry.kernel_id: entry for entry in self._registry.entries()}
        known = set(entries)
        for entry in list(entries.values()):
            where = self._where(entry)
            if where is not None:
                self.lost.add(entry.kernel_id, f"it runs on {where}", entry, elsewhere=True)
                del entries[entry.kernel_id]
        strays = await asyncio.to_thread(self._host.strays)
        for kernel_id, stray in strays.items():
            if kernel_id in known:
                continue
            again = self._registry.restored(stray.directory)
            if again is not None:
                _log.warning("kernel %s lived without a registry entry, which it has again", kernel_id)
                entries[kernel_id] = again
            elif not stray.has_begun:
                _log.info("kernel %s was started for nobody, and is ended", kernel_id)
                await stray.end()
                shutil.rmtree(stray.directory, ignore_errors=True)
            else:
                self.lost.add(kernel_id, without_session(stray), None)
        return list(entries.values())

    def _where(self, entry: KernelEntry) -> str | None:
        try:
            return self._host.elsewhere(entry.place)
        except ValueError:  # told when it is to be adopted
            return None

    async def adopt(self, entry: KernelEntry, session: Session) -> None:
        """Give a session the kernel that an earlier hub started for it, or the news of its death.

        Raises:
            OSError, ValueError: whether it lives cannot be told; its entry stays for the next hub.
        """
        try:
            kernel = self._host.adopt(entry.place, session.on_message, session.environment.interrupts)
        except KernelGone as gone:
            _log.info("kernel %s of %s is gone: %s", entry.kernel_id, session.id, gone)
            if _is_last_of(session, entry):
                death = self._host.death(entry.place)
                session.report_lost_kernel(death.cause, death.begun)
            self._registry.remove(entry.kernel_id)
            self._host.clear_up(entry.place)
            return
        except KernelUnreachable as unreachable:
            lost = self._lose(entry, session, str(unreachable))
            if lost is not None and entry.generation != session.generation:
                await self.lost.end(lost)  # its start was given up
            return
        stranger = _stranger(entry, session)
        if stranger is not None:
            await kernel.stop(stranger, grace=0)
            self._registry.remove(entry.kernel_id)
            return
        self._forget_at_its_end(kernel)
        self._entries[entry.kernel_id] = entry
        surroundings = Surroundings(kernel.environ(), Path(entry.kernel_dir)).at(kernel.where)
        session.adopt(kernel, datetime.fromisoformat(entry.started), surroundings)
        # What its clients wish they say when they come again; until then it lives as by default.
        session.stop_when_idle_for(KERNEL_IDLE_SECONDS)
        _log.info("%s: kernel %s adopted", session.id, kernel)

    def enter_notebook(self, session: Session, notebook: Path) -> None:
        """The session's kernel is a notebook's from now on, which a Jupyter frontend looks it up by."""
        for entry in self._registry.entries():
            if entry.kernel_id == session.generations.kernel_id and session.kernel is not None:
                entered = self._entries[entry.kernel_id] = replace(entry, notebook=str(notebook))
                self._registry.write(entered)

    def _lose(self, entry: KernelEntry, session: Session, why: str) -> LostKernel | None:
        """It lives, and cannot be the session's any more."""
        lost = self.lost.add(entry.kernel_id, why, entry)
        if lost is None:  # it has just ended
            self._registry.remove(entry.kernel_id)
            self._host.clear_up(entry.place)
        if _is_last_of(session, entry):
            session.report_lost_kernel(Death().cause if lost is None else lost.cause)
        return lost

    def not_adopted(self, entry: KernelEntry, error: Exception) -> None:
        """Its session could not be opened, or whether it lives cannot be told."""
        self.lost.add(entry.kernel_id, " ".join(in_words(error).split()) or repr(error), entry)

    async def look_for(self, session: Session, storage_identity: str) -> None:
        """What an earlier hub had left of a session that could not be opened before, and can be now."""
        why = Death().cause
        for lost in self.lost.of(storage_identity, session.id, session.generations.kernel_id):
            if lost.stray is None or lost.entry is None:
                why = f"{lost.why}, where this hub cannot reach it" if lost.stray is None else lost.cause
                continue
            self.lost.discard(lost)
            try:
                await self.adopt(lost.entry, session)
            except (OSError, ValueError) as error:
                self._lose(lost.entry, session, in_words(error))
        if session.left_a_kernel:
            session.report_lost_kernel(why)

    def _register(
        self, session: Session, environment: Environment, directory: Path, kernel: HostedKernel
    ) -> None:
        entry = self._entries[kernel.kernel_id] = KernelEntry(
            kernel_id=kernel.kernel_id,
            place=kernel.place(),
            started=now().isoformat(),
            generation=session.generation + 1,
            session_name=session.name,
            storage_dir=str(session.recorder.storage_dir),
            kernel_dir=str(kernel.where.directory if kernel.where is not None else directory),
            project=session.project,
            environment=environment.to_json(),
            notebook=str(session.opened.path) if session.opened is not None else None,
        )
        self._registry.write(entry)

    def keep(self) -> None:
        """Make anew what was deleted of kernels that live: their directories, their entries in the registry.

        Raises:
            OSError: it cannot be.
        """
        for entry in self._entries.values():
            self._keep(entry.kernel_id, entry.place)
            self._registry.write(entry)

    def _keep(self, kernel_id: str, place: Mapping[str, Any]) -> None:
        if not self._host.keep(place) and kernel_id in self._deleted:
            self._deleted[kernel_id].set()

    def _forget_at_its_end(self, kernel: HostedKernel) -> None:
        def forget(died: asyncio.Future[Death]) -> None:
            if not died.cancelled():
                _log.info("kernel %s: %s", kernel.kernel_id, died.result().cause)
                self._registry.remove(kernel.kernel_id)
                self._entries.pop(kernel.kernel_id, None)

        kernel.died.add_done_callback(forget)


def _look_at_directory(directory: Path, session: Session) -> None:
    """Raises KernelFailed: no kernel can work there, and what to do about it."""
    if directory == session.recorder.storage_dir:
        directory.mkdir(parents=True, exist_ok=True)
        return
    problem = why_not_in(directory)
    if problem is not None:
        raise KernelFailed(
            f"Code is to run in {directory}, which {problem}.",
            "Make it, or correct KERNELEXEC_CWD in the MCP configuration, which says where code runs.",
        )


def why_not_in(directory: Path) -> str | None:
    """Why no code can run in this directory; None if it can."""
    if not os.path.lexists(directory):
        return "does not exist"
    if not directory.is_dir():
        return "is no folder"
    return None if os.access(directory, os.X_OK) else "you may not enter"


Look = Callable[[HostedKernel, Mapping[str, Any]], Awaitable[None]]  # a kernel, and its kernel_info


async def try_out(
    host: KernelHost,
    environment: Environment,
    environ: Mapping[str, str],
    on_message: OnMessage = lambda message: None,
    look: Look | None = None,
) -> None:
    """Start a kernel, look at it, and end it again; it ends with us if we do.

    Raises:
        KernelFailed, OSError: it does not start.
        KernelDied, ReplyLost: it does not outlive the look.
    """
    await _tried(host, _launch(environment, Path("/"), environ), on_message, look)


async def _tried(
    host: KernelHost,
    launch: Launch,
    on_message: OnMessage = lambda message: None,
    look: Look | None = None,
) -> None:
    kernel = await host.start(replace(launch, ends_with_us=True), on_message)
    try:
        info = await kernel.ready()
        if look is not None:
            await look(kernel, info)
    finally:
        await kernel.stop("its trial is over", grace=_TRIAL_GRACE_SECONDS)


def _is_last_of(session: Session, entry: KernelEntry) -> bool:
    """Whether it is the one that the session is not known to have lost."""
    return session.left_a_kernel and session.generations.kernel_id in (None, entry.kernel_id)


def _stranger(entry: KernelEntry, session: Session) -> str | None:
    """Why a kernel that lives is not the session's after all, if it is not."""
    if entry.generation != session.generation:  # the hub died while this kernel started
        return "its start was given up"
    if session.generations.kernel_id not in (None, entry.kernel_id):
        return "the records of its session are not where they were"
    return None


def _as_it_turned_out(environment: Environment, kernel: HostedKernel, info: Mapping[str, Any]) -> Environment:
    """With what only its kernel can tell of an environment that is elsewhere."""
    if not environment.host and not environment.provisioner:
        return environment
    version = str((info.get("language_info") or {}).get("version") or "")
    return replace(environment, interrupts=kernel.interrupted_by, version=version)


def _launch(environment: Environment, cwd: Path, environ: Mapping[str, str]) -> Launch:
    if environment.kind == "gateway":
        return Launch(
            (), cwd, environ, kind="server", host=environment.host, kernelspec=environment.kernelspec
        )
    if environment.is_far:
        lent = str(environment.borrowed_ipykernel or "")
        return Launch(environment.argv, cwd, environ, kind=FAR, host=environment.host, lent=lent)
    if environment.running is not None:
        return Launch((), cwd, {}, environment.interrupts, kind=JOINED, running=environment.running)
    launcher = kernelspec.install_launcher(Path(paths.data_dir(environ)))
    return Launch(
        kernelspec.command(environment, launcher, OPTIONS),
        cwd,
        kernelspec.kernel_variables(environment, environ),
        environment.interrupts,
        environment.transport,
        leave_seconds=_PROVISIONER_SECONDS if environment.provisioner else 0.0,
    )
