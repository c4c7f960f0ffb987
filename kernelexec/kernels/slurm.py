"""A Slurm job in which a kernel runs: submitted once, waited for, asked what became of it, cancelled.

KERNELEXEC_VIA="slurm OPTIONS...": the options are sbatch's. The job is one kernel, and `srun --overlap` leads
into it again and again. Slurm's commands are those on the client's PATH, and this machine's files are the
nodes', too, as on a login node.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kernelexec import paths
from kernelexec.errors import KernelFailed
from kernelexec.kernels.far_command import Progress, loader_line, packed_programs

_log = logging.getLogger(__name__)

WORD = "slurm"
_LOOK_SECONDS = 1.0  # from one question about a job that waits to the next
_LONGEST_LOOK_SECONDS = 15.0
_ANSWER_SECONDS = 60.0  # of a controller that is busy
_LIVE = frozenset(
    {"PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"}
    | {"COMPLETING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"}
)
_MEANING = {
    "TIMEOUT": "it came to its time limit",
    "CANCELLED": "somebody cancelled it",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "it used more memory than it was given",
    "PREEMPTED": "another job took its place",
    "DEADLINE": "its deadline came",
}


def is_slurm(said: str) -> bool:
    """Whether KERNELEXEC_VIA means Slurm."""
    return said.split(maxsplit=1)[:1] == [WORD]


@dataclass(frozen=True)
class JobState:
    """What Slurm says of a job."""

    number: str
    name: str  # "" where Slurm does not know the job any more
    reason: str = ""
    submitted: str = ""

    @property
    def is_over(self) -> bool:
        return self.name not in _LIVE

    @property
    def was_ended(self) -> bool:
        """By Slurm, and not by what ran in it."""
        return self.name in _MEANING

    @property
    def in_words(self) -> str:
        if not self.name:
            return f"its Slurm job {self.number} is over, and Slurm does not say any more how"
        why = _MEANING.get(self.name)
        reason = f", {self.reason}" if self.reason not in ("", "None") else ""
        if why is None:
            return f"its Slurm job {self.number} is over ({self.name}{reason})"
        return f"its Slurm job {self.number} ended: {why} ({self.name}{reason})"


class Slurm:
    """The cluster of a client: its variables say how it is reached."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._said = Path(paths.data_dir(environ), "slurm")  # what jobs say before there is a kernel

    async def submit(self, said: str, python: str, wanted: Mapping[str, object]) -> str:
        """The number of a job in which this is done (see kernelspecs/far/far_kernel.py).

        Raises:
            KernelFailed: there is none, and why.
        """
        files, packed = packed_programs()
        script = (
            f"#!/bin/sh\nexec {shlex.quote(python)} -c {shlex.quote(loader_line())} <<'KERNELEXEC'\n"
            f"{json.dumps({**files, **wanted, 'word': ''})}\n{json.dumps({'files': packed})}\nKERNELEXEC\n"
        )
        self._said.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = shlex.split(said)[1:]
        where = ["-J", "kernelexec", "-o", str(self._said / "%j.out")]
        status, out = await self._call("sbatch", "--parsable", *where, *options, given=script.encode())
        if status != 0:
            raise KernelFailed(f"Slurm did not take the job: {out}", f"Correct the options in {said!r}.")
        return out.strip().split("\n")[-1].partition(";")[0]

    async def until_it_runs(self, number: str, progress: Progress) -> None:
        """Raises KernelFailed: it never will."""
        pause, told = _LOOK_SECONDS, ""
        while True:
            state = await self.state(number)
            if state.is_over:
                raise KernelFailed(
                    f"The kernel did not start: {state.in_words}.\n{self.said_by(number)}".strip()
                )
            if state.name == "RUNNING":
                return
            text = f"Slurm job {number} is {state.name} ({state.reason}) since {state.submitted}."
            if text != told:
                _log.info("%s", text)
            told = text
            progress(text)
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_LOOK_SECONDS)

    async def state(self, number: str) -> JobState:
        """Raises KernelFailed: Slurm does not answer."""
        status, out = await self._call("scontrol", "show", "job", "-o", number)
        if status != 0:
            if "Invalid job id" in out:
                return JobState(number, "")
            raise KernelFailed(f"Slurm does not say what became of job {number}: {out}")
        words = dict(word.split("=", 1) for word in out.split() if "=" in word)
        submitted = words.get("SubmitTime", "").partition("T")[2]
        return JobState(number, words.get("JobState", ""), words.get("Reason", ""), submitted)

    async def cancel(self, number: str) -> None:
        status, out = await self._call("scancel", number)
        if status != 0:
            _log.warning("job %s was not cancelled: %s", number, out)

    def said_by(self, number: str) -> str:
        """The end of what a job has said."""
        try:
            return (self._said / f"{number}.out").read_text(errors="replace")[-2000:].strip()
        except OSError:
            return ""

    def forget(self, number: str) -> None:
        with suppress(OSError):
            (self._said / f"{number}.out").unlink()

    async def _call(self, *command: str, given: bytes = b"") -> tuple[int, str]:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(self._environ),
                cwd=os.sep,
                start_new_session=True,
            )
        except OSError as error:
            raise KernelFailed(
                f"{command[0]} cannot be started: {error.strerror}.",
                "Slurm's commands have to be on the PATH of the MCP client's configuration.",
            ) from error
        try:
            out, _ = await asyncio.wait_for(process.communicate(given), _ANSWER_SECONDS)
        except (asyncio.TimeoutError, TimeoutError):
            process.kill()
            return 1, f"{command[0]} did not end within {_ANSWER_SECONDS:.0f} s."
        return process.returncode or 0, out.decode("utf-8", "replace").strip()


def way_into(number: str) -> Sequence[str]:
    """The command that leads into a job that runs."""
    return ["srun", f"--jobid={number}", "--overlap", "--quiet", "--unbuffered", "--mem=0", "-n1", "-N1"]
