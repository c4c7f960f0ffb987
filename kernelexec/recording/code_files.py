"""Long code in files: made and added to in the storage directory, read there and in the client's project, and
nowhere else.

A path is text that an assistant wrote. It is taken apart, and each part is opened inside the folder before
it, never through a symbolic link: so it cannot lead out, whatever happens to the folders meanwhile. Where a
file is read, the links in its path are resolved before, and what they lead to has to be inside, too.
"""

from __future__ import annotations

import io
import os
import secrets
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from kernelexec.errors import BadRequest
from kernelexec.model.naming import clean_name
from kernelexec.plain_file import NotPlain
from kernelexec.recording.inside import open_inside
from kernelexec.recording.journal import storage_failed

LARGEST = 20_000_000  # bytes of a code file
_LISTED = 10  # files that an error names
_ADDED_TO = "Only files of the storage directory are added to, as initialize_code_file makes them."


@dataclass(frozen=True)
class CodeFiles:
    """The code files of one storage directory, and those of a project."""

    storage_dir: Path
    extensions: Sequence[str]  # of code files, the first that of new ones
    project: Path | None = None  # another folder to read in
    project_first: bool = False  # whether a relative path means that one, if both have it

    @property
    def readable(self) -> list[Path]:
        """The folders to read in; a relative path means the first that has such a file."""
        places = [self.storage_dir, *([self.project] if self.project is not None else [])]
        return places[::-1] if self.project_first else places

    def create(self, name: str | None, content: str) -> Path:
        """A new file, called after `name` with eight hex digits, so that it is never one that is there.

        Raises:
            BadRequest: the content cannot be written as UTF-8, or is too much.
            StorageFailed
        """
        data = self._encoded(content)
        stem, extension = self._name_parts(name)
        try:
            self.storage_dir.mkdir(parents=True, exist_ok=True)
            folder = os.open(self.storage_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                file = f"{stem}_{secrets.token_hex(4)}{extension}"
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                self._write(os.open(file, flags, 0o666, dir_fd=folder), data)
            finally:
                os.close(folder)
        except OSError as error:
            raise storage_failed(self.storage_dir, error) from error
        return self.storage_dir / file

    def append(self, path: str, content: str) -> tuple[Path, int]:
        """Add to a file, on a line of its own; returns the file and its new size in bytes.

        Raises:
            BadRequest: there is no such code file, or it would be too large.
            StorageFailed
        """
        relative = self._inside(path)
        data = self._encoded(content)
        with self._opened(self.storage_dir, relative, os.O_RDWR) as file:
            size = os.fstat(file.fileno()).st_size
            if size + len(data) > LARGEST:
                raise BadRequest(
                    f"{relative} would have {size + len(data):,} bytes, more than the limit of {LARGEST:,}.",
                    "Put data into a data file, which the code reads.",
                )
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n" and not data.startswith((b"\n", b"\r")):
                data = b"\n" + data
            try:
                file.seek(size)
                self._write_all(file, data, size)
            except OSError as error:
                raise storage_failed(self.storage_dir / relative, error) from error
        return self.storage_dir / relative, size + len(data)

    def read(self, path: str) -> tuple[Path, str]:
        """A file's path and text, decoded as Python decodes its source.

        Raises:
            BadRequest: there is no such code file, or it is no text.
        """
        place, plain = self._place_of(path)
        root, relative = self._resolved(place, plain)
        with self._opened(root, relative, os.O_RDONLY) as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST:
                raise BadRequest(f"{plain} has {size:,} bytes, more than the limit of {LARGEST:,}.")
            data = file.readall()
        return place / plain, _decoded(plain, data)

    def _place_of(self, path: str) -> tuple[Path, PurePath]:
        """In which folder a path is to be read, and its path there; the file need not be there."""
        inside = [(place, plain) for place in self.readable if (plain := below(place, path)) is not None]
        if not inside:
            raise self._refusal(path, self.readable)
        named = [(place, self._named(plain)) for place, plain in inside]
        well = [(place, plain) for place, plain in named if self._is_code(plain)]
        if not well:
            raise self._no_code(path, self.readable)
        return next((one for one in well if os.path.lexists(one[0] / one[1])), well[0])

    def _resolved(self, place: Path, plain: PurePath) -> tuple[Path, PurePath]:
        """The folder that a file is in when all links are resolved, and its path there."""
        real = Path(os.path.realpath(place / plain))
        for root in (Path(os.path.realpath(readable)) for readable in self.readable):
            if real.is_relative_to(root) and self._is_code(relative := real.relative_to(root)):
                return root, relative
        raise BadRequest(
            f"{place / plain} is not read: a symbolic link in it leads out, or to what is no code file.",
            self._what_there_is(self.readable),
        )

    def _inside(self, path: str) -> PurePath:
        """The path, relative to the storage directory."""
        plain = below(self.storage_dir, path)
        if plain is None:
            raise self._refusal(path, [self.storage_dir])
        plain = self._named(plain)
        if not self._is_code(plain):
            raise self._no_code(path, [self.storage_dir])
        return plain

    def _named(self, plain: PurePath) -> PurePath:
        """The path with its extension, which may be left out."""
        has_one = plain.suffix or plain.name.startswith(".")
        return plain if has_one else plain.with_name(plain.name + self.extensions[0])

    def _is_code(self, plain: PurePath) -> bool:
        is_hidden = any(part.startswith(".") for part in plain.parts)
        return plain.suffix.lower() in self.extensions and not is_hidden

    def _opened(self, root: Path, relative: PurePath, flags: int) -> io.FileIO:
        try:
            file = open_inside(root, relative, flags)
        except FileNotFoundError:
            places = self.readable if flags == os.O_RDONLY else [root]
            where = " or ".join(map(str, places))
            only = "" if flags == os.O_RDONLY else f" {_ADDED_TO}"
            raise BadRequest(
                f"There is no {relative} in {where}.{only}", self._what_there_is(places)
            ) from None
        except NotPlain as error:
            raise BadRequest(
                f"{relative} in {root} cannot be opened: {error.strerror}.", self._what_there_is([root])
            ) from error
        except OSError as error:
            what = f"{relative} in {root} cannot be opened: {error.strerror or error}"
            raise BadRequest(
                f"{what}. Symbolic links are not followed.", self._what_there_is([root])
            ) from error
        return io.FileIO(file, "r+b" if flags & os.O_RDWR else "rb")

    def _refusal(self, path: str, places: Sequence[Path]) -> BadRequest:
        where = f"the storage directory {self.storage_dir}"
        if self.project in places:
            where = f"{where} or your project {self.project}"
        shown = path.replace("\0", "\\0")
        only = _ADDED_TO if self.project is not None and self.project not in places else ""
        return BadRequest(
            f"{shown!r} is not inside {where}; nothing outside is touched. {only}".rstrip(),
            self._what_there_is(places),
        )

    def _no_code(self, path: str, places: Sequence[Path]) -> BadRequest:
        return BadRequest(
            f"{path!r} is no code file: its name has to end in {' or '.join(self.extensions)}, "
            "and no part of it may begin with a dot.",
            self._what_there_is(places),
        )

    def _what_there_is(self, places: Sequence[Path]) -> str:
        listed = [text for place in places if (text := self._listed(place))]
        return "\n".join(listed) or "There is no code file there yet; initialize_code_file makes one."

    def _listed(self, place: Path) -> str:
        try:
            found = [
                (entry.stat(follow_symlinks=False).st_mtime, entry.name)
                for entry in os.scandir(place)
                if entry.name.endswith(tuple(self.extensions)) and entry.is_file(follow_symlinks=False)
            ]
        except OSError:  # it is gone, or may not be read: then there is nothing to name
            return ""
        names = [name for _, name in sorted(found, reverse=True)[:_LISTED]]
        more = " (the newest)" if len(found) > _LISTED else ""
        return f"Code files in {place}{more}: {', '.join(names)}." if names else ""

    def _name_parts(self, name: str | None) -> tuple[str, str]:
        text = (name or "").strip()
        extension = next((e for e in self.extensions if text.lower().endswith(e)), self.extensions[0])
        stem = clean_name(text[: -len(extension)] if text.lower().endswith(extension) else text)
        return stem or "code", extension

    @staticmethod
    def _encoded(content: str) -> bytes:
        try:
            data = content.encode()
        except UnicodeEncodeError as error:
            raise BadRequest(
                f"The content has a lone surrogate at position {error.start}, which is no character and "
                "cannot be written to a file; nothing was written.",
                "In a string, write it as an escape, for example '\\ud800'.",
            ) from None
        if len(data) > LARGEST:
            raise BadRequest(
                f"{len(data):,} bytes is more than the limit of {LARGEST:,}; nothing was written."
            )
        return data

    def _write(self, descriptor: int, data: bytes) -> None:
        with io.FileIO(descriptor, "wb") as file:
            self._write_all(file, data, 0)

    @staticmethod
    def _write_all(file: io.FileIO, data: bytes, size: int) -> None:
        """All or nothing: half a line of code means something else."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            file.truncate(size)
            raise


def below(place: Path, path: str) -> PurePath | None:
    """The path, relative to a folder; None if it leads out, as far as its words go."""
    if "\0" in path:
        return None
    plain = PurePath(os.path.normpath(path))
    for root in (place, Path(os.path.realpath(place))):
        if plain.is_absolute() and plain.is_relative_to(root):
            plain = plain.relative_to(root)
    leads_out = plain.is_absolute() or ".." in plain.parts or plain == PurePath(".")
    return None if leads_out else plain


def _decoded(name: PurePath, data: bytes) -> str:
    try:
        encoding = tokenize.detect_encoding(io.BytesIO(data).readline)[0]
        return data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise BadRequest(
            f"{name} cannot be read as text: {error}.", "Save it as UTF-8, or declare its encoding in line 1."
        ) from None
