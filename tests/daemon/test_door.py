"""The hub's door, in a runtime directory that somebody deletes, as a whole or in part, at any moment."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelexec.bridge import rendezvous
from kernelexec.daemon import door
from kernelexec.daemon.door import Claim, Door
from tests.fakes import run, settled


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    # Not tmp_path: a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="kx") as folder:
        monkeypatch.setenv("KERNELEXEC_RUNTIME_DIR", folder)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        monkeypatch.setattr(door, "LOOK_SECONDS", 0.01)
        yield Path(folder)


async def _accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"here\n")
    writer.close()
    await writer.wait_closed()


async def _is_served() -> bool:
    try:
        reader, writer = await asyncio.open_unix_connection(rendezvous.socket_path(os.environ))
    except OSError:
        return False
    said = await reader.read()
    writer.close()
    await writer.wait_closed()
    return said == b"here\n"


async def opened(claim: Claim) -> Door:
    lock = rendezvous.take_lock(os.environ)
    assert lock is not None
    assert claim.take()
    made = Door(lock, claim, _accept, 1000)
    await made.open(made.listen())
    return made


def test_what_is_deleted_while_it_is_made_anew_is_made_once_more(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, failures = Door._hold, []

    def failing(self: Door) -> int:
        if len(failures) < 3:
            failures.append(1)
            shutil.rmtree(place)
        return hold(self)

    async def test() -> None:
        ours = await opened(Claim())
        strangers = [os.open(os.devnull, os.O_RDONLY) for _ in range(5)]
        monkeypatch.setattr(Door, "_hold", failing)
        shutil.rmtree(place)
        anew: list[bool] = []
        keeping = asyncio.create_task(ours.keep(lambda: anew.append(True)))
        await settled(lambda: bool(anew))
        assert await _is_served()
        assert len(failures) == 3
        assert rendezvous.take_lock(os.environ) is None, "the lock is ours again"
        for each in strangers:
            os.close(each)  # none was closed in the place of ours
        keeping.cancel()
        ours.close()
        ours.release()

    run(test())


def test_what_could_not_be_told_is_told_again(place: Path) -> None:
    async def test() -> None:
        ours, tries = await opened(Claim()), []

        def made_anew() -> None:
            tries.append(1)
            if len(tries) < 3:
                raise OSError("no room for a kernel's entry")

        shutil.rmtree(place)
        keeping = asyncio.create_task(ours.keep(made_anew))
        await settled(lambda: len(tries) == 3)
        await asyncio.sleep(0.05)
        assert len(tries) == 3
        keeping.cancel()
        ours.close()
        ours.release()

    run(test())


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_hub_whose_second_lock_was_deleted_takes_it_again(place: Path, tmp_path: Path, what: str) -> None:
    async def test() -> None:
        claim = Claim()
        ours = await opened(claim)
        keeping = asyncio.create_task(ours.keep(lambda: None))
        if what == "folder":
            shutil.rmtree(tmp_path / "state")
        else:
            [lock] = (tmp_path / "state" / "kernelexec").glob("hub-*.lock")
            lock.unlink()
        await settled(lambda: bool(list(tmp_path.glob("state/kernelexec/hub-*.lock"))))
        another = Claim()
        assert not another.take()
        claim.let_go()
        assert another.take()
        another.let_go()
        keeping.cancel()
        ours.close()
        ours.release()

    run(test())
