"""The notebook of one kernel generation, which a person reads, edits and saves while we add to it.

The file is always replaced whole: temporary file, sync, rename. So a reader sees the old notebook or the new
one, and so does a crash. Cells are added without parsing: the operating system copies the bytes before the
tail, the new cells and the tail follow. A change of an existing cell parses and writes anew, and so does
what is not in the standard layout.

JupyterLab does not replace: it copies the file to `.~NAME`, truncates it and writes into the same inode.
While that may be going on nothing is written here; the caller is told NotebookBusy and comes back.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeAlias

from kernelexec.model.outputs import JSON
from kernelexec.recording.notebook_format import Cell, Document, appended, new_document, parse, tail_offset

# Seconds. A file changed less than this ago may be in the middle of a save that leaves no other trace.
_SETTLED_AFTER = 0.2
# Seconds. JupyterLab truncates first and only then makes the new text (2 s for 100 MB). An unreadable file or
# a `.~NAME` older than this is no save under way but one that died.
_SAVED_WITHIN = 10.0
# Seconds after which the caller should try again.
_RETRY_AFTER = 0.25
# How often to start over when somebody changed the file while we prepared the new one.
_TRIES = 5

# Bytes per read where the operating system does not copy.
_BLOCK = 1 << 20

# What tells one version of a file from another: inode, size, time of change in nanoseconds.
_Version: TypeAlias = tuple[int, int, int]


class NotebookBusy(Exception):
    """Somebody is saving the notebook: nothing of ours was written, try again after `retry_after` seconds."""

    def __init__(self, path: Path, retry_after: float = _RETRY_AFTER) -> None:
        super().__init__(f"{path} is being saved by another program")
        self.retry_after = retry_after


@dataclass(frozen=True)
class Written:
    """Where the cells are now, and where the unreadable thing is that stood in their way."""

    path: Path
    set_aside: Path | None = None


def code_cell(
    cell_id: str,
    source: str,
    outputs: Sequence[Cell],
    execution_count: int | None,
    timing: Mapping[str, str] | None = None,
    metadata: Mapping[str, JSON] | None = None,
) -> dict[str, JSON]:
    """A code cell of nbformat 4.5. The id has 1 to 64 letters, digits, `-` and `_`.

    `timing` is what JupyterLab keeps of a run: `iopub.execute_input`, `shell.execute_reply` and so on.
    """
    execution: dict[str, JSON] = {"execution": dict(timing)} if timing else {}
    return {
        "id": cell_id,
        "cell_type": "code",
        "source": source,
        "outputs": list(outputs),
        "execution_count": execution_count,
        "metadata": {**(metadata or {}), **execution},
    }


def markdown_cell(cell_id: str, source: str, metadata: Mapping[str, JSON] | None = None) -> dict[str, JSON]:
    """A Markdown cell of nbformat 4.5."""
    return {"id": cell_id, "cell_type": "markdown", "source": source, "metadata": dict(metadata or {})}


class Notebook:
    """One notebook file. The methods block, and are for one thread at a time.

    When they raise, NotebookBusy as well as OSError (disk full, no permission), the file is a whole notebook
    without the change, and no temporary file is left.
    """

    def __init__(
        self, path: Path, metadata: Mapping[str, JSON], clock: Callable[[], float] = time.time
    ) -> None:
        """`metadata` (kernelspec, language_info, ...) is for a new file; an existing one keeps its own."""
        self.path = path
        self._metadata = metadata
        self._clock = clock
        self._own: _Version | None = None  # what we wrote last
        self._own_tail: int | None = None  # and where its tail begins, if that is known
        self._set_aside: Path | None = None
        own_name = f".{path.name}.tmp-{os.getpid()}"
        self._temporary = path.with_name(own_name)
        self._former = path.with_name(f"{own_name}-old")

    def append(self, cells: Sequence[Cell]) -> Written:
        """Add cells at the end. A missing notebook is made, an unreadable one set aside and begun anew.

        Raises NotebookBusy: call again with the same cells.
        """
        for _ in range(_TRIES):
            with self._source() as source:
                content = self._extended(source, cells)
                if content is not None and self._put(content, source):
                    set_aside, self._set_aside = self._set_aside, None
                    return Written(self.path, set_aside)
        raise NotebookBusy(self.path)

    def has_cell(self, cell_id: str) -> bool:
        """Whether there is a cell with this id.

        Raises:
            OSError: the file is there and cannot be read.
        """
        try:
            return f'"id": "{cell_id}"'.encode() in self.path.read_bytes()
        except FileNotFoundError:
            return False

    def replace_cell_outputs(
        self, cell_id: str, outputs: Sequence[Cell], execution_count: int | None = None
    ) -> bool:
        """Give a code cell other outputs, and another execution count unless that is None.

        False if the cell is not there (any more). Raises NotebookBusy: call again.
        """
        for _ in range(_TRIES):
            with self._source() as source:
                document = self._parsed(source, source.read()) if source else None
                changed = document.with_outputs(cell_id, outputs, execution_count) if document else None
                if changed is None:
                    return False
                if self._put(_Content(0, changed.to_bytes()), source):
                    return True
        raise NotebookBusy(self.path)

    def _extended(self, source: _Source | None, cells: Sequence[Cell]) -> _Content | None:
        """What the file is to be with the cells added; None if it was unreadable and has been set aside."""
        if source is None:
            return _Content(0, new_document(self._metadata).with_cells(cells).to_bytes())
        if self._own_tail is not None and source.version == self._own:
            return _spliced(self._own_tail, source.read(self._own_tail), cells)
        data = source.read()
        tail = tail_offset(data)
        if tail is not None:
            return _spliced(tail, data[tail:], cells)
        document = self._parsed(source, data)
        if document is not None:
            return _Content(0, document.with_cells(cells).to_bytes())
        if self._is_still(source):
            self._put_aside()
        return None

    def _parsed(self, source: _Source, data: bytes) -> Document | None:
        """The notebook; None if it is none, and not for the reason that a save is under way."""
        document = parse(data)
        if document is None and self._age(source.stat.st_mtime) < _SAVED_WITHIN:
            raise NotebookBusy(self.path)
        return document

    @contextmanager
    def _source(self) -> Iterator[_Source | None]:
        """The file as it is now, open and not being saved; None if there is none."""
        self._check_no_save()
        file = self._open()
        if file is None:
            yield None
            return
        try:
            source = _Source(file, os.fstat(file))
            if source.version != self._own and self._age(source.stat.st_mtime) < _SETTLED_AFTER:
                raise NotebookBusy(self.path)
            yield source
        finally:
            os.close(file)

    def _open(self) -> int | None:
        """The file, which is never reached through a link; None if there is none (any more)."""
        try:
            if not stat.S_ISREG(os.lstat(self.path).st_mode):
                self._put_aside()
            return os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None

    def _put_aside(self) -> None:
        """Give what is in the notebook's place another name, and leave it otherwise as it is."""
        names = (f"{self.path.stem}.unreadable-{number}{self.path.suffix}" for number in count(1))
        free = next(path for path in map(self.path.with_name, names) if not os.path.lexists(path))
        os.rename(self.path, free)
        self._set_aside = free

    def _check_no_save(self) -> None:
        with suppress(FileNotFoundError):
            # The time of the inode's change: JupyterLab gives the copy the other time of the original.
            copied = os.lstat(self.path.with_name(f".~{self.path.name}")).st_ctime
            if self._age(copied) < _SAVED_WITHIN:
                raise NotebookBusy(self.path)

    def _age(self, moment: float) -> float:
        """Seconds since then. A time in the future is another clock's, and as far from now as it says."""
        return abs(self._clock() - moment)

    def _is_still(self, source: _Source | None) -> bool:
        """Whether the file is what it was when it was opened."""
        try:
            return source is not None and _version(os.lstat(self.path)) == source.version
        except FileNotFoundError:
            return False

    def _put(self, content: _Content, source: _Source | None) -> bool:
        """Put the content in the file's place; False, with nothing done, if somebody was faster."""
        self._sweep()
        try:
            written = _write_file(self._temporary, content, source)
            if not self._replace(source):
                return False
        finally:
            for path in (self._temporary, self._former):
                with suppress(FileNotFoundError):
                    os.unlink(path)
        self._own, self._own_tail = written, content.tail
        return True

    def _replace(self, source: _Source | None) -> bool:
        """Rename the temporary file, unless the file changed since it was read."""
        self._check_no_save()
        if source is None:
            return self._place_new()
        if not self._is_still(source):
            return False
        with suppress(OSError):  # a file system without hard links
            os.link(self.path, self._former)
        os.replace(self._temporary, self.path)
        if source.has_changed() and os.path.lexists(self._former):
            # Somebody began to save after the last look, into the inode that has just lost its name.
            os.replace(self._former, self.path)
            return False
        return True

    def _place_new(self) -> bool:
        """Rename the temporary file where there was none, without replacing one that came meanwhile."""
        if os.path.lexists(self.path):
            return False
        os.replace(self._temporary, self.path)
        return True

    def _sweep(self) -> None:
        """Remove what processes that died left of this notebook; nothing of ours is there at this moment."""
        leftover = re.compile(re.escape(f".{self.path.name}.tmp-") + r"([1-9][0-9]{0,6})(-old)?")
        for name in os.listdir(self.path.parent):
            found = leftover.fullmatch(name)
            if found and (int(found[1]) == os.getpid() or not _is_alive(int(found[1]))):
                with suppress(OSError):
                    os.unlink(self.path.with_name(name))


@dataclass(frozen=True)
class _Source:
    """The notebook file, open for reading, and what it was when it was opened."""

    file: int
    stat: os.stat_result

    @property
    def version(self) -> _Version:
        return _version(self.stat)

    def has_changed(self) -> bool:
        return _version(os.fstat(self.file)) != self.version

    def read(self, start: int = 0) -> bytes:
        with open(self.file, "rb", closefd=False) as reader:
            reader.seek(start)
            return reader.read()


@dataclass(frozen=True)
class _Content:
    """A notebook to write: so many bytes of the old file, then these. `tail` is where its tail begins."""

    kept: int
    added: bytes
    tail: int | None = None


def _spliced(offset: int, tail: bytes, cells: Sequence[Cell]) -> _Content:
    new = appended(cells)
    return _Content(offset, new + tail, offset + len(new))


def _version(found: os.stat_result) -> _Version:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _write_file(path: Path, content: _Content, source: _Source | None) -> _Version:
    """Write the content to a new file that is on the disk then.

    The file gets the owner and the permissions of the source, or those of any new file.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(path, flags, 0o666 if source is None else 0o600)
    try:
        if source is not None:
            _make_like(file, source.stat)
            _copy(source.file, file, content.kept)
        _write_all(file, content.added)
        os.fsync(file)
        return _version(os.fstat(file))
    finally:
        os.close(file)


def _make_like(file: int, old: os.stat_result) -> None:
    """The same owner if we may (a hub that runs as root), and the same permissions."""
    new = os.fstat(file)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with suppress(PermissionError):
            os.fchown(file, old.st_uid, old.st_gid)
    os.fchmod(file, stat.S_IMODE(old.st_mode))


def _copy(source: int, target: int, size: int) -> None:
    """Copy the first `size` bytes, or what there is: a source that has become shorter is found out later."""
    done = _copy_in_kernel(source, target, size)
    while done < size:
        block = os.pread(source, min(_BLOCK, size - done), done)
        if not block:
            return
        _write_all(target, block)
        done += len(block)


def _copy_in_kernel(source: int, target: int, size: int) -> int:
    """Copy without the bytes passing through this process; how many it were, fewer if that does not work."""
    done = 0
    while done < size and hasattr(os, "copy_file_range"):  # Linux
        try:
            copied = os.copy_file_range(source, target, size - done, done)
        except OSError:  # not on this file system; if it is something else, copying by hand meets it again
            break
        if not copied:
            break
        done += copied
    return done


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
