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

from kernelexec.model.outputs import JSON
from kernelexec.recording.notebook_format import (
    LOST,
    MISSING,
    UNTOUCHED,
    Cell,
    Change,
    Document,
    Found,
    appended,
    changed_cells,
    changed_tail,
    found_in,
    new_document,
    own_tail_offset,
    parse,
    tail_offset,
)
from kernelexec.recording.replaced_file import Content, Source, Version, is_alive, version_of, write_file

# Seconds. A file changed less than this ago may be in the middle of a save that leaves no other trace.
_SETTLED_AFTER = 0.2
# Seconds. JupyterLab truncates first and only then makes the new text (2 s for 100 MB). An unreadable file or
# a `.~NAME` older than this is no save under way but one that died.
_SAVED_WITHIN = 10.0
# Seconds after which the caller should try again.
_RETRY_AFTER = 0.25
# How often to start over when somebody changed the file while we prepared the new one.
_TRIES = 5
# Bytes. What another program has made larger than this is not read into memory.
_LARGEST = 500_000_000


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


@dataclass(frozen=True)
class _Edit:
    """What to write, if anything, and where the tail begins then, if that is known."""

    content: Content | None
    tail: int | None = None


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
        self._own: Version | None = None  # what we wrote last
        self._own_tail: int | None = None  # and where its tail begins, if that is known
        self._set_aside: Path | None = None
        self._nothing = MISSING  # what a missing file stands for
        own_name = f".{path.name}.tmp-{os.getpid()}"
        self._temporary = path.with_name(own_name)
        self._former = path.with_name(f"{own_name}-old")

    @property
    def is_as_left(self) -> bool:
        """Whether nobody but us has written the file, as far as it was looked at, or it is missing."""
        try:
            return version_of(os.lstat(self.path)) == self._own
        except OSError:
            return True

    def was_changed_after(self, moment: float) -> bool:
        """Whether something was done to the file after this time, whatever it says of itself."""
        try:
            return os.lstat(self.path).st_ctime > moment
        except OSError:
            return False

    def append(self, cells: Sequence[Cell]) -> Written:
        """Add cells at the end, whatever else is there."""
        return self.write(lambda _: Change(cells))

    def write(self, update: Callable[[Found], Change], may_begin_anew: bool = True) -> Written:
        """Change the notebook: `update` is told what is there and says what is to become of it.

        A missing notebook is made if there are cells for it. An unreadable one is set aside and begun anew,
        `update` being told LOST, or left alone if that may not be. Raises NotebookBusy: call again.
        """
        for _ in range(_TRIES):
            with self._source() as source:
                edit = self._edit(source, update)
                if edit is None and may_begin_anew:
                    if self._is_still(source):
                        self._put_aside()
                        if source is not None and source.stat.st_size > _LARGEST:
                            self._nothing = MISSING  # all that was in it would be as large again
                elif self._done(edit or _Edit(None), source):
                    set_aside, self._set_aside = self._set_aside, None
                    self._nothing = MISSING
                    return Written(self.path, set_aside)
        raise NotebookBusy(self.path)

    def _edit(self, source: Source | None, update: Callable[[Found], Change]) -> _Edit | None:
        """What the file is to be; None if it is unreadable."""
        if source is None:
            change = update(self._nothing)
            return _whole(new_document(self._metadata).changed(change)) if change.cells else _Edit(None)
        if self._own_tail is not None and source.version == self._own:
            return _edited(update(UNTOUCHED), source.read, self._own_tail)
        if source.stat.st_size <= _LARGEST:
            data = source.read()
            tail = tail_offset(data)
            if tail is not None:
                return _edited(update(found_in(data, tail)), lambda start: data[start:], tail)
            document = self._parsed(source, data)
            if document is not None:
                change = update(document.found())
                return _Edit(None) if change.is_empty else _whole(document.changed(change))
        return None

    def _done(self, edit: _Edit, source: Source | None) -> bool:
        """Bring the file to what it is to be; False if somebody was faster."""
        if edit.content is not None:
            written = self._put(edit.content, source)
            if written is None:
                return False
            self._own = written
        elif source is not None:
            self._own = source.version  # there is nothing to do about it
        self._own_tail = edit.tail
        return True

    def _parsed(self, source: Source, data: bytes) -> Document | None:
        """The notebook; None if it is none, and not for the reason that a save is under way."""
        document = parse(data)
        if document is None and self._age(source.stat.st_mtime) < _SAVED_WITHIN:
            raise NotebookBusy(self.path)
        return document

    @contextmanager
    def _source(self) -> Iterator[Source | None]:
        """The file as it is now, open and not being saved; None if there is none."""
        self._check_no_save()
        file = self._open()
        if file is None:
            yield None
            return
        try:
            source = Source(file, os.fstat(file))
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
        is_folder = stat.S_ISDIR(os.lstat(self.path).st_mode)
        free = self._free_name(is_folder)
        try:
            os.replace(self.path, free)
        except OSError:
            (os.rmdir if is_folder else os.unlink)(free)
            raise
        self._set_aside, self._nothing = free, LOST

    def _free_name(self, is_folder: bool) -> Path:
        """A name that is ours: something empty stands there, which a rename replaces."""
        for number in count(1):
            path = self.path.with_name(f"{self.path.stem}.unreadable-{number}{self.path.suffix}")
            with suppress(FileExistsError):
                if is_folder:
                    path.mkdir()
                else:
                    path.touch(exist_ok=False)
                return path
        raise AssertionError  # count() has no end

    def _check_no_save(self) -> None:
        with suppress(FileNotFoundError):
            # The time of the inode's change: JupyterLab gives the copy the other time of the original.
            copied = os.lstat(self.path.with_name(f".~{self.path.name}")).st_ctime
            if self._age(copied) < _SAVED_WITHIN:
                raise NotebookBusy(self.path)

    def _age(self, moment: float) -> float:
        """Seconds since then. A time in the future is another clock's, and as far from now as it says."""
        return abs(self._clock() - moment)

    def _is_still(self, source: Source | None) -> bool:
        """Whether the file is what it was when it was opened."""
        try:
            return source is not None and version_of(os.lstat(self.path)) == source.version
        except FileNotFoundError:
            return False

    def _put(self, content: Content, source: Source | None) -> Version | None:
        """Put the content in the file's place; None, with nothing done, if somebody was faster."""
        self._sweep()
        try:
            written = write_file(self._temporary, content, source)
            if not self._replace(source):
                return None
        finally:
            for path in (self._temporary, self._former):
                with suppress(FileNotFoundError):
                    os.unlink(path)
        return written

    def _replace(self, source: Source | None) -> bool:
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
        try:
            os.link(self._temporary, self.path)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            if os.path.lexists(self.path):
                return False
            os.replace(self._temporary, self.path)
        return True

    def _sweep(self) -> None:
        """Remove what processes that died left of this notebook; nothing of ours is there at this moment."""
        leftover = re.compile(re.escape(f".{self.path.name}.tmp-") + r"([1-9][0-9]{0,6})(-old)?")
        for name in os.listdir(self.path.parent):
            found = leftover.fullmatch(name)
            if found and (int(found[1]) == os.getpid() or not is_alive(int(found[1]))):
                with suppress(OSError):
                    os.unlink(self.path.with_name(name))


def _whole(document: Document) -> _Edit:
    data = document.to_bytes()
    return _Edit(Content(0, data), own_tail_offset(data))


def _edited(change: Change, read: Callable[[int], bytes], tail: int) -> _Edit:
    """The change of a notebook of the standard layout. `read` gives its bytes from an offset on."""
    if change.is_empty:
        return _Edit(None, tail)
    new = appended(change.cells)
    if not change.outputs:
        return _Edit(Content(tail, new + changed_tail(read(tail), change.metadata)), tail + len(new))
    data = read(0)
    pieces = changed_cells(data, tail, change.outputs)
    if not (pieces or new or change.only_metadata):
        return _Edit(None, tail)
    kept = pieces[0][0] if pieces else tail
    body, at = [], kept
    for start, stop, cell in pieces:
        body += [data[at:start], cell]
        at = stop
    whole = b"".join([*body, data[at:tail], new])
    return _Edit(Content(kept, whole + changed_tail(data[tail:], change.metadata)), kept + len(whole))
