"""A lock for each notebook that is open: as long as it is held, nobody else writes the file.

It is a lock of the operating system on a file of the hub's runtime directory, so it ends with this process.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys

_CS_DARWIN_USER_TEMP_DIR = 65537  # as in kernelexec/paths.py


def runtime_dir(environ) -> str:
    """The same as in kernelexec/paths.py, which is not here."""
    chosen = environ.get("KERNELEXEC_RUNTIME_DIR")
    if chosen:
        return os.path.abspath(os.path.expanduser(chosen))
    if sys.platform == "darwin":
        return os.path.join(os.confstr(_CS_DARWIN_USER_TEMP_DIR) or "/tmp", "kernelexec")
    return f"/tmp/kernelexec-{os.getuid()}"


def is_own(folder: str) -> bool:
    """Whether it is there and this user's, so that what is in it can be trusted."""
    try:
        return os.lstat(folder).st_uid == os.getuid()
    except OSError:
        return False


def take(path: str, folder: str) -> int | None:
    """The descriptor of the lock for the notebook at this real path; None while another server has it."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
        lock = os.open(os.path.join(folder, name), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def release(lock: int) -> None:
    os.close(lock)
