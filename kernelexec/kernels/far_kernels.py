"""Kernels at the end of a command (KERNELEXEC_VIA): started there, joined, found again by their ids."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from kernelexec.errors import HubUnavailable, KernelFailed
from kernelexec.kernels.far_command import VARIABLE, FarCommand, FarPython, FarTrouble, Passage
from kernelexec.kernels.far_life import FarLife, FarPlace
from kernelexec.kernels.host import Launch
from kernelexec.kernels.kernel import Death, OnMessage
from kernelexec.kernels.linked_kernel import LinkedKernel
from kernelexec.kernels.stdio_link import StdioLink
from kernelexec.kernels.strays import Stray
from kernelexec.plain_file import read_plain

_log = logging.getLogger(__name__)

KEPT_BYTES = 64_000_000  # of what it publishes: a link may be down for a while
_FOR_KERNELS = ("KERNELEXEC_STILL_IMAGES", "KERNELEXEC_MEMORY_MB")
_ENDING_SECONDS = 30.0  # between two tries to end what could not be reached


class FarKernels:
    """Starts kernels there and finds them again (see host.KernelHost)."""

    def __init__(self, runtime_dir: Path) -> None:
        self._environs: dict[str, Mapping[str, str]] = {}  # by command: those of the client that came last
        self._to_end = runtime_dir / "far"  # a file for each kernel that is to be ended
        self._ending: asyncio.Task[None] | None = None

    def meet(self, environ: Mapping[str, str], cwd: str) -> None:
        command = environ.get(VARIABLE, "").strip()
        if command:
            self._environs[command] = environ  # its agent for keys, say, may be another one now
        self._end_what_is_to_end()

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
        return self._linked(_read(place), on_message, None, is_kept=True)

    def strays(self) -> Mapping[str, Stray]:
        """None: what lives there is not seen from here."""
        return {}

    def elsewhere(self, place: Mapping[str, Any]) -> str | None:
        """Nowhere that cannot be seen from here."""
        return None

    def keep(self, place: Mapping[str, Any]) -> None:
        """Nothing of it is on this machine."""

    def death(self, place: Mapping[str, Any]) -> Death:
        return Death()

    def clear_up(self, place: Mapping[str, Any]) -> None:
        """Nothing of it is on this machine."""

    def _linked(
        self, place: FarPlace, on_message: OnMessage, passage: Passage | None, *, is_kept: bool
    ) -> LinkedKernel:
        life = FarLife(place, self._end_later, is_kept=is_kept)

        def link(take: OnMessage) -> StdioLink:
            made = StdioLink(place.key, partial(self._join, place, life), take, passage=passage)
            life.hear(made)
            return made

        return LinkedKernel(link, life, on_message, "named", life, is_settled=passage is None)

    async def _join(self, place: FarPlace, life: FarLife) -> Passage:
        """Raises FarTrouble: it is not reached, or is not where the command leads now."""
        wanted = {"want": "join", "id": place.kernel, "lent": place.lent}
        passage, said = await FarCommand(place.command).begin(
            FarPython("program", place.python), wanted, self._environ_of(place)
        )
        if not said["missing"]:
            return passage
        passage.end()
        if said["host"] != place.host:
            raise FarTrouble(
                f"`{place.command}` leads to {said['host']} now, and the kernel is on {place.host}.",
                f"Have {VARIABLE} name that machine.",
            )
        restarted = said["boot"] != place.boot
        why = (
            f"{place.host} was restarted" if restarted else f"there is nothing of it any more on {place.host}"
        )
        life.is_missing(why)
        raise FarTrouble(f"{why[0].upper()}{why[1:]}.")

    def _environ_of(self, place: FarPlace) -> Mapping[str, str]:
        return self._environs.get(place.command, os.environ)

    # --- what could not be reached when it was to end ----------------------------------

    def _end_later(self, place: FarPlace) -> None:
        try:
            self._to_end.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._to_end / f"{place.kernel}.json"
            with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
                json.dump(asdict(place), file)
        except OSError as error:
            _log.warning("kernel %s is not ended later: %s", place.kernel, error)
        self._end_what_is_to_end()

    def _end_what_is_to_end(self) -> None:
        if self._ending is None and any(self._to_end.glob("*.json")):
            self._ending = asyncio.get_running_loop().create_task(self._end_all())

    async def _end_all(self) -> None:
        try:
            while paths := list(self._to_end.glob("*.json")):
                for path in paths:
                    await self._end(path)
                if any(path.exists() for path in paths):
                    await asyncio.sleep(_ENDING_SECONDS)
        finally:
            self._ending = None

    async def _end(self, path: Path) -> None:
        try:
            place = _read(json.loads(read_plain(path)))
            wanted = {"want": "end", "id": place.kernel}
            said = await FarCommand(place.command).ask(
                FarPython("program", place.python), wanted, self._environ_of(place)
            )
        except (FarTrouble, HubUnavailable) as error:
            _log.info("what is to be ended cannot be reached: %s", error.what)
            return
        except (OSError, ValueError, KeyError) as error:
            _log.warning("%s cannot be read: %s", path, error)
            said = {"ended": True, "host": ""}
        else:
            if said["host"] != place.host:
                return
        if said["ended"]:
            _log.info("what %s names was ended", path.stem)
            with suppress(OSError):
                path.unlink()


def _read(place: Mapping[str, Any]) -> FarPlace:
    try:
        return FarPlace(**{name: value for name, value in place.items() if name != "kind"})
    except TypeError as error:
        raise ValueError(f"not the place of a kernel at the end of a command: {error}") from error
