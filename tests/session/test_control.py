"""Sessions whose runs are interrupted, asked, restarted and replayed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kernelexec.errors import BadRequest, KernelFailed
from kernelexec.kernels.kernel import Death, Findings, Reply
from kernelexec.model.execution import Kind, Question, State
from kernelexec.recording.history import load_execution
from kernelexec.session.obstacles import describe
from kernelexec.session.surroundings import Surroundings
from tests.fakes import (
    ANN,
    BEN,
    DATE,
    Answer,
    FakeStarter,
    Run,
    cells,
    dying,
    failing,
    fine,
    finish,
    ran,
    run,
    session_in,
    settled,
    stalling,
    submit,
    text_of,
    told,
    told_states,
)


def asking(prompt: str, password: bool = False, *, prints: bool = True) -> Answer:
    """Asks once, prints the answer and ends."""

    async def answer(kernel_run: Run) -> Reply:
        kernel_run.busy()
        said = await kernel_run.ask(prompt, password)
        if prints:
            kernel_run.print(said)
        kernel_run.idle()
        return kernel_run.reply()

    return answer


def naming(*names: str, leave: bool = False) -> Answer:
    """Runs well; the user's variables are these afterwards. `leave`: it called exit()."""

    async def answer(kernel_run: Run) -> Reply:
        kernel_run.busy()
        kernel_run.idle()
        payload = [{"source": "ask_exit", "keepkernel": False}] if leave else []
        if leave:
            asyncio.get_running_loop().call_later(0.01, kernel_run.kernel.die, Death(exit_code=0))
        content = {"status": "ok", "execution_count": 1, "payload": payload}
        return Reply("ok", content, DATE, {"kernelexec": {"names": list(names)}})

    return answer


async def stubborn(kernel_run: Run) -> Reply:
    """Catches the interrupt and goes on for ever."""
    kernel_run.busy()
    await asyncio.Event().wait()
    raise AssertionError


# --- questions --------------------------------------------------------------------------


def test_a_run_that_asks_wakes_who_waits_and_goes_on_with_the_answer(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([asking("Name? ")])) as session:
            execution = submit(session, "a")
            assert await session.executions.wait(execution, 2)
            assert (execution.state, execution.question.prompt) == (State.RUNNING, "Name? ")
            session.answer(execution, "Ann")
            assert execution.question is None
            assert await session.executions.wait(execution, 2)
            assert (execution.state, text_of(execution.outputs.to_notebook())) == (State.OK, "Name? Ann\nAnn")
            with pytest.raises(BadRequest, match="does not wait for input: it has ended"):
                session.answer(execution, "again")
        assert "Name? Ann\n" in "".join(cells(tmp_path)[0]["outputs"][0]["text"])

    run(test())


@pytest.mark.parametrize(
    ("question", "privately"), [("Password: ", False), ("Your API key? ", False), ("Name? ", True)]
)
def test_a_secret_answer_and_one_that_passed_the_assistant_by_are_recorded_nowhere(
    tmp_path: Path, question: str, privately: bool
) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([asking(question, prints=False)])) as session:
            execution = submit(session, "a")
            assert await session.executions.wait(execution, 2)
            session.answer(execution, "xyzzy", privately=privately)
            assert await session.executions.wait(execution, 2)
            assert text_of(execution.outputs.to_notebook()) == f"{question}········\n"
        for path in tmp_path.rglob("*"):
            assert path.is_dir() or b"xyzzy" not in path.read_bytes()

    run(test())


class AsksAtOnce(asyncio.Queue[str]):
    """Answers to a run that, while it is sent one, has asked for the next already."""

    def __init__(self, kernel_run: Run, *prompts: str) -> None:
        super().__init__()
        self._run, self._prompts = kernel_run, list(prompts)

    def put_nowait(self, item: str) -> None:
        super().put_nowait(item)
        if self._prompts:
            content = {"prompt": self._prompts.pop(0), "password": False}
            self._run.kernel.publish("input_request", content, self._run.msg_id)


def test_a_question_that_comes_while_the_one_before_is_answered_is_not_lost(tmp_path: Path) -> None:
    async def insistent(kernel_run: Run) -> Reply:
        kernel_run.busy()
        kernel_run.answers = AsksAtOnce(kernel_run, "Age? ")
        kernel_run.print(await kernel_run.ask("Name? ") + await kernel_run.answers.get())
        kernel_run.idle()
        return kernel_run.reply()

    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([insistent])) as session:
            execution = submit(session, "a")
            assert await session.executions.wait(execution, 2)
            session.answer(execution, "Ann")
            assert execution.question.prompt == "Age? "
            session.answer(execution, "36")
            assert await session.executions.wait(execution, 2)
            assert text_of(execution.outputs.to_notebook()) == "Name? Ann\nAge? 36\nAnn36"

    run(test())


def test_what_was_typed_is_in_no_file(tmp_path: Path) -> None:
    async def silent(kernel_run: Run) -> Reply:
        kernel_run.busy()
        await kernel_run.ask("Password: ", password=True)
        kernel_run.idle()
        return kernel_run.reply()

    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([silent])) as session:
            execution = submit(session, "a")
            await session.executions.wait(execution, 2)
            session.answer(execution, "hunter2")
            await finish(session, execution)

    run(test())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"hunter2" in path.read_bytes()]


def test_a_question_ends_with_its_run(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([asking("? ")])
        async with session_in(tmp_path, starter) as session:
            execution = submit(session, "a")
            await session.executions.wait(execution, 2)
            starter.kernels[0].die(Death(signal=9))
            assert await session.executions.wait_for_answer(execution, 2)
            await finish(session, execution)
            assert (execution.state, execution.question) == (State.DIED, None)

    run(test())


# --- interrupts -------------------------------------------------------------------------


def test_an_interrupt_that_stops_the_run_returns_when_it_has_ended(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([stalling()])
        async with session_in(tmp_path, starter) as session:
            execution = submit(session, "a")
            await settled(lambda: execution.state is State.RUNNING)
            assert await session.interrupt("On request.") is execution
            assert execution.state is State.INTERRUPTED
            assert starter.kernels[0].looked_at == []
            assert await session.interrupt("On request.") is None

    run(test())


def test_a_run_that_goes_on_after_an_interrupt_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernelexec.session.interrupts._GRACE_SECONDS", 0.01)

    async def test() -> None:
        starter = FakeStarter([stubborn])
        async with session_in(tmp_path, starter) as session:
            execution = submit(session, "a")
            await settled(lambda: execution.state is State.RUNNING)
            starter.kernels[0].findings = Findings(answered=False)
            await session.interrupt("On request.")
            assert execution.state is State.RUNNING
            assert "It hangs: " in execution.obstacle, "the fake's processor time stands still"
            await session.stop_kernel(by=ANN)
            await finish(session, execution)

    run(test())


@pytest.mark.parametrize(
    ("load", "told"),
    [
        (None, "busy in native code that holds Python's lock"),
        (0.9, "busy in native code that holds Python's lock"),
        (0.1, "busy in native code that holds Python's lock"),
        (0.0, "It hangs: the kernel does not answer beside it and uses no processor"),
    ],
)
def test_a_kernel_that_hangs_is_told_from_a_busy_one_by_its_processor_time(
    load: float | None, told: str
) -> None:
    assert told in describe(Findings(answered=False), "m", "sales@analysis", load)
    goes_on = describe(Findings(True, tells=True, running="m"), "m", "sales@analysis", load)
    assert ("It uses no processor: it waits for something." in goes_on) is (load == 0.0)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Findings(answered=False, stopped=True), "stopped (SIGSTOP), not dead"),
        (Findings(answered=False), "takes effect when that code returns"),
        (
            Findings(True, tells=True, running="m", line="line 3 of the cell: f()"),
            "It is at line 3 of the cell: f()",
        ),
        (Findings(True, tells=True, running="m"), "caught by the code"),
        (Findings(True, tells=True, running=None), "no longer runs this, but no reply came"),
        (Findings(True), "caught by the code"),
    ],
)
def test_each_obstacle_is_told_with_what_can_be_done(found: Findings, told: str) -> None:
    text = describe(found, "m", "sales@analysis")
    assert told in text
    assert 'restart_kernel(session="sales@analysis")' in text


def test_a_run_whose_traceback_is_being_made_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernelexec.session.interrupts._GRACE_SECONDS", 0.01)

    async def test() -> None:
        starter = FakeStarter([stubborn])
        async with session_in(tmp_path, starter) as session:
            execution = submit(session, "a")
            await settled(lambda: execution.state is State.RUNNING)
            starter.kernels[0].findings = Findings(True, tells=True, running="m", ending=True)
            interrupt = asyncio.create_task(session.interrupt("On request."))
            await asyncio.sleep(0.05)
            assert not interrupt.done()
            await session.stop_kernel(by=ANN)
            await finish(session, execution)
            await interrupt
            assert execution.obstacle is None

    run(test())


def test_a_run_that_is_ending_is_not_said_to_have_caught_the_interrupt() -> None:
    text = describe(Findings(True, tells=True, running="m", ending=True), "m", "sales@analysis")
    assert text.startswith("It is ending: ")


# --- death ------------------------------------------------------------------------------


def test_exit_takes_nothing_of_the_queue_with_it(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([naming("df", "x", leave=True)])
        async with session_in(tmp_path, starter) as session:
            first, second = submit(session, "exit()"), submit(session, "b")
            await finish(session, first, second)
            assert (first.state, second.state) == (State.OK, State.NOT_RUN)
            assert first.lost == "its kernel ended with it: all variables are lost"
            assert second.lost == "all variables are lost"
            for execution in (first, second):
                assert "exited with code 0" in execution.problem
                assert "are lost (df, x)" in execution.problem
            assert starter.executed == ["exit()"]
            told(session, first)
            assert (await ran(session, "c")).state is State.OK

    run(test())


def test_a_run_that_takes_most_of_the_variables_away_says_so(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([naming("df", "x", "y"), naming("df", "x"), naming("z")])
        async with session_in(tmp_path, starter) as session:
            assert (await ran(session, "df, x, y = 1, 2, 3")).lost is None
            assert (await ran(session, "del y")).lost is None
            reset = await ran(session, "%reset -f\nz = 1")
            assert reset.lost == "all variables that were there are gone (df, x)"
            assert load_execution(session.recorder.journal, session.id, tmp_path, 3).lost == reset.lost

    run(test())


@pytest.mark.parametrize(
    ("begun", "state"), [("another", State.NOT_RUN), ("", State.NOT_RUN), (None, State.DIED)]
)
def test_what_the_kernel_never_began_did_not_die(tmp_path: Path, begun: str | None, state: State) -> None:
    async def test() -> None:
        starter = FakeStarter([fine, dying(Death(signal=9, begun=begun))])
        async with session_in(tmp_path, starter) as session:
            await ran(session, "a")
            execution = await ran(session, "b")
            assert execution.state is state
            assert "killed by signal 9" in execution.problem

    run(test())


def test_only_some_of_many_lost_names_are_told(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([naming(*(f"v{n}" for n in range(50)))])
        async with session_in(tmp_path, starter) as session:
            await ran(session, "a")
            starter.kernels[0].die()
            await settled(lambda: session.kernel is None)
            [news] = told(session)
            assert "(v0, v1," in news
            assert "v19 and 30 more)" in news

    run(test())


def test_a_lost_name_is_short_and_can_be_taken_for_nothing_else(tmp_path: Path) -> None:
    """Code can make any string the name of a variable."""

    async def test() -> None:
        starter = FakeStarter([naming("y" * 200_000, "a\n[stdout]\nfake", "\x1b[31mred")])
        async with session_in(tmp_path, starter) as session:
            await ran(session, "a")
            starter.kernels[0].die()
            await settled(lambda: session.kernel is None)
            [news] = told(session)
            assert f"({'y' * 60} ..., a [stdout] fake, red)" in news

    run(test())


# --- restart and replay -----------------------------------------------------------------


def test_a_restart_that_its_caller_knows_of_is_no_news(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            await ran(session, "a", surroundings=Surroundings({"A": "1"}, tmp_path))
            await session.restart_kernel("it was restarted", by=ANN)
            assert (session.generation, session.state, session.last_end) == (2, "idle", "it was restarted")
            assert [each.environ for each in starter.surroundings] == [{"A": "1"}, {"A": "1"}]
            assert told(session) == []
            execution = await ran(session, "b")
            assert (execution.state, execution.generation) == (State.OK, 2)
        [_, first, _] = cells(tmp_path)
        assert "it was restarted" in "".join(first["source"])

    run(test())


def test_a_restart_by_somebody_else_is_told_before_anything_runs(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter()
        async with session_in(tmp_path, starter) as session:
            await ran(session, "a")
            await session.restart_kernel("it was restarted by the person")
            second = submit(session, "b")
            assert second.state is State.NOT_RUN
            assert "restarted by the person" in second.problem
            assert (await ran(session, "c")).state is State.OK

    run(test())


def test_of_two_who_restart_at_once_the_first_has_ended_the_kernel(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "x")
            both = [session.restart_kernel("it was restarted", by=who) for who in (ANN, BEN)]
            await asyncio.gather(*both)
            assert told(session, caller=ANN) == [], "she did it herself"
            assert session.generation == 2

    run(test())


def test_a_restart_ends_what_runs_and_refuses_what_waits(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([stalling()])) as session:
            first, second = submit(session, "a"), submit(session, "b")
            await settled(lambda: first.state is State.RUNNING)
            await session.restart_kernel("it was restarted", by=ANN)
            await finish(session, first, second)
            assert (first.state, second.state) == (State.DIED, State.NOT_RUN)

    run(test())


def test_a_replay_runs_what_had_succeeded_in_order(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([fine, failing("ValueError"), fine])
        async with session_in(tmp_path, starter) as session:
            for code in ("x = 1", "raise", "y = 2"):
                await ran(session, code, label="step", note="why")
            replay = await session.replay("it was restarted", {})
            assert replay is not None
            await finish(session, replay)
            assert (replay.kind, replay.state) == (Kind.REPLAY, State.OK)
            assert "All 2 submissions" in replay.problem
            assert starter.kernels[1].executed == ["x = 1", "y = 2"]
            again = session.executions.get(5)
            assert (again.code, again.label, again.note, again.generation) == ("x = 1", "step", "why", 2)
            assert "sales@analysis/6 (again 3): ok  y = 2" in text_of(replay.outputs.to_notebook())
            second = await session.replay("again", {})
            assert second is not None
            await finish(session, second)
            assert starter.kernels[2].executed == ["x = 1", "y = 2"]

    run(test())


def test_a_replay_runs_where_the_kernel_worked_and_a_restart_where_its_caller_works(tmp_path: Path) -> None:
    async def test() -> None:
        starter, there = FakeStarter(), Surroundings({"A": "1"}, tmp_path / "there")
        async with session_in(tmp_path, starter) as session:
            await ran(session, "a", surroundings=there)
            replay = await session.replay("it was restarted", {"A": "2"})
            assert replay is not None
            await finish(session, replay)
            await session.restart_kernel("again", Surroundings({}, tmp_path))
            await session.restart_kernel("by the person")
            assert starter.surroundings == [
                there,
                Surroundings({"A": "2"}, there.directory),
                Surroundings({}, tmp_path),
                Surroundings({}, tmp_path),
            ]

    run(test())


def test_a_replay_stops_at_the_first_failure_and_says_what_is_left(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([fine, fine, fine], [fine, failing("KeyError")])
        async with session_in(tmp_path, starter) as session:
            for code in ("a", "b", "c"):
                await ran(session, code)
            replay = await session.replay("it was restarted", {})
            assert replay is not None
            await finish(session, replay)
            assert replay.state is State.ERROR
            assert "1 of 3 submissions ran again" in replay.problem
            assert "Not run again: 3." in replay.problem
            assert "sales@analysis/6, which is 2 again, failed with KeyError" in replay.problem
            assert replay.error == "KeyError"
            assert [o["ename"] for o in replay.outputs.to_notebook() if o["output_type"] == "error"] == [
                "KeyError"
            ]
            assert starter.kernels[1].executed == ["a", "b"]
        assert [states[-1] for states in told_states(tmp_path).values()].count(State.ERROR) == 2

    run(test())


def test_a_replay_whose_kernel_dies_says_first_that_all_is_lost(tmp_path: Path) -> None:
    async def test() -> None:
        crash = dying(Death(signal=11, stderr="Fatal Python error"))
        starter = FakeStarter([fine, fine, fine], [fine, crash], [fine])
        async with session_in(tmp_path, starter) as session:
            for code in ("a", "b", "c"):
                await ran(session, code)
            replay = await session.replay("it was restarted", {})
            assert replay is not None
            await finish(session, replay)
            assert (replay.state, replay.lost) == (
                State.ERROR,
                "its kernel ended with it: all variables are lost",
            )
            assert "which is 2 again, ended its kernel;" in replay.problem
            assert "Not run again: 3.\nThe kernel of" in replay.problem
            assert "killed by signal 11" in replay.problem

    run(test())


def test_a_replay_names_the_variables_that_are_not_there_again(tmp_path: Path) -> None:
    async def test() -> None:
        answers = [naming("a"), failing("ValueError"), naming("b", "a", "c")]
        starter = FakeStarter(answers, [naming("a"), naming("b", "a")])
        async with session_in(tmp_path, starter) as session:
            for code in ("a", "c = 1; raise", "b"):
                await ran(session, code)
            replay = await session.replay("it was restarted", {})
            assert replay is not None
            await finish(session, replay)
            assert replay.lost == "1 of the 3 variables before is not there again (c)"
            assert "Left out: 2 (ValueError)." in replay.problem

    run(test())


def test_a_replay_takes_the_kernel_that_died_before_the_last(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([fine, fine])
        async with session_in(tmp_path, starter) as session:
            await ran(session, "a")
            await ran(session, "b")
            starter.kernels[0].die()
            await settled(lambda: session.kernel is None)
            told(session)
            await ran(session, "c")
            replay = await session.replay("it was restarted", {})
            assert replay is not None
            await finish(session, replay)
            assert starter.kernels[2].executed == ["a", "b", "c"]
            again = await session.replay("again", {}, generation=1)
            assert again is not None
            await finish(session, again)
            assert starter.kernels[3].executed == ["a", "b"]
            with pytest.raises(BadRequest, match="no kernel of generation 9; the last one is 4"):
                await session.replay("again", {}, generation=9)
            assert session.generation == 4

    run(test())


def test_what_a_replay_runs_again_asks_through_the_replay(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([fine, fine], [asking("Name?"), asking("Token?", password=True)])
        async with session_in(tmp_path, starter) as session:
            await ran(session, "a")
            await ran(session, "b")
            replay = await session.replay("it was restarted", {})
            assert replay is not None
            assert await session.executions.wait(replay, 5)
            assert replay.question == Question("Name?")
            assert [each.number for each in session.asking] == [4, 3]
            session.answer(replay, "ann")
            await settled(lambda: replay.question == Question("Token?", password=True))
            session.answer(session.executions.get(5), "secret")
            assert await session.executions.wait_for_end(replay, 5)
            assert (replay.state, session.asking) == (State.OK, [])

    run(test())


def test_a_replay_of_nothing_leaves_the_kernel_alone(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([failing("ValueError"), fine])
        async with session_in(tmp_path, starter) as session:
            await ran(session, "raise")
            assert await session.replay("it was restarted", {}) is None
            assert (session.generation, session.kernel) == (1, starter.kernels[0])

    run(test())


def test_a_replay_can_be_interrupted(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([fine, fine], [stalling()])
        async with session_in(tmp_path, starter) as session:
            await ran(session, "a")
            await ran(session, "b")
            replay = await session.replay("it was restarted", {})
            assert replay is not None
            await settled(lambda: session.current is not None and session.current.state is State.RUNNING)
            await session.cancel(replay, "Cancelled by the client.")
            await finish(session, replay)
            assert replay.state is State.INTERRUPTED
            assert starter.kernels[1].executed == ["a"]

    run(test())


def test_a_replay_whose_kernel_does_not_start_says_so(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter([fine], KernelFailed("It exited with code 1."))
        async with session_in(tmp_path, starter) as session:
            await ran(session, "a")
            replay = await session.replay("it was restarted", {})
            assert replay is not None
            await finish(session, replay)
            assert replay.state is State.ERROR
            assert "It exited with code 1." in replay.problem

    run(test())
