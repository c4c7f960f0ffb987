"""KERNELEXEC_VIA with a command that leads to this machine, in another home: what needs no other host."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.real.clients import Client
from tests.real.conda.tool import Conda
from tests.real.conftest import Connect
from tests.real.home import COMMAND, Home, eventually, until

Via = Callable[..., Client]


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Another home, whose login shell greets."""
    home = tmp_path / "there"
    home.mkdir()
    (home / ".profile").write_text('echo Welcome\nprintf "quota: 3 MB, "\n')
    return home


@pytest.fixture
def via(connect: Connect, home: Home, there: Path) -> Iterator[Via]:
    def client(project: str = "churn", **others: str) -> Client:
        command = f"env -u XDG_DATA_HOME HOME={shlex.quote(str(there))} SHELL=/bin/sh"
        settings = {"KERNELEXEC_VIA": command, "ENV_TYPE": "", "VENV_PATH": home.environ["VENV_PATH"]}
        return connect(home, home.project(project), **{**settings, **others})

    yield client
    for process in psutil.process_iter():
        words = line_of(process).split()
        if "launcher.py" in " ".join(words) and str(there) in " ".join(words):
            process.kill()
            shutil.rmtree(Path(words[words.index("-f") + 1]).parent, ignore_errors=True)


@pytest.fixture
def own_ipykernel() -> dict[str, str]:
    """An environment to which none has to be lent."""
    return {"VENV_PATH": sys.prefix}


def line_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_a_kernel_outlives_client_hub_and_link_and_its_death_is_told(
    via: Via, home: Home, tmp_path: Path
) -> None:
    client = via()
    first = client.execute("x = 41")
    assert first.state == "OK", first.text
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    running = client.execute(f"print('before')\n{until(gate, begun)}\nprint('after')", wait_seconds=0)
    eventually(begun.exists)
    home.end_hub(signal.SIGKILL)
    gate.touch()
    client = via()
    ended = client.wait_for(running.id, wait_seconds=50)
    assert ended.block("stdout").split() == ["before", "after"], ended.text
    died = client.execute("x += 1\nimport os\nos.kill(os.getpid(), 9)")
    assert died.state == "DIED"
    assert "SIGKILL" in died.text


def test_code_runs_where_the_settings_say_and_each_reply_says_so(
    via: Via, there: Path, own_ipykernel: dict[str, str]
) -> None:
    (there / "data").mkdir()
    reply = via(KERNELEXEC_CWD="~/data", **own_ipykernel).execute("import os; os.getcwd()")
    assert reply.block("result") == f"'{there}/data'"
    assert f"Code reads and writes in {there}/data on" in reply.text


@pytest.fixture
def conda_there(conda: Conda, there: Path) -> Path:
    """A conda environment of that home's, with an activation script and variables; its ipykernel is lent."""
    conda.install_as(there / "miniconda3")
    prefix = conda.create(there / "miniconda3" / "envs" / "data é", "python", "pip", "activate-demo")
    conda.run("env", "config", "vars", "set", "--prefix", str(prefix), "KX_SET=by conda $HOME")
    (prefix / "etc" / "conda" / "activate.d" / "of-bash.sh").write_text(
        "[[ a == a ]] && export OF_BASH=yes\n"
    )
    return prefix


def test_a_conda_environment_there_is_activated(via: Via, conda_there: Path) -> None:
    names = ["CONDA_PREFIX", "CONDA_DEFAULT_ENV", "DEMO_ACTIVATED", "DEMO_STATIC", "KX_SET", "OF_BASH"]
    said = [str(conda_there), "data é", "yes:data é", "from env_vars.d", "by conda $HOME", "yes"]
    said += [f"{conda_there}/bin:"]
    reply = via(VENV_PATH="", CONDA_ENV_NAME="data é").execute(
        f"import os\nfor name in {names}: print(os.environ.get(name))\n"
        f"print(os.environ['PATH'][: {len(said[-1])}])",
        wait_seconds=50,
    )
    if reply.state != "OK":  # its ipykernel is still fetched
        reply = via(VENV_PATH="", CONDA_ENV_NAME="data é").wait_for(reply.id, wait_seconds=50)
    assert reply.block("stdout").splitlines() == said, reply.text


def test_what_cannot_be_done_from_here_is_refused_with_what_can(
    via: Via, home: Home, own_ipykernel: dict[str, str]
) -> None:
    client = via(**own_ipykernel)
    reply = client.execute("1")
    refused = client.call("install_dependencies", {"packages": ["six"]})
    assert "%pip install" in refused.text
    lab = home.command("lab", reply.session)
    assert lab.returncode != 0
    assert "a JupyterLab here cannot join" in lab.stderr
    listed = json.loads(
        subprocess.run(
            [COMMAND, "ps", "--json"], env=home.environ, capture_output=True, text=True, check=True
        ).stdout
    )
    assert any(reply.session == each["session"] for each in listed["sessions"])


def test_what_is_too_large_for_a_message_is_kept_whole_and_leaves_nothing(
    via: Via, home: Home, own_ipykernel: dict[str, str]
) -> None:
    before = set(_far_folders())
    client = via(**own_ipykernel)
    shown = client.execute(
        "from IPython.display import HTML, display\ndisplay(HTML('<p>' + 'x' * 9_000_000))\nprint('after')",
        wait_seconds=50,
    )
    assert (shown.state, shown.block("stdout")) == ("OK", "after"), shown.text[:3000]
    (kept,) = shown.script.parent.joinpath("outputs").iterdir()
    assert kept.read_text() == "<p>" + "x" * 9_000_000
    spools = Path(home.environ["KERNELEXEC_RUNTIME_DIR"], "spools")
    assert [list(each.iterdir()) for each in spools.iterdir()] == [[]]
    client.call("stop_kernel", {"session": shown.session})
    eventually(lambda: not list(spools.iterdir()))
    eventually(lambda: not set(_far_folders()) - before)


def test_words_that_are_no_command_or_no_python_are_told(via: Via, there: Path) -> None:
    no_command = via("a", KERNELEXEC_VIA="'unclosed").execute("1")
    assert "KERNELEXEC_VIA" in no_command.text
    assert "is no command" in no_command.text
    missing = via("b", VENV_PATH="$(touch done); x").execute("1")
    assert "There is no interpreter" in missing.text
    assert not (there / "done").exists(), "no shell reads a setting"


def test_what_is_asked_while_the_link_is_down_is_answered_with_that(
    via: Via, home: Home, there: Path, tmp_path: Path, own_ipykernel: dict[str, str]
) -> None:
    """Not with what a silent kernel means at home: native code, a hanging lock."""
    down, way = tmp_path / "down", tmp_path / "way.sh"
    way.write_text(
        f'[ -e "{down}" ] && {{ echo "No route to host" >&2; exit 255; }}\n'
        f'exec env -u XDG_DATA_HOME HOME="{there}" SHELL=/bin/sh "$@"\n'
    )
    client = via(KERNELEXEC_VIA=f"sh {way}", **own_ipykernel)
    first = client.execute("import os\nos.getpid()")
    assert first.state == "OK", first.text
    kernel = psutil.Process(int(first.block("result")))
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    running = client.execute(until(gate, begun), wait_seconds=0)
    eventually(begun.exists)
    down.touch()
    (relay,) = [pid for pid, line in _processes() if "kernelexec_far" in line and str(there) in _home_of(pid)]
    psutil.Process(relay).kill()
    eventually(lambda: "has been down since" in client.call("list_kernels", {}).text)
    interrupted = client.call("interrupt_kernel", {"session": running.session})
    assert "not known whether the run goes on" in interrupted.text
    assert "did not reach a shell: No route to host. It is" in interrupted.text
    assert "The interrupt may not have reached it" in interrupted.text
    asked = client.call("list_variables", {"session": running.session})
    assert "The link to the kernel of" in asked.text
    assert "Ask again once it is up." in asked.text
    assert "native code" not in asked.text
    assert "link down (2)" in home.command("ps").stdout
    down.unlink()
    eventually(lambda: "has been down since" not in client.call("list_kernels", {}).text)
    assert client.call("interrupt_kernel", {"session": running.session}).state == "INTERRUPTED"
    down.touch()
    (relay,) = [pid for pid, line in _processes() if "kernelexec_far" in line and str(there) in _home_of(pid)]
    psutil.Process(relay).kill()
    eventually(lambda: "has been down since" in client.call("list_kernels", {}).text)
    waiting = client.execute("1", wait_seconds=0)
    assert "the kernel is starting" not in waiting.verdict
    unknown = "whether it has begun is not known"
    eventually(lambda: unknown in client.wait_for(waiting.id, wait_seconds=0).verdict)
    again = client.call("restart_kernel", {"session": running.session})
    assert "Its kernel was given up, as its link is down" in again.text, again.text
    assert "goes on there until the link is back" in again.text
    listed = home.command("ps").stdout
    assert f"on {os.uname().nodename} was stopped at" in listed
    assert f"once this leads there again: sh {way}" in listed
    home.command("stop", "--all")
    shutil.rmtree(home.runtime)  # as after a reboot
    assert "may run on" in home.command("ps").stdout
    down.unlink()
    client = via(KERNELEXEC_VIA=f"sh {way}", **own_ipykernel)
    client.call("list_kernels", {})
    eventually(lambda: not kernel.is_running(), 60)
    opened = client.call("open_notebook", {"path": "own.ipynb"})
    assert re.search(r"the first run starts one \(Python [\d.]+\)\. Environment: ", opened.text), opened.text
    first = client.execute("import os\nos.getpid()")
    kernel = psutil.Process(int(first.block("result")))
    down.touch()
    (relay,) = [pid for pid, line in _processes() if "kernelexec_far" in line and str(there) in _home_of(pid)]
    psutil.Process(relay).kill()
    eventually(lambda: "has been down since" in client.call("list_kernels", {}).text)
    away = f"not reached now, so ended as soon as a hub runs and the link is back: {first.session}\n"
    assert home.command("stop", "--all").stdout == away
    down.unlink()
    client = via(KERNELEXEC_VIA=f"sh {way}", **own_ipykernel)
    client.call("list_kernels", {})
    eventually(lambda: not kernel.is_running(), 60)


_CUT_AT_THE_START = """\
import os, subprocess, sys, threading
far = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def send():
    while data := os.read(0, 1 << 16):
        os.write(far.stdin.fileno(), data)
    far.stdin.close()
threading.Thread(target=send, daemon=True).start()
while data := os.read(far.stdout.fileno(), 1 << 16):
    is_last = b'"directory"' in data and not os.path.exists(sys.argv[1])
    while data:
        data = data[os.write(1, data) :]
    if is_last:
        open(sys.argv[1], "w").close()
        os._exit(9)
"""


def test_a_link_that_ends_before_the_kernel_is_ready_is_told_and_leaves_nothing(
    via: Via, there: Path, tmp_path: Path, own_ipykernel: dict[str, str]
) -> None:
    way = tmp_path / "way.py"
    way.write_text(_CUT_AT_THE_START)
    command = f"{sys.executable} {way} {tmp_path}/cut env -u XDG_DATA_HOME HOME={there} SHELL=/bin/sh"
    client = via(KERNELEXEC_VIA=command, **own_ipykernel)
    client.call("list_kernels", {})  # else the first call finds the kernel that has been begun for it
    first = client.execute("1", wait_seconds=50)
    assert first.state == "NOT RUN", first.text
    assert "ended before the kernel was ready, which ended it, too" in first.text
    assert "what is submitted next starts a new one" in first.text
    eventually(lambda: not [pid for pid, line in _processes() if _is_kernel_of(there, pid, line)])
    assert client.execute("1", wait_seconds=50).state == "OK"


def _far_folders() -> list[Path]:
    """Of kernels whose hub reaches them by a command, on this machine."""
    return list(Path(f"/tmp/kernelexec-far-{os.getuid()}").glob("*"))


def _is_kernel_of(there: Path, pid: int, line: str) -> bool:
    return "launcher.py" in line and _home_of(pid) == str(there)


def _processes() -> list[tuple[int, str]]:
    return [(process.pid, line_of(process)) for process in psutil.process_iter()]


def _home_of(pid: int) -> str:
    try:
        return psutil.Process(pid).environ().get("HOME", "")
    except psutil.Error:
        return ""
