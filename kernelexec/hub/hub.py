"""The hub: all sessions of one user, whoever asks for them."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from kernelexec.config import Config, EnvironmentChoice
from kernelexec.environments import catalog
from kernelexec.environments.source import Progress, Source
from kernelexec.errors import BadRequest, KernelexecError, KernelFailed
from kernelexec.hub import opened_notebooks, storage_dirs
from kernelexec.hub.admission import Admission
from kernelexec.hub.adoption import Adoption
from kernelexec.hub.adoption import Key as _Key
from kernelexec.hub.caller import Caller, SessionChoice
from kernelexec.hub.chosen_environments import ChosenEnvironments
from kernelexec.hub.environment_limits import EnvironmentLimits
from kernelexec.hub.kernels import Kernels, try_out
from kernelexec.hub.lost_kernels import LostKernels
from kernelexec.hub.notebook_openers import NotebookOpeners
from kernelexec.hub.unheard import Unheard
from kernelexec.kernels.host import KernelHost
from kernelexec.kernels.kernel import Kernel, OnMessage
from kernelexec.kernels.registry import KernelEntry, Registry
from kernelexec.model.environment import Environment
from kernelexec.model.limits import Allowance
from kernelexec.model.naming import apart, clean_name
from kernelexec.recording.journal import Journal, storage_failed
from kernelexec.recording.journal_lines import first_record, last_opened
from kernelexec.recording.pages import Pages
from kernelexec.recording.recorder import Recorder
from kernelexec.recording.records import journal_path, last_generation, sessions_in, spelled_there
from kernelexec.session.generations import NewKernel
from kernelexec.session.installation import Place, installed_into
from kernelexec.session.journal_events import read_past
from kernelexec.session.session import Session
from kernelexec.session.surroundings import Surroundings
from kernelexec.system_errors import in_words

_log = logging.getLogger(__name__)


class Hub:
    """Finds, makes, adopts and stops sessions and their kernels."""

    def __init__(self, runtime_dir: Path, state_dir: Path, host: KernelHost, limits: Path) -> None:
        """`limits`: the file of environments' limits, if there is one."""
        self.closing = False  # connections end because the hub does, not because clients wish it
        self.unheard = Unheard()
        self._admission = Admission()
        self.pages = Pages(runtime_dir / "live")
        self._runtime_dir = runtime_dir
        self._state_dir = state_dir
        self._sessions: dict[_Key, Session] = {}
        # What each caller's `session` arguments came to: a session stays the same object.
        self._chosen: WeakKeyDictionary[Caller, dict[str | None, Session]] = WeakKeyDictionary()
        self._opening: dict[_Key, asyncio.Lock] = {}
        self._environments = ChosenEnvironments(state_dir, self._running_at)
        self._host = host
        self._told_of_limits: WeakSet[Caller] = WeakSet()
        self._limits = EnvironmentLimits(limits)
        self._kernels = Kernels(host, Registry(state_dir / "kernels"), self._environments, self._limits)
        self.adoption = Adoption(self._adopt)
        self.openers = NotebookOpeners(state_dir)

    @property
    def sessions(self) -> list[Session]:
        return list(self._sessions.values())

    async def look_ahead(self, session: Session, surroundings: Surroundings) -> None:
        """Before a session's kernel is ended for the next one: whether there can be one.

        Raises:
            KernelFailed: there cannot, and why; nothing was ended.
        """
        if session.kernel is None:
            return
        try:
            await self._kernels.look_ahead(session, surroundings)
        except (KernelexecError, OSError) as error:
            there = "" if session.kernel.lost is not None else ", and its variables are there"
            raise KernelFailed(
                f"{session.id} was not restarted, because no new kernel starts; its kernel was not "
                f"ended{there}.\n{in_words(error)}"
            ) from error

    async def admit(self, caller: Caller, session: Session) -> None:
        """Before a submission is made: whether its session may take one more.

        Raises:
            BadRequest, ConfigError: it may not, and why; nothing was kept or run.
        """
        allowed = self.allowed_in(session.environment)
        if caller not in self._told_of_limits:
            self._told_of_limits.add(caller)
            caller.notices += self._limits.written().unknown
        await self._admission.look(session, caller.config().allowance, allowed)

    def allowed_in(self, environment: Environment) -> Allowance:
        """What the person lets this environment take, whoever uses it.

        Raises:
            ConfigError: the file that says so cannot be used, and why.
        """
        return self._limits.of(environment)

    def keep_kernels(self) -> None:
        """Make anew what was deleted beside kernels that live: the runtime directory was, at least."""
        self._kernels.keep()

    def meet(self, caller: Caller) -> None:
        """A client has come: what it brings, its kernels may be waiting for."""
        self._host.meet(caller.environ, caller.cwd)

    @property
    def lost_kernels(self) -> LostKernels:
        """Kernels that live and are no session's."""
        return self._kernels.lost

    @property
    def has_kernels(self) -> bool:
        return not self.adoption.is_over or any(
            session.kernel is not None or session.state != "no kernel" or session.has_jobs
            for session in self.sessions
        )

    @property
    def is_working(self) -> bool:
        """Whether anything runs or waits for its turn, and not for an answer of somebody's."""
        used = any(session.is_used and not session.asking for session in self.sessions)
        return used or not self.adoption.is_over

    # --- environments and sessions ---------------------------------------------

    async def environment_of(self, caller: Caller, progress: Progress) -> Environment:
        """The environment that a caller's configuration names.

        Raises:
            ConfigError, EnvironmentUnusable: what is wrong, and the command that mends it.
        """
        return await self._environments.environment_of(caller, progress)

    async def configure(self, caller: Caller, choice: EnvironmentChoice, progress: Progress) -> Environment:
        """Give a caller another environment from now on; kernels of the present one run on.

        Raises:
            EnvironmentUnusable, KernelFailed: it is missing, or its kernel does not start; nothing changed.
        """
        environment = await self._environments.look_at(choice, caller, progress)
        runs = environment.running is None and self._running_at(catalog.source_at(environment)) is not None
        if not runs and not environment.host:
            progress("Trying whether its kernel starts.")
            await try_out(self._host, environment, caller.environ)
        self._environments.choose(choice, environment, caller)
        self._chosen.pop(caller, None)
        return environment

    def kernels_of(self, caller: Caller) -> list[Session]:
        """The sessions with a kernel that this caller has used."""
        return [
            session for session in set(self._chosen.get(caller, {}).values()) if session.kernel is not None
        ]

    def choice_of(self, caller: Caller) -> EnvironmentChoice:
        """Which environment a caller's calls are for, and what says so.

        Raises:
            ConfigError: its configuration cannot be used.
        """
        return self._environments.choice_of(caller)

    def _running_at(self, source: Source) -> Environment | None:
        """The environment that this leads to, if a kernel of it runs."""
        running = (s.environment for s in self.sessions if s.kernel is not None)
        started = (environment for environment in running if environment.running is None)
        return next((environment for environment in started if catalog.leads_to(source, environment)), None)

    async def session_of(self, caller: Caller, name: str | None, progress: Progress) -> Session:
        """The session that a call is for, opened if need be.

        Raises:
            BadRequest, ConfigError, EnvironmentUnusable, SessionTaken, StorageFailed
        """
        known = self.session_known(caller, name)
        if known is not None:
            return known
        chosen = self._chosen.setdefault(caller, {})
        session = chosen[name] = await self._choose(caller, name, progress)
        return _in_hand(session, caller)

    def session_known(self, caller: Caller, name: str | None) -> Session | None:
        """The session that an earlier call was for, which needs no preparation; None: it has to be opened.

        Raises:
            ConfigError
        """
        known = self._chosen.get(caller, {}).get(name)
        return None if known is None or known.is_abandoned else _in_hand(known, caller)

    async def open_notebook(
        self, caller: Caller, path: str, name: str | None, progress: Progress
    ) -> tuple[Session, opened_notebooks.Found]:
        """A person's notebook as a session's, made where it is missing; from now on this caller's calls are
        for that session where they name none.

        `name`: of the session, also one that is there; by default one for this notebook.

        Raises:
            BadRequest, ConfigError, EnvironmentUnusable, SessionTaken, StorageFailed
        """
        real = opened_notebooks.path_of(caller, path)
        found = await opened_notebooks.found(real, caller, self._environments, progress)
        session = await self._session_for(caller, found, name, progress)
        await asyncio.to_thread(opened_notebooks.make, replace(found, environment=session.environment))
        opened = await session.open_notebook(real, caller.identity)
        self.openers.remember(caller.id, caller.config().storage_identity, session.id)
        if session.environment.running is not None:  # what the person runs from now on is heard
            await session.have_kernel(caller.surroundings(session))
        self._kernels.enter_notebook(session, opened.path)
        self._chosen.setdefault(caller, {})[None] = session
        return session, found

    async def _session_for(
        self, caller: Caller, found: opened_notebooks.Found, name: str | None, progress: Progress
    ) -> Session:
        """The session that a notebook is opened in."""
        if name is not None:
            return await self.session_of(caller, name, progress)
        config = caller.config()
        opened = [
            session
            for session in self.sessions_of(caller)
            if session.opened is not None and session.opened.path == found.path and not session.is_abandoned
        ]
        for session in opened:
            if session.kernel is not None or session.environment.identity == found.environment.identity:
                return session
        choice = opened_notebooks.session_for(found.path, found.environment, config.storage_dir)
        environment, choice = self._distinct(config, found.environment, choice)
        session = await self._open(config, environment, choice)
        session.recorder.limits = config.limits
        session.stop_when_idle_for(config.kernel_idle_seconds)
        return session

    async def _opened_by(self, caller: Caller) -> Session | None:
        """The session of the notebook that this caller has opened last, perhaps while another hub ran."""
        config = caller.config()
        await self.adoption.of_notebooks(config.storage_identity)
        last = self.openers.session_of(caller.id, config.storage_identity)
        session = await self._reopened(config, last) if last is not None else None
        if session is not None and session.opened is not None and caller.id in session.opened.opened_by:
            return session
        opened = [
            (session.opened.opened_by[caller.id], session)
            for session in self.sessions_of(caller)
            if session.opened is not None and caller.id in session.opened.opened_by
        ]
        return max(opened, key=lambda each: each[0])[1] if opened else None

    async def _choose(self, caller: Caller, name: str | None, progress: Progress) -> Session:
        opened = await self._opened_by(caller) if name is None else None
        if opened is not None and not opened.is_abandoned:
            return opened
        choice = caller.choose(name)
        config = caller.config()
        if choice.environment is not None:
            known = await self._reopened(config, f"{choice.name}@{choice.environment}")
            if known is not None:
                return known
        environment = await self.environment_of(caller, progress)
        if choice.environment not in (None, environment.label):
            raise BadRequest(
                f"There is no session {choice.name}@{choice.environment} in {config.storage_dir}.",
                f"Sessions there: {self.listed(config)}. Your environment is {environment.label!r}.",
            )
        environment, choice = self._distinct(config, environment, choice)
        return await self._open(config, environment, choice)

    async def _reopened(self, config: Config, session_id: str) -> Session | None:
        """The session with this id, of whichever environment; None if there has never been one."""
        session_id = spelled_there(config.storage_dir, session_id)
        await self.adoption.of((config.storage_identity, session_id))
        known = self._sessions.get((config.storage_identity, session_id))
        if known is not None and not known.is_abandoned:
            return known
        name, _, label = session_id.partition("@")
        if clean_name(label) != label:
            return None
        opened = await asyncio.to_thread(last_opened, journal_path(config.storage_dir, session_id))
        try:
            environment = replace(Environment.from_json(opened["described"]), label=label)
        except (KeyError, TypeError, ValueError):
            return None  # no journal, or one of a version that did not describe it
        return await self._open(config, environment, SessionChoice(name, label, opened.get("project")))

    async def adopted(self, caller: Caller, session_id: str) -> None:
        """Returns when a session of the caller's storage directory has what an earlier hub left of it."""
        await self.adoption.of((caller.config().storage_identity, session_id))

    def find(self, caller: Caller, session_id: str) -> Session | None:
        """An open session of the caller's storage directory by its id."""
        session = self._sessions.get((caller.config().storage_identity, session_id))
        if session is not None:
            session.asked_for = time.monotonic()
        return session

    def has_journal(self, caller: Caller, session_id: str) -> bool:
        """Whether there has been a session with this id in the caller's storage directory."""
        name, _, label = session_id.partition("@")
        plain_names = clean_name(name) == name and clean_name(label) == label
        return plain_names and self.journal_path(caller, session_id).exists()

    def journal_path(self, caller: Caller, session_id: str) -> Path:
        """Where the journal of a session of the caller's storage directory is."""
        return journal_path(caller.config().storage_dir, session_id)

    def _distinct(
        self, config: Config, environment: Environment, choice: SessionChoice
    ) -> tuple[Environment, SessionChoice]:
        """The names under which this environment and this project are not mistaken for others."""
        spelled = spelled_there(config.storage_dir, f"{choice.name}@{environment.label}")
        name, _, label = spelled.partition("@")
        choice, environment = replace(choice, name=name), replace(environment, label=label)
        opened = self._first_record(config, environment, choice)
        if opened.get("environment", environment.identity) != environment.identity:
            environment = replace(environment, label=apart(environment.label, environment.identity))
            opened = self._first_record(config, environment, choice)
        if choice.project is not None and opened.get("project", choice.project) != choice.project:
            choice = replace(choice, name=apart(choice.name, choice.project))
        return environment, choice

    def _first_record(
        self, config: Config, environment: Environment, choice: SessionChoice
    ) -> Mapping[str, Any]:
        session_id = f"{choice.name}@{environment.label}"
        known = self._sessions.get((config.storage_identity, session_id))
        if known is not None:
            return {"environment": known.environment.identity, "project": known.project}
        return first_record(journal_path(config.storage_dir, session_id))

    async def _open(self, config: Config, environment: Environment, choice: SessionChoice) -> Session:
        session_id = f"{choice.name}@{environment.label}"
        key = (config.storage_identity, session_id)
        await self.adoption.of(key)
        async with self._opening.setdefault(key, asyncio.Lock()):
            # Also under the path that its storage directory had before: its journal is still open there.
            abandoned = [k for k, s in self._sessions.items() if k[1] == session_id and s.is_abandoned]
            for each in abandoned:
                await self._sessions.pop(each).close()
            if key not in self._sessions:
                session = await self._restored(config.storage_dir, environment, choice.name, choice.project)
                await self._kernels.look_for(session, key[0])
                if not session.executions.last_number:  # a journal may have been removed, and notebooks kept
                    session.generations.generation = last_generation(config.storage_dir, session_id)
                self._sessions[key] = session
        return self._sessions[key]

    async def _restored(
        self, storage_dir: Path, environment: Environment, name: str, project: str | None
    ) -> Session:
        """A session with its journal open and its past read; its kernel, if any, is not looked for."""
        session_id = f"{name}@{environment.label}"
        try:
            storage_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_failed(storage_dir, error) from error
        journal = await asyncio.to_thread(Journal, journal_path(storage_dir, session_id))
        try:
            past = await asyncio.to_thread(read_past, journal, session_id, storage_dir)
            journal.keep(  # a session can be looked at on a full disk, too
                "opened",
                session=session_id,
                project=project,
                environment=environment.identity,
                described=environment.to_json(),
                hub=os.getpid(),
            )
        except BaseException:
            journal.close()  # it is the session's lock
            raise
        recorder = Recorder(storage_dir, session_id, journal, self.pages)
        recorder.extension = environment.extension
        session = Session(name, environment, project, recorder, self._start)
        session.restore(past)
        storage_dirs.remember(self._state_dir, storage_dir)
        return session

    async def _start(
        self, session: Session, surroundings: Surroundings, on_message: OnMessage, progress: Progress
    ) -> NewKernel:
        """See session.KernelStarter."""
        if self._kernels.number_matters(session, surroundings):  # how many there are has to be known
            await self.adoption.of_all()
        return await self._kernels.start(session, surroundings, on_message, progress)

    def sessions_of(self, caller: Caller) -> list[Session]:
        """The open sessions of the caller's storage directory."""
        identity = caller.config().storage_identity
        found = [session for key, session in self._sessions.items() if key[0] == identity]
        for session in found:
            session.asked_for = time.monotonic()
        return found

    def listed(self, config: Config) -> str:
        """The ids of the sessions of a storage directory, open or not."""
        here = {key[1] for key in self._sessions if key[0] == config.storage_identity}
        here |= set(sessions_in(config.storage_dir))
        return ", ".join(sorted(here)) or "none"

    def place_of(self, caller: Caller, environment: Environment) -> Place:
        """Where a caller's installation into an environment goes."""
        return Place(environment, caller.environ, self._runtime_dir / "installations", self._kernels_in)

    def _kernels_in(self, environment: Environment) -> list[tuple[str, Kernel]]:
        """The running kernels that import what is installed into an environment, with their sessions' ids."""
        prefix = os.path.realpath(installed_into(environment))
        return [
            (session.id, session.kernel)
            for session in self.sessions
            if session.kernel is not None and os.path.realpath(installed_into(session.environment)) == prefix
        ]

    async def find_left(self) -> None:
        """Look for the kernels that an earlier hub left running; from now on they are adopted."""
        found: list[tuple[_Key, KernelEntry]] = []
        for entry in await self._kernels.left():
            try:
                found.append((_key_of(entry), entry))
            except Exception as error:  # noqa: BLE001 - as in _adopt
                self._not_adopted(entry, error)
        self.adoption.begin(found)

    async def _adopt(self, key: _Key, entry: KernelEntry) -> None:
        try:
            await self._kernels.adopt(entry, await self._session_of_entry(key, entry))
        except Exception as error:  # noqa: BLE001 - one entry must never keep the others from it
            self._not_adopted(entry, error)

    def _not_adopted(self, entry: KernelEntry, error: Exception) -> None:
        _log.error("kernel %s was not adopted", entry.kernel_id, exc_info=error)
        self._kernels.not_adopted(entry, error)

    async def _session_of_entry(self, key: _Key, entry: KernelEntry) -> Session:
        if key not in self._sessions:  # two entries have the same where a link has come between
            environment = Environment.from_json(entry.environment)
            self._sessions[key] = await self._restored(
                Path(entry.storage_dir), environment, entry.session_name, entry.project
            )
        return self._sessions[key]

    async def release(self, seconds: float) -> list[str]:
        """Close the sessions that are unused for so long: nobody has their records then, which may go.

        Who asks for one of them has it again as it would have it from the next hub. One with a notebook of
        the person's stays as long as who opened that: its calls are for it where they name none.
        """
        here = {caller.id for caller in self._chosen if not caller.gone}
        released = []
        for key in list(self._sessions):
            async with self._opening.setdefault(key, asyncio.Lock()):
                session = self._sessions.get(key)
                if session is None or not session.is_unused_for(seconds):
                    continue
                if session.opened is not None and here.intersection(session.opened.opened_by):
                    continue
                del self._sessions[key]
                for chosen in self._chosen.values():
                    for name in [name for name, theirs in chosen.items() if theirs is session]:
                        del chosen[name]
                await session.close()
                released.append(session.id)
        return released

    async def close(self) -> None:
        """Leave every kernel running for the next hub; everything recorded is on disk."""
        await self.adoption.stop()
        await asyncio.gather(*map(_close, self.sessions))  # one that waits for its notebook holds up no other


async def _close(session: Session) -> None:
    try:
        await session.close()
    except (OSError, KernelexecError):
        _log.exception("session %s was not closed cleanly", session.id)


def _key_of(entry: KernelEntry) -> _Key:
    label = Environment.from_json(entry.environment).label
    return os.path.realpath(entry.storage_dir), f"{entry.session_name}@{label}"


def _in_hand(session: Session, caller: Caller) -> Session:
    """A session that this caller uses now, as its settings want it."""
    session.asked_for = time.monotonic()
    session.recorder.limits = caller.config().limits
    session.stop_when_idle_for(caller.config().kernel_idle_seconds)
    return session
