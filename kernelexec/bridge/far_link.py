"""A link to kernelexec on another host: any command that runs there what it is given, with stdin and stdout.

KERNELEXEC_HOST is such a command (`ssh -T gpu`, `podman exec -i box`, `kubectl exec -i pod --`); one word is
a host of ssh's. It is given `sh`, which reads one line, the same for all, and becomes the far end
(`far_end`). What that is to do is said in a line of JSON, so that no shell reads any of it. The connection is
a socket, one end of which the command has as stdin and stdout: a bridge has it in a hub's place.

What a login shell prints comes before the far end, also in the line that the far end begins with. So that
line ends with a word that nobody else can say; the script has it in two halves, so that an echo is none.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any

from kernelexec import __version__
from kernelexec.bridge.rendezvous import working_directory
from kernelexec.errors import HubUnavailable

VARIABLE = "KERNELEXEC_HOST"
FORMAT = 1  # of the line that says what is wanted
CONNECT_SECONDS = 30.0
_END_SECONDS = 2.0  # for a command whose input has ended
_SAID = 2_000  # characters of the end of what the command said on stderr
_NOISE = 1 << 30  # bytes before the far end's first word
_LONGEST_LINE = 1 << 16  # of which only the end is looked at
_IS = "kernelexec-is"
_IS_NOT = "kernelexec-not"

# Read by the `sh` that the command is given. A login shell, if it is one of sh's family, because a command's
# PATH often lacks what that of a terminal has; and it may set a proxy or what finds an environment. What was
# on the PATH stays on it: a container's is its image's, of which a login shell knows nothing. The scripts of
# that shell find nothing to read, or they would take what is sent. HOME may be missing, as in containers.
_LOGIN = """\
s=${SHELL:-sh}; case ${s##*/} in bash|zsh|ksh|dash|ash|sh) ;; *) s=sh;; esac; \
command -v "$s" >/dev/null || s=sh; \
exec "$s" -lc 'exec <&3 3<&-; PATH="$PATH:$1"; @HOME@ @SCRIPT@' "$s" "$PATH" 3<&0 </dev/null
"""
_HOME = """\
case ${HOME-} in
/*) ;;
*) eval "HOME=~$(id -un)"; case $HOME in /*) ;; *) HOME=/;; esac; export HOME;;
esac
"""
# The installations in the order in which one is looked for: `kernelexec host install` makes the first.
_LOOK = """
for k in "${XDG_DATA_HOME:-$HOME/.local/share}/kernelexec/program/bin/kernelexec" kernelexec \\
        "$HOME/.local/bin/kernelexec"; do
    if command -v "$k" >/dev/null 2>&1; then
        printf "%s%s\\n" "@IS@ " @WORD@
        exec "$k" __far
    fi
done
printf "%s%s\\n" "@NOT@ " @WORD@
"""
# What goes along: the settings, whose paths are then paths there. Not what says where things are here.
_SETTINGS = (
    "ENV_TYPE",
    "CODE_STORAGE_DIR",
    "CONDA_ENV_NAME",
    "VENV_PATH",
    "UV_VENV_PATH",
    "KERNEL_NAME",
    "GATEWAY_URL",
    "GATEWAY_KERNEL",
    "GATEWAY_TOKEN_FILE",
)
# What a person has to do about what ssh says; else it is tried in a terminal.
_ADVICE = (
    (
        "HOST IDENTIFICATION HAS CHANGED",
        "If that machine was set up anew, remove its old key as said there. ",
    ),
    ("Host key verification failed", "Accept its key once. "),
    (
        "Permission denied",
        "It has to let you in without asking: by a key, or an agent that your client reaches. ",
    ),
)
_STAYS = (VARIABLE, "KERNELEXEC_RUNTIME_DIR")


def command_words(said: str, variable: str) -> list[str]:
    """The words of a command that leads to another host; one word is a host of ssh's.

    Raises:
        HubUnavailable: it is no command.
    """
    try:
        words = shlex.split(said)
    except ValueError as error:
        raise HubUnavailable(f"{variable}={said!r} is no command: {error}.", _example(variable)) from None
    if not words or words[0].startswith("-") or "\0" in said:
        raise HubUnavailable(f"{variable}={said!r} is no command.", _example(variable))
    return ["ssh", "-T", *words] if len(words) == 1 else words


def advice(said: str, shown: str) -> str:
    """What to do about a command that does not lead there, and says this."""
    trial = f"Try it in a terminal: {shown} true"
    return next((todo for words, todo in _ADVICE if words in said), "") + trial


def in_login_shell(script: str) -> str:
    """What the `sh` at the command's end is to read, for a login shell to run this (no apostrophe)."""
    return _LOGIN.replace("@HOME@", _HOME).replace("@SCRIPT@", script)


class FarHost:
    """Another host, as a command reaches it."""

    def __init__(self, said: str) -> None:
        """Raises:
        HubUnavailable: it is no command.
        """
        self.command = command_words(said, VARIABLE)
        self.said = said

    @property
    def shown(self) -> str:
        return shlex.join(self.command)

    @property
    def install_command(self) -> str:
        """What puts kernelexec there."""
        return f"kernelexec host install {shlex.quote(self.said)}"

    def start(self, script: str) -> Link:
        """The command, with `sh` at its end, and for a login shell there this, which has no apostrophe.

        Raises:
            HubUnavailable: it cannot be started.
        """
        ours, theirs = socket.socketpair()
        try:
            process = subprocess.Popen(
                [*self.command, "sh"], stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.PIPE
            )
        except OSError as error:
            ours.close()
            raise HubUnavailable(
                f"`{self.shown}` cannot be started: {error.strerror}.", _example(VARIABLE)
            ) from error
        finally:
            theirs.close()
        link = Link(self, process, ours)
        link.send(in_login_shell(script).encode())
        return link

    def ask(self, wanted: Mapping[str, Any], environ: Mapping[str, str]) -> Link:
        """The far end, which has been told what it is to do.

        Raises:
            HubUnavailable: the host is not reached, or kernelexec is not there.
        """
        word = os.urandom(8).hex()
        link = self.start(_LOOK.replace("@IS@", _IS).replace("@NOT@", _IS_NOT).replace("@WORD@", word))
        try:
            if not self._is_there(link, word):
                raise HubUnavailable(
                    f"kernelexec is not installed where `{self.shown}` leads.",
                    f"Put it there: {self.install_command}",
                )
        except BaseException:
            link.end()
            raise
        link.send(json.dumps({**about_here(environ), "host": self.said, **wanted}).encode() + b"\n")
        return link

    def version(self, environ: Mapping[str, str]) -> str:
        """That of the kernelexec there.

        Raises:
            HubUnavailable: as `ask`; or it does not say.
        """
        link = self.ask({"want": "command", "arguments": ["--version"], "columns": 80}, environ)
        try:
            line = link.receive_line().decode("utf-8", "replace")
            if not line.startswith("kernelexec "):
                raise self.unanswered(link)
        finally:
            link.end()
        return line.removeprefix("kernelexec ").strip()

    def unanswered(self, link: Link) -> HubUnavailable:
        """What is told of a kernelexec there that says nothing: its own words, and what may mend it."""
        said = link.why(f"kernelexec where `{self.shown}` leads did not answer")
        return HubUnavailable(said.what, f"If it is an older version: {self.install_command}")

    def _is_there(self, link: Link, word: str) -> bool:
        """Once its shell has said whether kernelexec is."""
        here, missing = f"{_IS} {word}\n".encode(), f"{_IS_NOT} {word}\n".encode()
        said = line = b""
        noise = 0
        deadline = time.monotonic() + CONNECT_SECONDS
        while not line.endswith((here, missing)):
            is_echoed = (
                line.endswith(b"\n") and word.encode() in line
            )  # or has a carriage return, as terminals do
            if line.endswith(b"\n") and not is_echoed:
                said, line = line, b""
            got = b"" if is_echoed else link.receive_of_line(deadline)
            noise += len(got)
            if not got or noise > _NOISE:
                raise self._not_reached(link, line or said, word)
            line = (line + got)[-_LONGEST_LINE:]
        return line.endswith(here)

    def _not_reached(self, link: Link, heard: bytes, word: str) -> HubUnavailable:
        if word.encode() in heard:
            return HubUnavailable(
                f"`{self.shown}` has a terminal there, which changes what is said.",
                "Leave out what asks for one: ssh -T instead of -t, podman exec -i instead of -it.",
            )
        greeting = " ".join(heard.decode("utf-8", "replace").split())
        return link.why(f"`{self.shown}` did not reach a shell", greeting)


class Link:
    """A running command, and our end of its stdin and stdout."""

    def __init__(self, host: FarHost, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self.host = host
        self.connection = connection
        self._process = process
        self._said = ""
        self._listening = Thread(target=self._listen, daemon=True)
        self._listening.start()

    def send(self, data: bytes) -> None:
        try:
            self.connection.sendall(data)
        except OSError:
            return  # it has ended, which who reads from it sees

    def end_input(self) -> None:
        """What has been said is all."""
        self.connection.shutdown(socket.SHUT_WR)

    def receive_byte(self, deadline: float | None) -> bytes:
        """One byte, so that what follows a line is left to who reads on; empty at the end, or too late."""
        if deadline is not None:
            seconds = max(0.0, deadline - time.monotonic())
            if not select.select([self.connection], [], [], seconds)[0]:
                return b""
        try:
            return self.connection.recv(1)
        except OSError:
            return b""

    def receive_of_line(self, deadline: float) -> bytes:
        """What has come of a line, up to its end: a login shell may print megabytes. Empty as above."""
        if not select.select([self.connection], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return b""
        try:
            come = self.connection.recv(_LONGEST_LINE, socket.MSG_PEEK)
            return self.connection.recv(come.find(b"\n") + 1 or len(come))
        except OSError:
            return b""

    def receive_line(self, seconds: float | None = CONNECT_SECONDS) -> bytes:
        """A line with its end; without one if the link ended first."""
        line, deadline = b"", None if seconds is None else time.monotonic() + seconds
        while not line.endswith(b"\n") and (got := self.receive_byte(deadline)):
            line += got
        return line

    def why(self, what: str, heard: str = "") -> HubUnavailable:
        """Why it is of no use: after the command's end with what it said, else because nothing came.
        `heard`: what it said on stdout, perhaps."""
        try:
            status = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return HubUnavailable(
                f"{what} within {CONNECT_SECONDS:.0f} s.", advice(self._said, self.host.shown)
            )
        self._listening.join(_END_SECONDS)
        said = " ".join(each for each in self._said.split() if each.strip("@")) or heard[-_SAID:]
        reason = f": {said}" if said else f" and ended with status {status}."
        return HubUnavailable(f"{what}{reason}", advice(said, self.host.shown))

    def wait(self) -> int:
        """The command's exit status, once it has ended."""
        status = self._process.wait()
        self._listening.join(_END_SECONDS)
        return status

    def end(self) -> None:
        """End the command, and let what it was heard by go."""
        self.connection.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listening.join(_END_SECONDS)

    def kill(self) -> None:
        """A link that is silent: nothing that is said on it is waited for."""
        self._process.kill()
        self.end()

    def _listen(self) -> None:
        """Pass on what the command says on stderr, and keep its end."""
        assert self._process.stderr is not None
        with self._process.stderr as said:
            while chunk := os.read(said.fileno(), 1 << 12):
                self._said = (self._said + chunk.decode("utf-8", "replace"))[-_SAID:]
                sys.stderr.write(chunk.decode("utf-8", "replace"))
                sys.stderr.flush()


def about_here(environ: Mapping[str, str]) -> dict[str, Any]:
    """Who asks, as the far end has to know it: its settings, and which project it works in."""
    directory = working_directory(environ)
    home = environ.get("HOME") or str(Path.home())
    return {
        "kernelexec-far": FORMAT,
        "version": __version__,
        "settings": {name: value for name, value in environ.items() if _goes_along(name)},
        "here": socket.gethostname(),
        "directory": os.path.realpath(directory),
        "home": os.path.realpath(home),
    }


def _goes_along(name: str) -> bool:
    if name in _STAYS or name.startswith("KERNELEXEC_HUB_"):
        return False
    return name in _SETTINGS or name.startswith("KERNELEXEC_")


def _example(variable: str) -> str:
    return (
        f"{variable} is a command that runs what it is given on the other host, for example `ssh -T gpu` or "
        "`podman exec -i box`; or the name of a host of ssh's."
    )
