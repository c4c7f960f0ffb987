"""Answers to what running code asks: each goes to the question that it is for, or nowhere."""

from __future__ import annotations

from collections.abc import Sequence

from kernelexec.errors import BadRequest, StorageFailed
from kernelexec.kernels.kernel import Kernel
from kernelexec.model.execution import Execution
from kernelexec.model.text import one_line
from kernelexec.recording.recorder import Recorder
from kernelexec.session.executions import Executions
from kernelexec.session.troubles import Troubles

_LONGEST_PROMPT = 200  # characters


class Answers:
    """Gives them to the kernel of one session."""

    def __init__(self, executions: Executions, recorder: Recorder, troubles: Troubles) -> None:
        self._executions = executions
        self._recorder = recorder
        self._troubles = troubles

    def give(
        self,
        kernel: Kernel | None,
        asking: Sequence[Execution],
        text: str,
        *,
        to: str | None,
        privately: bool,
    ) -> None:
        """See Session.answer. `asking`: what was answered, and last what runs in the kernel."""
        execution, question = asking[0], asking[0].question
        if question is None or kernel is None:
            raise BadRequest(
                f"{execution.id} does not wait for input: {execution.doing}.", "Nothing was sent."
            )
        if to not in (None, question.name):
            prompt = one_line(question.prompt)[:_LONGEST_PROMPT]
            raise BadRequest(
                f"{execution.id} asks something else by now ({prompt!r}): what it had asked before was "
                "answered elsewhere.",
                "Nothing was sent.",
            )
        # First: to send may take in what has come meanwhile, and that may be the next question already.
        for each in asking:
            self._executions.asks(each, None)
        said = question.answered(text, privately=privately)
        try:
            self._recorder.output(asking[-1], "stream", {"name": "stdout", "text": said})
        except StorageFailed as error:
            self._troubles.add(f"An answer to {asking[-1].id} could not be written to disk: {error.what}")
        kernel.answer(text)
