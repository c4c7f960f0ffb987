"""Any order of submissions, cancels, ends, deaths and hubs that end or are killed."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kernelexec.kernels.kernel import Death, Reply
from kernelexec.model.execution import Execution, State
from kernelexec.session.session import Session
from tests.fakes import (
    FakeStarter,
    Run,
    cells,
    failing,
    fine,
    journal_lines,
    let_notebooks_be_old,
    open_session,
    quick_recording,
    submit,
    told,
    told_states,
)

RAN = (State.OK, State.ERROR, State.INTERRUPTED, State.DIED, State.UNKNOWN)


class SessionMachine(RuleBasedStateMachine):
    """One storage directory and one hub after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.quickly = quick_recording()
        self.quickly.__enter__()
        self.folder = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.starter = FakeStarter()
        self.go_on = asyncio.Event()
        self.seen: dict[int, State] = {}  # final states, as they were first seen
        self.accepted: dict[int, Execution] = {}
        self.executed: Counter[str] = Counter()
        self.open()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 5))

    def open(self) -> None:
        self.starter = FakeStarter(*[[self.answer] * 50 for _ in range(50)])
        let_notebooks_be_old(self.folder)
        self.starter.before_execute = lambda code: self.executed.update([code])

        async def work() -> Session:
            return open_session(self.folder, self.starter)

        self.session = self.run(work())

    async def answer(self, kernel_run: Run) -> Reply:
        """Runs until it is told to end, is interrupted, or has its kernel die."""
        self.go_on = asyncio.Event()
        kernel_run.busy()
        kernel_run.print(f"begin {kernel_run.code}\n")
        waiting = [asyncio.ensure_future(each.wait()) for each in (self.go_on, kernel_run.interrupted)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()
        if kernel_run.interrupted.is_set():
            reply = kernel_run.error("KeyboardInterrupt")
            kernel_run.idle()
            return reply
        ends = fine if len(kernel_run.code) % 2 else failing("ValueError")
        return await ends(kernel_run)

    # --- what may happen ------------------------------------------------------------

    @rule()
    def submit(self) -> None:
        async def work() -> Execution:
            return submit(self.session, "x" * (len(self.accepted) + 1))

        execution = self.run(work())
        assert execution.number == max(self.accepted, default=0) + 1
        self.accepted[execution.number] = execution

    @precondition(lambda self: self.accepted)
    @rule(back=st.integers(0, 5))
    def cancel(self, back: int) -> None:
        execution = self.accepted[max(1, max(self.accepted) - back)]
        self.run(self.session.cancel(execution, "Cancelled."))

    @rule()
    def let_the_run_end(self) -> None:
        self.go_on.set()
        self.turns(20)

    @rule(turns=st.integers(1, 10))
    def turns(self, turns: int) -> None:
        async def work() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.run(work())

    @rule()
    def die(self) -> None:
        if self.starter.kernels:
            self.starter.kernels[-1].die(Death(signal=9))

    @rule()
    def stop(self) -> None:
        self.run(self.session.stop_kernel())

    @rule()
    def tell_the_news(self) -> None:
        assert isinstance(told(self.session), list)
        assert told(self.session) == []

    @rule()
    def write_the_notebook(self) -> None:
        self.run(self.session.recorder.flush())

    @rule()
    def end_the_hub(self) -> None:
        self.run(self.session.close())
        self.open_again()

    @rule()
    def kill_the_hub(self) -> None:
        """Nothing is flushed; its tasks never come to anything again."""
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.turns(3)
        self.session.recorder.close()
        self.open_again()

    def open_again(self) -> None:
        self.open()
        for number in self.accepted:
            self.accepted[number] = self.session.executions.get(number)
            assert self.accepted[number].is_final

    # --- what must be so ------------------------------------------------------------

    @invariant()
    def at_most_one_runs(self) -> None:
        assert all(kernel.most_in_flight <= 1 for kernel in self.starter.kernels)
        running = [e for e in self.accepted.values() if e.state in (State.SENT, State.RUNNING)]
        assert len(running) <= 1

    @invariant()
    def nothing_runs_twice(self) -> None:
        assert all(count == 1 for count in self.executed.values())

    @invariant()
    def what_is_final_stays(self) -> None:
        for number, execution in self.accepted.items():
            if execution.is_final:
                assert self.seen.setdefault(number, execution.state) is execution.state

    @invariant()
    def what_was_not_run_was_not_run(self) -> None:
        for execution in self.accepted.values():
            if execution.state is State.NOT_RUN:
                assert self.executed[execution.code] == 0

    def teardown(self) -> None:
        try:
            self.kill_the_hub()
            self.run(self.session.close())
            self.check_what_is_on_disk()
        finally:
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            shutil.rmtree(self.folder)
            self.quickly.__exit__(None, None, None)

    def check_what_is_on_disk(self) -> None:
        told = told_states(self.folder)
        assert told == {number: [execution.state] for number, execution in self.accepted.items()}
        kernels = [line for line in journal_lines(self.folder) if line["event"] == "kernel"]
        number = {line["generation"]: line.get("notebook", line["generation"]) for line in kernels}
        for notebook in set(number.values()):
            found = [c["id"] for c in cells(self.folder, notebook) if c["cell_type"] == "code"]
            expected = [
                execution.cell_id
                for execution in self.accepted.values()
                if number.get(execution.generation) == notebook and execution.state in RAN
            ]
            assert found == expected, f"notebook {notebook}"


TestSession = SessionMachine.TestCase
TestSession.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
