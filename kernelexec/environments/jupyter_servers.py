"""The Jupyter servers that this user runs on this machine, and which notebook each of their kernels is of.

A server leaves its address and its token in a file of Jupyter's runtime directory, which only its user can
read, and lists its sessions to who has that token.

https://jupyter-server.readthedocs.io/en/latest/developers/rest-api.html
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from kernelexec import paths
from kernelexec.plain_file import read_plain, read_text

_SECONDS = 3.0  # a server of this machine answers in 0.01
_MOST_BYTES = 10_000_000
_DESCRIBED = ("jpserver-*.json", "nbserver-*.json")  # Jupyter Server's, and those of Notebook before 7
_SHARED = "RTC:"  # jupyter-collaboration's drive, before the path of a notebook in it


@dataclass(frozen=True)
class ServedKernel:
    """A kernel as a Jupyter server lists it."""

    connection_file: Path
    kernelspec: str
    notebook: str  # its real path; "" where it is of none
    server: str  # the server's address, without its token


def runtime_dirs(environ: Mapping[str, str]) -> list[Path]:
    """Where this user's Jupyter servers and kernels leave word: those of `kernelexec lab`, too."""
    return [Path(paths.jupyter_runtime_dir(environ)), Path(paths.runtime_dir(environ), "lab")]


def served_kernels(environ: Mapping[str, str]) -> list[ServedKernel]:
    """The kernels of all servers that tell; asks each of them."""
    found: list[ServedKernel] = []
    for folder in runtime_dirs(environ):
        for server in _servers(folder):
            found += _kernels_of(server, folder)
    return found


def _servers(folder: Path) -> Iterator[Mapping[str, Any]]:
    for file in sorted(path for pattern in _DESCRIBED for path in folder.glob(pattern)):
        try:
            said = json.loads(read_plain(file))
            if file.stat().st_uid == os.getuid() and psutil.pid_exists(said["pid"]):
                yield said
        except (OSError, ValueError, KeyError, TypeError):
            continue  # it has just ended, or is none of Jupyter's


def _kernels_of(server: Mapping[str, Any], folder: Path) -> Iterator[ServedKernel]:
    url, root = str(server.get("url", "")), str(server.get("root_dir") or server.get("notebook_dir") or "/")
    for session in _sessions(url, _tokens(server, folder)):
        try:
            kernel, path = session["kernel"], str(session.get("path") or "")
            notebook = os.path.realpath(os.path.join(root, path.removeprefix(_SHARED).lstrip("/")))
            yield ServedKernel(
                folder / f"kernel-{kernel['id']}.json",
                str(kernel["name"]),
                notebook if path.endswith(".ipynb") else "",
                url,
            )
        except (KeyError, TypeError, AttributeError):
            continue


def _tokens(server: Mapping[str, Any], folder: Path) -> list[str]:
    """What this server may want to be told. That of `kernelexec lab` is in a file of its own."""
    if server.get("token"):
        return [str(server["token"])]
    kept = []
    for file in folder.glob("token-*"):
        try:
            kept.append(read_text(file).strip())
        except (OSError, ValueError):
            continue
    return [*kept, ""]


def _sessions(url: str, tokens: list[str]) -> list[Any]:
    """The server's sessions, with the first token that it takes; none where it does not tell."""
    for token in tokens:
        try:
            said = _get(f"{url}api/sessions", token)
        except (OSError, ValueError):  # refused, ended meanwhile, an address that is no http
            continue
        return said if isinstance(said, list) else []
    return []


def _get(url: str, token: str) -> Any:
    from urllib.request import ProxyHandler, Request, build_opener  # here: few look for servers

    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url} is no address of the web")
    headers = {"Authorization": f"token {token}"} if token else {}
    opener = build_opener(ProxyHandler({}))  # it is on this machine
    with opener.open(Request(url, headers=headers), timeout=_SECONDS) as answer:
        return json.loads(answer.read(_MOST_BYTES))
