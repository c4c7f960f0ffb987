"""The `.py` files: one for each submission, exactly the code that was sent.

The name is made from text an assistant chose, so it is cleaned until nothing in it can mean anything to a
file system or a shell. The file is made new, never over another one, and inside the folder that was
opened, whatever happens to the folder's name meanwhile.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from kernelexec.model.naming import clean_name

_NUMBERED = re.compile(r"[0-9]{4,9}(?![0-9])")
_UNNAMED = getattr(os, "O_TMPFILE", 0)  # Linux
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def script_name(number: int, label: str | None, extension: str = ".py") -> str:
    """The file name of submission `number`: `0001.py`, or `0001-load_data.py` if there is a usable label.

    The label may be any text: what may stand in a name stays, the rest becomes underscores (`clean_name`).
    The number in front takes the meaning from names that Windows reserves, such as `con`.
    """
    text = (label or "").strip()
    if extension and text.lower().endswith(extension.lower()):
        text = text[: -len(extension)]
    cleaned = clean_name(text)
    return f"{number:04d}-{cleaned}{extension}" if cleaned else f"{number:04d}{extension}"


def numbered_scripts(folder: Path, extension: str = ".py") -> list[Path]:
    """The scripts of a folder that have a number in front, in the order of the numbers.

    Raises OSError if the folder cannot be read.
    """
    found = []
    for path in folder.iterdir():
        number = _NUMBERED.match(path.stem)
        if number and path.suffix.lower() == extension.lower() and path.is_file():
            found.append((int(number[0]), path.name, path))
    return [path for _, _, path in sorted(found)]


def label_of(script: Path) -> str | None:
    """The label in a script's name, `load_data` of `0001-load_data.py`."""
    number = _NUMBERED.match(script.stem)
    return script.stem[number.end() if number else 0 :].lstrip("-_ ") or None


class SpareFile:
    """A new file that has no name yet. To make a file takes longer than all else of a script, and several
    times as long on some disks: so the next one is made while code runs. Where that cannot be, there is none.
    """

    def __init__(self) -> None:
        self._file: int | None = None
        self._is_closed = False

    def make(self, folder: Path) -> None:
        """For a script of this folder, or of another on the same file system."""
        if self._file is None and _UNNAMED and not self._is_closed:
            with suppress(OSError):  # most network file systems cannot; or the folder is gone
                self._file = os.open(folder, _UNNAMED | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)

    def take(self) -> int | None:
        """Its descriptor, which is the caller's from now on."""
        file, self._file = self._file, None
        return file

    def close(self) -> None:
        """Make no more."""
        self._is_closed = True
        file = self.take()
        if file is not None:
            os.close(file)


def write_script(folder: Path, name: str, code: str, spare: SpareFile | None = None) -> Path:
    """Write the code, as it is, to a new file in the folder, which is made if needed; returns its path.

    If the name is taken the file is called `NAME-2`, `NAME-3` and so on. It is not yet synced to the disk.
    `spare`: what the file is made of, if it is there.

    Raises ValueError if the code cannot be written as UTF-8 or `name` is not a plain file name; nothing was
    written then. Raises OSError if the folder is a symbolic link or no folder, or if the file could not be
    written whole; no part of it is left then.
    """
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ValueError(f"not a plain file name: {name!r}")
    data = _encode(code)
    directory = open_folder(folder)
    try:
        taken = None if spare is None else _made_of(spare, directory, name, data)
        if taken is None:
            file, taken = _create(directory, name)
            _fill(directory, taken, file, data)
    finally:
        os.close(directory)
    return folder / taken


def open_folder(folder: Path) -> int:
    """A descriptor of the folder, which is made if needed.

    Raises OSError if it is a symbolic link, which may lead out of the storage directory, or no folder.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(folder, flags)
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder, flags)


def _encode(code: str) -> bytes:
    try:
        return code.encode()
    except UnicodeEncodeError as error:
        line, surrogate = code.count("\n", 0, error.start) + 1, ord(code[error.start])
        raise ValueError(
            f"line {line} of the code has the lone surrogate U+{surrogate:04X}, which is no character and "
            "cannot be written to a file; nothing was run. In a string, write it as the escape "
            f"\\u{surrogate:04x}."
        ) from error


def _made_of(spare: SpareFile, directory: int, name: str, data: bytes) -> str | None:
    """The name that the spare file was given, once all of the data was in it; None if there was none, or it
    cannot have a name there."""
    file = spare.take()
    if file is None:
        return None
    with open(file, "wb", buffering=0) as writer:
        rest = memoryview(data)
        while rest:
            rest = rest[writer.write(rest) :]
        for free in _names(name):
            try:
                os.link(f"/proc/self/fd/{file}", free, dst_dir_fd=directory, follow_symlinks=True)
            except FileExistsError:
                continue
            except OSError:  # on another file system, say, or without /proc
                return None
            return free
    return None


def _create(directory: int, name: str) -> tuple[int, str]:
    """A new file in the directory, open for writing, and the name that was free for it."""
    for free in _names(name):
        with suppress(FileExistsError):
            return os.open(free, _NEW_FILE, 0o666, dir_fd=directory), free
    raise AssertionError("the names do not end")


def _names(name: str) -> Iterator[str]:
    """The name, and those that stand for it where it is taken."""
    yield name
    stem, extension = os.path.splitext(name)
    for attempt in count(2):
        yield f"{stem}-{attempt}{extension}"


def _fill(directory: int, name: str, file: int, data: bytes) -> None:
    """Write and close the file; remove it if that fails, for half a script looks like a whole one."""
    try:
        with open(file, "wb") as writer:
            writer.write(data)
    except BaseException:
        os.unlink(name, dir_fd=directory)
        raise
