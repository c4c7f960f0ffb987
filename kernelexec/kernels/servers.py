"""Kernels on Jupyter servers: started by REST, spoken to by websocket, found again by the ids of both."""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from typing import Any

from kernelexec.config import Gateway, read_gateway
from kernelexec.errors import ConfigError, KernelFailed
from kernelexec.kernels.host import Launch
from kernelexec.kernels.kernel import Death, OnMessage
from kernelexec.kernels.linked_kernel import LinkedKernel
from kernelexec.kernels.retries import Retries
from kernelexec.kernels.server_access import Access, Accesses
from kernelexec.kernels.server_api import ServerApi
from kernelexec.kernels.server_life import ServerLife, ServerPlace
from kernelexec.kernels.server_troubles import ServerTrouble, no_token_yet
from kernelexec.kernels.strays import Stray
from kernelexec.kernels.websocket_link import Address, WebsocketLink
from kernelexec.kernels.wire import Message


class ServerKernels:
    """Starts kernels on servers and finds them again (see host.KernelHost)."""

    def __init__(self) -> None:
        self._accesses = Accesses()
        self._retries: defaultdict[str, Retries] = defaultdict(Retries)  # by the servers' addresses

    def meet(self, environ: Mapping[str, str], cwd: str) -> None:
        try:
            gateway = read_gateway(environ, cwd)
        except ConfigError:  # told with the client's first call
            return
        if gateway is not None:
            self._accesses.learn(gateway)

    async def start(self, launch: Launch, on_message: OnMessage) -> LinkedKernel:
        access = self._access(launch)
        if access is None:
            trouble = no_token_yet(launch.host)
            raise KernelFailed(trouble.what, trouble.next_step)
        try:
            kernel = await _started(ServerApi(access), launch.kernelspec)
        except ServerTrouble as error:
            raise KernelFailed(
                f"The kernel could not be started: {error.trouble.what}", error.trouble.next_step
            ) from error
        place = ServerPlace(launch.host, kernel, uuid.uuid4().hex, *_files(access.gateway))
        return self._linked(place, on_message, is_new=True)

    def _access(self, launch: Launch) -> Access | None:
        """That of the client for which it is started; another's where that has none."""
        own = read_gateway(launch.environ, str(launch.cwd))
        if own is None or own.url != launch.host:
            return self._accesses.of(launch.host)
        self._accesses.learn(own)
        return Access(own)

    def adopt(self, place: Mapping[str, Any], on_message: OnMessage, interrupts: str) -> LinkedKernel:
        known = _read(place)
        self._accesses.restore(known.url, known.token_file, known.ca_file)
        return self._linked(known, on_message, is_new=False)

    def strays(self) -> Mapping[str, Stray]:
        """None: what lives on a server its own pages show."""
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
        """Nothing of it is on this machine."""

    def _linked(self, place: ServerPlace, on_message: OnMessage, *, is_new: bool) -> LinkedKernel:
        entrance = _Entrance(place.url, self._accesses, self._retries[place.url])
        life = ServerLife(place, entrance)
        address = Address(place.url, place.kernel, place.session)
        return LinkedKernel(
            partial(_link, address, entrance, life),
            life,
            on_message,
            place.interrupts,
            life,
            is_settled=not is_new,
        )


def _link(address: Address, entrance: _Entrance, life: ServerLife, take: OnMessage) -> WebsocketLink:
    def hear(message: Message) -> None:
        if life.hear(message):
            take(message)

    link = WebsocketLink(address, entrance, hear)
    link.on_request, link.on_missing = life.is_asked, life.is_missing
    life.is_awaited, life.ask_who, life.connect_again = link.is_awaited, link.ask_who, link.connect_again
    return link


class _Entrance:
    """See websocket_link.Entrance."""

    def __init__(self, url: str, accesses: Accesses, retries: Retries) -> None:
        self.retries = retries
        self._url = url
        self._accesses = accesses

    def api(self) -> ServerApi | None:
        access: Access | None = self._accesses.of(self._url)
        return None if access is None else ServerApi(access, self._accesses.refused)

    async def changed(self) -> None:
        await self._accesses.changed()


async def _started(api: ServerApi, kernelspec: str) -> str:
    """The id of a new kernel. Who gives up waiting leaves none behind."""
    starting = asyncio.ensure_future(api.start(kernelspec))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        starting.add_done_callback(partial(_give_up, api))
        raise


_given_up: set[asyncio.Task[None]] = set()


def _give_up(api: ServerApi, started: asyncio.Future[str]) -> None:
    if not started.cancelled() and started.exception() is None:
        ending = asyncio.ensure_future(api.end(started.result()))
        _given_up.add(ending)
        ending.add_done_callback(_given_up.discard)


def _files(gateway: Gateway) -> tuple[str | None, str | None]:
    files = (gateway.token_file, gateway.ca_file)
    token_file, ca_file = (None if file is None else str(file) for file in files)
    return token_file, ca_file


_KNOWN = {field.name for field in fields(ServerPlace)}  # what else there is a later version has written


def _read(place: Mapping[str, Any]) -> ServerPlace:
    try:
        return ServerPlace(**{name: value for name, value in place.items() if name in _KNOWN})
    except TypeError as error:
        raise ValueError(f"not the place of a kernel on a server: {error}") from error
