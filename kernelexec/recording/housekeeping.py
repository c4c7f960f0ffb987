"""What sessions have left in a storage directory, what of it may go, and its removal.

Only files that are called as ours are, in the places where we put them, and no link is ever followed.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from kernelexec.plain_file import open_plain
from kernelexec.recording.journal import is_taken
from kernelexec.recording.journal_index import index_path
from kernelexec.recording.kept_lines import forget
from kernelexec.recording.kept_looks import looks_path
from kernelexec.recording.records import JOURNAL, JOURNALS, journal_path, split_name

# Code only: a person may have put 2026-data.csv beside it.
_SCRIPT = re.compile(
    r"[0-9]{4,9}(-.*)?\.(py|r|jl|sh|js|ts|sql|rb|go|rs|scala|kt|lua|pl|cpp|m|ml|hs)", re.IGNORECASE
)
_OUTPUT = re.compile(r"[0-9]{4,9}[-.].+")


class Kind(str, Enum):
    """What a session leaves. The value is the word that the command uses."""

    JOURNALS = "journals"
    OUTPUTS = "outputs"
    SCRIPTS = "scripts"
    NOTEBOOKS = "notebooks"


@dataclass(frozen=True)
class Item:
    """Files of one kind, of one session and generation, in one folder."""

    kind: Kind
    session: str
    generation: int | None  # None: of all, the journal
    folder: Path  # in the storage directory
    names: tuple[str, ...]
    size: int  # bytes
    changed: float  # when one of them was last changed, in seconds since the epoch

    @property
    def path(self) -> Path:
        """What to call it."""
        return self.folder / self.names[0] if len(self.names) == 1 else self.folder


@dataclass(frozen=True)
class Left:
    """All that a session has left."""

    session: str
    items: Sequence[Item]
    in_use: bool  # open in a hub, or its kernel lives: nothing of it may go

    @property
    def last_used(self) -> float:
        return max(item.changed for item in self.items)

    def size(self, kind: Kind) -> int:
        return sum(item.size for item in self.items if item.kind is kind)


@dataclass(frozen=True)
class Retention:
    """What the person wants to be rid of. Without an age and a number: nothing."""

    kinds: frozenset[Kind]
    older_than: float | None = None  # seconds since it was last used
    keep_generations: int | None = None  # the newest ones of each session

    def chosen(self, left: Left, now: float) -> list[Item]:
        """What is to go: all conditions that are set must hold."""
        if left.in_use or (self.older_than is None and self.keep_generations is None):
            return []
        of_generation: dict[int | None, list[Item]] = defaultdict(list)
        for item in left.items:
            of_generation[item.generation].append(item)
        generations = sorted(generation for generation in of_generation if generation is not None)
        kept = set(generations[-self.keep_generations :]) if self.keep_generations else set()
        old = now - (self.older_than or 0)
        chosen = [
            item
            for generation in generations
            if generation not in kept and max(i.changed for i in of_generation[generation]) < old
            for item in of_generation[generation]
        ]
        # A journal is about all generations.
        if not kept and left.last_used < old:
            chosen += of_generation[None]
        return [item for item in chosen if item.kind in self.kinds]


# --- finding ---------------------------------------------------------------------


def survey(storage_dir: Path, has_kernel: Callable[[str], bool]) -> list[Left]:
    """All sessions that have left something, by id. `has_kernel` knows those whose kernel lives."""
    items: dict[str, list[Item]] = defaultdict(list)
    for name, found in _files(storage_dir, Path(JOURNALS), JOURNAL):
        session = name.removesuffix(".jsonl")
        beside = "|".join(re.escape(path_of(Path(name)).name) for path_of in (index_path, looks_path))
        for one, of_one in [(name, found), *_files(storage_dir, Path(JOURNALS), re.compile(beside))]:
            items[session].append(_item(Kind.JOURNALS, session, None, Path(JOURNALS), {one: of_one}))
    with suppress(OSError):
        for name in sorted(os.listdir(storage_dir)):
            for item in _of_generation(storage_dir, name):
                items[item.session].append(item)
    return [
        Left(session, found, has_kernel(session) or is_taken(journal_path(storage_dir, session)))
        for session, found in sorted(items.items())
    ]


def _of_generation(storage_dir: Path, name: str) -> Iterator[Item]:
    """What is behind one name in the storage directory: a notebook, or a folder of scripts and outputs."""
    stem = name.removesuffix(".ipynb")
    identity = split_name(stem)
    if identity is None or f"{identity[0]}-{identity[1]}" != stem:
        return  # the person's, or a copy that a command of ours has made for the person
    if name != stem:
        looked_for = [(Kind.NOTEBOOKS, Path(), re.compile(re.escape(name)))]
    else:
        looked_for = [(Kind.SCRIPTS, Path(name), _SCRIPT), (Kind.OUTPUTS, Path(name, "outputs"), _OUTPUT)]
    for kind, folder, called in looked_for:
        found = dict(_files(storage_dir, folder, called))
        if found:
            yield _item(kind, *identity, folder, found)


def _item(
    kind: Kind, session: str, generation: int | None, folder: Path, found: Mapping[str, os.stat_result]
) -> Item:
    return Item(
        kind,
        session,
        generation,
        folder,
        tuple(sorted(found)),
        sum(one.st_size for one in found.values()),
        max(one.st_mtime for one in found.values()),
    )


def _files(storage_dir: Path, folder: Path, called: re.Pattern[str]) -> Iterator[tuple[str, os.stat_result]]:
    """The regular files in a folder that are called so; none where the folder is a link or not there."""
    with suppress(OSError), _opened(storage_dir, folder) as descriptor:
        for name in os.listdir(descriptor):
            if called.fullmatch(name):
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    yield name, found


@contextmanager
def _opened(storage_dir: Path, folder: Path) -> Iterator[int]:
    """A descriptor of a folder in the storage directory.

    Raises:
        OSError: it is not there, or something on the way to it is a link.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    descriptor = os.open(storage_dir, flags)
    try:
        for part in folder.parts:
            inner = os.open(part, flags | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


# --- removing --------------------------------------------------------------------


def remove(storage_dir: Path, items: Sequence[Item]) -> tuple[int, list[str]]:
    """Remove these items of one session, unless it has been opened since they were found.

    Returns how many bytes are gone, and what could not be removed and why.
    """
    size, problems = 0, []
    with _held(journal_path(storage_dir, items[0].session)) as is_ours:
        for item in items:
            try:
                if not is_ours:
                    raise OSError("its session is in use now")
                size += _remove(storage_dir, item)
            except OSError as error:
                problems.append(f"{storage_dir / item.path}: {error.strerror or error}")
    return size, problems


@contextmanager
def _held(journal: Path) -> Iterator[bool]:
    """Keep hubs from opening the session meanwhile; false if one has."""
    try:
        descriptor = open_plain(journal, os.O_RDONLY)
    except FileNotFoundError:
        yield True  # there is no session any more that a hub could have open
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def _remove(storage_dir: Path, item: Item) -> int:
    """How many bytes it were."""
    size = 0
    with _opened(storage_dir, item.folder) as descriptor:
        for name in item.names:
            with suppress(FileNotFoundError):
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if stat.S_ISREG(found.st_mode) and found.st_mtime <= item.changed:  # else: changed since
                    os.unlink(name, dir_fd=descriptor)
                    size += found.st_size
                    if item.kind is Kind.JOURNALS:
                        forget(storage_dir / item.folder / name)
    folder = item.folder
    while folder.parts and folder != Path(JOURNALS):
        with _opened(storage_dir, folder.parent) as parent:
            try:
                os.rmdir(folder.name, dir_fd=parent)
            except OSError:  # something else is in it
                break
        folder = folder.parent
    return size
