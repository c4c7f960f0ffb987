"""JupyterLab on a storage directory, for `kernelexec lab`.

A plain JupyterLab: the kernelspec's launcher joins a session's notebook to its live kernel
(kernelspecs/relay/relay.py). What is added here: our server extension (live_extension), it listens on
loopback only, its kernels' sockets are files that nobody else can open, and its token is in a file, not in
a command line, an environment variable or a log.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

from kernelexec import paths
from kernelexec.bridge.rendezvous import LONGEST_SOCKET_PATH
from kernelexec.commands import live_extension, viewers
from kernelexec.commands.lab_sessions import Target
from kernelexec.environments.extras import install_command
from kernelexec.environments.probe import OF_ANOTHER_PYTHON
from kernelexec.errors import HubUnavailable, KernelexecError
from kernelexec.plain_file import read_text
from kernelexec.recording.whole_file import write_whole

_START_SECONDS = 60.0  # a cold disk; usually 2
_RETRY_SECONDS = 0.05
# A notebook's name ends in its number. Beside the column of times it is cut after 13 letters, alone after 27.
_DEFAULTS = {"@jupyterlab/filebrowser-extension:browser": {"showLastModifiedColumn": False}}
_IPC_NAME = "kernel-01234567-89ab-cdef-0123-456789abcdef-ipc-5"  # what Jupyter calls a kernel's socket


def run(target: Target, *, browser: bool, for_link: bool = False) -> int:
    """Run JupyterLab until it is ended; its exit status. `for_link`: say in JSON where it is (far_lab).

    Raises:
        KernelexecError: JupyterLab is not installed, or did not start.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise KernelexecError(
            "JupyterLab is not installed here.", f"Install it with: {install_command('lab')}"
        )
    runtime = Path(paths.runtime_dir(os.environ), "lab")
    paths.make_private_dir(str(runtime))
    config = runtime / "config"
    _set_defaults(config)
    with tempfile.NamedTemporaryFile("w", prefix="token-", dir=runtime) as file:  # readable by us alone
        token = secrets.token_hex(24)
        file.write(token)
        file.flush()
        server = subprocess.Popen(
            _command(target, runtime, browser=browser, port=_free_port() if for_link else None),
            env={
                **{name: value for name, value in os.environ.items() if name not in OF_ANOTHER_PYTHON},
                "JUPYTER_TOKEN_FILE": file.name,
                "JUPYTER_RUNTIME_DIR": str(runtime),
                **live_extension.environ(config, os.environ),
                **(viewers.add(target.prefix, runtime / "viewers", os.environ) if target.prefix else {}),
            },
            cwd=target.folder,
        )
        # The terminal sends Ctrl-C to JupyterLab too, which ends in its own way.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        try:
            say = _said_to_link if for_link else _said
            print(say(target, _address(server, runtime), token), flush=True)
            return server.wait()
        finally:
            if server.poll() is None:
                server.terminate()
                server.wait()


def _set_defaults(config: Path) -> None:
    """What this JupyterLab does unless the person's settings say otherwise."""
    folder = config / "labconfig"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(folder / "default_setting_overrides.json", json.dumps(_DEFAULTS).encode(), replace=True)


def _free_port() -> int:
    """Behind a link the port does not matter; of two that start at once, one would lose the usual one."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _command(target: Target, runtime: Path, *, browser: bool, port: int | None) -> list[str]:
    # The script, not `-m`, which would put the working directory before the standard library.
    script = Path(sys.executable).with_name("jupyter-lab")
    program = [str(script)] if script.exists() else [sys.executable, "-m", "jupyterlab"]
    options = [
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={target.folder}",
        "--Application.log_level=WARN",
        "--JupyterApp.answer_yes=True",  # what Ctrl-C would ask about lives on
    ]
    if len(os.fsencode(runtime / _IPC_NAME)) <= LONGEST_SOCKET_PATH:
        options.append("--KernelManager.transport=ipc")  # any user of this machine could read from tcp
        # After a death within ten seconds Jupyter takes new ports, and the page stays with the old ones.
        options.append("--KernelRestarter.random_ports_until_alive=False")
    if live_extension.is_of_use():
        options += live_extension.options(runtime)
    if port is not None:
        options.append(f"--ServerApp.port={port}")
    if os.geteuid() == 0:
        options.append("--allow-root")
    if not browser:
        options.append("--no-browser")
    return [*program, *options, *([str(target.notebook)] if target.notebook else [])]


def _address(server: subprocess.Popen[bytes], runtime: Path) -> str:
    """The server's URL, once it listens."""
    described = runtime / f"jpserver-{server.pid}.json"
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            return str(json.loads(read_text(described))["url"])
        except (OSError, ValueError, KeyError):
            time.sleep(_RETRY_SECONDS)
    raise HubUnavailable("JupyterLab did not start.", "What it said is above.")


def _said(target: Target, url: str, token: str) -> str:
    # Whoever reads a terminal may use the server; a log may be read by others, later.
    secret = token if sys.stdout.isatty() else "..."
    lines = [f"JupyterLab: {url}{_page(target)}?token={secret}"]
    if not sys.stdout.isatty():
        lines.append("(The token is shown on a terminal only. `jupyter server list` cannot tell it either;")
        lines.append(f" it is in the file token-* in {Path(paths.runtime_dir(os.environ), 'lab')}.)")
    return "\n".join([*lines, *_about(target)])


def _said_to_link(target: Target, url: str, token: str) -> str:
    address = urlsplit(url)
    path = f"{address.path}{_page(target)}"
    about = "\n".join(_about(target))
    return json.dumps({"port": address.port, "path": path, "token": token, "about": about})


def _page(target: Target) -> str:
    if target.notebook is None:
        return "lab"
    return f"lab/tree/{quote(str(target.notebook.relative_to(target.folder)))}"


def _about(target: Target) -> list[str]:
    lines = []
    if target.notebook is None:
        lines.append(f"It shows {target.folder}; no session there has a notebook yet.")
    elif target.is_live:
        lines.append(f"{target.notebook.name} is joined to the live kernel of {target.session}.")
    else:
        lines.append(f"{target.session} has no kernel now: {target.notebook.name} gets one of its own.")
    lines += viewers.missing(target.prefix) if target.prefix else []
    if live_extension.is_of_use():
        lines.append("What the assistant runs appears in the open page as it runs.")
    else:
        lines.append("The page does not show by itself what the assistant runs: for that, install")
        lines.append(f"jupyter-collaboration too, with: {install_command('lab')}")
    lines.append("Ctrl-C ends JupyterLab; the sessions' kernels live on.")
    return lines
