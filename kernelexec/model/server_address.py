"""A Jupyter server's address, as a person writes it and as it is kept. Pure.

A kernel there is called `URL#KERNELSPEC`: a fragment has no other meaning in these addresses.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit, urlunsplit

_PAGES = ("/lab", "/tree", "/notebooks", "/api")  # what somebody copies from a browser ends in one of these


class BadAddress(Exception):
    """No server can be at this address, or it holds a secret; the text says which, without the address."""


def clean_url(text: str) -> str:
    """The base URL of a server, without what a browser shows after it.

    Raises:
        BadAddress
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError as error:
        raise BadAddress("is not an address") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadAddress("is not an address that begins with http:// or https://")
    if parts.username is not None or parts.password is not None or "token=" in parts.query:
        raise BadAddress("holds a secret, which would be shown and kept wherever the address is")
    path = parts.path
    for page in _PAGES:
        before, found, after = path.partition(page)
        if found and (not after or after.startswith("/")):
            path = before
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = host if port is None else f"{host}:{port}"
    return urlunsplit((parts.scheme, place, path.rstrip("/"), "", ""))


def kernel_at(url: str, kernelspec: str) -> str:
    """The name of a kernelspec of a server; of its default one where that is empty."""
    return f"{url}#{kernelspec}" if kernelspec else url


def server_and_kernelspec(name: str) -> tuple[str, str]:
    """The reverse of kernel_at."""
    url, _, kernelspec = name.partition("#")
    return url, unquote(kernelspec)


def host_of(url: str) -> str:
    """The name of its machine, for labels and words."""
    return urlsplit(url).hostname or url
