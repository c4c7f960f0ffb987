"""The notebook of one kernel generation, which a person reads, edits and saves while we add to it.

The file is always replaced whole (shared_file.py). Cells are added without parsing: the operating system
copies the bytes before the tail, the new cells and the tail follow. A change of an existing cell parses and
writes anew, and so does what is not in the standard layout.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
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
from kernelexec.recording.records import LARGEST
from kernelexec.recording.replaced_file import Content, Source, Version, version_of
from kernelexec.recording.shared_file import NotebookBusy, SharedFile

# How often to start over when somebody changed the file while we prepared the new one.
_TRIES = 5
# Cells of one that has to be parsed, during which nothing else here gets on: a fifth of a second.
_MOST_CELLS = 50_000


@dataclass(frozen=True)
class Written:
    """Where the cells are now, and where the unreadable thing is that stood in their way."""

    path: Path
    set_aside: Path | None = None
    # What stood there; None for nothing, or for what was set aside.
    replaced: Version | None = field(default=None, compare=False)
    version: Version | None = field(default=None, compare=False)  # what stands there now


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
        self._file = SharedFile(path, clock)
        self._metadata = metadata
        self._own: Version | None = None  # what we wrote last
        self._own_tail: int | None = None  # and where its tail begins, if that is known
        self._set_aside: Path | None = None
        self._nothing = MISSING  # what a missing file stands for

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

    def look_again(self) -> None:
        """What was written since may have gone elsewhere: the file counts as anybody's."""
        self._own = self._own_tail = None

    def append(self, cells: Sequence[Cell]) -> Written:
        """Add cells at the end, whatever else is there."""
        return self.write(lambda _: Change(cells))

    def write(self, update: Callable[[Found], Change], may_begin_anew: bool = True) -> Written:
        """Change the notebook: `update` is told what is there and says what is to become of it.

        A missing notebook is made if there are cells for it. An unreadable one is set aside and begun anew,
        `update` being told LOST, or left alone if that may not be. Raises NotebookBusy: call again.
        """
        for _ in range(_TRIES):
            self._file.check_no_save()
            self._put_aside_what_is_no_file()
            with self._file.opened(self._own) as source:
                edit = self._edit(source, update)
                if edit is None and may_begin_anew:
                    if self._file.is_still(source):
                        self._put_aside()
                        if source is not None and source.stat.st_size > LARGEST:
                            self._nothing = MISSING  # all that was in it would be as large again
                elif self._done(edit or _Edit(None), source):
                    set_aside, self._set_aside = self._set_aside, None
                    self._nothing = MISSING
                    replaced = source.version if source is not None else None
                    return Written(self.path, set_aside, replaced, self._own)
        raise NotebookBusy(self.path)

    def _edit(self, source: Source | None, update: Callable[[Found], Change]) -> _Edit | None:
        """What the file is to be; None if it is unreadable."""
        if source is None:
            change = update(self._nothing)
            return _whole(new_document(self._metadata).changed(change)) if change.cells else _Edit(None)
        if self._own_tail is not None and source.version == self._own:
            return _edited(update(UNTOUCHED), source.read, self._own_tail)
        if source.stat.st_size <= LARGEST:
            data = source.read()
            tail = tail_offset(data)
            if tail is not None:
                return _edited(update(found_in(data, tail)), lambda start: data[start:], tail)
            document = self._parsed(source, data) if data.count(b'"cell_type"') <= _MOST_CELLS else None
            if document is not None:
                change = update(document.found())
                return _Edit(None) if change.is_empty else _whole(document.changed(change))
        return None

    def _done(self, edit: _Edit, source: Source | None) -> bool:
        """Bring the file to what it is to be; False if somebody was faster."""
        if edit.content is not None:
            written = self._file.put(edit.content, source)
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
        if document is None and self._file.may_be_being_saved(source):
            raise NotebookBusy(self.path)
        return document

    def _put_aside_what_is_no_file(self) -> None:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(self.path).st_mode):
                self._put_aside()

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
