"""What the system refused, as people are told."""

from __future__ import annotations

import errno

import pytest

from kernelexec.errors import StorageFailed
from kernelexec.plain_file import NotPlain
from kernelexec.system_errors import in_words


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "/a/b"),
            "/a/b: No such file or directory. It was deleted or moved meanwhile, or its directory was.",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device. The disk is full"),
        (OSError(errno.EXDEV, None, b"/a"), "/a: Invalid cross-device link."),
        (
            NotPlain(errno.EINVAL, "it is a device, not a plain file", "/a"),
            "/a: it is a device, not a plain file. It is not what kernelexec has made there",
        ),
        (StorageFailed("It is full.", "Make room."), "It is full.\nMake room."),
        (TimeoutError("no answer"), "no answer"),
    ],
    ids=repr,
)
def test_an_error_of_the_system_is_told_with_its_path_and_advice_and_without_its_number(
    error: Exception, said: str
) -> None:
    assert in_words(error).startswith(said)
    assert "Errno" not in in_words(error)
