"""ipykernel for another version of Python than kernelexec's own, fetched with uv or pip.

Into a folder of ours, with `--target`; the environment's interpreter only says what fits it, compiles
it, and proves that it works.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from kernelexec.environments.installers import find_uv, installer_variables
from kernelexec.environments.probe import bare
from kernelexec.environments.redaction import hide_passwords
from kernelexec.environments.source import Progress
from kernelexec.errors import EnvironmentUnusable
from kernelexec.model.environment import Interpreter

REQUIREMENTS = ("ipykernel>=6.29,<8", "nbformat>=5.1,<6")
_SECONDS = 600.0  # a slow line: it is some 20 MB
_PROGRESS_SECONDS = 0.5  # between two notices of progress
_PROVE = (
    "import sys; sys.path.insert(0, sys.argv[1]); import ipykernel.ipkernel, IPython, zmq, debugpy, nbformat"
)
_BUNDLED_PIP = "import ensurepip; print(ensurepip.__path__[0])"


async def fetch(
    folder: Path, interpreter: Interpreter, environ: Mapping[str, str], progress: Progress
) -> None:
    """Fill the folder with ipykernel and what it needs, for this interpreter, and compile it.

    Raises:
        EnvironmentUnusable: there is no installer, or it failed, or what it brought does not work.
        OSError: a program cannot be started.
    """
    executable = str(interpreter.executable)
    variables = {
        **bare(installer_variables(environ)),
        "PYTHONDONTWRITEBYTECODE": "1",  # nothing is written into the user's environment, pip's .pyc neither
    }
    variables.setdefault("UV_HTTP_RETRIES", "1")  # a person waits
    install = await _installer(executable, folder, environ, variables)
    await _run(install, variables, progress, "It could not be fetched")
    compiling = {name: value for name, value in variables.items() if name != "PYTHONDONTWRITEBYTECODE"}
    progress("Compiling ipykernel.")
    # Without compiled files a kernel starts three times slower. Some packages carry files of another
    # Python's grammar, so its verdict counts for nothing.
    await _finish([executable, "-I", "-m", "compileall", "-q", "-j", "0", str(folder)], compiling, _ignore)
    await _run(
        [executable, "-I", "-c", _PROVE, str(folder)], variables, progress, "What was fetched does not work"
    )


async def _installer(
    executable: str, folder: Path, environ: Mapping[str, str], variables: Mapping[str, str]
) -> list[str]:
    """The command that installs into the folder what fits the interpreter."""
    uv = find_uv(environ)
    if uv is not None:
        return [uv, "pip", "install", "--python", executable, "--target", str(folder), *REQUIREMENTS]
    pip = ["--retries", "1", "--timeout", "15", "install", "--target", str(folder), *REQUIREMENTS]
    status, _ = await _finish([executable, "-I", "-c", "import pip"], variables, _ignore)
    if status == 0:
        return [executable, "-I", "-m", "pip", *pip]
    status, said = await _finish([executable, "-I", "-c", _BUNDLED_PIP], variables, _ignore)
    wheels = sorted(Path(said.strip()).glob("_bundled/pip-*.whl")) if status == 0 else []
    if wheels:
        return [executable, "-I", f"{wheels[-1]}/pip", *pip]
    raise EnvironmentUnusable("There is neither uv nor pip to fetch it with.", "Install uv.")


async def _run(command: Sequence[str], environ: Mapping[str, str], progress: Progress, failed: str) -> None:
    status, said = await _finish(command, environ, progress)
    if status != 0:
        raise EnvironmentUnusable(f"{failed} (exit status {status}):\n{said.strip()[-1500:]}")


async def _finish(command: Sequence[str], environ: Mapping[str, str], progress: Progress) -> tuple[int, str]:
    """A command's exit status and what it said, which is told as progress meanwhile."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(environ),
        cwd="/",  # no pyproject.toml or uv.toml of the client's directory has a say
        start_new_session=True,
    )
    try:
        said = await asyncio.wait_for(_listen(process, progress), _SECONDS)
        return await process.wait(), said
    except (asyncio.TimeoutError, TimeoutError):
        return -1, f"{command[0]} did not end within {_SECONDS:.0f} s."
    finally:
        if process.returncode is None:
            os.killpg(process.pid, 9)
            await process.wait()


async def _listen(process: asyncio.subprocess.Process, progress: Progress) -> str:
    assert process.stdout is not None
    said, told = "", 0.0
    while chunk := await process.stdout.read(4096):
        said = (said + chunk.decode("utf-8", "replace"))[-20_000:]
        lines = said.strip().splitlines()
        if lines and time.monotonic() - told > _PROGRESS_SECONDS:
            told = time.monotonic()
            progress(hide_passwords(lines[-1]).strip()[:200])
    return hide_passwords(said)


def _ignore(text: str) -> None:
    pass
