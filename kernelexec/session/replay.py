"""A replay: what had succeeded in one kernel is run again in the next, as submissions of their own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from kernelexec.errors import BadRequest, StorageFailed
from kernelexec.model.execution import LOST_WITH_KERNEL, Execution, Kind, State
from kernelexec.model.shown_errors import is_error
from kernelexec.model.text import one_line
from kernelexec.model.variable_names import VariableNames
from kernelexec.recording.journal import Journal
from kernelexec.recording.recorder import Recorder
from kernelexec.recording.replayable import Choice, Success, choose, in_words
from kernelexec.session.events import Ended
from kernelexec.session.executions import Executions
from kernelexec.session.generations import Generations
from kernelexec.session.notices import replay_call
from kernelexec.session.submission import Submission
from kernelexec.session.wholes import Parts


class Replaying(Parts, Protocol):
    """What a replay needs of its session."""

    @property
    def names(self) -> VariableNames:
        """The variables that there are now."""


_ERROR_SHOWN = 300  # characters of an exception's text in a sentence


def listing(session: str, choice: Choice) -> str:
    """The replay's own code: what it runs again, as comments."""
    lines = [f"#   {_called(session, one)}: {one.first_line}" for one in choice.successes]
    of = " and ".join(f"generation {generation}" for generation in choice.generations)
    count = "1 submission" if len(lines) == 1 else f"{len(lines)} submissions"
    return "\n".join([f"# {count} of {of}, run again in this kernel:", *lines])


async def chosen(session: str, journal: Journal, generations: Generations, wanted: int | None) -> Choice:
    """What is to be run again: see replayable.choose. `wanted`: the generation that somebody named.

    Raises:
        BadRequest: there was no such generation.
    """
    last, kernel = generations.generation, generations.kernel
    # What has succeeded in one that is not ended stays.
    to = last - 1 if kernel is not None and kernel.is_joined else last
    choice = await asyncio.to_thread(choose, journal, to, wanted)
    if choice is None:
        raise BadRequest(
            f"{session} has had no kernel of generation {wanted}; the last one is {last}.",
            "list_executions shows which there were.",
        )
    if generations.kernel is not None and last in choice.generations:  # its end is not in the journal yet
        return replace(choice, names=VariableNames.of_all([choice.names, generations.names]))
    return choice


def _called(session: str, one: Success) -> str:
    return f"{session}/{one.number}" if one.number else one.name


def again(one: Success, replay: Submission, number: int) -> Submission:
    """A submission as it was, as a part of the replay with this number."""
    return replace(
        replay,
        code=one.code,
        label=one.label,
        source=one.source,
        note=one.note,
        kind=Kind.CODE,
        within=number,
    )


class Replay:
    """Runs submissions again in order, up to the first that does not succeed."""

    def __init__(
        self,
        execution: Execution,
        choice: Choice,
        asked: Submission,
        session: Replaying,
        recorder: Recorder,
        executions: Executions,
    ) -> None:
        self._execution = execution
        self._choice = choice
        self._asked = asked
        self._session = session
        self._recorder = recorder
        self._executions = executions

    async def work(self) -> Ended:
        """Run them; returns the replay's end."""
        earlier, execution = self._choice.successes, self._execution
        for done, one in enumerate(earlier):
            if execution.interrupt:
                return self._stopped(State.INTERRUPTED, done, execution.interrupt, earlier[done:])
            try:
                part = again(one, self._asked, execution.number)
                child = await self._session.run_within(execution, part)
            except StorageFailed as error:
                return self._stopped(State.ERROR, done, str(error), earlier[done:])
            self._report(child, one)
            if child.state is not State.OK:
                return self._failed(child, one, done)
        said = [f"{_all(len(earlier))} ran again and succeeded.", *self._what_is_not_there()]
        lost = self._session.names.missing_since(self._choice.names)
        return Ended(execution.number, State.OK, " ".join(said), lost)

    def _failed(self, child: Execution, one: Success, done: int) -> Ended:
        """The end with what did not run well again."""
        state = State.INTERRUPTED if child.state is State.INTERRUPTED else State.ERROR
        self._execution.error = child.error
        took_kernel = child.state is State.DIED or child.lost == LOST_WITH_KERNEL
        end = self._stopped(state, done, _why(child, one, took_kernel), self._choice.successes[done + 1 :])
        return replace(end, with_kernel=took_kernel)

    def _stopped(self, state: State, done: int, why: str, rest: Sequence[Success]) -> Ended:
        left = ", ".join(one.name for one in rest)
        said = [
            f"{done} of {len(self._choice.successes)} submissions ran again and succeeded.",
            why,
            *([f"Not run again: {left}."] if left else []),
            *self._what_is_not_there(),
        ]
        lost = self._session.names.missing_since(self._choice.names)
        return Ended(self._execution.number, state, " ".join(said), lost)

    def _what_is_not_there(self) -> list[str]:
        """What was run in those kernels and is not run again; and what might be."""
        choice, said = self._choice, []
        left_out = [in_words(choice.left_out)] if choice.left_out else []
        if choice.foreign:
            what = "1 cell" if choice.foreign == 1 else f"{choice.foreign} cells"
            left_out.append(
                f"{what} of other clients (the user in JupyterLab, for example) that did not succeed"
            )
        if left_out:
            said.append(f"Left out: {', '.join(left_out)}.")
        if choice.other is not None:
            generation, count = choice.other.generation, len(choice.other.successes)
            call = replay_call(self._execution.session, generation)
            said.append(
                f"Nothing of generation {generation}, in which {count} had succeeded; {call} takes that."
            )
        return said

    def _report(self, child: Execution, one: Success) -> None:
        """What became of it, with its error: as the replay's own output."""
        line = f"{child.id} (again {one.name}): {child.state.value}  {one.first_line}\n"
        self._execution.last_text = line
        with contextlib.suppress(StorageFailed):  # the next submission meets it, too, and says so
            self._recorder.output(self._execution, "stream", {"name": "stdout", "text": line})
            for error in filter(is_error, child.outputs.to_notebook()):
                content = {key: error[key] for key in ("ename", "evalue", "traceback")}
                self._recorder.output(self._execution, "error", content)
        self._executions.heard(self._execution)


def left_behind(replay: Execution, begun: Mapping[str, Any], parts: Mapping[int, State]) -> Ended:
    """The end of a replay whose hub ended: what it had run again by then, and what it left out.

    `begun`: what it recorded when it began; `parts`: its submissions, as the journal has them.
    """
    wanted: Sequence[int | str] = begun.get("again", ())  # an earlier version's did not say
    done = sum(state is State.OK for state in parts.values())
    if wanted and done == len(wanted):
        return Ended(replay.number, State.OK, f"{_all(done)} ran again and succeeded.")
    of = f"of {len(wanted)} " if wanted else ""
    said = [
        "The hub ended while it ran, and the replay with it.",
        f"{done} {of}submissions ran again and succeeded.",
    ]
    begun_again = zip(parts.items(), [*wanted, *[None] * len(parts)], strict=False)
    said += [
        _left(f"{replay.session}/{number}", state, original)
        for (number, state), original in begun_again
        if state is not State.OK
    ]
    left = ", ".join(str(number) for number in wanted[len(parts) :])
    said += [f"Not run again: {left}."] if left else []
    return Ended(replay.number, State.INTERRUPTED, " ".join(said))


def _left(part: str, state: State, original: int | str | None) -> str:
    what = part if original is None else f"{part}, which is {original} again,"
    if state in (State.SENT, State.RUNNING):
        return f'{what} was with the kernel then; wait_for_execution(execution_id="{part}") has its outcome.'
    had = "had not begun" if state is State.QUEUED else f"ended with: {state.value.replace('_', ' ')}"
    return f"{what} {had}."


def _all(count: int) -> str:
    return f"All {count} submissions" if count > 1 else "The one submission"


def _why(child: Execution, one: Success, took_kernel: bool) -> str:
    what = f"{child.id}, which is {one.name} again,"
    if child.state is State.ERROR:
        return f"{what} failed with {_error(child)}."
    if took_kernel:
        return f'{what} ended its kernel; wait_for_execution(execution_id="{child.id}") has its reply.'
    why = f" {child.problem}" if child.problem else ""
    return f"{what} ended with: {child.state.value.replace('_', ' ')}.{why}"


def _error(child: Execution) -> str:
    """The name and the text of the exception that ended it."""
    errors = [output for output in child.outputs.to_notebook() if is_error(output)]
    text = one_line(str(errors[-1].get("evalue", "")))[:_ERROR_SHOWN] if errors else ""
    return ": ".join(filter(None, (child.error or "an error", text)))
