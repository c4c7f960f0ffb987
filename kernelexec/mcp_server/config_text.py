"""The reply of get_environment_config."""

from __future__ import annotations

from kernelexec import __version__
from kernelexec.caller import Caller
from kernelexec.session import Session


def describe(caller: Caller, session: Session) -> str:
    """Environment, session and files, one fact a line."""
    environment = session.environment
    interpreter = environment.interpreter
    if interpreter is None:
        ipykernel = "not a Python kernel"
    elif environment.borrowed_ipykernel is None:
        ipykernel = f"{interpreter.ipykernel}, the environment's own"
    else:
        ipykernel = f"kernelexec's own, from {environment.borrowed_ipykernel} (the environment has none)"
    facts = {
        "environment": f"{environment.label} ({environment.kind})",
        "prefix": environment.prefix,
        "interpreter": environment.program,
        "language": environment.runs,
        "ipykernel": ipykernel,
        "kernelspec": f"{environment.kernelspec}, shown as {environment.display_name!r}",
        "session": session.id,
        "kernel": _kernel(session),
        "working directory": session.kernel_dir,
        "your directory": caller.cwd,
        "storage directory": session.recorder.storage_dir,
        "notebook": session.notebook or "none yet",
        "kernelexec": __version__,
    }
    return "\n".join(f"{name}: {value}" for name, value in facts.items())


def _kernel(session: Session) -> str:
    if session.kernel is None or session.kernel_started is None:
        return "none; the next execute_code starts one"
    since = session.kernel_started.strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{session.state}, generation {session.generation}, running since {since}"
