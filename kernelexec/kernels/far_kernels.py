"""Kernels at the end of a command (KERNELEXEC_VIA): started there, joined, found again by their ids."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
import signal
from collections import defaultdict
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from kernelexec.errors import HubUnavailable, KernelFailed
from kernelexec.kernels.far_command import VARIABLE, FarCommand, FarPython, FarTrouble, Passage
from kernelexec.kernels.far_life import FarLife, FarPlace, read_place
from kernelexec.kernels.host import Launch
from kernelexec.kernels.kernel import Death, OnMessage
from kernelexec.kernels.large_messages import spool_in
from kernelexec.kernels.linked_kernel import LinkedKernel
from kernelexec.kernels.owed_stops import FOLDER, OwedStops
from kernelexec.kernels.slurm import Slurm, is_slurm, way_into
from kernelexec.kernels.stdio_link import StdioLink, Way
from kernelexec.kernels.strays import Stray
from kernelexec.kernels.turns import Turns

_log = logging.getLogger(__name__)

KEPT_BYTES = 64_000_000  # of what it publishes: a link may be down for a while
_FOR_KERNELS = ("KERNELEXEC_STILL_IMAGES", "KERNELEXEC_MEMORY_MB")
_JOIN_SECONDS = 0.5  # from one look at a job that has just begun, or ends, to the next
_EXPLAINING = 16


class FarKernels:
    """Starts kernels there and finds them again (see host.KernelHost)."""

    def __init__(self, runtime_dir: Path, state_dir: Path) -> None:
        self._environs: dict[str, Mapping[str, str]] = {}  # by command: those of the client that came last
        self._spools = runtime_dir / "spools"  # a folder for each kernel
        self._owed = OwedStops(state_dir / FOLDER, self._end)
        self._turns: defaultdict[tuple[str, str], Turns] = defaultdict(Turns)  # by command and job
        self._tasks: set[asyncio.Task[None]] = set()

    def meet(self, environ: Mapping[str, str], cwd: str) -> None:
        command = environ.get(VARIABLE, "").strip()
        if command:
            self._environs[command] = environ  # its agent for keys, say, may be another one now
        self._owed.make_up()

    async def start(self, launch: Launch, on_message: OnMessage) -> LinkedKernel:
        self._environs[launch.host] = launch.environ
        kernel, key = secrets.token_hex(4), secrets.token_hex(16)
        wanted = {
            "want": "start",
            "id": kernel,
            "connection": {"key": key, "signature_scheme": "hmac-sha256"},
            "kept_bytes": KEPT_BYTES,
            "lent": launch.lent,
            "environ": {name: launch.environ[name] for name in _FOR_KERNELS if name in launch.environ},
            "directory": launch.environ.get("KERNELEXEC_CWD", "").strip(),
            "project": str(launch.cwd),
            "home": launch.environ.get("HOME", ""),
        }
        python = launch.argv[0]
        if is_slurm(launch.host):
            place, passage = await self._started_in_job(launch, {**wanted, "want": "serve"}, kernel, key)
            return self._linked(place, on_message, passage, is_kept=not launch.ends_with_us)
        try:
            passage, said = await FarCommand(launch.host).begin(
                FarPython("program", python), wanted, launch.environ
            )
        except (FarTrouble, HubUnavailable) as error:
            raise KernelFailed(f"The kernel could not be started: {error.what}", error.next_step) from error
        place = FarPlace(
            launch.host, python, kernel, key, said["host"], said["boot"], said["directory"], launch.lent
        )
        return self._linked(place, on_message, passage, is_kept=not launch.ends_with_us)

    def adopt(self, place: Mapping[str, Any], on_message: OnMessage, interrupts: str) -> LinkedKernel:
        return self._linked(read_place(place), on_message, None, is_kept=True)

    def strays(self) -> Mapping[str, Stray]:
        """None: what lives there is not seen from here."""
        return {}

    def elsewhere(self, place: Mapping[str, Any]) -> str | None:
        """Nowhere that cannot be seen from here."""
        return None

    def keep(self, place: Mapping[str, Any]) -> bool:
        """Nothing of it is on this machine."""
        return True

    def death(self, place: Mapping[str, Any]) -> Death:
        return Death()

    def clear_up(self, place: Mapping[str, Any]) -> None:
        shutil.rmtree(self._spools / read_place(place).kernel, ignore_errors=True)

    def _linked(
        self, place: FarPlace, on_message: OnMessage, passage: Passage | None, *, is_kept: bool
    ) -> LinkedKernel:
        spool = spool_in(self._spools, place.kernel)
        life = FarLife(place, self._end_later, self._explain, spool, is_kept=is_kept)
        turns = self._turns[place.command, place.job]
        life.has_answered = passage is None  # the hub that has started it knew it only then

        def link(take: OnMessage) -> StdioLink:
            made = StdioLink(
                place.key,
                Way(partial(self._join, place, life), turns, acknowledges=bool(place.job)),
                take,
                passage=passage,
                spool=spool,
            )
            life.hear(made)
            return made

        return LinkedKernel(link, life, on_message, "named", life, is_settled=passage is None)

    async def _join(self, place: FarPlace, life: FarLife) -> Passage:
        """Raises FarTrouble: it is not reached, or is not where the command leads now."""
        if place.job:
            await self._look_at_job(place, life)
        passage, said = await self._joined(place)
        if not said["missing"]:
            return passage
        passage.end()
        if said["host"] != place.host:
            raise FarTrouble(
                f"`{place.command}` leads to {said['host']} now, and the kernel is on {place.host}.",
                f"Have {VARIABLE} name that machine.",
                was_reached=True,
            )
        why = f"there is nothing of it any more on {place.host}"
        if said["boot"] != place.boot:
            why = f"{place.host} was restarted"
        elif not life.has_answered:
            why = (
                f"the link to {place.host} ended before the kernel was ready, which ended it, too; what is "
                "submitted next starts a new one"
            )
        life.is_missing(why)
        raise FarTrouble(f"{why[0].upper()}{why[1:]}.", was_reached=True)

    async def _joined(self, place: FarPlace) -> tuple[Passage, dict[str, Any]]:
        wanted = {"want": "join", "id": place.kernel, "lent": place.lent}
        command = FarCommand(place.command, way_into(place.job) if place.job else None)
        return await command.begin(FarPython("program", place.python), wanted, self._environ_of(place))

    # --- jobs ----------------------------------------------------------------------------

    async def _started_in_job(
        self, launch: Launch, wanted: Mapping[str, Any], kernel: str, key: str
    ) -> tuple[FarPlace, Passage]:
        """Submitted, waited for, joined. Who gives up waiting leaves none behind."""
        slurm, python = Slurm(launch.environ), launch.argv[0]
        job = await slurm.submit(launch.host, python, wanted)
        place = FarPlace(launch.host, python, kernel, key, "", "", "", launch.lent, job)
        try:
            await slurm.until_it_runs(job, launch.progress)
            launch.progress(f"Slurm job {job} runs; its kernel starts.")
            passage, said = await self._first_joined(slurm, place)
        except BaseException:
            self._in_background(slurm.cancel(job))
            raise
        slurm.forget(job)
        return replace(
            place, host=said["host"], boot=said["boot"], working_directory=said["directory"]
        ), passage

    async def _first_joined(self, slurm: Slurm, place: FarPlace) -> tuple[Passage, dict[str, Any]]:
        """Once its Python has come so far."""
        while True:
            try:
                passage, said = await self._joined(place)
            except FarTrouble as trouble:
                said, passage = {"missing": True}, None
                _log.info("job %s cannot be joined yet: %s", place.job, trouble.what)
            if passage is not None and not said["missing"]:
                return passage, said
            if passage is not None:
                passage.end()
            state = await slurm.state(place.job)
            if state.is_over:
                raise KernelFailed(
                    f"The kernel did not start: {state.in_words}.\n{slurm.said_by(place.job)}".strip()
                )
            await asyncio.sleep(_JOIN_SECONDS)

    async def _look_at_job(self, place: FarPlace, life: FarLife) -> None:
        """Raises FarTrouble: it is over, or Slurm does not say."""
        try:
            state = await Slurm(self._environ_of(place)).state(place.job)
        except KernelFailed as error:
            raise FarTrouble(error.what, error.next_step) from error
        if state.is_over:
            life.is_missing(state.in_words)
            raise FarTrouble(state.in_words)

    async def _explain(self, place: FarPlace, death: Death) -> Death:
        """A signal may have been Slurm's, which says so a moment later."""
        if not place.job or death.signal not in (signal.SIGTERM, signal.SIGKILL):
            return death
        for _ in range(_EXPLAINING):
            with suppress(KernelFailed):
                state = await Slurm(self._environ_of(place)).state(place.job)
                if state.was_ended:
                    return replace(death, asked=state.in_words)
                if state.is_over:
                    break
            await asyncio.sleep(_JOIN_SECONDS)
        return death

    def _in_background(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _environ_of(self, place: FarPlace) -> Mapping[str, str]:
        return self._environs.get(place.command, os.environ)

    # --- what could not be reached when it was to end ----------------------------------

    def _end_later(self, place: FarPlace) -> None:
        if place.job:
            self._in_background(Slurm(self._environ_of(place)).cancel(place.job))
            return
        self._owed.add(place)

    async def _end(self, place: FarPlace) -> bool:
        """Whether it has ended there then. Raises FarTrouble: it is not reached."""
        try:
            command = FarCommand(place.command)
        except HubUnavailable as error:
            raise FarTrouble(error.what, error.next_step) from error
        python, wanted = FarPython("program", place.python), {"want": "end", "id": place.kernel}
        said = await command.ask(python, wanted, self._environ_of(place))
        return said["host"] == place.host and bool(said["ended"])
