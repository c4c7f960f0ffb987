"""Small files of ours that a reader sees as they were or as they are, never half.

By hand, as in recording/ and kernels/ with what each needs more: no library for it is still kept, and what
those add, waiting for the disk, a first call can do without: all that is written here can be made again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Write a file anew.

    Raises:
        OSError: it cannot be written; what was there before is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
