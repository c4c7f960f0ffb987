"""A program that installs: it writes to a file, so that it goes on where the hub ends, and holds the
environment's lock for as long as it runs."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kernelexec.environments.redaction import Redaction, hide_passwords
from kernelexec.errors import EnvironmentUnusable
from kernelexec.plain_file import open_plain

# Nothing tells that a file has grown (inotify would, on Linux alone), so it is looked at: often at
# first, because uv is done in 0.05 s, then rarely.
_FIRST_LOOK_SECONDS = 0.01
_LOOK_SECONDS = 0.2
GRACE_SECONDS = 10.0  # for conda to take back what it had begun
_LOCK_SECONDS = 0.1  # between two tries
_LARGEST_LOG = 20_000_000  # bytes; of more the end counts

Say = Callable[[str], None]


class Lock:
    """The right to change an environment: one holder, in whichever hub. Programs inherit it.

    It is on the directory itself, so nothing is written there and nothing is left behind; a library's lock
    (filelock) is on a file of its own, and programs do not inherit it.
    """

    def __init__(self, prefix: Path) -> None:
        try:
            self._descriptor = os.open(prefix, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise EnvironmentUnusable(f"{prefix} cannot be read: {error.strerror}.") from error

    async def take(self) -> None:
        """Wait until nobody else has it."""
        # flock itself could wait only in a thread, which nobody could stop.
        while not self.try_take():  # noqa: ASYNC110
            await asyncio.sleep(_LOCK_SECONDS)

    def try_take(self) -> bool:
        """Take it if nobody has it."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks: an installer's own has to do
            return True
        return True

    def fileno(self) -> int:
        return self._descriptor

    def release(self) -> None:
        """Let it go; a program that still runs keeps it."""
        os.close(self._descriptor)


class Programs:
    """Runs programs one after the other, all with their output in one file."""

    def __init__(
        self,
        log: Path,
        lock: Lock,
        environ: Mapping[str, str],
        say: Say,
        started: Callable[[int], None] = lambda pid: None,
    ) -> None:
        self.stopped = False
        self._log = log
        self._lock = lock
        self._environ = environ
        self.say = say  # takes what the programs print
        self._started = started  # takes the pid of each, which is its process group, too
        self._running: subprocess.Popen[bytes] | None = None
        self.last_output = ""  # of the program that runs or ran last
        self._told = 0  # bytes of the log
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._redaction = Redaction()

    async def run(self, command: Sequence[str]) -> int:
        """The exit code, or the negative number of the signal that ended it.

        Cancelled, it lets go: the program goes on.

        Raises:
            EnvironmentUnusable: it cannot be started.
        """
        try:
            process = self._start(command)
        except OSError as error:
            raise EnvironmentUnusable(f"{command[0]} cannot be run: {error.strerror or error}.") from error
        self._running = process
        self._started(process.pid)
        self.last_output = ""
        if self.stopped:
            self.stop()
        pause = _FIRST_LOOK_SECONDS
        while not _has_ended(process):
            self._tell()
            await asyncio.sleep(pause)
            pause = min(_LOOK_SECONDS, pause * 1.3)
        if self.stopped:
            _signal_unreaped(process, signal.SIGKILL)  # what it leaves behind
        self._running = None
        self._tell()
        self._take(self._redaction.end())
        return process.wait()

    def stop(self) -> None:
        """End what runs, with all processes that it started; nothing is begun after that."""
        self.stopped = True
        process = self._running
        if process is not None:
            _signal_unreaped(process, signal.SIGINT)  # all installers clean up after it
            asyncio.get_running_loop().call_later(GRACE_SECONDS, _signal_unreaped, process, signal.SIGKILL)

    def output(self) -> str:
        """All that was written so far."""
        with contextlib.suppress(OSError):
            return read_log(self._log)
        return ""

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with open(open_plain(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab") as log:
            return subprocess.Popen(
                command,
                env=dict(self._environ),
                cwd="/",  # a file in the working directory must be neither imported nor installed
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(self._lock.fileno(),),
                start_new_session=True,
            )

    def _tell(self) -> None:
        with contextlib.suppress(OSError), open(open_plain(self._log, os.O_RDONLY), "rb") as log:
            log.seek(self._told)
            new = log.read()
            self._told += len(new)
            self._take(self._redaction.feed(self._decoder.decode(new)))

    def _take(self, text: str) -> None:
        if text:
            self.last_output += text
            self.say(text)


def read_log(log: Path) -> str:
    """The output in a log, which is as the programs printed it, without passwords."""
    with open(open_plain(log, os.O_RDONLY), "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _LARGEST_LOG))
        return hide_passwords(file.read(_LARGEST_LOG).decode("utf-8", "replace"))


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended; it is not yet waited for, so its pid and group cannot come to mean others."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to all processes of a group, if there are any."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _signal_unreaped(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.returncode is None:  # else its number may be somebody else's by now
        signal_group(process.pid, number)
