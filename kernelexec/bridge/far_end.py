"""`kernelexec __far`: the end of a link on the host that another's KERNELEXEC_HOST leads to.

It reads one line of JSON (`far_link.about_here` and what is wanted), and becomes what that wants: a way to
this host's hub, or one of the person's commands. Everything that comes with it is data; no shell sees it.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from _socket import SHUT_WR, socket  # see rendezvous
from collections.abc import Mapping
from threading import Lock, Thread
from typing import Any

from kernelexec import __version__
from kernelexec.bridge.far_link import FORMAT
from kernelexec.bridge.rendezvous import answer, hello, join_saying
from kernelexec.bridge.way import SIGN_OF_LIFE
from kernelexec.errors import HubUnavailable
from kernelexec.paths import home, import_root

_CHUNK = 1 << 16  # bytes
_LONGEST = 4 << 20  # bytes of the line that says what is wanted


def main() -> int:
    """Serve one link until it ends; the exit status of a command that was wanted, else 0 or 1."""
    try:
        asked = _asked(_line(_LONGEST))
    except ValueError as error:
        _write(answer("error", f"not understood: {error}"))
        return 1
    environ = {**os.environ, **asked["settings"]}
    near = _come_near(asked, environ)
    match asked["want"]:
        case "command":
            return _Command(asked, environ).run()
        case "lab":
            from kernelexec.bridge import far_lab  # here, because few need asyncio

            command = _program("kernelexec.commands.lab", "main_for_link")
            command += ["--no-browser", *asked["arguments"]]
            return far_lab.run(command, environ)
        case "hub":
            return _pass_to_hub(asked, environ, near)
    _write(answer("error", f"version {__version__} there knows nothing of {asked['want']!r}"))
    return 1


def _pass_to_hub(asked: Mapping[str, Any], environ: Mapping[str, str], near: str) -> int:
    try:
        greeting = hello(asked["role"], environ, asked["begun"], asked["caller"], near=near)
        hub = join_saying(greeting, environ)
    except HubUnavailable as error:
        _write(answer("error", str(error)))
        return 1
    _write(answer("ok", __version__))
    _Passage(hub).run()
    return 0


def _asked(line: bytes) -> Mapping[str, Any]:
    asked = json.loads(line)
    if not isinstance(asked, dict) or asked.get("kernelexec-far") != FORMAT:
        raise ValueError("this version of kernelexec knows no such client")
    settings = asked["settings"] = asked.get("settings", {})
    if not all(isinstance(each, str) for pair in settings.items() for each in pair):
        raise ValueError("a setting is no text")
    return asked


def _come_near(asked: Mapping[str, Any], environ: dict[str, str]) -> str:
    """Go where the client's project is, if it is here too: under the same path, or the same path below home.

    What the hub is told of the client's own host, in JSON. A project that is not here has its host's name
    before its path, so that its sessions are its own.
    """
    project = "" if asked["directory"] in (asked["home"], "/") else str(asked["directory"])
    own_home = os.path.realpath(home(environ))
    candidates = [project] if project else []
    if project.startswith(f"{asked['home']}/"):
        candidates.append(own_home + project[len(asked["home"]) :])
    found = next((folder for folder in candidates if _is_ours(folder)), None)
    os.chdir(found or own_home)
    environ["PWD"] = os.getcwd()
    about = {
        "host": asked["host"],
        "version": asked["version"],
        "project": f"{asked['here']}:{project}" if project and not found else "",
    }
    return json.dumps(about)


def _is_ours(folder: str) -> bool:
    return os.path.isdir(folder) and os.access(folder, os.R_OK | os.W_OK | os.X_OK)


class _Passage:
    """Bytes both ways between the link and the hub, and signs of life."""

    def __init__(self, hub: socket) -> None:
        self._hub = hub
        self._saying = Lock()
        self._is_within_a_line = False  # of the hub's: a sign of life would be in it, and is none of use

    def run(self) -> None:
        Thread(target=self._pass_input, daemon=True).start()
        while chunk := _received(self._hub):
            with self._saying:
                _write(chunk)
                self._is_within_a_line = not chunk.endswith(b"\n")
        os._exit(0)  # the other thread may wait for input

    def _pass_input(self) -> None:
        end = b""
        while chunk := os.read(0, _CHUNK):
            try:
                self._hub.sendall(chunk)
            except OSError:
                return  # it has ended, which the other thread sees
            if SIGN_OF_LIFE * 2 in end + chunk or chunk.startswith(SIGN_OF_LIFE):
                self._show_life()
            end = chunk[-1:]
        try:
            self._hub.shutdown(SHUT_WR)
        except OSError:
            return

    def _show_life(self) -> None:
        with self._saying:
            if not self._is_within_a_line:
                _write(SIGN_OF_LIFE)


class _Command:
    """One of the person's commands; its output is the link's, its input comes in lines of JSON."""

    def __init__(self, asked: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        self._arguments: list[str] = asked["arguments"]
        self._environ = {**environ, "COLUMNS": str(asked["columns"])}

    def run(self) -> int:
        command = [*_program(), *self._arguments]
        with subprocess.Popen(command, stdin=subprocess.PIPE, env=self._environ) as process:
            Thread(target=self._pass_input, args=(process,), daemon=True).start()
            status = process.wait()
        return status if status >= 0 else 128 - status

    def _pass_input(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        while line := _line():
            said = json.loads(line)
            if "signal" in said:
                process.send_signal(said["signal"])
            elif "end" in said:
                process.stdin.close()
            else:
                try:
                    process.stdin.write(base64.b64decode(said["input"]))
                    process.stdin.flush()
                except OSError:
                    continue  # it reads no more
        process.terminate()  # the link has ended, as if its terminal were closed


def _program(module: str = "kernelexec.__main__", name: str = "main") -> list[str]:
    """As scripts/kernelexec starts it."""
    root = import_root()
    program = f"import sys; sys.path[0] = {root!r}; from {module} import {name}; sys.exit({name}())"
    return [sys.executable, "-E", "-c", program]


def _line(longest: int | None = None) -> bytes:
    """One line of the link; what follows it is left."""
    line = b""
    while not line.endswith(b"\n") and (longest is None or len(line) < longest):
        byte = os.read(0, 1)
        if not byte:
            break
        line += byte
    return line


def _received(hub: socket) -> bytes:
    try:
        return hub.recv(_CHUNK)
    except OSError:
        return b""


def _write(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]
