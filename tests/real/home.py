"""A user's home of a test's own, with what a client there would be given, and a look at what is left."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import psutil

COMMAND = str(Path(sys.executable).parent / "kernelexec")
PATIENCE_SECONDS = 30.0  # for what is done in a second on an idle machine
_TAG = "KXTEST_TAG"
_POLL_SECONDS = 0.01

T = TypeVar("T")


def eventually(look: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """What `look` returns once that is true."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"nothing came of {look} within {seconds} s: {seen!r}"
        time.sleep(_POLL_SECONDS)


def until(gate: Path, begun: Path | None = None) -> str:
    """Code that runs until there is a gate; it says first that it has begun."""
    says = f"open({str(begun)!r}, 'w').close()\n" if begun else ""
    return f"import os, time\n{says}while not os.path.exists({str(gate)!r}): time.sleep(0.01)\n"


class Home:
    """HOME, runtime directory and environment variables of one imagined user."""

    def __init__(self, path: Path, data_home: Path, venv: Path, **environ: str) -> None:
        self.path = path
        self.runtime = Path(tempfile.mkdtemp(prefix="kx", dir="/tmp"))  # short: it holds sockets
        self.storage = path / "kernelexec"
        self.data_home = data_home
        self.tag = uuid4().hex
        self.may_log_tracebacks = False  # set by tests that break what the hub needs
        self.breaks_journals = False  # set by tests that change or remove lines of them
        self.environ = {
            "HOME": str(path),
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "XDG_DATA_HOME": str(data_home),
            "KERNELEXEC_RUNTIME_DIR": str(self.runtime),
            "ENV_TYPE": "venv",
            "VENV_PATH": str(venv),
            _TAG: self.tag,
            **environ,
        }

    @property
    def registry(self) -> Path:
        return self.path / ".local" / "state" / "kernelexec" / "kernels"

    def project(self, name: str) -> Path:
        """A directory for a client to work in."""
        folder = self.path / "projects" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`kernelexec ARGUMENTS`, as the person types it."""
        return subprocess.run(
            [COMMAND, *arguments],
            env=self.environ,
            cwd=self.path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        """What `kernelexec ps --json` says; empty without a hub."""
        answer = self.command("ps", "--json")
        assert answer.returncode == 0, answer.stderr
        status: dict[str, Any] = json.loads(answer.stdout)
        return status

    def log(self) -> str:
        """What the hubs of this home have logged."""
        path = self.path / ".local" / "state" / "kernelexec" / "hub.log"
        return path.read_text() if path.exists() else ""

    def hubs(self) -> list[int]:
        """The pids of the hub processes of this home."""
        return [pid for pid, line in self.processes().items() if "kernelexec.daemon.process" in line]

    def hub(self) -> int:
        (pid,) = self.hubs()
        return pid

    def end_hub(self, number: signal.Signals) -> None:
        """Send the hub a signal and wait for its end."""
        pid = self.hub()
        os.kill(pid, number)
        eventually(lambda: pid not in self.processes())

    def processes(self) -> dict[int, str]:
        """Every process that this home's clients and hubs have brought about, with its command line."""
        return {pid: line for pid, line in _command_lines(self._is_ours) if line}

    def commands(self, pattern: str) -> list[psutil.Process]:
        """Those of its processes whose command line begins like this and that have not just ended."""
        found = []
        for pid, line in self.processes().items():
            if re.match(pattern, line):
                with suppress(psutil.NoSuchProcess):
                    found.append(psutil.Process(pid))
        return found

    def kill_commands(self, pattern: str) -> int:
        """How many of them there were."""
        found = self.commands(pattern)
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return len(found)

    def close(self) -> list[str]:
        """End everything; returns what was left behind although it should not be."""
        answer = self.command("stop", "--all")
        left = [] if answer.returncode == 0 else [f"stop --all: {answer.stdout}{answer.stderr}"]
        for pid, line in self.processes().items():
            if line.endswith(COMMAND):  # the bridge of a client that stays longer than its home
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (alive := self.processes()) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        left += [f"process {pid}: {line}" for pid, line in alive.items()]
        for pid in alive:
            os.kill(pid, signal.SIGKILL)
        left += [f"file {path}" for path in self.runtime.glob("k/*")]
        left += [f"file {path}" for path in self.runtime.glob("*.sock")]
        left += [f"file {path}" for path in self.registry.glob("*")]
        shutil.rmtree(self.runtime)
        return left

    def _is_ours(self, environ: Mapping[str, str]) -> bool:
        # The hub has a cleaned environment, kernels have none of kernelexec's variables.
        runtime = environ.get("KERNELEXEC_RUNTIME_DIR")
        return environ.get(_TAG) == self.tag or runtime == str(self.runtime)


def _command_lines(wanted: Callable[[Mapping[str, str]], bool]) -> Iterator[tuple[int, str]]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has ended meanwhile, or is somebody else's
            if wanted(process.environ()):
                yield process.pid, " ".join(process.cmdline())
