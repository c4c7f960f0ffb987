"""A kernel that is not where its link leads: what is said of it, and whether it is given up."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from kernelexec.kernels.far_command import FarTrouble
from kernelexec.kernels.far_kernels import FarKernels
from kernelexec.kernels.far_life import FarLife, FarPlace
from kernelexec.kernels.kernel import Death
from tests.fakes import run

PLACE = FarPlace("ssh -T gpu", "/usr/bin/python3", "1a2b3c4d", "key", "gpu", "a boot", "/home/ann")


class Passage:
    is_ended = False

    def end(self) -> None:
        self.is_ended = True


class Kernels(FarKernels):
    """Where what is asked there is answered at once."""

    def __init__(self, folder: Path, **said: Any) -> None:
        super().__init__(folder / "runtime", folder / "state")
        self.passage = Passage()
        self._said = {"missing": True, "host": "gpu", "boot": "a boot", **said}

    async def _joined(self, place: FarPlace) -> Any:
        return self.passage, self._said


async def _unexplained(place: FarPlace, death: Death) -> Death:
    return death


def joined(kernels: Kernels, *, has_answered: bool = True) -> tuple[FarTrouble, Death | None]:
    """What is said of it, and how it ended, if it is known to have."""

    async def test() -> tuple[FarTrouble, Death | None]:
        life = FarLife(PLACE, lambda place: None, _unexplained, None, is_kept=True)
        life.has_answered = has_answered
        with pytest.raises(FarTrouble) as raised:
            await kernels._join(PLACE, life)
        assert raised.value.was_reached, "the way is open to others"
        assert kernels.passage.is_ended
        return raised.value, await life.ended() if life._death.done() else None

    return run(test())


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"boot": "a later one"}, "gpu was restarted"),
        ({}, "there is nothing of it any more on gpu"),
    ],
)
def test_a_kernel_that_is_gone_is_told_with_why(tmp_path: Path, said: dict[str, str], why: str) -> None:
    trouble, death = joined(Kernels(tmp_path, **said))
    assert trouble.what.lower() == f"{why}.".lower()
    assert death is not None
    assert why in death.cause


def test_another_machine_of_that_name_is_not_taken_for_the_kernels_end(tmp_path: Path) -> None:
    trouble, death = joined(Kernels(tmp_path, host="other"))
    assert trouble.what == "`ssh -T gpu` leads to other now, and the kernel is on gpu."
    assert "KERNELEXEC_VIA" in trouble.next_step
    assert death is None


def test_values_that_are_too_large_for_messages_go_with_the_kernel(tmp_path: Path) -> None:
    async def test() -> None:
        kernels = Kernels(tmp_path)
        kernel = kernels.adopt({"kind": "far", **asdict(PLACE)}, lambda message: None, "named")
        assert kernel.spool is not None
        assert kernel.spool.is_dir()
        kernels.clear_up({"kind": "far", **asdict(PLACE)})
        assert not kernel.spool.exists()
        kernel.detach()

    run(test())
