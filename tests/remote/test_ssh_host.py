"""KERNELEXEC_HOST and `kernelexec --host` over a real ssh: the hub, its kernels and all files are there."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.real.clients import Client, RawClient
from tests.real.conftest import Connect
from tests.real.home import COMMAND, Home, eventually, until
from tests.remote.sshd import FarHost, line_of

pytestmark = pytest.mark.timeout(300)


def settings(far: FarHost, **others: str) -> dict[str, str]:
    """What a client of that host is configured with."""
    return {"KERNELEXEC_HOST": far.command, "ENV_TYPE": "default", "VENV_PATH": "", **others}


def far_client(connect: Connect, home: Home, far: FarHost, project: str, **others: str) -> Client:
    folder = home.project(project)
    folder.chmod(0o700)  # it is not there, too
    return connect(home, folder, **settings(far, **others))


def links(home: Home) -> list[psutil.Process]:
    """The commands that hold this home's links."""
    return home.commands("ssh ")


def drop_link(home: Home) -> None:
    home.kill_commands("ssh ")


def gate(far: FarHost, name: str) -> tuple[str, Path]:
    """Code that runs there until the file is made."""
    path = far.home / name
    begun = far.home / f"{name}.begun"
    return until(path, begun), path


def begun(path: Path) -> bool:
    return path.with_name(f"{path.name}.begun").exists()


def typed(home: Home, far: FarHost, *arguments: str, **kinds: str) -> subprocess.CompletedProcess[str]:
    """`kernelexec --host ...` in a shell of this home."""
    return subprocess.run(
        [COMMAND, "--host", far.command, *arguments],
        env={**home.environ, **settings(far)},
        cwd=home.path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        **kinds,  # type: ignore[call-overload]
    )


def test_code_runs_there_and_the_first_reply_says_so(connect: Connect, home: Home, far: FarHost) -> None:
    client = far_client(connect, home, far, "churn")
    reply = client.execute("import getpass, os\nx = 41\ngetpass.getuser(), os.getcwd()")
    assert reply.state == "OK", reply.text
    assert reply.session == "churn@default", "the project's name, which is not there, goes along"
    assert f"('{far.name}', '{far.home}/kernelexec')" in reply.text
    assert f"Host: code runs on {os.uname().nodename} ({far.command})" in reply.text
    assert reply.script.is_relative_to(far.home)
    again = far_client(connect, home, far, "churn").execute("x + 1")
    assert again.block("result") == "42"


def test_a_project_that_is_there_too_is_where_code_runs(connect: Connect, home: Home, far: FarHost) -> None:
    there = far.home / "projects" / "both"
    there.mkdir(parents=True)
    far.own(far.home / "projects")
    reply = far_client(connect, home, far, "both").execute("import os; os.getcwd()")
    assert reply.block("result") == f"'{there}'"


def test_two_projects_of_one_name_are_two_sessions(connect: Connect, home: Home, far: FarHost) -> None:
    one = far_client(connect, home, far, "a/model").execute("which = 'a'")
    other = far_client(connect, home, far, "b/model").execute("which")
    assert one.session != other.session
    assert "NameError" in other.text


def test_settings_mean_what_is_there(connect: Connect, home: Home, far: FarHost) -> None:
    client = far_client(
        connect,
        home,
        far,
        "s",
        CODE_STORAGE_DIR="~/kept here",
        KERNELEXEC_SESSION="named",
        KERNELEXEC_NOSUCH="1",
    )
    reply = client.execute("1")
    assert reply.session == "named@default"
    assert reply.script.is_relative_to(far.home / "kept here")
    assert "KERNELEXEC_NOSUCH is no setting" in reply.text


@pytest.mark.parametrize("era", ["2025-06-18", "2026-07-28"])
def test_a_dropped_link_loses_no_call_and_runs_nothing_twice(home: Home, far: FarHost, era: str) -> None:
    with RawClient(home, **settings(far, KERNELEXEC_SESSION=f"drop{era[:4]}")) as client:
        client.initialize(era)
        client.execute("runs = 0")
        code, path = gate(far, f"drop-{era}")
        asked = client.begin_execute(f"runs += 1\nprint('before', flush=True)\n{code}\nprint('after')")
        eventually(lambda: begun(path))
        drop_link(home)
        eventually(lambda: links(home))
        far.write(path.name, "")
        reply = client.reply(asked)
        assert reply.state == "OK", reply.text
        assert reply.block("stdout") == "before\nafter"
        assert client.execute("runs").block("result") == "1"


def impatient(seconds: float) -> list[str]:
    """A bridge to whom a link is silent after that time."""
    program = f"from kernelexec.bridge import stdio, way\nway.QUIET_SECONDS = {seconds}\nstdio.main()"
    return [sys.executable, "-c", program]


def test_a_silent_link_is_given_up_and_made_again(home: Home, far: FarHost) -> None:
    command = impatient(1.0)
    with RawClient(home, command=command, **settings(far, KERNELEXEC_SESSION="silent")) as client:
        client.initialize()
        client.execute("x = 1")
        frozen = far.sessions_of_sshd()
        for process in frozen:
            with suppress(psutil.NoSuchProcess):  # of a command that has just ended
                process.suspend()
        try:
            assert client.execute("x").block("result") == "1"
        finally:
            for process in frozen:
                with suppress(psutil.NoSuchProcess):
                    process.resume()
        eventually(lambda: not any(process.is_running() for process in frozen))


def test_a_quiet_link_that_lives_is_kept(home: Home, far: FarHost) -> None:
    command = impatient(0.2)
    with RawClient(home, command=command, **settings(far, KERNELEXEC_SESSION="quiet")) as client:
        client.initialize()
        client.execute("x = 1")
        link = links(home)
        code, path = gate(far, "quiet")
        asked = client.begin_execute(code)
        eventually(lambda: begun(path))
        beats = time.monotonic() + 2.0  # ten times what a link may be silent
        eventually(lambda: time.monotonic() > beats)
        far.write(path.name, "")
        assert client.reply(asked).state == "OK"
        assert links(home) == link


def test_a_client_keeps_its_tools_when_the_hub_there_is_killed(
    connect: Connect, home: Home, far: FarHost
) -> None:
    client = far_client(connect, home, far, "killed")
    client.execute("x = 7")
    far.hub().kill()
    assert client.execute("x").block("result") == "7"


def test_what_cannot_be_known_of_a_dropped_link_is_said(home: Home, far: FarHost) -> None:
    with RawClient(home, **settings(far, KERNELEXEC_SESSION="unknown")) as client:
        client.initialize()
        code, path = gate(far, "unknown")
        running = client.begin_execute(code)
        eventually(lambda: begun(path))
        asked = client.begin("tools/call", {"name": "restart_kernel", "arguments": {}})
        drop_link(home)
        far.write(path.name, "")
        reply = client.reply(asked)
        assert reply.text.startswith("UNKNOWN: whether restart_kernel was carried out. The link"), reply.text
        client.reply(running)


def test_a_large_output_comes_whole(connect: Connect, home: Home, far: FarHost) -> None:
    client = far_client(connect, home, far, "large")
    reply = client.execute("for n in range(500): print('x' * 100_000)")
    assert reply.state == "OK", reply.text
    assert "50,000,500" in reply.text or "50.0 MB" in reply.text or "50,000" in reply.text, reply.text


def test_another_version_there_is_told_with_what_mends_it(home: Home, far: FarHost) -> None:
    program = (
        "import kernelexec\nkernelexec.__version__ = '9.9'\nfrom kernelexec.bridge import stdio\nstdio.main()"
    )
    command = [sys.executable, "-c", program]
    with RawClient(home, command=command, **settings(far, KERNELEXEC_SESSION="versions")) as client:
        client.initialize()
        reply = client.execute("1")
        mends = f"kernelexec host install '{far.command}'"
        assert f"9.9 where your client is. The user can put that there, too: {mends}" in reply.text


def refused(home: Home, command: str) -> str:
    """What a client is told whose host cannot be used."""
    with RawClient(home, KERNELEXEC_HOST=command) as client:
        asked = client.begin("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}})
        return str(client.answer(asked)["error"]["message"])


def test_a_host_without_kernelexec_is_told_with_what_puts_it_there(home: Home, bare_host: FarHost) -> None:
    empty = f"{bare_host.command} env HOME=/nowhere XDG_DATA_HOME=/nowhere SHELL=/bin/sh"
    said = refused(home, empty)
    assert "kernelexec is not installed where" in said
    assert f"kernelexec host install '{empty}'" in said


def test_a_terminal_in_the_way_is_told(home: Home, far: FarHost) -> None:
    assert "has a terminal there" in refused(home, far.command.replace("-T", "-tt"))


def test_a_host_that_is_not_reached_is_told_in_the_commands_own_words(home: Home, far: FarHost) -> None:
    assert "Connection refused" in refused(home, f"{far.command} -p 1")
    assert "cannot be started: No such file" in refused(home, "/nowhere/ssh far")


def test_the_persons_commands_are_carried_out_there(home: Home, far: FarHost) -> None:
    weird = """print("it's $HOME `id` \\\\ \\" ü")"""
    done = typed(home, far, "exec", "--session", "typed", weird)
    assert done.returncode == 0, done.stderr
    assert """it's $HOME `id` \\ " ü""" in done.stdout
    assert "Welcome" not in done.stdout
    listed = json.loads(typed(home, far, "ps", "--json").stdout)
    assert "typed@default" in [session["session"] for session in listed["sessions"]]
    assert typed(home, far, "exec", "--session", "typed", "1/0").returncode == 1
    piped = typed(home, far, "exec", "--session", "typed", "-", input="print(6 * 7)")
    assert "42" in piped.stdout
    assert typed(home, far, "stop", "typed").stdout == "stopped: typed@default\n"


def test_control_c_interrupts_the_run_there(home: Home, far: FarHost) -> None:
    code, path = gate(far, "control-c")
    process = subprocess.Popen(
        [COMMAND, "--host", far.command, "exec", "--session", "ctrl", code],
        env={**home.environ, **settings(far)},
        cwd=home.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    eventually(lambda: begun(path))
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT, said
    history = typed(home, far, "history", "ctrl").stdout
    assert "KeyboardInterrupt" in history, history


def test_a_notebook_there_is_exported_there(home: Home, far: FarHost) -> None:
    typed(home, far, "exec", "--session", "handed", "print('on')")
    notebook = far.home / "kernelexec" / "handed@default-1.ipynb"
    done = typed(home, far, "export", str(notebook))
    assert done.returncode == 0, done.stderr
    assert (far.home / "kernelexec" / "handed@default-1.clean.ipynb").exists()


def test_input_is_answered_from_here(connect: Connect, home: Home, far: FarHost) -> None:
    client = far_client(connect, home, far, "asks")
    reply = client.execute("name = input('who? ')", wait_seconds=5)
    assert reply.state == "WAITING FOR INPUT", reply.text
    done = typed(home, far, "input", reply.id, input="Ann\n")
    assert done.returncode == 0, done.stderr
    assert client.wait_for(reply.id).state == "OK"
    assert client.execute("name").block("result") == "'Ann'"


def test_a_jupyterlab_there_is_reached_here(home: Home, far: FarHost) -> None:
    typed(home, far, "exec", "--session", "lab", "x = 1")
    process = subprocess.Popen(
        [COMMAND, "--host", far.command, "lab", "--no-browser", "lab"],
        env={**home.environ, **settings(far)},
        cwd=home.path,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.match(r"JupyterLab: (http://127\.0\.0\.1:\d+/)lab/tree/lab%40default-1.ipynb", line)
        assert found, line
        (token,) = (Path(f"/tmp/kernelexec-{far.uid}") / "lab").glob("token-*")
        request = urllib.request.Request(
            f"{found[1]}api/contents/lab@default-1.ipynb",
            headers={"Authorization": f"token {token.read_text()}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["type"] == "notebook"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stdout is not None
        eventually(lambda: not [each for each in far.processes() if "jupyter-lab" in line_of(each)])
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_set_up_for_a_host_a_client_runs_code_there(home: Home, far: FarHost) -> None:
    home.environ["VIRTUAL_ENV"] = str(home.path / "active here")
    done = typed(home, far, "setup", "claude-code", "--scope", "user", "--yes")
    assert "it works, Python" in done.stdout, done.stdout + done.stderr
    written = json.loads((home.path / ".claude.json").read_text())["mcpServers"]["kernelexec"]["env"]
    assert written == {"KERNELEXEC_HOST": far.command}


def test_the_doctor_asks_the_host_that_a_client_is_configured_with(
    new_home: Callable[..., Home], far: FarHost
) -> None:
    home = new_home(ENV_TYPE="default", VENV_PATH="")
    (home.path / ".claude.json").write_text(
        json.dumps({"mcpServers": {"kernelexec": {"command": COMMAND, "env": settings(far)}}})
    )
    said = home.command("doctor").stdout
    assert f"everything is on {far.command}, which answered in" in said, said


def test_another_installation_takes_the_place_of_the_first(
    connect: Connect, home: Home, far: FarHost
) -> None:
    client = far_client(connect, home, far, "upgraded")
    client.execute("x = 3")
    data = far.home / ".local/share/kernelexec"
    first = (data / "program").resolve().parent
    assert far.install("--lab").returncode == 0
    second = (data / "program").resolve().parent
    assert first != second
    assert first.exists(), "a hub may run from it"
    assert far.install("--lab").returncode == 0
    assert not first.exists()
    assert client.execute("x").block("result") == "3"
