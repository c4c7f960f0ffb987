"""What the operating system refused, in words: where, what, and what to do. A number helps nobody."""

from __future__ import annotations

import errno
import os

from kernelexec.plain_file import NotPlain, TooLarge

_ADVICE = {
    errno.ENOSPC: "The disk is full: the user has to make room there.",
    errno.EDQUOT: "The user's quota is used up: the user has to make room there.",
    errno.EACCES: "The user has to give write and read access there.",
    errno.EPERM: "The user has to give write and read access there.",
    errno.EROFS: "That file system is read-only: the user has to choose another directory.",
    errno.ENOENT: "It was deleted or moved meanwhile, or its directory was.",
    errno.ENOTDIR: "Something else is where a directory belongs: the user has to move it away.",
    errno.EIO: "The disk or its connection has failed: the user has to look at it.",
    errno.ESTALE: "The directory's server has another one now: the user has to mount it again.",
    errno.EMFILE: "Too many files are open: stop kernels that nobody needs (stop_kernel).",
    errno.ENFILE: "Too many files are open: stop kernels that nobody needs (stop_kernel).",
    errno.ENOMEM: "Memory is used up: stop kernels that nobody needs (stop_kernel).",
    errno.EAGAIN: "The user's processes are as many as may be: end some (stop_kernel, for one).",
}
_NOT_OURS = "It is not what kernelexec has made there: the user has to move it away."


def in_words(error: BaseException) -> str:
    """What an error says; of one of the system's its path, its reason and advice, instead of its number."""
    if not isinstance(error, OSError) or error.errno is None:  # without a number it is no file's
        return str(error)
    where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    advice = _NOT_OURS if isinstance(error, (NotPlain, TooLarge)) else _ADVICE.get(error.errno, "")
    return f"{where}{error.strerror or os.strerror(error.errno)}. {advice}".rstrip()
