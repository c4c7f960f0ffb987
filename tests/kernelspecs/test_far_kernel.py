"""What the far end of a kernel's link does with what lies where kernels' folders are."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_FAR = Path(__file__).parents[2] / "kernelspecs" / "far"


@pytest.fixture
def far_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The program, with another folder for kernels."""
    monkeypatch.setattr(sys, "path", [str(_FAR), *sys.path])
    import far_kernel  # type: ignore[import-not-found]

    monkeypatch.setattr(far_kernel, "root", lambda: str(tmp_path / "kernels"))
    return far_kernel


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is no kernel."""
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


class Talk:
    def __init__(self) -> None:
        self.said: dict[str, Any] = {}

    def say(self, **said: Any) -> None:
        self.said = said


def laid_by_somebody(tmp_path: Path, far_kernel: Any, pid: int) -> None:
    """A link to a folder of another's, in which a kernel is said to be."""
    folder = tmp_path / "theirs" / "k1"
    folder.mkdir(parents=True)
    told = {"keeper": pid, "identity": far_kernel.identity(pid)}
    far_kernel.write(str(folder / "started.json"), told)
    far_kernel.write(str(folder / "process.json"), {"kernel": pid})
    (tmp_path / "kernels").symlink_to(tmp_path / "theirs")


@pytest.mark.parametrize("want", ["join", "end", "start"])
def test_what_another_has_laid_there_is_not_believed(
    want: str, far_kernel: Any, tmp_path: Path, bystander: subprocess.Popen[bytes]
) -> None:
    laid_by_somebody(tmp_path, far_kernel, bystander.pid)
    talk = Talk()
    assert far_kernel.main(talk, {"want": want, "id": "k1", "connection": {}}, "") == 1
    assert talk.said["refused"].endswith("is not its user's folder.")
    assert talk.said["next_step"] == "Have it removed."
    assert bystander.poll() is None


def test_a_file_in_the_way_is_told_as_that(far_kernel: Any, tmp_path: Path) -> None:
    (tmp_path / "kernels").touch()
    talk = Talk()
    far_kernel.main(talk, {"want": "start", "id": "k1", "connection": {}}, "")
    assert talk.said["refused"].endswith("is not its user's folder.")


def test_nothing_is_there_where_no_kernel_ever_was(far_kernel: Any) -> None:
    talk = Talk()
    assert far_kernel.main(talk, {"want": "join", "id": "k1"}, "") == 0
    assert talk.said["missing"]
    far_kernel.main(talk, {"want": "end", "id": "k1"}, "")
    assert talk.said["ended"]


def test_what_kernels_have_left_goes_after_a_week_and_what_runs_stays(
    far_kernel: Any, tmp_path: Path, bystander: subprocess.Popen[bytes]
) -> None:
    for name in ("old", "new", "runs"):
        (tmp_path / "kernels" / name).mkdir(parents=True)
    told = {"keeper": bystander.pid, "identity": far_kernel.identity(bystander.pid)}
    far_kernel.write(str(tmp_path / "kernels" / "runs" / "started.json"), told)
    for name in ("old", "runs"):
        os.utime(tmp_path / "kernels" / name, (0, 0))
    far_kernel.make_folder("k1")
    assert sorted(os.listdir(tmp_path / "kernels")) == ["k1", "new", "runs"]


def test_a_kernel_that_could_not_be_written_down_does_not_run_on(
    far_kernel: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bystander: subprocess.Popen[bytes]
) -> None:
    """A disk that is full just then: nobody would know of it."""
    write = far_kernel.write

    def write_if_there_is_room(path: str, said: dict[str, Any]) -> None:
        if path.endswith(far_kernel.STARTED_FILE):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, said)

    monkeypatch.setattr(far_kernel, "write", write_if_there_is_room)
    monkeypatch.setattr(far_kernel, "spawn", lambda *_: bystander)
    talk = Talk()
    wanted = {"want": "start", "id": "k1", "connection": {}, "directory": str(tmp_path)}
    assert far_kernel.main(talk, wanted, "") == 1
    assert bystander.returncode == -signal.SIGKILL
    assert not (tmp_path / "kernels" / "k1").exists()
    assert talk.said["refused"].endswith(": No space left on device.")
    assert talk.said["next_step"] == "Make room there."


def test_a_kernel_is_ended_with_what_it_leaves(
    far_kernel: Any, tmp_path: Path, bystander: subprocess.Popen[bytes]
) -> None:
    folder = Path(far_kernel.make_folder("k1"))
    told = {"keeper": bystander.pid, "identity": far_kernel.identity(bystander.pid)}
    far_kernel.write(str(folder / "started.json"), told)
    talk = Talk()
    far_kernel.main(talk, {"want": "end", "id": "k1"}, "")
    assert talk.said["ended"]
    assert bystander.wait(30) == -signal.SIGTERM
    assert not folder.exists()
