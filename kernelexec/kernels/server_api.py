"""The requests that a Jupyter server answers: its kernelspecs, and its kernels' beginning and end.

https://jupyter-server.readthedocs.io/en/latest/developers/rest-api.html
"""

from __future__ import annotations

import getpass
import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from kernelexec.kernels.server_access import Access
from kernelexec.kernels.server_troubles import ServerTrouble, Trouble, of_failure, of_status

if TYPE_CHECKING:
    import httpx

_SECONDS = 20.0
_START_SECONDS = 300.0  # a gateway answers once its kernel runs, which may need a pod and its image
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")  # Enterprise Gateway hands the rest to a shell
_SAID = ("message", "reason")  # where an answer tells what went wrong
for _each in ("httpx", "httpcore"):
    logging.getLogger(_each).setLevel(logging.WARNING)  # else each request is a line of the hub's log


class Activity(NamedTuple):
    """What a server has seen of a kernel, in the words of its REST interface."""

    state: str  # starting, idle, busy, ...
    last: str  # when the kernel last said something, by the server's clock


class ServerApi:
    """One server's."""

    def __init__(self, access: Access, refused: Callable[[Access], None] = lambda access: None) -> None:
        """`refused` is told of an access that the server does not accept."""
        self.access = access
        self.refused = refused
        self.url = access.gateway.url

    async def kernelspecs(self) -> Mapping[str, Any]:
        """`default`, a name, and `kernelspecs`, by name.

        Raises:
            ServerTrouble
        """
        said = await self._ask("GET", "/api/kernelspecs")
        if not isinstance(said, Mapping) or not isinstance(said.get("kernelspecs"), Mapping):
            raise ServerTrouble(of_status(404, self.url))
        return said

    async def start(self, kernelspec: str) -> str:
        """Start a kernel; its id.

        Raises:
            ServerTrouble
        """
        said = await self._ask("POST", "/api/kernels", {"name": kernelspec, "env": _whose()}, _START_SECONDS)
        if not isinstance(said, Mapping) or not isinstance(said.get("id"), str):
            raise ServerTrouble(Trouble(f"{self.url} started a kernel and does not say which."))
        return str(said["id"])

    async def has(self, kernel_id: str) -> bool:
        """Whether the server knows a kernel.

        Raises:
            ServerTrouble: it does not say.
        """
        return await self._ask("GET", f"/api/kernels/{quote(kernel_id)}", missing=False) is not False

    async def activity(self, kernel_id: str) -> Activity | None:
        """What the server has seen of a kernel; None if it does not know it.

        Raises:
            ServerTrouble: it does not say.
        """
        said = await self._ask("GET", f"/api/kernels/{quote(kernel_id)}", missing=False)
        if said is False:
            return None
        if not isinstance(said, Mapping):
            raise ServerTrouble(of_status(404, self.url))
        return Activity(str(said.get("execution_state")), str(said.get("last_activity")))

    async def interrupt(self, kernel_id: str) -> None:
        """Raises ServerTrouble."""
        await self._ask("POST", f"/api/kernels/{quote(kernel_id)}/interrupt", {})

    async def end(self, kernel_id: str) -> None:
        """End a kernel; nothing happens if there is none.

        Raises:
            ServerTrouble
        """
        await self._ask("DELETE", f"/api/kernels/{quote(kernel_id)}", missing=False)

    def channels(self, kernel_id: str, session_id: str) -> str:
        """The address of a kernel's messages."""
        query = urlencode({"session_id": session_id})
        return f"ws{self.url.removeprefix('http')}/api/kernels/{quote(kernel_id)}/channels?{query}"

    async def _ask(
        self,
        method: str,
        path: str,
        content: Mapping[str, Any] | None = None,
        seconds: float = _SECONDS,
        missing: object = None,
    ) -> Any:
        """What is answered, from JSON; `missing`, where it is given, for a 404."""
        httpx = _httpx()
        trust, headers = self.access.trust(), self.access.headers()
        try:
            async with httpx.AsyncClient(verify=trust or False, timeout=seconds) as client:
                answer = await client.request(method, self.url + path, headers=headers, json=content)
        except (httpx.HTTPError, OSError) as error:
            raise ServerTrouble(of_failure(error, self.url)) from None
        if answer.status_code == 404 and missing is not None:
            return missing
        if answer.status_code in (401, 403):
            self.refused(self.access)
        if not answer.is_success:
            raise ServerTrouble(self._trouble(answer))
        try:
            return answer.json() if answer.content else None
        except ValueError:
            raise ServerTrouble(of_status(404, self.url)) from None

    def _trouble(self, answer: httpx.Response) -> Trouble:
        location = answer.headers.get("location", "")
        return of_status(
            answer.status_code,
            self.url,
            _said_in(answer.text),
            location=location,
            has_token=self.access.has_token,
        )


def _said_in(text: str) -> str:
    try:
        said = json.loads(text)
    except ValueError:
        return ""
    told = [str(said[name]) for name in _SAID if said.get(name)] if isinstance(said, Mapping) else []
    return told[0] if told else ""


def _whose() -> Mapping[str, str]:
    """Enterprise Gateway wants to know; others ignore it."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        return {}
    return {"KERNEL_USERNAME": name} if _PLAIN_NAME.fullmatch(name) else {}


def _httpx() -> Any:
    """Here, because it takes 0.1 s and few need it.

    Raises:
        ServerTrouble: it is not installed.
    """
    try:
        import httpx
    except ImportError:
        raise ServerTrouble(missing_extra("httpx")) from None
    return httpx


def missing_extra(package: str) -> Trouble:
    return Trouble(
        f"Kernels on a Jupyter server need the package {package}, which is not installed beside kernelexec.",
        "Install kernelexec's extra 'remote', and call again.",
    )
