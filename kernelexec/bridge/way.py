"""The ways to a hub: that of this machine, or through a link to another host (KERNELEXEC_HOST)."""

from __future__ import annotations

import time
from _socket import MSG_DONTWAIT, socket  # see rendezvous

from kernelexec.bridge.rendezvous import CALLER, join_hub
from kernelexec.errors import HubUnavailable
from kernelexec.paths import log_file

TYPE_CHECKING = False  # see rendezvous
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Mapping
    from typing import Protocol

    from kernelexec.bridge.far_link import FarHost, Link
else:
    Protocol = object

_CHUNK = 1 << 16  # bytes
# A link over which nothing has come for so long is asked for a sign of life, and given up after as long
# again: a network that is gone says nothing.
QUIET_SECONDS = 10.0
# How long a link is looked for that has ended, before who waits is told. The network may be changing.
PATIENCE_SECONDS = 25.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 3.0  # seconds
SIGN_OF_LIFE = b"\n"  # a hub ignores it, and the far end answers it with the same


class Way(Protocol):
    """How a bridge comes to its hub."""

    most_tries: int  # of hubs that end, or of links, over one request
    ended: str  # what has, in words

    def join(self, begun: str = "[]") -> socket:
        """A connection to the hub (see `rendezvous.join_hub`).

        Raises:
            HubUnavailable
        """

    def join_next(self, begun: str) -> socket:
        """The same after one has ended."""

    def receive(self, hub: socket, sending: LockType) -> bytes:
        """What has come, of whatever length; empty at its end. `sending` is held while a line is said."""


def named_host(environ: Mapping[str, str]) -> str:
    """The other host that everything is to be on; empty for this one."""
    return environ.get("KERNELEXEC_HOST", "").strip()


def way_to_hub(environ: Mapping[str, str], cwd: str) -> Way:
    """The one that the settings name, for a client in this directory.

    Raises:
        HubUnavailable: they name none that can be.
    """
    said = named_host(environ)
    if not said:
        return _Here(environ, cwd)
    from kernelexec.bridge.far_link import FarHost  # here, because few need it and all wait for it

    return FarAway(FarHost(said), environ)


class _Here:
    most_tries = 3  # it might be what ends them

    def __init__(self, environ: Mapping[str, str], cwd: str) -> None:
        self._environ = environ
        self._cwd = cwd
        self.ended = f"kernelexec: the hub ended; its log: {log_file(environ)}"

    def join(self, begun: str = "[]") -> socket:
        return join_hub("mcp", self._environ, begun=begun, cwd=self._cwd)

    def join_next(self, begun: str) -> socket:
        return self.join(begun)

    def receive(self, hub: socket, sending: LockType) -> bytes:
        try:
            return hub.recv(_CHUNK)
        except ConnectionResetError:
            return b""


class FarAway:
    """The hub of another host: a link that ends is made again."""

    most_tries = 30  # a bad network ends many

    def __init__(self, host: FarHost, environ: Mapping[str, str], role: str = "mcp") -> None:
        self._host = host
        self._environ = environ
        self._role = role
        self._link: Link | None = None
        self._down_since = ""
        self.ended = f"kernelexec: the link to {host.said} ended; it is made again when it is needed"

    def join(self, begun: str = "[]") -> socket:
        wanted = {"want": "hub", "role": self._role, "caller": CALLER, "begun": begun}
        link = self._host.ask(wanted, self._environ)
        line = link.receive_line()
        said = line.decode("utf-8", "replace").split(maxsplit=3) if line.endswith(b"\n") else []
        if said[2:3] != ["ok"]:
            why = (
                HubUnavailable(f"kernelexec where `{self._host.shown}` leads said: {' '.join(said[3:])}")
                if said
                else self._host.unanswered(link)
            )
            link.end()
            raise why
        self._link, self._down_since = link, ""
        return link.connection

    def join_next(self, begun: str) -> socket:
        if self._link is not None:
            self._link.kill()
            self._link = None
        self._down_since = self._down_since or time.strftime("%H:%M:%S")
        pause, deadline = _FIRST_PAUSE, time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self.join(begun)
            except HubUnavailable as error:
                if time.monotonic() + pause > deadline:
                    raise HubUnavailable(
                        f"The link to {self._host.said} has been down since {self._down_since}, and it "
                        "is not known whether what was open goes on there: list_executions says, once it is "
                        f"back. {error.what}",
                        error.next_step,
                    ) from error
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def receive(self, hub: socket, sending: LockType) -> bytes:
        import select  # here: as above

        waiting = select.poll()
        waiting.register(hub, select.POLLIN)
        is_asked = False
        while not waiting.poll(QUIET_SECONDS * 1000):
            if is_asked:
                return b""
            _ask_for_a_sign(hub, sending)
            is_asked = True
        try:
            return hub.recv(_CHUNK)
        except OSError:
            return b""


def _ask_for_a_sign(hub: socket, sending: LockType) -> None:
    """Between two lines; where the link takes nothing any more its silence says as much."""
    if not sending.acquire(blocking=False):
        return
    try:
        hub.send(SIGN_OF_LIFE, MSG_DONTWAIT)
    except OSError:
        return
    finally:
        sending.release()
