"""The replies about environments: what is configured, what was changed, what there is."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from itertools import groupby

from kernelexec import __version__
from kernelexec.config import EnvironmentChoice
from kernelexec.environments.inventory import Listed
from kernelexec.errors import EnvironmentUnusable
from kernelexec.hub import environment_limits
from kernelexec.hub.caller import Caller
from kernelexec.model.environment import Environment
from kernelexec.model.limits import Allowance
from kernelexec.model.quantities import local_time
from kernelexec.model.server_address import server_and_kernelspec
from kernelexec.model.text import one_line
from kernelexec.session.session import Session

_HOW = {
    "conda": 'type="conda", conda_name=...',
    "venv": 'type="venv", venv_path=...',
    "venv-uv": 'type="venv-uv", uv_venv_path=...',
    "kernelspec": 'type="kernelspec", kernel_name=...',
    "existing": 'type="existing", kernel_name=...',
    "gateway": 'type="kernelspec", kernel_name=...',
}
_CONNECTIONS = {
    "command": "stdin and stdout of the command that leads there",
    "ipc": "sockets that only you can open",
    "websocket": "the server's websocket, with its token",
    "tcp": "TCP on 127.0.0.1: other users of this machine can read the output",
}
_NOTHING = "nothing, so it is the default one"
_THERE = (
    "These are of this machine, and your code runs where `{}` leads: a venv's path or the name of a conda "
    "environment means one there, which is not listed."
)
_MOST_LISTED = 60  # of one kind; a reply is read by somebody with little room


def describe(caller: Caller, choice: EnvironmentChoice, session: Session, allowed: Allowance) -> str:
    """Environment, session and files, one fact a line. `allowed`: for this environment."""
    limits = environment_limits.in_short(allowed)
    environment = session.environment
    return _lines(
        {
            "environment": f"{environment.label} ({environment.kind})",
            "chosen by": choice.origin or _NOTHING,
            "prefix": environment.location,
            "interpreter": "the server's" if environment.kind == "gateway" else environment.program,
            "runs": environment.runs,
            "ipykernel": _ipykernel(environment),
            "kernelspec": f"{environment.kernelspec}, shown as {environment.display_name!r}",
            "interrupts": _interrupts(environment),
            "connection": _CONNECTIONS[environment.transport],
            "session": session.id,
            "kernel": _kernel(session),
            **({"limits": f"{limits} ({allowed.file})"} if limits else {}),
            **_host(caller),
            "working directory": _working_directory(session, caller),
            "your directory": caller.cwd,
            "storage directory": session.recorder.storage_dir,
            "notebook": session.notebook or "none yet",
            "kernelexec": __version__,
        }
    )


def _host(caller: Caller) -> dict[str, object]:
    if caller.near is None:
        return {}
    return {"host": f"{socket.gethostname()} ({one_line(caller.near.host)}); your client is on another"}


def describe_unusable(caller: Caller, choice: EnvironmentChoice, error: EnvironmentUnusable) -> str:
    """The same for an environment that no kernel can run in."""
    facts = {
        "environment": _named(choice),
        "chosen by": choice.origin or _NOTHING,
        "your directory": caller.cwd,
        "storage directory": caller.config().storage_dir,
        "kernelexec": __version__,
    }
    return f"The environment cannot be used, code was not run and will not be. {error}\n\n{_lines(facts)}"


def in_short(choice: EnvironmentChoice, environment: Environment | None) -> str:
    """A configuration in one line."""
    if environment is None:
        return f"{_named(choice)} ({choice.why}; not used yet)"
    return f"{_named(choice)} ({choice.why}), {environment.runs}, {environment.host or environment.program}"


def describe_change(
    before: str,
    choice: EnvironmentChoice,
    environment: Environment,
    session: Session,
    running: Sequence[Session],
) -> str:
    """The reply of configure_environment."""
    lines = [
        f"OK: your code now runs in {environment.label} ({environment.kind}), {environment.runs}",
        f"before: {before}",
        f"now: {in_short(choice, environment)}",
        f"prefix: {environment.location}",
        f"kernelspec: {environment.kernelspec}",
        f"session: {session.id}",
        f"kernel: {_kernel(session)}",
    ]
    others = [f'session="{other.id}"' for other in running if other is not session]
    if others:
        lines.append(
            f"The kernels you had run on with their variables: reach them with {', '.join(others)}, "
            "or by choosing their environment again."
        )
    return "\n".join(lines)


def describe_inventory(
    found: Sequence[Listed], choice: EnvironmentChoice, environment: Environment | None
) -> str:
    """The reply of list_environments."""
    yours = environment.identity if environment is not None else ""
    count = f"{len(found)} environment{'s' if len(found) != 1 else ''}" if found else "No environments"
    lines = [
        f"{count}, and the default one of kernelexec's own. Yours is {_named(choice)} "
        f"({choice.why})" + ("; it is marked with *." if yours else "."),
        "Choose one with configure_environment.",
        *([_THERE.format(choice.via)] if choice.via else []),
    ]
    order = list(_HOW)
    for kind, group in groupby(sorted(found, key=lambda one: order.index(one.kind)), lambda one: one.kind):
        listed = list(group)
        lines += ["", f"{kind}: configure_environment({_HOW[kind]})"]
        lines += [_listed(one, yours) for one in listed[:_MOST_LISTED]]
        if len(listed) > _MOST_LISTED:
            lines.append(f"  ... {len(listed) - _MOST_LISTED} more")
    lines += ["", 'default: configure_environment(type="default")']
    return "\n".join(lines)


def how_to_choose(one: Listed) -> str:
    """The call that has code run in an environment."""
    return f"configure_environment({_HOW[one.kind].replace('...', json.dumps(one.name))})"


def _listed(one: Listed, yours: str) -> str:
    if one.kind == "gateway":
        url, _ = server_and_kernelspec(one.name)
        return f"{'*' if yours == f'{url} {one.prefix}' else ' '} {one.name}: {one.problem or one.runs}"
    mark = "*" if os.path.realpath(one.prefix) == yours else " "
    where = "" if one.name == str(one.prefix) else f", {one.prefix}"
    kernel = (
        ""
        if one.kind in ("kernelspec", "existing")
        else f", ipykernel {one.ipykernel or 'lent by kernelexec'}"
    )
    return f"{mark} {one.name}: {one.problem or one.runs + kernel}{where}"


def _named(choice: EnvironmentChoice) -> str:
    return choice.named


def _ipykernel(environment: Environment) -> str:
    interpreter = environment.interpreter
    if environment.borrowed_ipykernel is not None:
        return f"kernelexec's own, from {environment.borrowed_ipykernel} (the environment has none)"
    if environment.host:
        return "the environment's own" if environment.is_far else "the server's"
    if environment.provisioner:
        return "that which its provisioner starts, if it is one"
    if interpreter is None:
        return "none, this is another kernel"
    if environment.running is not None:
        return "that which the user's Jupyter started"
    return f"{interpreter.ipykernel}, the environment's own"


def _interrupts(environment: Environment) -> str:
    if environment.is_ours:
        return "reach only the run they are meant for"
    return "as its kernelspec says, best effort: one that comes late may hit the next run"


def _kernel(session: Session) -> str:
    if session.kernel is None or session.kernel_started is None:
        return "none; the next execute_code starts one"
    since = local_time(session.kernel_started)
    return f"{session.state}, generation {session.generation}, running since {since}"


def _working_directory(session: Session, caller: Caller) -> str:
    """Where the kernel works, or will."""
    own = caller.surroundings(session).directory
    if session.environment.host or session.environment.provisioner:
        return session.place if session.host else "known once it runs there"
    if session.kernel is None or session.directory == own:
        return str(own)
    return f"{session.directory}; after restart_kernel {own}"


def _lines(facts: Mapping[str, object]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in facts.items())
