"""Whether a notebook is signed with the notary of the person's Jupyter: else JupyterLab hides HTML and more.

What a session's kernel displayed is the output of code that ran with the person's own rights: signing it
gives nothing away. So a notebook is signed as long as all that came from elsewhere was signed, too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from pathlib import Path
from weakref import WeakKeyDictionary

from kernelexec.recording.replaced_file import Version, version_of

_log = logging.getLogger(__name__)

_PROGRAM = Path(__file__).with_name("signing_program.py")
_OTHER_VERSION = 2  # its exit status: somebody has written the file since, and whoever did may have signed it
_SECONDS = 60.0  # a notebook of 100 MB takes 5
_PAUSE_SECONDS = (
    5.0  # without a write: a signature is of the whole notebook, and takes a processor half a second
)


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


class Trust:
    """Of one notebook file."""

    def __init__(self, path: Path) -> None:
        self.good: Version | None = None  # the version of which all was signed or is ours
        self._path = path
        self._is_needed = False
        self._handle: asyncio.TimerHandle | None = None
        self._signing: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """Before a write: whether what is there is signed, if it is not what we left."""
        found = self._version()
        if found is not None and found != self.good:
            self.good = await _checked(self._path)

    def wrote(self, replaced: Version | None, version: Version | None, *, shows: bool) -> None:
        """After a write. `replaced`: what stood there before, None for nothing; `shows`: it brought more than
        text that was printed, which Jupyter trusts anyhow."""
        self.good = version if replaced in (None, self.good) else None
        self._is_needed = self._is_needed or shows
        if self.good is not None and replaced != version and self._is_needed:
            self.sign_soon()

    def sign_soon(self) -> None:
        """Sign what was left, after a pause."""
        self._is_needed = True
        if self._handle is not None:
            self._handle.cancel()
        self._handle = asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._sign)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        if self._signing is not None:
            self._signing.cancel()

    def _sign(self) -> None:
        if self._signing is not None and not self._signing.done():
            self.sign_soon()
        elif self.good is not None and self.good == self._version():
            self._signing = asyncio.create_task(_signed(self._path, self.good))

    def _version(self) -> Version | None:
        """Of a plain file: a pipe in its place would be waited for."""
        try:
            found = os.lstat(self._path)
        except OSError:
            return None
        return version_of(found) if stat.S_ISREG(found.st_mode) else None


async def _checked(path: Path) -> Version | None:
    """The version that was looked at, if it is signed or needs no signature."""
    status, said = await _run("check", str(path))
    numbers = said.split()
    if status or len(numbers) != 3:
        return None
    inode, size, changed = map(int, numbers)
    return inode, size, changed


async def _signed(path: Path, version: Version) -> None:
    # One after the other: hundreds of kernels may have been started and stopped within a minute.
    async with _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        status, _ = await _run("sign", str(path), *map(str, version))
    if status not in (0, _OTHER_VERSION):
        _log.info("%s was not signed: JupyterLab will ask whether to trust it", path)


async def _run(*arguments: str) -> tuple[int, str]:
    """Exit status and output of the program; never an exception, as all that is at stake is a signature."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P" if sys.version_info >= (3, 11) else "-s",
            str(_PROGRAM),
            *arguments,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
        )
    except OSError:
        return 1, ""
    try:
        said, _ = await asyncio.wait_for(process.communicate(), _SECONDS)
    except (asyncio.TimeoutError, TimeoutError):
        return 1, ""
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return process.returncode or 0, said.decode(errors="replace")
