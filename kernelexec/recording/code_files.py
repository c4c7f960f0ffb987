"""Long code in files: made, added to and read in the storage directory, and nowhere else.

A path is text that an assistant wrote. It is taken apart, and each part is opened inside the folder before
it, never through a symbolic link: so it cannot lead out, whatever happens to the folders meanwhile.
"""

from __future__ import annotations

import io
import os
import secrets
import stat
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from kernelexec.errors import BadRequest
from kernelexec.model.naming import clean_name
from kernelexec.recording.inside import open_inside
from kernelexec.recording.journal import storage_failed

LARGEST = 20_000_000  # bytes of a code file
_LISTED = 10  # files that an error names


@dataclass(frozen=True)
class CodeFiles:
    """The code files of one storage directory."""

    storage_dir: Path
    extensions: Sequence[str]  # of code files, the first that of new ones

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
        with self._opened(relative, os.O_RDWR) as file:
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
        relative = self._inside(path)
        with self._opened(relative, os.O_RDONLY) as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST:
                raise BadRequest(f"{relative} has {size:,} bytes, more than the limit of {LARGEST:,}.")
            data = file.readall()
        return self.storage_dir / relative, _decoded(relative, data)

    def _inside(self, path: str) -> PurePath:
        """The path, relative to the storage directory."""
        if "\0" in path:
            raise self._refusal(path.replace("\0", "\\0"))
        plain = PurePath(os.path.normpath(path))
        for root in (self.storage_dir, Path(os.path.realpath(self.storage_dir))):
            if plain.is_absolute() and plain.is_relative_to(root):
                plain = plain.relative_to(root)
        if plain.is_absolute() or ".." in plain.parts or plain == PurePath("."):
            raise self._refusal(path)
        if not plain.suffix and not plain.name.startswith("."):
            plain = plain.with_name(plain.name + self.extensions[0])
        if any(part.startswith(".") for part in plain.parts) or plain.suffix.lower() not in self.extensions:
            raise BadRequest(
                f"{path!r} is no code file: its name has to end in {' or '.join(self.extensions)}, "
                "and no part of it may begin with a dot.",
                self._what_there_is(),
            )
        return plain

    def _opened(self, relative: PurePath, flags: int) -> io.FileIO:
        try:
            file = open_inside(self.storage_dir, relative, flags)
        except FileNotFoundError:
            raise BadRequest(
                f"There is no {relative} in {self.storage_dir}.", self._what_there_is()
            ) from None
        except OSError as error:
            what = f"{relative} in {self.storage_dir} cannot be opened: {error.strerror or error}"
            raise BadRequest(f"{what}. Symbolic links are not followed.", self._what_there_is()) from error
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise BadRequest(f"{relative} is not a file.", self._what_there_is())
        return io.FileIO(file, "r+b" if flags & os.O_RDWR else "rb")

    def _refusal(self, path: str) -> BadRequest:
        return BadRequest(
            f"{path!r} is not inside the storage directory {self.storage_dir}; nothing outside is touched.",
            self._what_there_is(),
        )

    def _what_there_is(self) -> str:
        found = [
            (entry.stat(follow_symlinks=False).st_mtime, entry.name)
            for entry in (os.scandir(self.storage_dir) if self.storage_dir.is_dir() else ())
            if entry.name.endswith(tuple(self.extensions)) and entry.is_file(follow_symlinks=False)
        ]
        names = [name for _, name in sorted(found, reverse=True)[:_LISTED]]
        if not names:
            return "There is no code file there yet; initialize_code_file makes one."
        more = " (the newest)" if len(found) > _LISTED else ""
        return f"Code files there{more}: {', '.join(names)}."

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


def _decoded(name: PurePath, data: bytes) -> str:
    try:
        encoding = tokenize.detect_encoding(io.BytesIO(data).readline)[0]
        return data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise BadRequest(
            f"{name} cannot be read as text: {error}.", "Save it as UTF-8, or declare its encoding in line 1."
        ) from None
