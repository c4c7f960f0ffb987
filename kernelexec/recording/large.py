"""Displays, results and errors too large for a notebook: files beside it, to which the cell refers.

The cell keeps the head and the tail of a large text, and shows a large picture from its file. In the metadata
of the output `kernelexec` says which file it is: {"file", "mime", "size"}, the file relative to the storage
directory, the size in bytes; `others` lists more of them.
"""

from __future__ import annotations

import binascii
import errno
import json
import mimetypes
import os
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kernelexec.model.outputs import JSON, is_json_mime, size_of
from kernelexec.recording.output_folder import OutputFolder
from kernelexec.recording.spooled import Ends, Spooled, as_displayed, spooled_in

SMALL = 10_000  # characters; what is not longer stays in the cell
_HEAD, _TAIL = 2_000, 1_000  # characters that the cell shows of a large text
_BLOCK = 10_000_000  # characters that are encoded at once
_EXTENSIONS = {
    "text/plain": ".txt",
    "text/markdown": ".md",
    "text/latex": ".tex",
    "text/html": ".html",
    "image/svg+xml": ".svg",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "application/pdf": ".pdf",
    "application/javascript": ".js",
}

_ALL_EXTENSIONS = (*_EXTENSIONS.values(), ".json", ".bin", ".gif", ".webp", ".mp4", ".wav", ".mpga")


class LargeValues:
    """Writes the large values of one execution to `FOLDER/0007-1.png` and so on."""

    def __init__(self, folder: OutputFolder, number: int, spool: Path | None = None) -> None:
        self._folder = folder
        self._number = number
        self._spool = spool  # where the kernel puts what is too large for a message
        self._index = 0  # of the last file

    def display(self, content: Mapping[str, Any]) -> Mapping[str, Any]:
        """The display or result with references in the place of what is large.

        Raises:
            OSError: the files are not (all) written.
        """
        data = content.get("data")
        if not isinstance(data, Mapping):
            return content
        spooled = spooled_in(content)
        elsewhere = {each.mime for each in spooled}
        here = {mime: value for mime, value in as_displayed(content).items() if mime not in elsewhere}
        kept = {mime: value for mime, value in here.items() if size_of(value) <= SMALL}
        files = [self._write(mime, here[mime]) for mime in here if mime not in kept]
        taken = [self._take(each) for each in spooled]
        files += [file for file in taken if "file" in file]
        named = "; ".join(map(_named, [*files, *(file for file in taken if "file" not in file)]))
        if not named:
            return content
        ends = next((each.ends for each in spooled if each.mime == "text/plain"), None)
        text = _text_of(here.get("text/plain"), "text/plain" in kept, ends, named)
        metadata = content.get("metadata")
        return {
            **{key: value for key, value in content.items() if key != "kernelexec"},
            "data": {**kept, "text/plain": text, **_links(files, kept)},
            "metadata": {**(metadata if isinstance(metadata, Mapping) else {}), **_reference(files)},
        }

    def error(self, content: Mapping[str, Any]) -> Mapping[str, Any]:
        """The error with the head and the tail of what is long; all of it goes to a file.

        Raises:
            OSError: the file is not written.
        """
        for spooled in spooled_in(content):
            return self._spooled_error(content, spooled)
        traceback = content.get("traceback")
        lines = traceback if isinstance(traceback, list) else []
        whole = "\n".join(str(line) for line in [*lines, content.get("evalue", "")])
        where = _named(self._write("text/plain", whole))
        return {
            "ename": str(content.get("ename", ""))[:SMALL],
            "evalue": _clipped(str(content.get("evalue", "")), where),
            "traceback": [_clipped("\n".join(map(str, lines)), where)],
        }

    def _spooled_error(self, content: Mapping[str, Any], spooled: Spooled) -> Mapping[str, Any]:
        where = _named(self._take(spooled))
        value = spooled.value_ends
        return {
            "ename": str(content.get("ename", ""))[:SMALL],
            "evalue": _between(value, where) if value else str(content.get("evalue", ""))[:SMALL],
            "traceback": [_between(spooled.ends or Ends("", ""), where)],
        }

    def _take(self, spooled: Spooled) -> dict[str, JSON]:
        """As _write, of what the kernel has written; without "file" if that is not here."""
        told: dict[str, JSON] = {"mime": spooled.mime, "size": spooled.characters}
        try:
            if self._spool is None:
                raise FileNotFoundError(errno.ENOENT, "the kernel has no place for it")
            directory = self._folder.open()
            try:
                name = self._free_name(directory, _extension(spooled.mime))
                size = spooled.link(self._spool, name, directory)
            finally:
                os.close(directory)
        except OSError as error:
            return {**told, "problem": error.strerror or str(error)}
        return {**told, "size": size, "file": self._folder.relative(name)}

    def _write(self, mime: str, value: JSON) -> dict[str, JSON]:
        directory = self._folder.open()
        try:
            file, name = self._create(directory, _extension(mime))
            size = _fill(directory, name, file, _bytes_of(mime, value))
        finally:
            os.close(directory)
        return {"file": self._folder.relative(name), "mime": mime, "size": size}

    def _create(self, directory: int, extension: str) -> tuple[int, str]:
        """A new file under the next free name."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        name = self._free_name(directory, extension)
        return os.open(name, flags, 0o666, dir_fd=directory), name

    def _free_name(self, directory: int, extension: str) -> str:
        # Without a list of the folder, which may have very many.
        self._index = next(index for index in count(self._index + 1) if not self._has(directory, index))
        return f"{self._number:04d}-{self._index}{extension}"

    def _has(self, directory: int, index: int) -> bool:
        """Whether there is a file with this index, of an earlier hub or of late output."""
        stem = f"{self._number:04d}-{index}"
        return any(os.access(stem + extension, os.F_OK, dir_fd=directory) for extension in _ALL_EXTENSIONS)


def _fill(directory: int, name: str, file: int, blocks: Iterator[bytes]) -> int:
    """Write and close the file; returns its size."""
    try:
        with open(file, "wb") as writer:
            return sum(map(writer.write, blocks))
    except BaseException:
        os.unlink(name, dir_fd=directory)  # half a picture looks like a broken one
        raise


def _text_of(text: JSON, is_small: bool, ends: Ends | None, named: str) -> str:
    """What stands in the cell for the values that are in files."""
    if ends is not None:
        return _between(ends, named)
    if isinstance(text, str) and not is_small:
        return _clipped(text, named)
    return f"{text}\n[{named}]" if text else f"[{named}]"


def _links(files: list[dict[str, JSON]], kept: Mapping[str, JSON]) -> dict[str, JSON]:
    links = [_link(file) for file in files if file["mime"] != "text/plain"]
    return {"text/markdown": "\n\n".join(links)} if links and "text/html" not in kept else {}


def _reference(files: list[dict[str, JSON]]) -> dict[str, JSON]:
    if not files:
        return {}
    first, *others = sorted(files, key=lambda file: -int(str(file["size"])))
    return {"kernelexec": {**first, "others": others} if others else first}


def _named(file: Mapping[str, JSON]) -> str:
    if "file" not in file:
        return f"{file['mime']}, {file['size']:,} characters, was not kept: {file['problem']}"
    return f"all of it, {file['mime']}, {file['size']:,} bytes: {file['file']}"


def _link(file: Mapping[str, JSON]) -> str:
    picture = "!" if str(file["mime"]).startswith("image/") else ""
    return f"{picture}[{file['mime']}, {file['size']:,} bytes]({quote(str(file['file']))})"


def _clipped(text: str, where: str) -> str:
    if len(text) <= _HEAD + _TAIL:
        return text
    return _between(Ends(text[:_HEAD], text[-_TAIL:]), where)


def _between(ends: Ends, where: str) -> str:
    return f"{ends.head}\n[... {where} ...]\n{ends.tail}"


def _extension(mime: str) -> str:
    if mime in _EXTENSIONS:
        return _EXTENSIONS[mime]
    if is_json_mime(mime):
        return ".json"
    return ".txt" if mime.startswith("text/") else mimetypes.guess_extension(mime) or ".bin"


def _bytes_of(mime: str, value: JSON) -> Iterator[bytes]:
    """What a file of this type holds: text as UTF-8, anything else as the bytes that base64 stands for."""
    is_json = is_json_mime(mime)
    if isinstance(value, list) and not is_json and all(isinstance(line, str) for line in value):
        value = "".join(map(str, value))
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False)
    elif not mime.startswith("text/") and not is_json and mime not in _EXTENSIONS_OF_TEXT:
        try:
            yield binascii.a2b_base64(value.encode("ascii"))
            return
        except ValueError:  # also what binascii raises: it is not base64, and kept as it came
            pass
    for start in range(0, len(value), _BLOCK):
        yield value[start : start + _BLOCK].encode("utf-8", "backslashreplace")


_EXTENSIONS_OF_TEXT = frozenset({"image/svg+xml", "application/javascript"})
