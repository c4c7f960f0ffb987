"""A command that leads to another machine (`ssh -T gpu`, `podman exec -i box`), and what is begun at its end.

The command is given `sh`, which becomes a login shell (see bridge/far_link), which finds the environment's
interpreter and becomes that: from then on kernelspecs/far speaks at the other end. Whatever is different from
one kernel to the next is sent as data: what the shell is to know it reads as lines, into variables, and what
Python is to know is JSON. What a login shell prints goes by.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shlex
import signal
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kernelexec.bridge.far_link import advice, command_words, in_login_shell
from kernelexec.kernels import programs

VARIABLE = "KERNELEXEC_VIA"
CONNECT_SECONDS = 30.0
ANSWER_SECONDS = 120.0  # of Python, whose imports may come over a network
FETCH_SECONDS = 700.0  # where it has said that it fetches something
_END_SECONDS = 2.0
_SAID = 2_000  # characters of the end of what the command said on stderr
_REST_SECONDS = 0.1
_LEAVE_SECONDS = 1.0  # for a command whose input has ended
_BUFFER = 1 << 20  # bytes
_SCRIPTS_OWN = '"kernelexec-not "'  # only the script has it in quotation marks
Progress = Callable[[str], None]

# Has no apostrophe. Where an environment of conda is looked for: its places are the same everywhere.
_FIND = """
printf "%s%s\\n" "kernelexec-at " @WORD@
IFS= read -r kind; IFS= read -r value; IFS= read -r loader
inside() { case $1 in "~") p=$HOME;; "~/"*) p=$HOME/${1#"~/"};; /*) p=$1;; *) p=$HOME/$1;; esac; }
case $kind in
venv) inside "$value"; p=$p/bin/python;;
conda)
    case $value in
    */*|"~") inside "$value"; p=$p/bin/python;;
    *)
        p=
        for r in "${MAMBA_ROOT_PREFIX:-}" "${CONDA_EXE%/*/*}" "$HOME/miniconda3" "$HOME/miniforge3" \\
            "$HOME/mambaforge" "$HOME/anaconda3" "$HOME/micromamba" "$HOME/.conda" \\
            /opt/conda /opt/miniconda3 /opt/miniforge3 /opt/anaconda3 "$(conda info --base 2>/dev/null)"
        do
            [ -n "$r" ] || continue
            if [ "$value" = base ] && [ -x "$r/bin/python" ]; then p=$r/bin/python; break; fi
            if [ -x "$r/envs/$value/bin/python" ]; then p=$r/envs/$value/bin/python; break; fi
        done;;
    esac;;
program) p=$value;;
*) p=$(command -v python3 || command -v python);;
esac
if [ -n "$p" ] && [ -x "$p" ]; then
    printf "%s%s\\n" "kernelexec-is " @WORD@
    exec "$p" -c "$loader"
fi
printf "%s%s\\n" "kernelexec-not " @WORD@
"""
# One line for the shell, which does not read it. Names stay in a function: __main__ is to be empty.
_LOADER = r"""
import json, os, sys
class Talk:
    def __init__(self):
        self.held, self.word = b"", ""
        self.out = os.dup(1)
        os.dup2(2, 1)  # what else is printed here is nobody's message
    def line(self):
        while b"\n" not in self.held:
            got = os.read(0, 1 << 20)
            if not got:
                sys.exit(1)
            self.held += got
        line, _, self.held = self.held.partition(b"\n")
        return json.loads(line.decode())
    def say(self, **said):
        data = (self.word + json.dumps(said) + "\n").encode()
        while data:
            data = data[os.write(self.out, data):]
def write(programs, files):
    for name, text in files.items():
        path = os.path.join(programs, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        unfinished = "%s.%d.tmp" % (path, os.getpid())
        try:
            with open(unfinished, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(unfinished, path)
        except OSError:
            if os.path.exists(unfinished):
                os.unlink(unfinished)
            raise
def main():
    sys.path[:] = [path for path in sys.path if path]
    talk = Talk()
    said = talk.line()
    talk.word = said["word"]
    if sys.version_info < (3, 8):
        old = "Python %d.%d is too old: %s there." % (sys.version_info[:2] + (sys.executable,))
        step = "It has to be 3.8 or newer: VENV_PATH or CONDA_ENV_NAME names one that is there."
        talk.say(refused=old, next_step=step)
        return 1
    if sys.platform == "darwin":
        data = os.path.expanduser("~/Library/Application Support")
    else:
        data = os.environ.get("XDG_DATA_HOME", "")
        data = data if os.path.isabs(data) else os.path.expanduser("~/.local/share")
    programs = os.path.join(data, "kernelexec", "launcher", said["programs"])
    if not all(os.path.exists(os.path.join(programs, name)) for name in said["files"]):
        import base64, zlib
        talk.say(needs=True)
        files = json.loads(zlib.decompress(base64.b64decode(talk.line()["files"])))
        try:
            write(programs, files)
        except OSError as error:
            failed = "Programs of kernelexec cannot be written to %s there: %s." % (programs, error.strerror)
            step = "Make room for them, or have XDG_DATA_HOME there name a folder that can be written to."
            talk.say(refused=failed, next_step=step)
            return 1
    sys.path[:0] = [os.path.join(programs, "far")]
    import far_kernel
    return far_kernel.main(talk, said, programs)
sys.exit(main())
"""


class FarTrouble(Exception):
    """What is wanted did not come about. `refused`: there it was understood, and cannot be.

    `was_reached`: the command leads there, and it is this kernel that is not to be had.
    """

    def __init__(
        self, what: str, next_step: str = "", *, refused: bool = False, was_reached: bool = False
    ) -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step
        self.refused = refused
        self.was_reached = was_reached or refused


@dataclass(frozen=True)
class FarPython:
    """Which interpreter at the end of a command: a kind, and what it is called there."""

    kind: str  # "venv": a folder, "conda": a name or prefix, "program": itself; else the first on the PATH
    value: str = ""

    @property
    def words(self) -> str:
        if self.kind == "conda":
            return f"of a conda environment {self.value}"
        return self.value if self.kind == "program" else f"{self.value}/bin/python"


class Passage:
    """A running command, whose far end speaks."""

    def __init__(self, process: asyncio.subprocess.Process, shown: str) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.reader = process.stdout
        self.writer = process.stdin
        self._process = process
        self._shown = shown
        self._said: deque[str] = deque(maxlen=50)
        self._passed: deque[str] = deque(maxlen=20)  # on stdout, before the far end spoke
        self._listening = asyncio.create_task(self._listen())

    @property
    def trial(self) -> str:
        """What a person can do to see for themselves."""
        return advice("".join(self._said), self._shown)

    async def line(self, deadline: float) -> bytes:
        """A line with its end, of a very long one only that; empty where none came in time, or none comes."""
        while True:
            reading = self.reader.readuntil(b"\n")
            try:
                return await asyncio.wait_for(reading, max(0.0, deadline - time.monotonic()))
            except asyncio.LimitOverrunError as error:
                await self.reader.readexactly(error.consumed)
            except asyncio.IncompleteReadError as error:
                self.let_pass(error.partial)
                return b""
            except (ConnectionError, asyncio.TimeoutError, TimeoutError):
                return b""

    def let_pass(self, line: bytes) -> None:
        """Remember what was no message: it may say why there is none."""
        self._passed.append(line[-_SAID:].decode("utf-8", "replace"))

    async def why(self, what: str, seconds: float = 0.0) -> FarTrouble:
        """Why it is of no use: what the command said, and how it ended, if it has. `seconds`: waited for."""
        try:
            status: int | None = await asyncio.wait_for(self._process.wait(), _END_SECONDS)
            await asyncio.wait({self._listening}, timeout=_END_SECONDS)
        except (asyncio.TimeoutError, TimeoutError):
            status = None
            with suppress(asyncio.TimeoutError, TimeoutError):  # the beginning of a line: a question, perhaps
                self.let_pass(await asyncio.wait_for(self.reader.read(_SAID), _REST_SECONDS))
        passed = "".join(self._passed)
        said = _readable("".join(self._said)) or _readable(passed)
        if _SCRIPTS_OWN in passed:
            said = "it gives back what it is sent, and runs none of it."
        said += "" if said[-1:] in ("", ".", "!", "?", ":") else "."  # a sentence may follow
        if status is None:
            ended = self.reader.at_eof()
            how = ": it runs, and has closed its output" if ended else f" within {seconds:.0f} s"
            return FarTrouble(f"{what}{how}: {said}" if said else f"{what}{how}.", self.trial)
        return FarTrouble(f"{what}: {said or f'it ended with status {status}.'}", self.trial)

    def end(self) -> None:
        """End the command, with what it has started; nothing that is said on it is waited for."""
        with suppress(OSError, RuntimeError):
            self.writer.close()
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)  # it leads a session
        self._listening.cancel()
        for number in (1, 2):  # which somebody may hold who left that session: asyncio would wait for them
            pipe = self._process._transport.get_pipe_transport(number)  # type: ignore[attr-defined]
            if pipe is not None:
                pipe.close()

    async def ended(self) -> None:
        """End it, and wait until it has. It is asked at first: what clears up at its end is not to be killed
        in the middle of that."""
        with suppress(OSError, RuntimeError):
            self.writer.close()
        with suppress(asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(self._process.wait(), _LEAVE_SECONDS)
        self.end()
        with suppress(asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(self._process.wait(), _END_SECONDS)

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(4096):
            self._said.append(chunk.decode("utf-8", "replace"))


class FarCommand:
    """What KERNELEXEC_VIA names: one word is a host of ssh's."""

    def __init__(self, said: str, words: Sequence[str] | None = None) -> None:
        """`words`: what it comes to, where that is not what was said.

        Raises:
            HubUnavailable: it is no command.
        """
        self.said = said
        self.words = command_words(said, VARIABLE) if words is None else words

    async def begin(
        self,
        python: FarPython,
        wanted: Mapping[str, Any],
        environ: Mapping[str, str],
        progress: Progress = lambda text: None,
    ) -> tuple[Passage, dict[str, Any]]:
        """Have what is wanted done there (see kernelspecs/far/far_kernel.py); its answer, and what goes on.

        Raises:
            FarTrouble
        """
        passage = await self._start(environ)
        try:
            word = os.urandom(8).hex()
            await self._reach_python(passage, python, word)
            return passage, await self._answer(passage, word, wanted, progress)
        except BaseException:
            await passage.ended()
            raise

    async def ask(
        self,
        python: FarPython,
        wanted: Mapping[str, Any],
        environ: Mapping[str, str],
        progress: Progress = lambda text: None,
    ) -> dict[str, Any]:
        """The same of what has an answer, and ends."""
        passage, said = await self.begin(python, wanted, environ, progress)
        await passage.ended()
        return said

    @property
    def shown(self) -> str:
        return shlex.join(self.words)

    async def _start(self, environ: Mapping[str, str]) -> Passage:
        home = environ.get("HOME") or os.sep
        try:
            process = await asyncio.create_subprocess_exec(
                *self.words,
                "sh",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_BUFFER,
                env=dict(environ),
                cwd=home if os.path.isdir(home) else os.sep,
                start_new_session=True,
            )
        except OSError as error:
            raise FarTrouble(
                f"`{self.shown}` cannot be started: {error.strerror}.", f"Correct {VARIABLE}."
            ) from error
        return Passage(process, self.shown)

    async def _reach_python(self, passage: Passage, python: FarPython, word: str) -> None:
        deadline = time.monotonic() + CONNECT_SECONDS
        passage.writer.write(in_login_shell(_FIND.replace("@WORD@", word)).encode())
        await self._hear(passage, word, deadline, "did not reach a shell", "kernelexec-at")
        passage.writer.write(
            f"{python.kind}\n{python.value}\n{loader_line()}\n".encode("utf-8", "surrogateescape")
        )
        heard = await self._hear(
            passage, word, deadline, "did not start Python", "kernelexec-is", "kernelexec-not"
        )
        if heard == "kernelexec-not":
            named = f"no interpreter {python.words}" if python.value else "no python3 on the PATH"
            raise FarTrouble(
                f"There is {named} where `{self.shown}` leads.",
                "VENV_PATH or CONDA_ENV_NAME in the MCP configuration names one that is there.",
                refused=True,
            )

    async def _hear(self, passage: Passage, word: str, deadline: float, failed: str, *expected: str) -> str:
        """The first of these that the shell says, in a line that may begin with something else."""
        ends = {f"{each} {word}\n".encode(): each for each in expected}
        while True:
            line = await passage.line(deadline)
            for end, each in ends.items():
                if line.endswith(end):
                    return each
            if not line:
                raise await passage.why(f"`{self.shown}` {failed}", CONNECT_SECONDS)
            passage.let_pass(line)
            if word.encode() in line and line.endswith(b"\r\n"):
                raise FarTrouble(
                    f"`{self.shown}` has a terminal there, which changes what is said.",
                    "Leave out what asks for one: ssh -T instead of -t, podman exec -i instead of -it.",
                )

    async def _answer(
        self, passage: Passage, word: str, wanted: Mapping[str, Any], progress: Progress
    ) -> dict[str, Any]:
        files, packed = packed_programs()
        said = {**files, **wanted, "word": word}
        passage.writer.write(json.dumps(said).encode() + b"\n")
        seconds = ANSWER_SECONDS
        while True:
            answer = await self._said(passage, word, seconds)
            if "needs" in answer:
                passage.writer.write(json.dumps({"files": packed}).encode() + b"\n")
            elif "progress" in answer:
                progress(str(answer["progress"]))
                seconds = FETCH_SECONDS
            elif "refused" in answer:
                raise FarTrouble(str(answer["refused"]), str(answer.get("next_step", "")), refused=True)
            else:
                return answer

    async def _said(self, passage: Passage, word: str, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            line = await passage.line(deadline)
            _, found, text = line.partition(word.encode())
            if found:
                return self._read(text, passage)
            if not line:
                raise await passage.why(f"Python where `{self.shown}` leads did not answer", seconds)
            passage.let_pass(line)

    def _read(self, text: bytes, passage: Passage) -> dict[str, Any]:
        with suppress(ValueError):
            answer = json.loads(text)
            if isinstance(answer, dict):
                return answer
        came = _readable(text.decode("utf-8", "replace"))
        raise FarTrouble(
            f"What Python said where `{self.shown}` leads was changed on its way: {came}", passage.trial
        )


def loader_line() -> str:
    """The program with which Python begins there, in one line without an apostrophe."""
    loader = base64.b64encode(_LOADER.encode()).decode()
    return f'exec(__import__("base64").b64decode("{loader}").decode(), {{"__name__": "kernelexec_far"}})'


def packed_programs() -> tuple[dict[str, Any], str]:
    """Which programs there have to be, as the loader is told, and all of them, as it is sent them."""
    sources = programs.sources()
    texts = {name: source.decode() for name, source in sources.items()}
    packed = base64.b64encode(zlib.compress(json.dumps(texts).encode(), 6)).decode()
    return {"programs": programs.digest(), "files": list(sources)}, packed


def _readable(text: str) -> str:
    """The end of what was said, in one line."""
    words = "".join(each if each.isprintable() else " " for each in text[-_SAID:]).split()
    return " ".join(word for word in words if word.strip("@"))  # with which ssh frames a warning
