"""What a Jupyter server, or what stands before it, says instead of what was asked for: in words. Pure.

No token is ever in them: only the server's address, and what the server answers.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

_LONGEST = 300  # characters of what a server says

_TOKEN = (
    "Set JUPYTER_TOKEN, or GATEWAY_TOKEN_FILE to a file that holds it, in the MCP configuration. A token "
    "that has expired is made anew where it came from (JupyterHub: File > Hub Control Panel > Token)."
)
_PLAIN_REFUSALS = ("", "Forbidden", "Unauthorized")
_ADMINISTRATOR = "Whoever keeps the server can say why, and allow it."
_LATER = "It is tried again by itself; if that does not help, its administrator sees why in its log."


@dataclass(frozen=True)
class Trouble:
    """What is wrong, and what to do next."""

    what: str
    next_step: str = ""
    passes: bool = False  # it may be over soon, without anybody's doing


class ServerTrouble(Exception):
    """A request was not served."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.what)
        self.trouble = trouble


def of_status(
    status: int, url: str, said: str = "", *, location: str = "", has_token: bool = True
) -> Trouble:
    """Of an answer that is none of success.

    `said`: what it tells in words; `location`: where it redirects to.
    """
    if status in (401, 403):
        return _refused(status, url, said, has_token)
    if 300 <= status < 400:
        return _redirected(url, location)
    known = _KNOWN.get(status)
    if known is not None:
        return Trouble(known.what.format(url=url, status=status), known.next_step, known.passes)
    told = " ".join(said.split())[:_LONGEST]
    told = f" ({told})" if told else ""
    return Trouble(f"{url} failed with {status}{told}.", "Its own log says why.", passes=status >= 500)


_PROXY = Trouble(
    "A proxy answers for {url} that it does not reach the server ({status}).", _LATER, passes=True
)
_KNOWN = {
    404: Trouble(
        "There is no Jupyter server at {url} (404).",
        "GATEWAY_URL must be the whole base address: of a JupyterHub, for example, "
        "https://hub.example/user/NAME.",
    ),
    424: Trouble(
        "The person's server at {url} is not running (424): its JupyterHub has stopped it.",
        "Start it in a browser: open the hub's address and log in.",
        passes=True,
    ),
    429: Trouble("{url} has had too many requests (429).", _LATER, passes=True),
    502: _PROXY,
    503: _PROXY,
    504: _PROXY,
}


def _refused(status: int, url: str, said: str, has_token: bool) -> Trouble:
    if not has_token:
        return Trouble(f"{url} wants a token, and none is configured.", _TOKEN)
    if said not in _PLAIN_REFUSALS:  # of what was asked for, not of who asks
        return Trouble(f"{url} refuses that ({status}): {' '.join(said.split())[:_LONGEST]}", _ADMINISTRATOR)
    return Trouble(f"{url} does not accept the token that is configured ({status}).", _TOKEN)


def _redirected(url: str, location: str) -> Trouble:
    target = urlsplit(urljoin(url + "/", location))
    if "login" in target.path or "oauth" in target.path:
        return Trouble(
            f"{url} wants somebody to log in: it does not accept the token that is configured.", _TOKEN
        )
    if "/hub/" in target.path:
        return of_status(424, url)
    base = f"{target.scheme}://{target.netloc}{target.path.partition('/api')[0]}"
    return Trouble(
        f"{url} redirects to {base}.",
        f"If that is the server, set GATEWAY_URL={base} in the MCP configuration.",
    )


def of_failure(error: BaseException, url: str) -> Trouble:
    """Of a connection that did not come about, or broke."""
    for each in _causes(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            why = getattr(each, "verify_message", "") or str(each)
            return Trouble(
                f"The certificate of {url} is not trusted: {why}.",
                "If the server has an authority of its own, set GATEWAY_CA_FILE to that authority's "
                "certificate (PEM) in the MCP configuration.",
            )
        if isinstance(each, ssl.SSLError):
            return Trouble(
                f"{url} does not speak TLS as it should: {getattr(each, 'reason', '') or each}.",
                "Is it http:// instead?",
            )
        if isinstance(each, ConnectionRefusedError):
            return Trouble(f"Nothing answers at {url} (connection refused).", _STARTED, passes=True)
    name = " ".join(str(error).split())[:_LONGEST]
    return Trouble(f"{url} could not be reached ({name or type(error).__name__}).", _STARTED, passes=True)


_STARTED = (
    "Is the server running, and is GATEWAY_URL right? From behind a firewall it needs a way in, as ssh -L."
)


def no_websocket(url: str) -> Trouble:
    """Requests are served, and the connection that carries messages is not."""
    return Trouble(
        f"{url} answers requests, but no websocket comes about: a proxy before it does not pass the Upgrade "
        "header.",
        "Whoever keeps the proxy lets websockets through (nginx: proxy_http_version 1.1, and "
        "proxy_set_header Upgrade and Connection).",
    )


def no_token_yet(url: str) -> Trouble:
    return Trouble(
        f"The hub was started anew and has no token for {url} until a client comes that has one.",
        "Any call of a client with this server in its configuration brings it. With GATEWAY_TOKEN_FILE "
        "the hub reads it itself.",
        passes=True,
    )


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found and len(found) < 10:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
