"""`kernelexec completion` in the shells that it is for, each with a person's keys."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.conftest import ConnectRaw
from tests.real.home import COMMAND, Home
from tests.real.terminal import Terminal

_START = {
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "zsh": ("zsh", "-f", "-i"),
}
_BEFORE = {"bash": "", "zsh": "autoload -Uz compinit; compinit -u -D; "}
_TAB = "\t"
_FISH = 'source completions.fish; complete -C "{line}"'


@pytest.fixture
def session(home: Home, connect_raw: ConnectRaw) -> str:
    """A home's one session; its directory has a file."""
    home.environ["PATH"] = f"{Path(COMMAND).parent}:/usr/bin:/bin"
    (home.path / "notes.txt").touch()
    return connect_raw(home).execute("1").session


@pytest.fixture(params=sorted(_START))
def shell(request: pytest.FixtureRequest, home: Home, session: str) -> Iterator[Terminal]:
    """An interactive shell that has what docs/command-line.md says."""
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"no {name} on this machine")
    terminal = Terminal(home, *_START[name], TERM="dumb", PS1="$ ")
    terminal.type(f'{_BEFORE[name]}eval "$(kernelexec completion {name})"; echo pre""pared\n')
    terminal.wait_for("prepared")
    yield terminal
    terminal.process.kill()  # what asks it to end, an interactive shell ignores
    terminal.close()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("kernelexec sto", "kernelexec stop "),
        ("kernelexec exec --deta", "kernelexec exec --detach "),
        ("kernelexec setup claude-d", "kernelexec setup claude-desktop "),
        ("kernelexec rebuild not", "kernelexec rebuild notes.txt"),
    ],
)
def test_tab_completes_commands_options_clients_and_files(
    shell: Terminal, typed: str, completed: str
) -> None:
    shell.type(typed + _TAB)
    shell.wait_for(re.escape(completed))


def test_tab_completes_the_sessions_that_there_are(shell: Terminal, session: str) -> None:
    shell.type(f"kernelexec stop {session[:3]}{_TAB}")
    shell.wait_for(f"kernelexec stop {session} ")


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish on this machine")
def test_fish_offers_what_there_is_and_files_only_where_nothing_else_is_meant(
    home: Home, session: str
) -> None:
    script = home.command("completion", "fish").stdout
    (home.path / "completions.fish").write_text(script)

    def offered(line: str) -> list[str]:
        done = subprocess.run(
            ["fish", "--no-config", "-c", _FISH.format(line=line)],
            env=home.environ,
            cwd=home.path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return [each.partition("\t")[0] for each in done.stdout.splitlines()]

    assert offered("kernelexec sto") == ["stop"]
    assert offered("kernelexec stop ") == [session]
    assert {"--detach", "--session"} <= set(offered("kernelexec exec --"))
    assert offered("kernelexec rebuild no") == ["notes.txt"]


def test_two_dashes_are_the_begin_of_options(home: Home) -> None:
    offered = home.command("completion", "--words", "exec", "--").stdout.split()
    assert "--detach" in offered
    assert all(option.startswith("--") for option in offered)
