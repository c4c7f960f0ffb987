"""Who may speak to a Jupyter server: the tokens that clients have brought. In memory only.

A hub that begins has none, until a client comes or where a file holds it; nothing writes one down.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kernelexec.config import Gateway
from kernelexec.kernels.server_troubles import ServerTrouble, Trouble
from kernelexec.plain_file import read_text
from kernelexec.system_errors import in_words

_MOST_KEPT = 8  # of one server


@dataclass(frozen=True)
class Access:
    """How one server is spoken to."""

    gateway: Gateway

    def headers(self) -> Mapping[str, str]:
        """What vouches for us.

        Raises:
            ServerTrouble: the file that holds the token cannot be read.
        """
        token = self._token()
        return {"Authorization": f"token {token}"} if token else {}

    @property
    def has_token(self) -> bool:
        return bool(self.gateway.token or self.gateway.token_file)

    def trust(self) -> ssl.SSLContext | None:
        """Whom we trust to vouch for the server; None: it does not speak TLS.

        Raises:
            ServerTrouble: the file that says so cannot be used.
        """
        if not self.gateway.url.startswith("https:"):
            return None
        try:
            return ssl.create_default_context(cafile=self.gateway.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ServerTrouble(
                Trouble(
                    f"The certificates in {self.gateway.ca_file} cannot be used: {in_words(error)}.",
                    "Correct GATEWAY_CA_FILE in the MCP configuration.",
                )
            ) from error

    def _token(self) -> str:
        file = self.gateway.token_file
        if file is None:
            return self.gateway.token
        try:
            return read_text(file).strip()
        except (OSError, ValueError) as error:
            why = in_words(error) if isinstance(error, OSError) else "it is no text"
            raise ServerTrouble(
                Trouble(
                    f"The token cannot be read from {file}: {why}.",
                    "Correct GATEWAY_TOKEN_FILE in the MCP configuration, or the file.",
                )
            ) from error


class Accesses:
    """All that are known now, by the servers' addresses.

    Clients may bring different ones for the same server, and one of them be wrong or out of date: what was
    refused is tried again after the others.
    """

    def __init__(self) -> None:
        self._known: dict[str, list[Access]] = {}  # the next one to be used first
        self._changed = asyncio.Event()

    def learn(self, gateway: Gateway) -> None:
        """A client has brought it."""
        access, known = Access(gateway), self._known.setdefault(gateway.url, [])
        if access not in known:
            known.insert(0, access)
            del known[_MOST_KEPT:]
            self._changed.set()
            self._changed = asyncio.Event()

    def restore(self, url: str, token_file: str | None, ca_file: str | None) -> None:
        """As far as a kernel's place tells of it."""
        if token_file is not None:
            self.learn(Gateway(url, token_file=Path(token_file), ca_file=Path(ca_file) if ca_file else None))

    def of(self, url: str) -> Access | None:
        known = self._known.get(url)
        return known[0] if known else None

    def refused(self, access: Access) -> None:
        """The server does not accept it."""
        known = self._known.get(access.gateway.url, [])
        if access in known:
            known.remove(access)
            known.append(access)

    async def changed(self) -> None:
        """Wait until a client brings another one, for whichever server."""
        await self._changed.wait()
