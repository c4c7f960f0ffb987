"""Values that a kernel has put into files, because they are too large for a message.

What it says of them stands in the message's content (kernelspecs/kernel/spooled_values.py). A file becomes
one of the session's outputs by a second name, or by a copy where that is on another disk; the kernel's own
is removed once what refers to it is in the journal.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelexec.plain_file import open_plain

_NAME = re.compile(r"spooled-[0-9]{1,9}")
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Ends:
    """Of a text that is not here."""

    head: str
    tail: str


@dataclass(frozen=True)
class Spooled:
    """One value."""

    mime: str
    characters: int
    name: str | None  # of the file in the spool
    problem: str | None  # why there is none
    ends: Ends | None  # of a text; of an error, of its traceback
    value_ends: Ends | None  # of an error's message, if that is long

    def link(self, spool: Path, name: str, directory: int) -> int:
        """Make the file another one's name, which is new in this directory; its size in bytes.

        Raises:
            OSError: there is no such file, or it cannot be kept.
        """
        if self.name is None:
            raise OSError(0, self.problem or "the kernel did not say where it is")
        source = open_plain(spool / self.name, os.O_RDONLY)
        with open(source, "rb") as file:
            size = os.fstat(source).st_size
            try:
                os.link(spool / self.name, name, dst_dir_fd=directory, follow_symlinks=False)
            except FileExistsError:
                raise
            except OSError:  # another disk, or one that knows no second names
                _copy(file, name, directory)
        return size


def _copy(file: Any, name: str, directory: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(name, flags, 0o666, dir_fd=directory), "wb") as copy:
        try:
            shutil.copyfileobj(file, copy, _BLOCK)
        except BaseException:
            os.unlink(name, dir_fd=directory)  # half a picture looks like a broken one
            raise


def spooled_in(content: Mapping[str, Any]) -> list[Spooled]:
    """The values of a message that are in files; what is not as our kernels write it is none."""
    ours = content.get("kernelexec")
    told = ours.get("spooled") if isinstance(ours, Mapping) else None
    return [_read(each) for each in told if isinstance(each, Mapping)] if isinstance(told, list) else []


def as_displayed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a display without the words for frontends that know nothing of the files."""
    data, ours = dict(content["data"]), content.get("kernelexec")
    if isinstance(ours, Mapping) and "spooled" in ours:
        data.pop("text/plain", None)
        if isinstance(ours.get("text"), str):
            data["text/plain"] = ours["text"]
    return data


def discard(content: Mapping[str, Any], spool: Path | None) -> None:
    """What the message refers to is kept, or will not be."""
    if spool is not None and "kernelexec" in content:
        for each in spooled_in(content):
            if each.name is not None:
                with contextlib.suppress(OSError):
                    os.unlink(spool / each.name)


def _read(told: Mapping[str, Any]) -> Spooled:
    name, characters = told.get("file"), told.get("characters")
    problem = told.get("problem")
    return Spooled(
        str(told.get("mime")),
        characters if isinstance(characters, int) else 0,
        name if isinstance(name, str) and _NAME.fullmatch(name) else None,
        problem if isinstance(problem, str) else None,
        _ends(told.get("ends")),
        _ends(told.get("value_ends")),
    )


def _ends(told: object) -> Ends | None:
    if isinstance(told, list) and len(told) == 2 and all(isinstance(end, str) for end in told):
        return Ends(*told)
    return None
