"""Random histories of a session: at their end journal, scripts, notebooks and replies agree."""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelexec.kernels.kernel import Death, Reply
from kernelexec.model.execution import State
from kernelexec.recording import notebooks as notebooks_module
from kernelexec.recording.cells import shown_outputs
from kernelexec.recording.history import kernels_of_notebook, load_execution
from kernelexec.recording.journal import ClosedJournal
from kernelexec.session.session import Session
from tests.fakes import (
    FakeStarter,
    Run,
    journal_path,
    open_session,
    quick_recording,
    ran,
    run,
    settled,
    submit,
    told,
    told_states,
)
from tests.journals import replayed

WORK = st.sampled_from(["print", "fail", "show", "update", "late", "die", "cancel"])
# What the person does with a page, and what the assistant does meanwhile: by chance alone a page would
# seldom be loaded, overtaken and saved.
VISIT = st.lists(
    st.one_of(WORK, st.sampled_from(["delete 0", "delete 1", "delete 2", "write words", "save"])), max_size=6
)
STEP = st.one_of(
    st.tuples(WORK),
    st.sampled_from(
        [("crash",), ("submit and crash",), ("next hub",), ("disk full",), ("disk free",), ("save",)]
    ),
    st.builds(lambda within: ("load", *within, "save"), VISIT),
)


def copied(source: str, target: str) -> None:
    """Copy a file; a temporary one may have got its name meanwhile, and is copied under that."""
    with suppress(FileNotFoundError):
        shutil.copy2(source, target)


@dataclass
class Page:
    """A notebook as the person's browser has it."""

    path: Path
    content: Any
    words: list[str]
    deleted: set[str] = field(default_factory=set)


class World:
    """A session, the person at its notebook, the disk; and what must be so at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.storage = folder / "0"
        self.session: Session = self.open()
        self.accepted: dict[int, str] = {}  # the code of what was accepted
        self.replied: dict[int, State] = {}
        self.page: Page | None = None
        self.saved: dict[str, list[str]] = {}  # the person's words, by notebook
        self.deleted: dict[str, set[str]] = {}
        self.full = self.was_full = False
        self.late: list[Run] = []

    def open(self) -> Session:
        for notebook in self.storage.glob("*.ipynb"):
            os.utime(notebook, (1, 1))
        return open_session(self.storage, FakeStarter(*[[self.answer] * 100 for _ in range(50)]))

    async def answer(self, kernel_run: Run) -> Reply:
        """What a kernel does with the codes of these tests."""
        kernel_run.busy()
        work = kernel_run.code.partition(" ")[0]
        transient = {
            "transient": {"display_id": "d"},
            "metadata": {},
            "data": {"text/plain": kernel_run.code},
        }
        if work == "show":
            kernel_run.say("display_data", **transient)
        elif work == "update":
            kernel_run.say("update_display_data", **transient)
        elif work == "die":
            kernel_run.kernel.die(Death(signal=9))
        elif work == "late":
            self.late.append(kernel_run)
        elif work == "wait":
            await kernel_run.interrupted.wait()
        kernel_run.print(f"{kernel_run.code}\n")
        reply = kernel_run.error("E") if work in ("fail", "wait") else kernel_run.reply()
        kernel_run.idle()
        return reply

    async def step(self, what: str) -> None:
        what, _, number = what.partition(" ") if what.startswith("delete") else (what, "", "")
        if what in ("print", "fail", "show", "update", "late", "die", "cancel"):
            await self.work(what)
        elif what == "submit and crash":
            self.accept(submit(self.session, f"wait {len(self.accepted)}"))
            await settled(lambda: self.session.current is not None or self.session.state == "no kernel")
            await self.crash()
        elif what == "crash":
            await self.crash()
        elif what == "next hub":
            await self.session.close()
            self.session = self.open()
        elif what in ("disk full", "disk free"):
            self.full = what == "disk full"
            self.was_full |= self.full
        else:
            await self.edit(what, int(number or 0))

    async def work(self, what: str) -> None:
        for kernel_run in self.late:
            if kernel_run.kernel is self.session.kernel:
                kernel_run.print("late words\n")
        self.late.clear()
        if what == "cancel":
            execution = self.accept(submit(self.session, f"wait {len(self.accepted)}"))
            await self.session.cancel(execution, "Enough.")
            await settled(lambda: execution.is_final)
        else:
            execution = self.accept(await ran(self.session, f"{what} {len(self.accepted)}"))
        self.replied[execution.number] = execution.state
        told(self.session)

    def accept(self, execution: Any) -> Any:
        self.accepted[execution.number] = execution.code
        return execution

    async def crash(self) -> None:
        """The hub is killed: the next one finds what is on disk at this moment."""
        storage = self.folder / str(int(self.storage.name) + 1)
        shutil.copytree(self.storage, storage, copy_function=copied)
        await self.session.close()
        self.storage, self.page = storage, None
        self.session = self.open()

    async def edit(self, what: str, number: int) -> None:
        await self.session.recorder.flush()  # what is written at the same moment has tests of its own
        path = self.session.notebook
        if path is None or not path.exists() or (self.page is None and what != "load"):
            return
        if what == "load":
            words = list(self.saved.get(path.name, []))
            self.page = Page(path, nbformat.read(path, nbformat.NO_CONVERT), words)
        elif self.page is not None and what == "write words":
            self.page.words.append(f"words {len(self.page.words)}")
            self.page.content.cells.append(nbformat.v4.new_markdown_cell(self.page.words[-1]))
        elif self.page is not None and what == "delete":
            ours = [cell for cell in self.page.content.cells if cell.id.startswith("kernelexec-")]
            if number < len(ours):
                self.page.content.cells.remove(ours[number])
                self.page.deleted.add(ours[number].id)
        elif self.page is not None and what == "save" and self.page.path.exists():
            self.page.path.write_text(nbformat.writes(self.page.content))
            os.utime(self.page.path, (1, self.page.path.stat().st_mtime_ns / 1e9 - 60))
            self.saved[self.page.path.name] = list(self.page.words)
            self.deleted.setdefault(self.page.path.name, set()).update(self.page.deleted)

    async def end(self) -> None:
        self.full = False
        await self.session.close()
        self.session = self.open()
        await settled(lambda: all(map(self.session.recorder.is_written, self.executions())))
        await self.session.recorder.flush()
        await self.session.close()

    def executions(self) -> list[Any]:
        journal = ClosedJournal(journal_path(self.storage))
        found = (load_execution(journal, "sales@analysis", self.storage, n) for n in self.accepted)
        return [execution for execution in found if execution is not None]

    def check(self) -> None:
        states = told_states(self.storage)
        if not self.was_full:
            replayed(journal_path(self.storage))
        assert {number: len(told) for number, told in states.items()} == dict.fromkeys(self.accepted, 1)
        for number, state in self.replied.items():
            assert states[number] == [state]
        for execution in self.executions():
            assert execution.script.read_text() == execution.code == self.accepted[execution.number]
        for path in self.storage.glob("*.ipynb"):
            self.check_notebook(path)

    def check_notebook(self, path: Path) -> None:
        notebook = nbformat.read(path, nbformat.NO_CONVERT)
        nbformat.validate(notebook)
        kernels = kernels_of_notebook(journal_path(self.storage), int(path.stem.rpartition("-")[2]))
        deleted = self.deleted.get(path.name, set())
        expected = {
            e.cell_id: e
            for e in self.executions()
            if e.generation in kernels and e.state is not State.NOT_RUN and e.cell_id not in deleted
        }
        ours = [cell for cell in notebook.cells if re.fullmatch(r"kernelexec-[0-9]+", cell.id)]
        assert sorted(cell.id for cell in ours) == sorted(expected)
        for cell in ours:
            assert cell.source == expected[cell.id].code
            assert cell.outputs == shown_outputs(expected[cell.id]), cell.id
        markdown = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
        words = [
            cell.source for cell in markdown if not re.match("previous-kernel|kernelexec-kernel-", cell.id)
        ]
        assert words == self.saved.get(path.name, [])


@contextmanager
def disk_of(world: World) -> Iterator[None]:
    """Notebooks cannot be written while the disk is full; the journal has reserved its room."""
    replace = os.replace

    def full(*arguments: Any, **keywords: Any) -> None:
        if world.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(*arguments, **keywords)

    with (
        mock.patch.object(os, "replace", full),
        mock.patch.object(notebooks_module, "_RETRY_SECONDS", 0.001),
        mock.patch.object(notebooks_module, "_LOOK_SECONDS", 0.001),
    ):
        yield


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(STEP, max_size=8))
def test_after_any_history_journal_scripts_notebooks_and_replies_agree(steps: list[Any]) -> None:
    async def test(folder: Path) -> None:
        with quick_recording():
            world = World(folder)
            with disk_of(world):
                for what in itertools.chain.from_iterable(steps):
                    await world.step(what)
                await world.end()
            world.check()

    with tempfile.TemporaryDirectory() as folder:
        run(test(Path(folder)))


SCENARIO = [
    "print",
    "show",
    "load",
    "print",
    "write words",
    "save",
    "update",
    "late",
    "print",
    "delete 0",
    "save",
]


@pytest.mark.parametrize("function", ["replace", "fsync", "copy_file_range", "link", "unlink"])
@pytest.mark.parametrize("crash", [False, True])
def test_whichever_call_for_the_notebook_fails_it_is_whole_in_the_end(function: str, crash: bool) -> None:
    async def test(folder: Path, at: int) -> bool:
        """Whether there was such a call."""
        calls = itertools.count(1)
        original = getattr(os, function)
        failed = False

        def failing(*arguments: Any, **keywords: Any) -> Any:
            nonlocal failed
            if next(calls) == at:
                failed = True
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return original(*arguments, **keywords)

        world = World(folder)
        with disk_of(world), mock.patch.object(os, function, failing):
            for what in SCENARIO:
                await world.step(what)
                await world.session.recorder.flush()
                for path in world.storage.glob("*.ipynb"):
                    nbformat.validate(nbformat.read(path, nbformat.NO_CONVERT))
            if crash:
                await world.crash()
            await world.end()
        world.check()
        # What could not be removed at the last write would be at the next one.
        assert function == "unlink" or not list(world.storage.glob(".*.tmp-*"))
        return failed

    with quick_recording():
        for at in itertools.count(1):
            with tempfile.TemporaryDirectory() as folder:
                if not run(test(Path(folder), at)):
                    break
    assert at > 1 or not hasattr(os, function)
