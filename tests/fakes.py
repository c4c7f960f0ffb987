"""A kernel that follows a script, a starter that hands such kernels out, and a session on both.

A FakeKernel answers each request with the next of its answers: a function that says what the kernel
says and does, in order. Without an answer left it runs the code well and prints nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast
from unittest import mock

from kernelexec.config import EnvironmentChoice
from kernelexec.environments.source import Progress
from kernelexec.hub.admission import Admission
from kernelexec.hub.adoption import Adoption
from kernelexec.hub.caller import Caller
from kernelexec.hub.lost_kernels import LostKernels
from kernelexec.hub.unheard import Unheard
from kernelexec.kernels.inspection import Variables
from kernelexec.kernels.kernel import (
    SHUTDOWN_SECONDS,
    Death,
    Findings,
    Imports,
    KernelDied,
    OnMessage,
    Reply,
    Where,
)
from kernelexec.kernels.link import Lost
from kernelexec.kernels.wire import Message
from kernelexec.model.environment import Environment, Interpreter
from kernelexec.model.execution import Execution, State
from kernelexec.model.limits import Allowance, Limits
from kernelexec.recording import notebooks as notebooks_module
from kernelexec.recording.journal import Journal, now
from kernelexec.recording.recorder import Recorder
from kernelexec.session.events import CallerId
from kernelexec.session.generations import NewKernel
from kernelexec.session.journal_events import read_past
from kernelexec.session.session import Session
from kernelexec.session.submission import Submission
from kernelexec.session.surroundings import Surroundings

DATE = "2026-11-23T10:00:00.000000Z"
KERNEL_INFO = {
    "language_info": {"name": "python", "version": "3.12.1", "file_extension": ".py"},
    "status": "ok",
}
_SECONDS = 60.0  # for one whole test; most take milliseconds, but a signature takes 3 s of a busy processor

ANN = CallerId("ann", "claude-code", "/home/ann/sales")  # the caller that tests are about
BEN = CallerId("ben", "codex", "/home/ann/sales")  # another one

T = TypeVar("T")


def run(test: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine; it fails where it would hang."""
    return asyncio.run(asyncio.wait_for(test, _SECONDS))


# --- the kernel ------------------------------------------------------------------


class Run:
    """One request as an answer sees it: what the kernel can say and do about it."""

    def __init__(self, kernel: FakeKernel, msg_id: str, code: str) -> None:
        self.kernel = kernel
        self.msg_id = msg_id
        self.code = code
        self.interrupted = asyncio.Event()
        self.answers: asyncio.Queue[str] = asyncio.Queue()

    async def ask(self, prompt: str, password: bool = False) -> str:
        """Ask for input, as `input()` does."""
        content = {"prompt": prompt, "password": password}
        self.kernel.publish("input_request", content, self.msg_id)
        return await self.answers.get()

    def say(self, message_type: str, **content: Any) -> None:
        """Publish a message on iopub."""
        self.kernel.publish(message_type, content, self.msg_id)

    def busy(self) -> None:
        self.say("status", execution_state="busy")
        self.say("execute_input", code=self.code, execution_count=self.kernel.count)

    def idle(self) -> None:
        self.say("status", execution_state="idle")

    def print(self, text: str, name: str = "stdout") -> None:
        self.say("stream", name=name, text=text)

    def error(self, ename: str, evalue: str = "", traceback: Sequence[str] = ()) -> Reply:
        content = {"ename": ename, "evalue": evalue, "traceback": list(traceback)}
        self.say("error", **content)
        return self.reply("error", **content)

    def reply(self, status: str = "ok", **content: Any) -> Reply:
        told = {"status": status, "execution_count": self.kernel.count, **content}
        return Reply(status, told, DATE, {"started": DATE})


Answer = Callable[[Run], Awaitable[Reply]]


class FakeKernel:
    """A kernel.Kernel that does what it is told."""

    spool: Path | None = None

    def __init__(self, on_message: OnMessage, answers: Sequence[Answer] = ()) -> None:
        self.died: asyncio.Future[Death] = asyncio.get_running_loop().create_future()
        self.answers = list(answers)
        self.count = 0  # execution_count
        self.executed: list[str] = []  # the code of each request, in order
        self.in_flight = 0
        self.most_in_flight = 0
        self.interrupts: list[str] = []
        self.interrupts_by_name = True
        self.is_reached = True  # by an interrupt
        self.detached = False
        self.is_stopped = False
        self.is_joined = False
        self.lost: Lost | None = None
        self.where: Where | None = None
        self.known_variables: Variables | None = None
        self.imported: dict[str, str | None] = {}  # modules and what they say of their version
        self.refreshed = 0
        self.looked_at: list[str] = []  # msg_ids
        self.findings: Findings | None = None  # what look() finds; else the truth
        self.rejoined: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
        self.not_ready: Exception | None = None  # what ready() raises
        self.before_execute: Callable[[str], None] = lambda code: None
        self._on_message = on_message
        self._packed = itertools.count(1)
        self.files: list[str | None] = []  # the code file of each request
        self._now: Run | None = None

    async def ready(self) -> Mapping[str, Any]:
        if self.not_ready is not None:
            raise self.not_ready
        return KERNEL_INFO

    def pack(
        self, code: str, file: str | None = None, saved: str | None = None, limits: Limits | None = None
    ) -> tuple[str, list[bytes]]:
        self.files.append(file)
        return f"{id(self):x}_{next(self._packed)}", [code.encode()]

    async def execute(self, msg_id: str, frames: list[bytes]) -> Reply:
        [code] = frames
        self.before_execute(code.decode())
        if self.died.done():
            raise KernelDied
        self.executed.append(code.decode())
        self.count += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self._now = Run(self, msg_id, code.decode())
        answer = self.answers.pop(0) if self.answers else fine
        answering = asyncio.ensure_future(answer(self._now))
        try:
            await asyncio.wait({answering, self.died}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                raise KernelDied
            return answering.result()
        finally:
            answering.cancel()
            self._now = None
            self.in_flight -= 1

    async def interrupt(self, msg_id: str) -> bool:
        self.interrupts.append(msg_id)
        if self._now is None or self._now.msg_id != msg_id or not self.is_reached:
            return False
        self._now.interrupted.set()
        return True

    async def look(self, msg_id: str, *, messages: bool = False) -> Findings:
        self.looked_at.append(msg_id)
        return self.findings or Findings(
            answered=True, tells=True, running=self._now.msg_id if self._now else None, begun=True
        )

    async def rejoin(self, msg_id: str) -> Reply | None:
        if self.died.done():
            raise KernelDied
        asked = asyncio.ensure_future(self.rejoined)
        await asyncio.wait({asked, self.died}, return_when=asyncio.FIRST_COMPLETED)
        if self.died.done():
            raise KernelDied
        return asked.result()

    def answer(self, text: str) -> None:
        assert self._now is not None
        self._now.answers.put_nowait(text)

    async def stop(self, why: str, grace: float = SHUTDOWN_SECONDS) -> Death:
        self.die(Death(exit_code=0, asked=why))
        return await self.died

    def detach(self) -> None:
        self.detached = True

    async def refresh_imports(self, modules: Sequence[str]) -> Imports | None:
        self.refreshed += 1
        return Imports({name: version for name, version in self.imported.items() if name in modules})

    def memory(self) -> int | None:
        return 50_000_000

    def cpu_seconds(self) -> float | None:
        return 1.5

    def family_cpu_seconds(self) -> Mapping[int, float] | None:
        return {1: 1.5}

    async def variables(self, pattern: str, limit: int, *, busy: bool) -> Variables | None:
        return self.known_variables

    def die(self, death: Death = Death(signal=9)) -> None:  # noqa: B008 - it is frozen
        if not self.died.done():
            self.died.set_result(death)

    def heard_by(self, on_message: OnMessage) -> None:
        """Another hub listens from now on."""
        self._on_message = on_message

    def publish(
        self, message_type: str, content: Mapping[str, Any], parent: str | None, msg_id: str = "m"
    ) -> None:
        self._on_message(Message("iopub", message_type, content, msg_id, parent, "s", DATE, {}))


# --- answers ---------------------------------------------------------------------


async def fine(run: Run) -> Reply:
    run.busy()
    run.idle()
    return run.reply()


def saying(*messages: tuple[str, Mapping[str, Any]]) -> Answer:
    """Runs well and publishes these messages."""

    async def answer(run: Run) -> Reply:
        run.busy()
        for message_type, content in messages:
            run.say(message_type, **content)
        run.idle()
        return run.reply()

    return answer


def printing(text: str, name: str = "stdout") -> Answer:
    return saying(("stream", {"name": name, "text": text}))


def flooding(messages: int) -> Answer:
    return saying(*(("stream", {"name": "stdout", "text": f"{n}\n"}) for n in range(messages)))


def failing(ename: str, evalue: str = "", traceback: Sequence[str] = ()) -> Answer:
    async def answer(run: Run) -> Reply:
        run.busy()
        reply = run.error(ename, evalue, traceback)
        run.idle()
        return reply

    return answer


def stalling(until: asyncio.Event | None = None, first: str = "") -> Answer:
    """Runs until told to go on, or until it is interrupted."""

    async def answer(run: Run) -> Reply:
        run.busy()
        if first:
            run.print(first)
        going_on = asyncio.ensure_future((until or asyncio.Event()).wait())
        stopping = asyncio.ensure_future(run.interrupted.wait())
        try:
            await asyncio.wait({going_on, stopping}, return_when=asyncio.FIRST_COMPLETED)
            reply = run.error("KeyboardInterrupt") if run.interrupted.is_set() else run.reply()
        finally:
            going_on.cancel()
            stopping.cancel()
        run.idle()
        return reply

    return answer


def dying(death: Death, first: str | None = None) -> Answer:
    """Dies before it is busy or, where there is something to print first, in the middle."""

    async def answer(run: Run) -> Reply:
        if first is not None:
            run.busy()
            run.print(first)
        run.kernel.die(death)
        await asyncio.Event().wait()
        raise AssertionError

    return answer


async def aborted(run: Run) -> Reply:
    """As ipykernel does after another client's error: busy, idle, "aborted", and nothing was run."""
    run.say("status", execution_state="busy")
    run.idle()
    return run.reply("aborted")


async def silently_aborted(run: Run) -> Reply:
    return run.reply("aborted")


# --- the starter -----------------------------------------------------------------


class FakeStarter:
    """A session.KernelStarter: one list of answers for each kernel, or an error to raise instead."""

    def __init__(self, *plan: Sequence[Answer] | Exception) -> None:
        self.plan = list(plan)
        self.kernels: list[FakeKernel] = []
        self.starts = 0
        self.surroundings: list[Surroundings] = []
        self.go_on = asyncio.Event()  # a start waits for it
        self.go_on.set()
        self.before_execute: Callable[[str], None] = lambda code: None

    async def __call__(
        self, session: Session, surroundings: Surroundings, on_message: OnMessage, progress: Progress
    ) -> NewKernel:
        self.starts += 1
        self.surroundings.append(surroundings)
        await self.go_on.wait()
        planned = self.plan.pop(0) if self.plan else ()
        if isinstance(planned, Exception):
            raise planned
        kernel = FakeKernel(on_message, planned)
        kernel.before_execute = self.before_execute
        self.kernels.append(kernel)
        return NewKernel(kernel, KERNEL_INFO, session.environment)

    @property
    def executed(self) -> list[str]:
        """All code that any kernel was asked to run."""
        return [code for kernel in self.kernels for code in kernel.executed]


# --- sessions --------------------------------------------------------------------


def environment(**changes: Any) -> Environment:
    prefix = Path("/home/ann/analysis")
    fields: dict[str, Any] = {
        "kind": "venv",
        "label": "analysis",
        "prefix": prefix,
        "interpreter": Interpreter(prefix / "bin/python", prefix, (3, 12, 1), ".cpython-312.so", "7.1.0"),
        "kernelspec": "kernelexec-analysis",
        "display_name": "analysis (venv, Python 3.12)",
        "argv": ("/home/ann/analysis/bin/python", "/launcher.py", "-f", "{connection_file}"),
        "variables": (("VIRTUAL_ENV", str(prefix)),),
        "borrowed_ipykernel": None,
    }
    return Environment(**{**fields, **changes})


def caller(storage_dir: Path, **environ: str) -> Caller:
    variables = {"CODE_STORAGE_DIR": str(storage_dir), "HOME": "/home/ann", **environ}
    return Caller(pid=1, cwd="/home/ann/sales", environ=variables, client=ANN.client, id=ANN.id)


def journal_path(storage_dir: Path) -> Path:
    return storage_dir / ".kernelexec" / "sales@analysis.jsonl"


def open_session(
    storage_dir: Path,
    starter: FakeStarter,
    alive: FakeKernel | None = None,
    death: Death = Death(),  # noqa: B008 - it is frozen
) -> Session:
    """The session sales@analysis, opened from its journal as a hub opens it; its kernel lives or has died."""
    journal = Journal(journal_path(storage_dir))
    recorder = Recorder(storage_dir, "sales@analysis", journal)
    session = Session("sales", environment(), None, recorder, starter)
    past = read_past(journal, session.id, storage_dir)
    journal.write("opened", session=session.id, project=None, environment=environment().identity, hub=1)
    session.restore(past)
    if alive is not None:
        alive.heard_by(session.on_message)
        session.adopt(alive, now())
    elif session.left_a_kernel:
        session.report_lost_kernel(death.cause, death.begun)
    return session


def let_notebooks_be_old(storage_dir: Path) -> None:
    """As if the last write was long ago: a young file that another hub wrote is waited for, 0.2 s."""
    for notebook in storage_dir.glob("*.ipynb"):
        os.utime(notebook, (1, 1))


@contextmanager
def quick_recording(gather_cells_for: float = 0.001) -> Iterator[None]:
    """Without what would make up most of the tests' time: the pauses that gather the cells
    of a burst, and waiting for the disk (no test here cuts the power)."""
    with (
        mock.patch.object(notebooks_module, "_GATHER_SECONDS", gather_cells_for),
        mock.patch.object(notebooks_module, "_APART_SECONDS", 0.0),
        mock.patch.object(os, "fsync", return_value=None),
    ):
        yield


@asynccontextmanager
async def session_in(
    storage_dir: Path,
    starter: FakeStarter,
    gather_cells_for: float = 0.001,
    alive: FakeKernel | None = None,
) -> AsyncIterator[Session]:
    """The session sales@analysis as long as a hub has it open; closed at the end."""
    with quick_recording(gather_cells_for):
        session = open_session(storage_dir, starter, alive)
        try:
            yield session
        finally:
            await session.close()


def submit(session: Session, code: str, **more: Any) -> Execution:
    return session.submit(Submission(code, **{"caller": ANN, **more}))


def told(session: Session, about: Execution | None = None, caller: CallerId = ANN) -> list[str]:
    """What a reply, about an execution or none, tells a caller beside its own matter."""
    return session.telling(caller, about).notices


async def finish(session: Session, *executions: Execution) -> None:
    for execution in executions:
        assert await session.executions.wait(execution, 2), f"{execution.id} is still {execution.state.value}"


async def ran(session: Session, code: str, **more: Any) -> Execution:
    """Submit and see it through."""
    execution = submit(session, code, **more)
    await finish(session, execution)
    return execution


async def settled(condition: Callable[[], bool]) -> None:
    """Give other tasks and threads their turns until this is so; for what tells nobody that it happened."""
    for turn in range(3000):
        if condition():
            return
        await asyncio.sleep(0 if turn < 1000 else 0.001)
    raise AssertionError("it did not come to that")


def journal_lines(storage_dir: Path) -> list[dict[str, Any]]:
    """The journal's whole lines."""
    return list(_lines(journal_path(storage_dir).read_bytes()))


def _lines(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.split(b"\n")[:-1]:  # what has no end is not a line
        try:
            yield json.loads(line)
        except ValueError:
            continue


def told_states(storage_dir: Path) -> dict[int, list[State]]:
    """For each submission in the journal, the final states that the journal gives it."""
    found: dict[int, list[State]] = {}
    for line in journal_lines(storage_dir):
        if line["event"] == "submitted":
            found.setdefault(line["n"], [])
        elif line["event"] == "finished":
            found[line["n"]].append(State(line["state"]))
    return found


def cells(storage_dir: Path, generation: int = 1) -> list[dict[str, Any]]:
    """The cells of a generation's notebook; none where it is missing."""
    path = storage_dir / f"sales@analysis-{generation}.ipynb"
    return json.loads(path.read_text())["cells"] if path.exists() else []


def text_of(output_list: Sequence[Mapping[str, Any]]) -> str:
    """All stream text of some outputs."""
    texts = (output["text"] for output in output_list if output["output_type"] == "stream")
    return "".join(text if isinstance(text, str) else "".join(text) for text in texts)


async def _nothing_is_left(key: object, entry: object) -> None:
    raise AssertionError


@dataclass
class FakeHub:
    """As much of a Hub as the tools use: one session."""

    session: Session
    opened: list[str | None] = field(default_factory=list)
    closing: bool = False
    unheard: Unheard = field(default_factory=Unheard)
    admission: Admission = field(default_factory=Admission)
    adoption: Adoption = field(default_factory=lambda: Adoption(_nothing_is_left))

    async def adopted(self, caller: Caller, session_id: str) -> None:
        pass

    @property
    def sessions(self) -> list[Session]:
        return [self.session]

    async def admit(self, caller: Caller, session: Session) -> None:
        await self.admission.look(session, caller.config().allowance, Allowance())

    def allowed_in(self, environment: Environment) -> Allowance:
        return Allowance()

    @property
    def lost_kernels(self) -> LostKernels:
        return cast(LostKernels, SimpleNamespace(all=list))

    async def look_ahead(self, session: Session, surroundings: Surroundings) -> None:
        pass

    def sessions_of(self, caller: Caller) -> list[Session]:
        return [self.session]

    def listed(self, config: object) -> str:
        return self.session.id

    def has_journal(self, caller: Caller, session_id: str) -> bool:
        return self.journal_path(caller, session_id).exists()

    def journal_path(self, caller: Caller, session_id: str) -> Path:
        return caller.config().storage_dir / ".kernelexec" / f"{session_id}.jsonl"

    def choice_of(self, caller: Caller) -> EnvironmentChoice:
        return caller.config().environment

    async def environment_of(self, caller: Caller, progress: Progress) -> Environment:
        return self.session.environment

    def session_known(self, caller: Caller, name: str | None) -> None:
        """Each call is its caller's first."""

    async def session_of(self, caller: Caller, name: str | None, progress: Progress) -> Session:
        caller.choose(name)
        self.opened.append(name)
        return self.session

    def find(self, caller: Caller, session_id: str) -> Session | None:
        return self.session if session_id == self.session.id else None
