"""Files that are nothing but files, and all the things that are not."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelexec.plain_file import NotPlain, TooLarge, open_plain, read_plain, read_text


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def a_folder(path: Path) -> None:
    path.mkdir()


OTHERS = {
    a_pipe: "a named pipe",
    a_link_to_a_device: "a symbolic link",
    a_socket: "a socket",
    a_folder: "a folder",
}
WAYS = [
    os.O_RDONLY,
    os.O_RDWR,
    os.O_WRONLY,
    os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    os.O_RDWR | os.O_APPEND | os.O_CREAT,
]


@pytest.mark.timeout(10)
@pytest.mark.parametrize("flags", WAYS)
@pytest.mark.parametrize("make", OTHERS, ids=lambda make: make.__name__)
def test_what_is_no_file_is_said_and_never_waited_for(
    tmp_path: Path, make: Callable[[Path], None], flags: int
) -> None:
    path = tmp_path / "x"
    make(path)
    before = os.listdir("/dev/fd")
    with pytest.raises(NotPlain, match=OTHERS[make]) as refused:
        open_plain(path, flags)
    assert refused.value.filename == str(path)
    assert len(os.listdir("/dev/fd")) == len(before)


def test_a_pipe_whose_other_end_somebody_holds_is_refused_as_well(tmp_path: Path) -> None:
    path = tmp_path / "x"
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR)
    with pytest.raises(NotPlain, match="named pipe"):
        open_plain(path, os.O_WRONLY | os.O_TRUNC)
    os.close(held)


@pytest.mark.timeout(10)
def test_a_link_is_followed_to_a_file_and_to_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("é")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "zero").symlink_to("/dev/zero")
    assert read_text(tmp_path / "link") == "é"
    with pytest.raises(NotPlain, match="a symbolic link"):
        read_plain(tmp_path / "link")
    with pytest.raises(NotPlain, match="a device"):
        read_text(tmp_path / "zero")


def test_a_file_is_read_up_to_its_limit_and_not_beyond(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert read_plain(path, 5) == b"12345"
    with pytest.raises(TooLarge, match="it has 5 bytes, more than the 4 that are read"):
        read_plain(path, 4)


def test_only_a_plain_file_is_emptied(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(NotPlain):
        open_plain(tmp_path / "link", os.O_WRONLY | os.O_TRUNC)
    assert (tmp_path / "file").read_text() == "old"
    os.close(open_plain(tmp_path / "file", os.O_WRONLY | os.O_TRUNC))
    assert (tmp_path / "file").read_text() == ""
